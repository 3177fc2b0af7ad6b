"""Parsers that may crash, hang or fill the memory on a damaged file, each in a process of its own.

What the function returns comes back through a temporary folder: arrays as memory maps, so that a cube that had to be
unpacked lies on the disk and not in the memory. The folder goes when the last of its maps does, at the latest at exit.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import ConfigError, DataError

__all__ = ["isolated", "physical_memory", "scratch", "within"]

_PREFIX = "cubeseg-unpacked-"
_REQUEST, _RESULT = "request.json", "result.json"
# Python with NumPy, Numba and Dask: what they reserve, mostly without using it
_INTERPRETER = 3 << 30
# smaller arrays are not worth a file that stays open
_MAPPED = 1 << 20
_WRITTEN = 1 << 20
_START = (
    "import json, sys; from pathlib import Path; folder = Path(sys.argv[1]); "
    f"sys.path[:] = json.loads((folder / '{_REQUEST}').read_text('utf-8'))['path']; "
    "from cubeseg.io.isolated import _serve; _serve(folder)"
)


def isolated(
    function: Callable[..., Any], *args: Any, name: str = "this file", seconds: float = 600.0, memory: int = 0
) -> Any:
    """Call a function in a process of its own.

    Parameters
    ----------
    function : callable
        Of a module's top level.
    *args
        What JSON can hold.
    name : str
        The file, for messages.
    seconds : float
        The process is ended when it takes longer.
    memory : int
        Bytes that it may take beyond the interpreter, and that its files may have; 0 for half of the computer's
        memory. Windows and macOS do not hold to it.

    Returns
    -------
    object
        What the function returned: numbers, text, None, lists (tuples too) and mappings of them; arrays, the large
        ones as read-only memory maps.

    Raises
    ------
    DataError, ConfigError
        As raised by the function; a DataError too for whatever else it raised, for a crash, a time-out and too much
        memory.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        request = {
            # an empty entry is the folder that one is in, which is another one there
            "path": [entry or os.getcwd() for entry in sys.path],
            "module": function.__module__,
            "function": function.__qualname__,
            "args": args,
            "seconds": seconds,
            "memory": memory or physical_memory() // 2,
            "parent": os.getpid(),
        }
        (folder / _REQUEST).write_text(json.dumps(request), "utf-8")
        code = _run(folder, seconds)
        result = folder / _RESULT
        if code != 0 or not result.is_file():
            raise DataError(f"{name}: {_death(code, seconds)}")
        answer = json.loads(result.read_text("utf-8"))
        if "error" in answer:
            raise _error(name, **answer["error"])
        maps: list[NDArray[Any]] = []
        value = _decoded(answer["value"], folder, maps)
    except BaseException:
        _remove(folder)
        raise
    _keep_until_unused(folder, maps)
    return value


def scratch(shape: tuple[int, ...], dtype: Any, name: str = "this file") -> NDArray[Any]:
    """An array of zeros on the disk, to be filled and returned by a function that runs isolated.

    Raises
    ------
    DataError
        If the disk has no room for it.
    """
    folder = Path.cwd() if _serving else Path(tempfile.mkdtemp(prefix=_PREFIX))
    needed, free = int(math.prod(shape)) * np.dtype(dtype).itemsize, shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{name}: unpacks to {needed / 2**30:.3g} GiB, but the disk of temporary files ({folder.parent}) has "
            f"{free / 2**30:.3g} GiB left; free some, or name another folder in TMPDIR"
        )
    # NumPy writes the header and lengthens the file; the zeros take no time
    return np.lib.format.open_memmap(folder / f"{_next_number()}.npy", "w+", np.dtype(dtype), shape)


def within(seconds: float, memory: int) -> None:
    """From inside: hold what follows to less time (of the processor, from now on) or memory than was allowed at first.

    A header that sends its parser in circles ends soon so, while the data that follow it may take their time.
    """
    if not _serving:
        return
    import faulthandler

    # where the processor's time is not limited, and for what waits without using any
    faulthandler.dump_traceback_later(4 * seconds + 30, exit=True)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (_least(math.ceil(time.process_time() + seconds), most), most))
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_least(memory + _INTERPRETER, most), most))


def physical_memory() -> int:
    """Bytes of memory that the computer has; 8 GiB where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        pass
    try:
        # Windows; napari brings it
        return int(importlib.import_module("psutil").virtual_memory().total)
    except (ImportError, AttributeError):
        return 8 << 30


def _run(folder: Path, seconds: float) -> int | None:
    """Exit code of the process; None where it took too long."""
    # a program instead of multiprocessing's spawn, which would run the caller's main script again
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    process = subprocess.Popen(
        [sys.executable, "-c", _START, str(folder)],
        cwd=folder,
        env=os.environ | threads,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _death(code: int | None, seconds: float) -> str:
    late = "was not read in time, so it is damaged or very large; copy or export it again"
    if code is None:
        return f"{late} (after {seconds:.0f} s)"
    if code == 1:
        return late
    if code < 0 and -code == getattr(signal, "SIGXCPU", 0):
        return late
    if code < 0 and -code == getattr(signal, "SIGKILL", 0):
        return "the computer ran out of memory while it was read; it is damaged or very large"
    return f"its parser crashed (exit code {code}), so it is damaged; copy or export it again"


def _error(name: str, kind: str, text: str) -> DataError | ConfigError:
    if kind == "ConfigError":
        return ConfigError(text)
    if kind == "DataError":
        return DataError(text)
    if kind == "ModuleNotFoundError":
        return DataError(f"{name}: reading it takes {text}; install napari-cubeseg[instruments]")
    if kind == "MemoryError":
        return DataError(f"{name}: reading it takes more memory than there is; it is damaged or very large")
    return DataError(f"{name}: cannot be read, it is damaged or truncated ({text}); copy or export it again")


def _decoded(value: Any, folder: Path, maps: list[NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, folder, maps) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        path = folder / value["array"]
        if path.stat().st_size < _MAPPED:
            return np.load(path, allow_pickle=False)
        maps.append(np.load(path, mmap_mode="r", allow_pickle=False))
        return maps[-1]
    return {key: _decoded(item, folder, maps) for key, item in value["items"].items()}


def _encoded(value: Any) -> Any:
    """As JSON can hold it; arrays become files. A mapping stands under a key of its own, so that none is mistaken."""
    if isinstance(value, np.ndarray) and value.ndim:
        return {"array": _saved(value)}
    if isinstance(value, dict):
        return {"items": {str(key): _encoded(item) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        value = value.item()
    return value if isinstance(value, str | int | float | None) else str(value)


def _saved(array: NDArray[Any]) -> str:
    filename = getattr(array, "filename", None)
    if filename is not None and Path(filename).parent == Path.cwd() and array.flags.c_contiguous:
        array.flush()  # type: ignore[attr-defined]
        return Path(filename).name
    if array.nbytes < _MAPPED:
        name = f"{_next_number()}.npy"
        np.save(name, array, allow_pickle=False)
        return name
    # what is zero throughout, as most of a map of counts may be, takes no room on most disks when it is not written
    result = scratch(array.shape, array.dtype)
    step = max(1, _WRITTEN * len(array) // array.nbytes)
    for start in range(0, len(array), step):
        part = array[start : start + step]
        if part.any():
            result[start : start + step] = part
    return _saved(result)


_serving = False
_numbers = iter(range(1 << 30))


def _next_number() -> int:
    return next(_numbers)


def _serve(folder: Path) -> None:
    """The life of the process: what was asked, how it ended."""
    global _serving
    import faulthandler
    import warnings

    _serving = True
    request = json.loads((folder / _REQUEST).read_text("utf-8"))
    # a loop in C stops for nothing else, should the caller be gone
    faulthandler.dump_traceback_later(request["seconds"] + 5, exit=True)
    _limit(request["seconds"], request["memory"])
    _end_with(request["parent"])
    warnings.simplefilter("ignore")
    try:
        function: Any = importlib.import_module(request["module"])
        for part in request["function"].split("."):
            function = getattr(function, part)
        answer: dict[str, Any] = {"value": _encoded(function(*request["args"]))}
    except BaseException as error:
        text = (str(error).splitlines() or [""])[0][:400] or type(error).__name__
        if isinstance(error, ModuleNotFoundError):
            text = f"the package {error.name}" if error.name else "a package that is not installed"
        kinds = (ConfigError, DataError, ModuleNotFoundError, MemoryError)
        kind = next((k.__name__ for k in kinds if isinstance(error, k)), "")
        answer = {"error": {"kind": kind, "text": text}}
    (folder / _RESULT).write_text(json.dumps(answer), "utf-8")
    sys.stdout.flush()
    # threads of the parsers have no say in when this ends
    os._exit(0)


def _limit(seconds: float, memory: int) -> None:
    with contextlib.suppress(ImportError):
        import resource

        for what, most in (
            (resource.RLIMIT_AS, memory + _INTERPRETER),
            (resource.RLIMIT_FSIZE, memory),
            (resource.RLIMIT_CPU, math.ceil(seconds)),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):
                _, hard = resource.getrlimit(what)
                resource.setrlimit(what, (_least(most, hard),) * 2)


def _least(wanted: int, hard: int) -> int:
    # "no limit" is -1
    return wanted if hard < 0 else min(wanted, hard)


def _end_with(parent: int) -> None:
    """End when the caller does: nobody waits for the result any more."""
    from threading import Thread

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    # a virtual environment on Windows puts a process in between, which takes this one with it
    if os.name == "posix":
        Thread(target=watch, daemon=True).start()


def _keep_until_unused(folder: Path, maps: list[NDArray[Any]]) -> None:
    if not maps:
        _remove(folder)
        return
    left = set(range(len(maps)))

    def unused(number: int) -> None:
        left.discard(number)
        if not left:
            _remove(folder)

    for number, array in enumerate(maps):
        # views hold the map, not always the array that was made first
        weakref.finalize(array._mmap, unused, number)  # type: ignore[attr-defined]


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@cache
def _sweep() -> None:
    """Remove what processes that were killed have left behind; maps that someone still uses outlive it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > 3 * 86400:
                _remove(folder)
