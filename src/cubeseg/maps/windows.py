"""Windows on the spectral axis that become maps.

A window knows its bands and those beside it that tell the background; :func:`cubeseg.maps.one_pass.one_pass` reads
them. :mod:`cubeseg.maps.line_windows` puts them around lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.maps.one_pass import place
from cubeseg.spectroscopy.line_positions import Line, within

__all__ = [
    "Statistic",
    "Window",
    "between",
    "described",
    "limits_text",
    "parse_window",
    "three_windows",
    "whole",
    "window",
]

Statistic = Literal["sum", "mean", "max"]
Float64 = NDArray[np.float64]
Bands = NDArray[np.intp]

_NUMBER = r"[-+−]?\s*\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?"


@dataclass(frozen=True, eq=False)
class Window:
    """Bands that become one value per pixel.

    Attributes
    ----------
    label : str
        ``"Pb Lα"``, ``"6.2–6.6 keV"``.
    inside : array of int
        Bands of the window.
    below, above : array of int
        Bands that tell the background at smaller and at larger values of the axis; a straight line joins their means.
        One side alone gives a constant, none of them no background.
    values : array, shape (bands,)
        All values of the axis.
    how : {"sum", "mean", "max"}
        What is made of the bands inside, less the background.
    note : str
        What else may be in the window, for reading.
    """

    label: str
    inside: Bands
    below: Bands
    above: Bands
    values: Float64
    how: Statistic = "sum"
    note: str = ""

    @cached_property
    def bands(self) -> Bands:
        """All bands that are needed, rising."""
        return np.unique(np.concatenate([self.inside, self.below, self.above]))

    @cached_property
    def net(self) -> bool:
        """Whether a background is taken off."""
        return bool(len(self.below) + len(self.above))

    def take(self, values: NDArray[Any], there: NDArray[np.bool_]) -> Float64:
        """The value of every pixel, shape (h, w), from its `bands`; missing values are left out.

        NaN where none is left in the window, or none beside it although a background is asked for.
        """
        at = place(self.bands, self.inside)
        known = there[at]
        number = known.sum(axis=0)
        found = values[at] - self._background(values, there) if self.net else values[at]
        if not known.all():
            found = np.where(known, found, -np.inf if self.how == "max" else 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            made = found.max(axis=0) if self.how == "max" else found.sum(axis=0, dtype=np.float64)
            made = made / number if self.how == "mean" else made
        return np.where(number > 0, made, np.nan)

    def of(self, spectrum: ArrayLike) -> float:
        """The value of a single spectrum (bands,)."""
        values = np.asarray(spectrum, dtype=np.float64)[self.bands, None, None]
        there = np.isfinite(values)
        return float(self.take(np.where(there, values, 0), there)[0, 0])

    def _background(self, values: NDArray[Any], there: NDArray[np.bool_]) -> Float64:
        """The straight line beneath the bands inside, shape (inside, h, w)."""
        sides = []
        for side in (self.below, self.above):
            at = place(self.bands, side)
            known = there[at]
            with np.errstate(invalid="ignore", divide="ignore"):
                number = known.sum(axis=0)
                height = values[at].sum(axis=0, dtype=np.float64) / number
                middle = np.tensordot(self.values[side], known, 1) / number
            sides.append((height, middle))
        (left, x), (right, there_x) = sides
        left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
        with np.errstate(invalid="ignore"):
            slope = np.nan_to_num((right - left) / (there_x - x))
        x = np.where(np.isnan(x), 0.0, x)
        return np.asarray(left + slope * (self.values[self.inside][:, None, None] - x))


def window(
    axis: SpectralAxis,
    low: float,
    high: float,
    *,
    background: bool = False,
    how: Statistic = "sum",
    label: str = "",
) -> Window:
    """The bands whose centres lie from `low` to `high`; the nearest one where the window is narrower than a band.

    Parameters
    ----------
    axis : SpectralAxis
    low, high : float
        In the unit of the axis, in any order.
    background : bool
        Take off the straight line through the ends of the window, an eighth of its bands each.
    how : {"sum", "mean", "max"}
    label : str
        The limits with their unit where empty.

    Raises
    ------
    ConfigError
        If no band lies there, or too few for a background.
    """
    low, high = min(low, high), max(low, high)
    inside = between(axis, low, high)
    label = label or described(axis, low, high)
    none = np.empty(0, np.intp)
    if not background:
        return Window(label, inside, none, none, axis.values, how)
    if len(inside) < 3:
        raise ConfigError(f"window {described(axis, low, high)}: holds {len(inside)} bands, a background needs 3")
    many = max(1, len(inside) // 8)
    ends = inside[:many], inside[-many:]
    below, above = ends if axis.step > 0 else ends[::-1]
    return Window(label, inside, below, above, axis.values, how)


def whole(axis: SpectralAxis, how: Statistic, label: str) -> Window:
    """All bands."""
    none = np.empty(0, np.intp)
    return Window(label, np.arange(len(axis)), none, none, axis.values, how)


def three_windows(axis: SpectralAxis, spectrum: ArrayLike | None = None) -> tuple[tuple[float, float], ...]:
    """Limits of three windows for red, green and blue: the strongest peaks that lie apart, else thirds of the axis.

    Red has the longest wavelength, or the lowest energy.

    Parameters
    ----------
    axis : SpectralAxis
    spectrum : array-like, shape (bands,), optional
        Mean spectrum.
    """
    n = len(axis)
    values = np.sort(axis.values)
    middles = (values[1:] + values[:-1]) / 2
    outer = 2 * values[[0, -1]] - middles[[0, -1]] if n > 1 else values[0] + np.array([-0.5, 0.5])
    edges = np.r_[outer[0], middles, outer[1]]
    found = [] if spectrum is None else _peaks(np.asarray(spectrum, np.float64)[np.argsort(axis.values)])
    if len(found) < 3:
        thirds = [round(part * n / 3) for part in range(4)]
        found = [(min(a, n - 1), max(min(a, n - 1), b - 1)) for a, b in pairwise(thirds)]
    made = sorted((float(edges[a]), float(edges[b + 1])) for a, b in found)
    return tuple(made[::-1] if axis.kind in ("wavelength", "velocity") else made)


def described(axis: SpectralAxis, low: float | None = None, high: float | None = None) -> str:
    """Limits as people write them: ``"6.2–6.6 keV"``, ``"-20 to 5 km/s"``; those of the axis where none are given."""
    ends = np.sort(axis.values[[0, -1]])
    low, high = float(ends[0]) if low is None else low, float(ends[1]) if high is None else high
    joined = _joined(f"{low:.6g}", f"{high:.6g}")
    return f"{joined} {axis.display_unit}".rstrip() if axis.calibrated else f"channels {joined}"


def limits_text(axis: SpectralAxis, low: float, high: float) -> str:
    """Limits without unit, as exact as the bands are narrow; :func:`parse_window` reads them."""
    middle = axis.index_of((low + high) / 2)
    step = float(np.abs(np.diff(axis.values[max(0, middle - 1) : middle + 2])).min()) if len(axis) > 1 else 1.0
    digits = max(0, 1 - int(np.floor(np.log10(step))))
    return _joined(f"{low:.{digits}f}", f"{high:.{digits}f}")


def _joined(low: str, high: str) -> str:
    return f"{low} to {high}" if low.startswith("-") else f"{low}–{high}"


def parse_window(text: str) -> tuple[float, float]:
    """Limits as people write them: ``6.2–6.6``, ``6.2-6.6``, ``6,2 6,6``, ``-20 to 5``; the lower one first.

    Raises
    ------
    ConfigError
        If there are not two numbers.
    """
    found = re.fullmatch(rf"\s*({_NUMBER})\s*(?:–|—|-|to|\.\.+|;|:|,(?=\s)|\s)\s*({_NUMBER})\s*[^\d]*", text)
    if found is None:
        raise ConfigError(f"window '{text.strip()}': write two numbers, such as 6.2–6.6")
    one, other = (float(part.replace(",", ".").replace("−", "-").replace(" ", "")) for part in found.groups())
    return min(one, other), max(one, other)


def between(axis: SpectralAxis, low: float, high: float) -> Bands:
    """Bands whose centres lie from `low` to `high`; the nearest one where the two are nearer than a band.

    Raises
    ------
    ConfigError
        If no band lies there.
    """
    found = np.flatnonzero((axis.values >= low) & (axis.values <= high))
    if len(found):
        return found
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ConfigError("window: its limits must be numbers")
    middle = Line((low + high) / 2, "", "", 1.0, "emission")
    if not within(axis, [middle]):
        raise ConfigError(f"window {described(axis, low, high)}: lies off the axis, {described(axis)}")
    return np.array([axis.index_of(middle.position)], dtype=np.intp)


def _peaks(y: Float64) -> list[tuple[int, int]]:
    """First and last band of up to three strong peaks that lie apart, half their height wide."""
    y, n = np.nan_to_num(y), len(y)
    reach, bands = max(3, n // 100), np.arange(n)
    beneath = (y[np.maximum(bands - reach, 0)] + y[np.minimum(bands + reach, n - 1)]) / 2
    above = y - beneath
    # towards the ends of an axis things are cut off, and electronics count what is nothing
    above[: 2 * reach], above[-2 * reach :] = -np.inf, -np.inf
    found: list[tuple[int, int]] = []
    while len(found) < 3 and n > 6 * reach:
        top = int(above.argmax())
        if not above[top] > 0.3 * y[top]:
            break
        high = (np.abs(bands - top) < reach) & (y - beneath[top] > above[top] / 2)
        found.append((top + 1 - int(np.argmin(high[top::-1])), top - 1 + int(np.argmin(high[top:]))))
        above[max(0, top - 3 * reach) : top + 3 * reach] = -np.inf
    return found
