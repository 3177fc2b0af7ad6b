"""One way back and forth through everything that was done to a segmentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cubeseg.segmentation import Segmentation

__all__ = ["History", "Replacement", "Step"]


class Step(Protocol):
    """Something that can be undone."""

    title: str

    @property
    def nbytes(self) -> int:
        """Memory that the way back takes."""

    def do(self) -> Segmentation:
        """Do it; returns the segmentation that there is from now on."""

    def undo(self) -> Segmentation:
        """Undo it; returns the segmentation that there is again."""


@dataclass(frozen=True, eq=False)
class Replacement:
    """Another segmentation of the same cube takes the place of the present one: re-clustered, refined, coarsened."""

    title: str
    before: Segmentation
    after: Segmentation

    @property
    def nbytes(self) -> int:
        """Memory that the way back takes."""
        maps = ("labels", "confidence", "evidence", "latent", "reconstruction_error")
        parts = ((getattr(self.before, name), getattr(self.after, name)) for name in maps)
        return int(sum(old.nbytes for old, new in parts if old is not new)) + 3 * self.before.spectra.total.nbytes

    def do(self) -> Segmentation:
        """The new one."""
        return self.after

    def undo(self) -> Segmentation:
        """The old one."""
        return self.before


@dataclass
class History:
    """What was done and what was undone; the oldest steps are forgotten when they take too much memory.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    limit: int = 512 << 20
    _done: list[Step] = field(default_factory=list)
    _undone: list[Step] = field(default_factory=list)

    def add(self, step: Step) -> None:
        """Remember a step that has been done; what was undone before can no longer be redone."""
        self._done.append(step)
        self._undone.clear()
        while len(self._done) > 1 and sum(s.nbytes for s in self._done) > self.limit:
            del self._done[0]

    def forget(self) -> None:
        """Undo the last step and forget it."""
        self._done.pop().undo()

    @property
    def last(self) -> Step | None:
        """What :meth:`undo` would undo."""
        return self._done[-1] if self._done else None

    @property
    def next(self) -> Step | None:
        """What :meth:`redo` would do again."""
        return self._undone[-1] if self._undone else None

    def undo(self) -> Segmentation | None:
        """Undo the last step; None where there is none."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1].undo()

    def redo(self) -> Segmentation | None:
        """Do again what was undone last; None where there is nothing."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1].do()
