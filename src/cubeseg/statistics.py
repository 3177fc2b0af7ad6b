"""Per-class spectra from running sums: one pass to make them, only the changed pixels to keep them right."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassSpectra"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]

# spectra whose double precision stays in the processor's cache
_FEW = 256


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

    def add(self, spectra: Float32, labels: Int32) -> None:
        """Count spectra (n, bands) in with their labels (n,)."""
        self._change(spectra, (labels, 1))

    def remove(self, spectra: Float32, labels: Int32) -> None:
        """Take spectra (n, bands) out again."""
        self._change(spectra, (labels, -1))

    def move(self, spectra: Float32, old: Int32, new: Int32) -> None:
        """Change the labels of pixels whose spectra (n, bands) are given."""
        self._change(spectra, (old, -1), (new, 1))

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

    def _change(self, spectra: Float32, *changes: tuple[Int32, int]) -> None:
        from scipy.sparse import csr_array

        if not len(spectra):
            return
        present, rows = np.unique(np.stack([labels for labels, _ in changes]), return_inverse=True)
        rows = rows.reshape(len(changes), len(spectra))
        self.grow(int(present[-1]) + 1)
        # the same memory for all parts: what the system hands out anew costs more than the sums
        room = np.empty((min(_FEW, len(spectra)), self.n_bands))
        for start in range(0, len(spectra), _FEW):
            part = slice(start, start + _FEW)
            values = room[: len(spectra[part])]
            values[:] = spectra[part]
            signs = np.repeat([float(sign) for _, sign in changes], len(values))
            row, column = rows[:, part].ravel(), np.tile(np.arange(len(values)), len(changes))
            # one row of ones (or minus ones) for every label, so that products with it are sums over its pixels
            order = np.argsort(row, kind="stable")
            ends = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(present)))])
            members = csr_array((signs[order], column[order], ends), (len(present), len(values)))
            n = np.bincount(row, signs, len(present)).astype(np.int64)
            total, finite = members @ values, n[:, None]
            if not np.isfinite(total).all():
                seen = np.isfinite(values)
                values[~seen] = 0
                total, finite = members @ values, (members @ seen.astype(np.float64)).astype(np.int64)
            self.n[present] += n
            self.total[present] += total
            self.squares[present] += members @ np.square(values, out=values)
            self.finite[present] += finite
