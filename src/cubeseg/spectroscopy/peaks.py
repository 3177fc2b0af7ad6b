"""Peaks of a spectrum that stand out from its noise, whatever the background does beneath them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from cubeseg.axis import SpectralAxis

__all__ = ["Peak", "filtered", "find_peaks", "noise_of", "poisson_significance", "snip", "structure_variance"]

Float64 = NDArray[np.float64]

_SIGMA = 2 * np.sqrt(2 * np.log(2))  # FWHM over sigma
# the filter reaches this many FWHM to each side
_REACH = 1.25
# dips within so many widths of peaks are the filter's own, up to this share of the heights of the peaks
_FAR, _SHADOW = 1.8, 0.85


@dataclass(frozen=True)
class Peak:
    """A peak or a dip of a spectrum.

    Attributes
    ----------
    position : float
        In the unit of the axis, between bands.
    band : int
        Nearest band.
    height : float
        Above (below, negative) what surrounds it, in the unit of the spectrum.
    significance : float
        In standard deviations of the noise.
    width : float
        FWHM of the Gaussian that fits best of those tried, in the unit of the axis.
    kind : {"emission", "absorption"}
    """

    position: float
    band: int
    height: float
    significance: float
    width: float
    kind: Literal["emission", "absorption"]


def find_peaks(
    axis: SpectralAxis,
    values: ArrayLike,
    variance: ArrayLike,
    widths: Sequence[float | Float64],
    *,
    threshold: float = 5.0,
    absorption: bool = True,
    counts: float = 0.0,
) -> tuple[Peak, ...]:
    """Peaks that a Gaussian of one of some widths, less its mean, finds in the noise.

    The filter has no area and is even, so a constant and a slope of the background drop out (Phillips & Marlow 1976,
    Nucl. Instrum. Methods 137, 525). Between overlapping finds at several widths the narrower is preferred by the
    square root of the widths: a blend should come apart where the noise lets it.

    Parameters
    ----------
    axis : SpectralAxis
    values, variance : array-like, shape (bands,)
        The spectrum and the variance of its noise; NaN where there is none.
    widths : sequence of float or of array, shape (bands,)
        FWHM in bands; an array gives it at every band.
    threshold : float
        Smallest significance.
    absorption : bool
        Look for dips too.
    counts : float
        Where the spectrum is one of counts: by what it must be multiplied to become them. The significance is then
        Poisson's (:func:`poisson_significance`) against a background by :func:`snip`.

    Returns
    -------
    tuple of Peak
        In the order of the axis.
    """
    y, v = _without_gaps(np.asarray(values, np.float64), np.asarray(variance, np.float64))
    found: list[tuple[float, int, int, int]] = []
    ratios: list[tuple[Float64, Float64, Float64]] = []
    for scale, width in enumerate(widths):
        ratio, height = filtered(y, v, width)
        ratios.append((ratio, height, np.broadcast_to(np.asarray(width, np.float64), y.shape)))
        sides = ((1, ratio), (-1, -ratio)) if absorption else ((1, ratio),)
        for sign, signed in sides:
            for band in _maxima(signed, min(threshold, 3.0) if counts else threshold):
                found.append((signed[band] / np.sqrt(ratios[scale][2][band]), int(band), scale, sign))
    kept = _distinct(found, ratios)
    back = snip(y, _REACH * np.max([r[2] for r in ratios], axis=0)) if counts else y
    made = []
    for band, scale, sign in kept:
        ratio, height, width_at = ratios[scale]
        sure = abs(float(ratio[band]))
        if counts:
            half = max(1, round(0.6 * float(width_at[band])))
            near_by = slice(max(band - half, 0), band + half + 1)
            sure = poisson_significance(counts * y[near_by].sum(), counts * back[near_by].sum())
        if sure >= threshold:
            place = _vertex(sign * ratio, band)
            step = float(abs(np.gradient(axis.values)[band])) if len(axis) > 1 else 1.0
            made.append(
                Peak(
                    float(np.interp(place, np.arange(len(axis)), axis.values)), band, float(height[band]), sure,
                    float(width_at[band]) * step, "emission" if sign > 0 else "absorption",
                )
            )  # fmt: skip
    return tuple(sorted(made, key=lambda peak: peak.band))


def filtered(values: Float64, variance: Float64, width: float | Float64) -> tuple[Float64, Float64]:
    """Signal-to-noise ratio and height of a Gaussian at every band, after a filter without area.

    Parameters
    ----------
    values, variance : array, shape (bands,)
        Finite.
    width : float or array, shape (bands,)
        FWHM in bands.

    Returns
    -------
    ratio, height : array, shape (bands,)
        0 where fewer than two thirds of the filter lie on the axis.
    """
    fwhm = np.broadcast_to(np.asarray(width, np.float64), values.shape)
    half = int(np.ceil(_REACH * fwhm.max()))
    offsets = np.arange(-half, half + 1)
    inside = np.abs(offsets) <= np.maximum(_REACH * fwhm, 1.5)[:, None]
    pad = np.pad(np.ones(len(values)), half)
    there = inside * sliding_window_view(pad, 2 * half + 1)
    shape = np.exp(-0.5 * (offsets * _SIGMA / fwhm[:, None]) ** 2)
    # less the straight line that fits it best: at the ends of the axis the filter is not even by itself
    n, s1, s2, m0, m1 = (
        (there * part).sum(axis=1) for part in (np.ones_like(shape), offsets, offsets**2, shape, shape * offsets)
    )
    determinant = np.where(n * s2 - s1**2 > 0, n * s2 - s1**2, 1.0)
    level, slope = (m0 * s2 - m1 * s1) / determinant, (n * m1 - m0 * s1) / determinant
    kernel = there * (shape - level[:, None] - slope[:, None] * offsets)
    signal = np.einsum("ij,ij->i", kernel, sliding_window_view(np.pad(values, half), 2 * half + 1))
    noise = np.sqrt(np.einsum("ij,ij->i", kernel**2, sliding_window_view(np.pad(variance, half), 2 * half + 1)))
    power = np.einsum("ij,ij->i", kernel, shape)
    usable = (there.sum(axis=1) >= inside.sum(axis=1) * 2 / 3) & (power > 0) & (noise > 0)
    ratio = np.divide(signal, noise, out=np.zeros_like(signal), where=usable)
    return ratio, np.divide(signal, power, out=np.zeros_like(signal), where=usable)


def snip(values: ArrayLike, reach: ArrayLike) -> Float64:
    """Background beneath the peaks by clipping them, on a scale that compresses counts.

    Ryan et al. 1988, Nucl. Instrum. Methods B 34, 396: v = ln(ln(sqrt(y + 1) + 1) + 1); each band is lowered to the
    mean of the two at distance p where that is less, for p from the largest reach down to 1 (Morhac et al. 1997).

    Parameters
    ----------
    values : array-like, shape (bands,)
        Counts, or what scales like them; negative values count as 0.
    reach : float or array-like, shape (bands,)
        The largest distance in bands: somewhat more than the FWHM of a peak.

    Returns
    -------
    array, shape (bands,)
    """
    y = np.maximum(np.asarray(values, dtype=np.float64), 0)
    v = np.log(np.log(np.sqrt(y + 1) + 1) + 1)
    limit = np.broadcast_to(np.maximum(np.round(np.asarray(reach, np.float64)), 1), v.shape)
    bands = np.arange(len(v))
    for p in range(int(limit.max()), 0, -1):
        mean = (v[np.maximum(bands - p, 0)] + v[np.minimum(bands + p, len(v) - 1)]) / 2
        inside = (limit >= p) & (bands >= p) & (bands < len(v) - p)
        v = np.where(inside, np.minimum(v, mean), v)
    return np.asarray((np.exp(np.exp(v) - 1) - 1) ** 2 - 1)


def poisson_significance(seen: float, expected: float) -> float:
    """By how many standard deviations counts exceed what a background leads to expect; 0 where they do not.

    The root of twice the logarithm of the likelihood ratio (Cash 1979, ApJ 228, 939); at least one count of background
    is assumed, so that a single photon in an empty place is none.
    """
    behind = max(expected, 1.0)
    if seen <= behind:
        return 0.0
    return float(np.sqrt(2 * (seen * np.log(seen / behind) - (seen - behind))))


def noise_of(values: ArrayLike) -> float:
    """Standard deviation of the noise of a smooth spectrum, from the second differences of neighbouring bands.

    1.4826 x the median of |y[i-1] - 2 y[i] + y[i+1]| / sqrt(6); lines are too few to move a median.
    """
    y = np.asarray(values, dtype=np.float64)
    y = y[np.isfinite(y)]
    if len(y) < 3:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(y, 2))) / np.sqrt(6))


def structure_variance(values: ArrayLike, variance: ArrayLike, reach: int = 25) -> Float64:
    """Variance of the narrow structure of a mean spectrum, where that of the mean itself is mostly of brightness.

    Pixels of a class differ in brightness, which moves all bands together and hides no line. What hides lines is the
    roughness of the mean, 1.5 times :func:`noise_of` of the bands near by, and what makes the variance of a band more
    than twice that of its neighbours (lines that move, cosmic rays). It never exceeds the variance of the mean.

    Parameters
    ----------
    values, variance : array-like, shape (bands,)
        The mean and its variance; NaN where there is none.
    reach : int
        Bands to each side that count as near by.
    """
    from scipy.ndimage import median_filter

    y, v = _without_gaps(np.asarray(values, np.float64), np.asarray(variance, np.float64))
    if len(y) < 5:
        return v
    bends = np.pad(np.abs(np.diff(y, 2)), 1, mode="edge")
    rough = 1.5 * 1.4826 / np.sqrt(6) * median_filter(bends, 2 * reach + 1, mode="nearest")
    usual = median_filter(v, 2 * reach + 1, mode="nearest")
    return np.asarray(np.minimum(v, rough**2 + np.maximum(v - 2 * usual, 0)))


def _distinct(
    found: list[tuple[float, int, int, int]], ratios: list[tuple[Float64, Float64, Float64]]
) -> list[tuple[int, int, int]]:
    """Band, scale and sign of the finds (preference, band, scale, sign) that are not parts or shadows of others."""
    kept: list[tuple[int, int, int]] = []
    for _, band, scale, sign in sorted(found, reverse=True):
        if not any(
            other_sign == sign and abs(band - other) < 0.75 * max(ratios[scale][2][band], ratios[wide][2][other])
            for other, wide, other_sign in kept
        ):
            kept.append((band, scale, sign))

    lit: list[tuple[int, int, int]] = []
    for band, scale, sign in sorted(kept, key=lambda one: -abs(ratios[one[1]][1][one[0]])):
        cast = sum(
            abs(ratios[wide][1][other])
            for other, wide, other_sign in lit
            if other_sign != sign and abs(band - other) < _FAR * max(ratios[scale][2][band], ratios[wide][2][other])
        )
        if abs(ratios[scale][1][band]) > _SHADOW * cast:
            lit.append((band, scale, sign))
    return lit


def _without_gaps(y: Float64, v: Float64) -> tuple[Float64, Float64]:
    """Gaps bridged by straight lines that no peak can be found on."""
    good = np.isfinite(y) & np.isfinite(v) & (v >= 0)
    if not good.any():
        return np.zeros_like(y), np.ones_like(y)
    bands = np.arange(len(y))
    floor = float(v[good].max()) or 1.0
    return np.interp(bands, bands[good], y[good]), np.where(good, np.nan_to_num(v), 100 * floor)


def _maxima(signal: Float64, threshold: float) -> NDArray[np.intp]:
    middle = signal[1:-1]
    top = (middle > signal[:-2]) & (middle >= signal[2:]) & (middle >= threshold)
    return np.flatnonzero(top) + 1


def _vertex(signal: Float64, band: int) -> float:
    """Place of the maximum between bands: the vertex of the parabola through three of them."""
    if not 0 < band < len(signal) - 1:
        return float(band)
    left, middle, right = signal[band - 1 : band + 2]
    curvature = left - 2 * middle + right
    return band + float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)) if curvature < 0 else float(band)
