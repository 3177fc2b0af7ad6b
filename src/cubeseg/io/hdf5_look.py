"""A program of its own that looks through HDF5 files as their readers do; :mod:`cubeseg.io.hdf5_guard` runs it.

The library may run in circles in a damaged file, and nothing but the end of the process stops it. Each file is named
on a line of the input, in JSON; ``began`` and ``done`` answer. What ends the process in between is the verdict: too
much of the processor's time without a step forward, a crash. What the library merely complains about is left to the
readers, who say it better.

It imports nothing of this package, so that it starts quickly.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__: list[str] = []

# of the processor, for one step: to list the next link, to open an object, to read an attribute or a chunk
_STUCK = 2.0
# of the clock, for steps in which nothing happens; and for the next file
_WAITS, _IDLE = 120.0, 60.0
_MEMORY = 4 << 30
# seconds after which no more values are read; how many of the largest datasets, which are the cubes, come first
_VALUES, _FIRST = 0.3, 4
# bytes of what is read whole, of vectors that are, and of the largest chunk that is unpacked
_TINY, _SMALL, _CHUNK = 64 << 10, 8 << 20, 32 << 20
# exit statuses: as of faulthandler; more memory than a healthy file takes
_CIRCLES, _FULL = 1, 3


class _Watch:
    """Ends the process where a step takes too long."""

    def __init__(self) -> None:
        self.rearmed = -_WAITS
        try:
            from signal import ITIMER_PROF, setitimer
        except ImportError:
            # Windows counts the clock only
            self.setitimer, self.limit = None, 9.0
        else:
            self.setitimer, self.which, self.limit = setitimer, ITIMER_PROF, _WAITS

    def step(self, *_: Any) -> None:
        """Something was done: the time starts anew."""
        if self.setitimer:
            self.setitimer(self.which, _STUCK)
        now = time.monotonic()
        if now - self.rearmed > 1:
            self.rearmed = now
            faulthandler.dump_traceback_later(self.limit, exit=True)

    def rest(self) -> None:
        """Nothing to do."""
        if self.setitimer:
            self.setitimer(self.which, 0)
        self.rearmed = -_WAITS
        faulthandler.dump_traceback_later(_IDLE, exit=True)


def look(path: str, watch: _Watch) -> None:
    """Open and list what there is, then read values for a while."""
    import h5py

    sizes: list[tuple[int, str]] = []
    with h5py.File(path, "r", locking="best-effort") as file:
        for item in _objects(file, watch):
            names = _attributes(item, watch)
            if not isinstance(item, h5py.Dataset):
                continue
            with _complaints():
                if _is_own(item):
                    sizes.append((item.nbytes, item.name))
                if "DIMENSION_LIST" in names:
                    _scales(item, watch)
        sizes.sort(reverse=True)
        end = time.monotonic() + _VALUES
        for size, name in [*sizes[:_FIRST], *sizes[: _FIRST - 1 : -1]]:
            watch.step()
            if time.monotonic() > end:
                break
            with _complaints():
                _values(file[name], size)


@contextmanager
def _complaints() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception:
        pass


def _objects(file: Any, watch: _Watch) -> Iterator[Any]:
    """All groups and datasets of the file, each once."""
    import h5py

    opened, info, hard = h5py.h5o.open, h5py.h5o.get_info, h5py.h5l.TYPE_HARD
    root = h5py.Group(file.id)
    seen, waiting = {info(root.id).addr}, [root]
    while waiting:
        group = waiting.pop()
        yield group
        for name, kind in _links(group, watch).items():
            watch.step()
            try:
                if kind != hard:
                    group.id.links.get_val(name)
                    continue
                item = opened(group.id, name)
                place = info(item).addr
            except MemoryError:
                raise
            except Exception:
                continue
            if place in seen:
                continue
            seen.add(place)
            if isinstance(item, h5py.h5g.GroupID):
                waiting.append(h5py.Group(item))
            elif isinstance(item, h5py.h5d.DatasetID):
                yield h5py.Dataset(item)


def _links(group: Any, watch: _Watch) -> dict[bytes, int]:
    """Names in a group, and what kind of link each is."""
    found: dict[bytes, int] = {}

    def add(name: bytes, info: Any) -> None:
        watch.step()
        if name in found:
            # a list that leads back into itself; each name is there once in a healthy group
            os._exit(_CIRCLES)
        found[name] = info.type

    with _complaints():
        group.id.links.iterate(add, info=True)
    return found


def _attributes(item: Any, watch: _Watch) -> list[str]:
    names: list[str] = []
    with _complaints():
        names = list(item.attrs)
    for name in names:
        watch.step()
        with _complaints():
            item.attrs[name]
    return names


def _is_own(dataset: Any) -> bool:
    """Whether the values lie in the dataset itself: not in other files, which the readers refuse to follow."""
    _ = dataset.dtype, dataset.shape, dataset.chunks, dataset.compression
    dataset.id.get_offset()
    if dataset.is_virtual:
        dataset.virtual_sources()
        return False
    return not dataset.external


def _scales(dataset: Any, watch: _Watch) -> None:
    """The vectors that belong to its axes."""
    for references in dataset.attrs["DIMENSION_LIST"]:
        for reference in references:
            watch.step()
            scale = dataset.file[reference]
            _ = scale.name, scale.shape


def _values(dataset: Any, size: int) -> None:
    """All of what a reader may read whole; the first and the last value of all else."""
    if size <= _TINY or (dataset.ndim == 1 and size <= _SMALL):
        dataset[()]
        return
    chunk = dataset.dtype.itemsize
    for length in dataset.chunks or ():
        chunk *= length
    if chunk <= _CHUNK:
        dataset[(0,) * dataset.ndim]
        dataset[(-1,) * dataset.ndim]


def main() -> None:
    """Answer until the input ends."""
    from signal import SIG_IGN, SIGINT, signal

    # the one who asks decides what an interruption means
    signal(SIGINT, SIG_IGN)
    sys.path[:] = json.loads(sys.stdin.readline())
    watch = _Watch()
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    watch.rest()
    import h5py  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        print("began", flush=True)
        watch.step()
        try:
            look(json.loads(line), watch)
        except MemoryError:
            sys.exit(_FULL)
        except Exception:
            pass
        print("done", flush=True)
        watch.rest()


if __name__ == "__main__":
    main()
