"""Pages of memory: those of mapped files, and those that nothing uses any more."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from typing import Any

import numpy as np

__all__ = ["intact", "let_go", "mapping", "slabs", "swept"]

# bands that lie apart: every value of one pixel brings 64 KiB of the file around it into memory
_SLAB = 64


def mapping(data: Any) -> mmap.mmap | None:
    """The memory map that an array looks into, however many views lie between; None for arrays in memory."""
    while data is not None:
        if isinstance(data, mmap.mmap):
            return data
        data = data.obj if isinstance(data, memoryview) else getattr(data, "base", None)
    return None


def intact(data: Any) -> bool:
    """Whether the file behind a mapped array is as long as it was; reading beyond its end would end this process."""
    mapped, view = mapping(data), data
    if mapped is None:
        return True
    while view is not None and not isinstance(view, np.memmap):
        view = getattr(view, "base", None)
    # others than NumPy map files from their beginning
    start = 0 if view is None else view.offset - view.offset % mmap.ALLOCATIONGRANULARITY
    try:
        return mapped.size() >= start + len(mapped)
    except OSError:
        return False


def let_go(data: Any) -> None:
    """Take the pages of a mapped array out of this process, whose memory they would count as; others may have them."""
    mapped = mapping(data)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def slabs(data: Any) -> list[slice]:
    """The bands of an array (bands, y, x) in parts, after each of which :func:`let_go` keeps few pages in memory."""
    together = isinstance(data, np.ndarray) and data.strides[0] == data.itemsize
    if together or mapping(data) is None:
        return [slice(None)]
    return [slice(start, start + _SLAB) for start in range(0, data.shape[0], _SLAB)]


def swept() -> None:
    """Give memory back that was freed in small pieces, which the C library of Linux otherwise keeps; a few ms."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
