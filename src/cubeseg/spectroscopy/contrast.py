"""Where along the axis a class differs from others, with the scatter of its pixels as the measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.statistics import ClassSpectra

__all__ = ["Group", "Window", "group_of", "most_alike", "separation", "windows"]

Float64 = NDArray[np.float64]

# a window ends where the effect has fallen to this share of its maximum
_SHARE = 0.5
_SURE = 5.0


@dataclass(frozen=True, eq=False)
class Group:
    """Spectra of some pixels.

    Attributes
    ----------
    n : int
        Pixels.
    mean, variance : array, shape (bands,)
        Over the pixels; of counts, the variance is Poisson's at least.
    """

    n: int
    mean: Float64
    variance: Float64

    @property
    def error(self) -> Float64:
        """Variance of the mean."""
        return self.variance / max(self.n, 1)


@dataclass(frozen=True)
class Window:
    """A range of neighbouring bands in which two groups differ in the same direction.

    Attributes
    ----------
    first, last : int
        Bands, both included.
    low, high : float
        The centres of the two, in the unit of the axis, the smaller first.
    effect : float
        Difference of the means of the summed window, over the standard deviation of a pixel (Cohen 1988, d); positive
        where the class is stronger. Bands are taken for independent.
    significance : float
        The same over the standard error of the means.
    ratio : float
        Class over the other; NaN where that is not positive.
    """

    first: int
    last: int
    low: float
    high: float
    effect: float
    significance: float
    ratio: float


def group_of(spectra: ClassSpectra, labels: list[int], counts: bool) -> Group:
    """Statistics of all pixels of some labels together."""
    some = np.asarray(labels, dtype=np.intp)
    finite = spectra.finite[some].sum(axis=0)
    total, squares = spectra.total[some].sum(axis=0), spectra.squares[some].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / finite
        variance = np.maximum(squares / finite - mean**2, 0)
        if counts:
            # a class of few pixels knows its scatter badly; one photon at least keeps empty bands from being certain
            variance = np.maximum(variance, np.maximum(total, 1) / finite)
    return Group(int(spectra.n[some].sum()), mean, variance)


def separation(one: Group, other: Group) -> float:
    """How far two groups lie apart: the root of the mean square effect of all bands, less what noise would give."""
    effect, error = _effects(one, other, 1.0)
    good = np.isfinite(effect) & np.isfinite(error)
    square = float((effect[good] ** 2 - error[good] ** 2).mean()) if good.any() else 0.0
    return float(np.sqrt(max(square, 0.0)))


def most_alike(one: Group, others: dict[int, Group]) -> int | None:
    """The label of the group that lies nearest; None where there is none."""
    filled = [(separation(one, other), label) for label, other in others.items() if other.n]
    return min(filled)[1] if filled else None


def windows(axis: SpectralAxis, one: Group, other: Group, n: int = 5, scale: float = 1.0) -> tuple[Window, ...]:
    """Ranges in which a group differs from another, the clearest first.

    From the band of the largest effect a window grows to both sides while the effect keeps its sign and more than half
    of its size; then the same again in what is left.

    Parameters
    ----------
    axis : SpectralAxis
    one, other : Group
    n : int
        How many windows at most.
    scale : float
        The other is multiplied by it first, to compare shapes instead of amounts.

    Returns
    -------
    tuple of Window
        Only those of more than five standard errors.
    """
    effect = np.nan_to_num(_smoothed(_effects(one, other, scale)[0]))
    free = np.isfinite(one.mean) & np.isfinite(other.mean)
    found: list[Window] = []
    for _ in range(4 * n):
        size = np.where(free, np.abs(effect), 0.0)
        peak = int(size.argmax())
        if size[peak] <= 0 or len(found) >= 3 * n:
            break
        first, last = _grown(effect, free, peak)
        window = _window(axis, one, other, scale, first, last)
        if abs(window.significance) >= _SURE:
            found.append(window)
        # the slopes of a window are no windows of their own
        first, last = _until_it_rises(effect, free, first, last)
        free[first : last + 1] = False
    return tuple(sorted(found, key=lambda window: -abs(window.effect))[:n])


def _effects(one: Group, other: Group, scale: float) -> tuple[Float64, Float64]:
    """Effect of every band and the standard error of that effect."""
    pooled = (one.variance + scale**2 * other.variance) / 2
    error = one.error + scale**2 * other.error
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = float(np.nanmax(pooled)) if np.isfinite(pooled).any() else 1.0
        sigma = np.sqrt(np.maximum(pooled, max(1e-12 * largest, 1e-300)))
        # pixels that do not scatter at all would differ without limit
        return np.clip((one.mean - scale * other.mean) / sigma, -1e6, 1e6), np.sqrt(error) / sigma


def _smoothed(values: Float64) -> Float64:
    """Mean of three bands with weights 1, 2, 1."""
    padded = np.pad(values, 1, mode="edge")
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)


def _grown(effect: Float64, free: NDArray[np.bool_], peak: int) -> tuple[int, int]:
    large = free & (effect * np.sign(effect[peak]) >= _SHARE * abs(effect[peak]))
    first = last = peak
    while first > 0 and large[first - 1]:
        first -= 1
    while last < len(effect) - 1 and large[last + 1]:
        last += 1
    return first, last


def _until_it_rises(effect: Float64, free: NDArray[np.bool_], first: int, last: int) -> tuple[int, int]:
    sign = np.sign(effect[first])
    while first > 0 and free[first - 1] and 0 < sign * effect[first - 1] <= sign * effect[first]:
        first -= 1
    while last < len(effect) - 1 and free[last + 1] and 0 < sign * effect[last + 1] <= sign * effect[last]:
        last += 1
    return first, last


def _window(axis: SpectralAxis, one: Group, other: Group, scale: float, first: int, last: int) -> Window:
    part = slice(first, last + 1)
    here, there = float(one.mean[part].sum()), float(scale * other.mean[part].sum())
    pixel = float(np.sqrt((one.variance[part] + scale**2 * other.variance[part]).sum() / 2)) or 1e-300
    error = float(np.sqrt((one.error[part] + scale**2 * other.error[part]).sum())) or 1e-300
    ends = sorted((float(axis.values[first]), float(axis.values[last])))
    ratio = here / there if there > 0 else float("nan")
    return Window(first, last, ends[0], ends[1], (here - there) / pixel, (here - there) / error, ratio)
