"""What travels to the worker of a cluster: some work, and the way to the cube that it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from cubeseg.cube import Cube, LazyArray, Source
from cubeseg.errors import ConfigError, DataError

__all__ = ["PACKAGE", "Parcel", "check_version", "first_line", "own_version", "packed", "worked"]

PACKAGE = "napari-cubeseg"


def packed(work: Callable[..., Any], cube: Cube) -> tuple[Parcel, list[Any]]:
    """The parcel, and the arrays that are sent beside it.

    Raises
    ------
    DataError
        If the cube's values can neither be sent nor be read from a file by others.
    """
    from distributed.protocol.pickle import dumps

    way, arrays = _way(cube, computed=True)
    try:
        return Parcel(dumps((work, way))), arrays  # type: ignore[no-untyped-call]
    except Exception as error:
        # a Dask array over an open file
        if not cube.source.path:
            raise DataError(
                f"{cube.name}: cannot be sent to the workers ({first_line(error)}); open it from a file"
            ) from error
    way, arrays = _way(cube, computed=False)
    return Parcel(dumps((work, way))), arrays  # type: ignore[no-untyped-call]


class Parcel:
    """The work and the way to the cube, packed once for all workers; a worker unpacks it once.

    Unpacking is left to the task, where it may take its time (torch) and its errors can be told.
    """

    def __init__(self, content: bytes) -> None:
        self.content, self.version = content, own_version()
        self._lock = Lock()
        self._unpacked: tuple[Callable[..., Any], Cube] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Parcel._from, (self.content, self.version)

    @classmethod
    def _from(cls, content: bytes, version: str | None) -> Parcel:
        made = cls(content)
        made.version = version
        return made

    def unpacked(self, arrays: tuple[Any, ...]) -> tuple[Callable[..., Any], Cube]:
        """The work, and the cube as this worker sees it."""
        from distributed.protocol.pickle import loads

        with self._lock:
            if self._unpacked is None:
                check_version(f"the worker {_worker()}", self.version, own_version())
                work, way = loads(self.content)  # type: ignore[no-untyped-call]
                self._unpacked = work, way.cube(arrays)
            return self._unpacked


def worked(parcel: Parcel, item: Any, *arrays: Any) -> Any:
    """What runs on a worker."""
    work, cube = parcel.unpacked(arrays)
    return work(cube, item)


@dataclass(frozen=True, eq=False)
class _Elsewhere:
    """Stands for values that do not travel with the cube: in its file, or the n-th of the arrays sent beside it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sent: int | None
    ndim: int = field(default=3, init=False)

    def __getitem__(self, key: Any) -> Any:
        raise NotImplementedError("values that are elsewhere cannot be read")


class _Computed:
    """A Dask array that is computed by the task that reads it."""

    def __init__(self, array: Any) -> None:
        from distributed.client import futures_of

        self.array = array
        self.shape, self.dtype, self.ndim, self.chunks = array.shape, array.dtype, array.ndim, array.chunks
        # chunks that workers hold are known to the cluster only
        self._held = bool(futures_of(array))  # type: ignore[no-untyped-call]

    def __getitem__(self, key: Any) -> Any:
        part = self.array[key]
        if not self._held:
            return part.compute(scheduler="synchronous")
        from distributed import worker_client

        with worker_client() as client:
            return client.compute(part).result()


@dataclass(frozen=True, eq=False)
class _Way:
    """How a worker comes by a cube: what travels of it, and the file with the rest."""

    known: Cube
    source: Source | None
    look: str

    def cube(self, arrays: tuple[Any, ...]) -> Cube:
        """The cube, as this machine sees it.

        Raises
        ------
        DataError
            If its file cannot be opened here, or is another one.
        """
        opened = self._opened() if self.source else None

        def found(wanted: LazyArray | None, stored: LazyArray | None) -> Any:
            if not isinstance(wanted, _Elsewhere):
                return wanted
            given = arrays[wanted.sent] if wanted.sent is not None else stored
            if given is None or tuple(given.shape) != tuple(wanted.shape):
                raise DataError(self._other())
            return given

        noise = self.known.noise
        variance = found(noise.variance, opened.noise.variance if opened else None)
        data = found(self.known.data, opened.data if opened else None)
        cube = replace(self.known, data=data, noise=replace(noise, variance=variance))
        if opened and _look(cube) != self.look:
            raise DataError(self._other())
        return cube

    def _opened(self) -> Cube:
        from cubeseg.io import reopen

        assert self.source is not None
        try:
            return reopen(self.source)
        except Exception as error:
            reason = first_line(error).removeprefix(f"{self.source.path}: ")
            raise DataError(
                f"{self.source.path}: the worker {_worker()} cannot open it ({reason}); "
                "every worker must be able to read the file under this path"
            ) from None

    def _other(self) -> str:
        return (
            f"{self.known.name}: the worker {_worker()} finds other values under this path than this machine; "
            "give all the same file, and save a cube that was changed after it had been opened"
        )


def _way(cube: Cube, computed: bool) -> tuple[_Way, list[Any]]:
    """With Dask arrays as such (`computed`), or as what the file holds."""
    from dask.base import is_dask_collection

    arrays: list[Any] = []
    from_file = False

    def sent(array: LazyArray) -> LazyArray:
        nonlocal from_file
        if computed and is_dask_collection(array):
            return _Computed(array)
        if cube.source.path:
            from_file = True
            return _Elsewhere(tuple(array.shape), np.dtype(array.dtype), None)
        if isinstance(array, np.ndarray):
            arrays.append(np.asarray(array))
            return _Elsewhere(array.shape, array.dtype, len(arrays) - 1)
        return array

    variance = cube.noise.variance
    noise = replace(cube.noise, variance=None if variance is None else sent(variance))
    known = replace(cube, data=sent(cube.data), noise=noise, metadata={}, white=None)
    if not from_file:
        return _Way(known, None, ""), arrays
    source = replace(cube.source, path=str(Path(cube.source.path).absolute()))
    return _Way(known, source, _look(cube)), arrays


def check_version(who: str, wanted: str | None, there: str | None) -> None:
    """The same labels come only from the same code.

    Raises
    ------
    ConfigError
        If another version, or none (None), runs there.
    """
    if there != wanted:
        what = f"has {PACKAGE} {there}" if there else f"lacks {PACKAGE}"
        raise ConfigError(f"{who} {what}, this machine has {wanted}; install the same version on all of them")


def own_version() -> str | None:
    """Version of this package as installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def _look(cube: Cube) -> str:
    """Digest of a few spectra: what two machines that read the same file agree on."""
    height, width = cube.image_shape
    digest = hashlib.sha256()
    for row, column in ((0, 0), (height // 2, width // 2), (height - 1, width - 1)):
        key = (slice(None), slice(row, row + 1), slice(column, column + 1))
        digest.update(np.asarray(cube.data[key], dtype=np.float32).tobytes())
        variance = cube.noise.variance_of(key)
        if variance is not None:
            digest.update(variance.tobytes())
    return digest.hexdigest()


def _worker() -> str:
    from distributed import get_worker

    return str(get_worker().address)


def first_line(error: BaseException) -> str:
    """What an error says, short."""
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
