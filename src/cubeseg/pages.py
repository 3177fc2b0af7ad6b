"""Pages of memory-mapped files."""

from __future__ import annotations

import mmap
from typing import Any

__all__ = ["let_go"]


def let_go(data: Any) -> None:
    """Take the pages of a mapped array out of this process, whose memory they would count as; others may have them."""
    mapped = getattr(data, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
