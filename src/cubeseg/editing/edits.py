"""One operation by hand on a segmentation: what it changes, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube
from cubeseg.editing.relabel import gained
from cubeseg.record.logbook import Entry
from cubeseg.segmentation import ClassInfo, Merge, Segmentation
from cubeseg.statistics import ClassSpectra

__all__ = ["Book", "Edit", "Pixels", "counted"]

Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Book:
    """All that an edit changes beside pixels. Arrays are never changed in place, so they can be shared."""

    classes: tuple[ClassInfo, ...]
    tree: tuple[Merge, ...]
    lineage: Int32
    centroids: NDArray[np.float32]
    profiles: NDArray[np.float32] | None
    evidence: NDArray[np.float16]

    @classmethod
    def of(cls, result: Segmentation) -> Book:
        """As they are now."""
        return cls(
            tuple(result.classes),
            tuple(result.tree),
            result.lineage,
            result.centroids,
            result.profiles,
            result.evidence,
        )

    def restore(self, result: Segmentation) -> None:
        """Make them so again."""
        result.classes, result.tree, result.lineage = list(self.classes), list(self.tree), self.lineage
        result.centroids, result.profiles, result.evidence = self.centroids, self.profiles, self.evidence


@dataclass(eq=False)
class Pixels:
    """Pixels that change their label, and what that does to the sums of the classes.

    Attributes
    ----------
    where : array of int, shape (n,)
        Index in the flattened image.
    old, new : arrays of int32, shape (n,)
    sums : ClassSpectra or None
        What the class spectra gain (negative where they lose); None until the pixels have been read.
    """

    where: NDArray[np.intp]
    old: Int32
    new: Int32
    sums: ClassSpectra | None = None
    confidence: NDArray[np.float32] | None = None
    painted: NDArray[np.bool_] | None = None
    wanted: bool = False
    counted: bool = False

    @property
    def nbytes(self) -> int:
        """Memory that the way back takes."""
        parts = (self.where, self.old, self.new, self.confidence, self.painted)
        return sum(p.nbytes for p in parts if p is not None)


class Edit:
    """One operation by hand on a segmentation; :meth:`do` and :meth:`undo` go forth and back.

    The sums of painted pixels come later, through :meth:`count`: sums of several edits can be added in any order.

    Parameters
    ----------
    result : Segmentation
    title : str
        What was done, for people.
    operation : Entry
        The same for the record.
    after : Book
        Classes and clusters as they are to be.
    pixels : list of Pixels
    """

    def __init__(
        self,
        result: Segmentation,
        title: str,
        operation: Entry,
        after: Book,
        pixels: Sequence[Pixels] = (),
        counted: Callable[[Edit], None] | None = None,
    ) -> None:
        self.result, self.title, self.operation = result, title, operation
        self.pixels = list(pixels)
        self._before, self._after = Book.of(result), after
        self._counted = counted

    @property
    def nbytes(self) -> int:
        """Memory that the way back takes."""
        own = sum(p.nbytes for p in self.pixels)
        return own + (self._before.evidence.nbytes if self._before.evidence is not self._after.evidence else 0)

    @property
    def changes(self) -> bool:
        """Whether any pixel has another label after all parts than before them."""
        where = np.concatenate([p.where for p in self.pixels])
        old, new = (np.concatenate([getattr(p, side) for p in self.pixels]) for side in ("old", "new"))
        first = np.unique(where, return_index=True)[1]
        last = len(where) - 1 - np.unique(where[::-1], return_index=True)[1]
        return bool((old[first] != new[last]).any())

    def do(self) -> Segmentation:
        """Change the segmentation; returns it."""
        self._after.restore(self.result)
        for part in self.pixels:
            self._relabel(part)
        self.result.log.append(self.operation)
        return self.result

    def undo(self) -> Segmentation:
        """Change it back; returns it."""
        result = self.result
        for part in reversed(self.pixels):
            part.wanted = False
            result.relabel(part.where, part.old, part.confidence)
            if part.painted is not None and result.painted is not None:
                result.painted.reshape(-1)[part.where] = part.painted
            _settle(result.spectra, part)
        self._before.restore(result)
        result.log[:] = [entry for entry in result.log if entry is not self.operation]
        return result

    def extend(self, further: Edit) -> None:
        """Take a later edit, done already, into this one: the next part of the same stroke."""
        self.pixels += further.pixels
        self._after = further._after
        self.result.log[:] = [entry for entry in self.result.log if entry is not further.operation]
        if self.operation.changes is not None and further.operation.changes is not None:
            self.operation.changes.extend(further.operation.changes)
        self.operation["pixels"] += further.operation["pixels"]
        self.operation["labels"] = sorted({*self.operation["labels"], *further.operation["labels"]})

    def count(self, part: Pixels, sums: ClassSpectra) -> None:
        """Tell what the spectra gain by one part of the pixels."""
        part.sums = sums
        _settle(self.result.spectra, part)
        if self._counted is not None and all(p.sums is not None for p in self.pixels):
            self._counted(self)

    def _relabel(self, part: Pixels) -> None:
        result = self.result
        part.wanted = True
        if part.confidence is not None:
            if result.painted is None:
                result.painted = np.zeros(result.labels.shape, bool)
            result.painted.reshape(-1)[part.where] = True
        result.relabel(part.where, part.new, None if part.confidence is None else 1.0)
        _settle(result.spectra, part)


def counted(part: Pixels, cube: Cube, width: int) -> Generator[float, None, ClassSpectra]:
    """Read what the class spectra gain by one part of an edit, for :meth:`Edit.count`.

    Parameters
    ----------
    part : Pixels
    cube : Cube
        That was segmented.
    width : int
        Columns of the image.

    Yields
    ------
    float
        Part of the work that is done.
    """
    rows, columns = np.divmod(part.where, width)
    return (yield from gained(cube, (rows, columns), part.old, part.new))


def _settle(spectra: ClassSpectra, part: Pixels) -> None:
    """Let the sums hold a part's change exactly when it is wanted."""
    if part.sums is None or part.wanted == part.counted:
        return
    spectra.grow(len(part.sums.n))
    here, sign = slice(len(part.sums.n)), 1 if part.wanted else -1
    for name in ("total", "squares", "finite"):
        getattr(spectra, name)[here] += sign * getattr(part.sums, name)
    part.counted = part.wanted
