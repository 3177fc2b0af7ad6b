"""What was done by hand, entry by entry: plain values that JSON takes, and the pixels that changed beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Changes", "Entry", "entry", "now"]

Int32 = NDArray[np.int32]


def now() -> str:
    """The time as the record writes it: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat("T", "seconds")


class Changes:
    """Pixels whose label people changed, in the order in which they did; grows while a stroke goes on.

    Parameters
    ----------
    where : array of int, shape (n,)
        Index in the flattened image.
    before, after : arrays of int32, shape (n,)
    """

    def __init__(self, where: NDArray[np.integer], before: Int32, after: Int32) -> None:
        self._parts: list[tuple[NDArray[np.integer], Int32, Int32]] = [(where, before, after)]

    def extend(self, further: Changes) -> None:
        """Those of the next part of the same stroke."""
        self._parts += further._parts

    def joined(self) -> tuple[NDArray[np.int64], Int32, Int32]:
        """Every pixel once, by place: where, the label before the first change, the label after the last."""
        where, before, after = (np.concatenate(arrays) for arrays in zip(*list(self._parts), strict=True))
        places, first = np.unique(where, return_index=True)
        last = len(where) - 1 - np.unique(where[::-1], return_index=True)[1]
        return places.astype(np.int64), before[first].astype(np.int32), after[last].astype(np.int32)


class Entry(dict[str, Any]):
    """One operation: ``operation`` names it, ``when`` it was done, the rest is what doing it again takes.

    Attributes
    ----------
    changes : Changes or None
        Of painting.
    """

    changes: Changes | None = None


def entry(operation: str, changes: Changes | None = None, **said: Any) -> Entry:
    """An entry of an operation that is done now."""
    made = Entry(operation=operation, **said, when=now())
    made.changes = changes
    return made
