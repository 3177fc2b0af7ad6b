"""Pages of memory-mapped files."""

from __future__ import annotations

import mmap
from typing import Any

__all__ = ["let_go", "mapping"]


def mapping(data: Any) -> mmap.mmap | None:
    """The memory map that an array looks into, however many views lie between; None for arrays in memory."""
    while data is not None:
        if isinstance(data, mmap.mmap):
            return data
        data = data.obj if isinstance(data, memoryview) else getattr(data, "base", None)
    return None


def let_go(data: Any) -> None:
    """Take the pages of a mapped array out of this process, whose memory they would count as; others may have them."""
    mapped = mapping(data)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
