"""How many CPU threads a run takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_info, threadpool_limits

__all__ = ["allowed", "limited"]


def allowed() -> int:
    """How many threads numerical libraries take now: one for every core, or what they were told."""
    return max((int(library["num_threads"]) for library in threadpool_info()), default=1)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let numpy, scikit-learn and torch take so many threads, in this thread and while this lasts; 0 = as they like.

    Only libraries that are loaded already are told.

    Threads that wait for each other while something else needs a core make everything slower than fewer would.
    """
    if not threads:
        yield
        return
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(threads):
        if torch:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
