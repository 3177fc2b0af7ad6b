"""Whether the HDF5 library comes back from a file, found out before it is opened here."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cubeseg.errors import DataError

__all__ = ["SIGNATURE", "check_hdf5"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PROGRAM = Path(__file__).with_name("hdf5_look.py")
# processes that wait for the next file; each ends by itself when it is not asked for a minute
_idle: list[subprocess.Popen[str]] = []


def check_hdf5(path: str | Path) -> None:
    """Refuse a file in which the HDF5 library hangs or crashes: nothing could end it in this process.

    Another process (:mod:`cubeseg.io.hdf5_look`) goes through the file first: all links, objects and attributes, and
    for a short while values. It is ended when a single step takes 2 s of the processor's time; the clock alone counts
    only after two minutes, so neither the size of a healthy file nor a slow disk matters. A file that has not changed
    since is not looked at again.

    Parameters
    ----------
    path : path-like
        Any file; others than HDF5 pass.

    Raises
    ------
    DataError
        One line.
    """
    try:
        there = os.stat(path)
        # pipes have no size, and opening one would wait
        if not there.st_size or not _has_signature(path, there.st_size):
            return
    except OSError:
        # opening it says why
        return
    fault = _fault(os.path.abspath(path), there.st_ino, there.st_size, there.st_mtime_ns)
    if fault:
        raise DataError(f"{path}: {fault}; copy or export it again")


def _has_signature(path: str | Path, size: int) -> bool:
    """Whether the library would take a file for one of its own: at its beginning, at 512 or a power of two of that."""
    with open(path, "rb") as file:
        at = 0
        while at + len(SIGNATURE) <= size:
            file.seek(at)
            if file.read(len(SIGNATURE)) == SIGNATURE:
                return True
            at = max(512, 2 * at)
    return False


@lru_cache(maxsize=4096)
def _fault(path: str, *_: int) -> str:
    """What is wrong with a file of that number, size and time; empty where nothing is."""
    for _attempt in range(2):
        process = _take()
        if process is None:
            # without the other process files are read as they are
            return ""
        try:
            code = _ask(process, path)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if code == 0:
            _idle.append(process)
            return ""
        if code is not None:
            return _told(code)
    return ""


def _ask(process: subprocess.Popen[str], path: str) -> int | None:
    """0 where the file is healthy, else how the process ended; None where it ended before it began."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.write(json.dumps(path) + "\n")
        process.stdin.flush()
    if process.stdout.readline() != "began\n":
        _end(process)
        return None
    if process.stdout.readline() == "done\n":
        return 0
    _end(process)
    return process.returncode


def _told(code: int) -> str:
    if code in (1, -getattr(signal, "SIGPROF", 1)):
        return "the HDF5 library runs in circles in it, so it is damaged"
    if code == 3:
        return "the HDF5 library asks for more memory than there can be in it, so it is damaged"
    return f"the HDF5 library crashes on it (exit code {code}), so it is damaged"


def _take() -> subprocess.Popen[str] | None:
    """A process that waits for a file; None where none can be started."""
    while _idle:
        process = _idle.pop()
        if process.poll() is None:
            return process
        _end(process)
    if not sys.executable or getattr(sys, "frozen", False):
        # a bundled application would start itself again
        return None
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        process = subprocess.Popen(
            # its modules come from where they come from here, not from the folder of the program
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            cwd=tempfile.gettempdir(),
            env=os.environ | threads,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            text=True,
            encoding="utf-8",
        )
    except OSError:
        return None
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.write(json.dumps([str(entry) or os.getcwd() for entry in sys.path]) + "\n")
        process.stdin.flush()
    if process.stdout.readline() != "ready\n":
        _end(process)
        return None
    return process


def _end(process: subprocess.Popen[str]) -> None:
    """Let it go, and close what leads to it."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()


def _end_idle() -> None:
    while _idle:
        _end(_idle.pop())


atexit.register(_end_idle)
if hasattr(os, "register_at_fork"):
    # both sides would talk to the same process
    os.register_at_fork(after_in_child=_idle.clear)
