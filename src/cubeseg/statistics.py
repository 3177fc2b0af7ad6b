"""Per-class spectra from running sums: one pass to make them, only the changed pixels to keep them right."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassSpectra"]

Float64 = NDArray[np.float64]


@dataclass
class ClassSpectra:
    """Counts, sums and sums of squares of the spectra of every label.

    Row k belongs to label k; row 0 (unassigned) is kept too, so that a pixel can come and go.

    Parameters
    ----------
    n_bands : int
    n_labels : int
        Largest label + 1; grows by itself.
    """

    n_bands: int
    n_labels: int = 1
    n: NDArray[np.int64] = field(init=False)
    total: Float64 = field(init=False)
    squares: Float64 = field(init=False)
    finite: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.n = np.zeros(self.n_labels, np.int64)
        self.total = np.zeros((self.n_labels, self.n_bands))
        self.squares = np.zeros((self.n_labels, self.n_bands))
        self.finite = np.zeros((self.n_labels, self.n_bands), np.int64)

    def add(self, spectra: NDArray[np.float32], labels: NDArray[np.int32]) -> None:
        """Count spectra (n, bands) in with their labels (n,)."""
        self._change(spectra, labels, 1)

    def remove(self, spectra: NDArray[np.float32], labels: NDArray[np.int32]) -> None:
        """Take spectra (n, bands) out again."""
        self._change(spectra, labels, -1)

    def move(self, spectra: NDArray[np.float32], old: NDArray[np.int32], new: NDArray[np.int32]) -> None:
        """Change the labels of pixels whose spectra (n, bands) are given."""
        self.remove(spectra, old)
        self.add(spectra, new)

    def mean(self, label: int) -> Float64:
        """Mean spectrum of a class, shape (bands,); NaN where it has no value."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.total[label] / self.finite[label])

    def std(self, label: int) -> Float64:
        """Standard deviation over the pixels of a class, shape (bands,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = self.squares[label] / self.finite[label] - self.mean(label) ** 2
        return np.asarray(np.sqrt(np.maximum(variance, 0)))

    def grow(self, n_labels: int) -> None:
        """Make room for labels up to n_labels - 1."""
        extra = n_labels - len(self.n)
        if extra > 0:
            self.n = np.pad(self.n, (0, extra))
            self.total = np.pad(self.total, ((0, extra), (0, 0)))
            self.squares = np.pad(self.squares, ((0, extra), (0, 0)))
            self.finite = np.pad(self.finite, ((0, extra), (0, 0)))
            self.n_labels = n_labels

    def merged(self, target: NDArray[np.integer]) -> ClassSpectra:
        """Sums with label i counted as ``target[i]``."""
        made = ClassSpectra(self.n_bands, self.n_labels)
        for label, to in enumerate(target[: len(self.n)]):
            for name in ("n", "total", "squares", "finite"):
                getattr(made, name)[to] += getattr(self, name)[label]
        return made

    def copy(self) -> ClassSpectra:
        """An independent copy."""
        other = ClassSpectra(self.n_bands, self.n_labels)
        other.n, other.total = self.n.copy(), self.total.copy()
        other.squares, other.finite = self.squares.copy(), self.finite.copy()
        return other

    def _change(self, spectra: NDArray[np.float32], labels: NDArray[np.int32], sign: int) -> None:
        if not len(labels):
            return
        self.grow(int(labels.max()) + 1)
        present = np.unique(labels)
        finite = np.isfinite(spectra)
        values = np.where(finite, spectra, 0).astype(np.float64) if not finite.all() else spectra
        for label in present:
            mine = labels == label
            part = np.asarray(values[mine], dtype=np.float64)
            self.n[label] += sign * len(part)
            self.total[label] += sign * part.sum(axis=0)
            self.squares[label] += sign * np.einsum("ij,ij->j", part, part)
            self.finite[label] += sign * finite[mine].sum(axis=0)
