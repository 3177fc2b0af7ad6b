"""Reference spectra on one axis, and the same on the axis of a cube."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError, DataError
from cubeseg.spectroscopy.conversion import converted

__all__ = ["Library"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Library:
    """Named spectra that share an axis.

    Attributes
    ----------
    names : tuple of str
    axis : SpectralAxis
        Rising.
    values : array of float, shape (spectra, bands)
        NaN where a spectrum has no value.
    source : str
        The file, for messages.
    notes : tuple of str
        What people should know about how it was read.

    Raises
    ------
    DataError
        If the shapes do not fit or there is nothing in it.
    """

    names: tuple[str, ...]
    axis: SpectralAxis
    values: Float64
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        before = f"{self.source}: " if self.source else ""
        if values.shape != (len(self.names), len(self.axis)):
            raise DataError(
                f"{before}{len(self.names)} names and {len(self.axis)} bands do not fit spectra of shape {values.shape}"
            )
        if not len(self.names) or len(self.axis) < 2 or not np.isfinite(values).any():
            raise DataError(f"{before}there is no spectrum in it")
        if self.axis.values[0] > self.axis.values[-1]:
            object.__setattr__(self, "axis", replace(self.axis, values=self.axis.values[::-1]))
            values = values[:, ::-1]
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def range(self) -> str:
        """First and last band, to read: ``"405 to 996 nm"``."""
        return _range(self.axis)

    def on(self, axis: SpectralAxis) -> Library:
        """The spectra on another axis.

        Each band gets the mean of the spectrum over its width, the spectrum being a straight line between its points:
        fine libraries are not aliased, coarse ones are interpolated.

        Parameters
        ----------
        axis : SpectralAxis
            Other units and media are converted (:func:`cubeseg.spectroscopy.conversion.converted`).

        Returns
        -------
        Library
            Rising, as every library, with NaN at the bands outside its own range.

        Raises
        ------
        DataError
            If the two measure unrelated things or have fewer than two bands in common.
        """
        there = self._in_unit_of(axis)
        rising = np.argsort(there)
        x, y = there[rising], self.values[:, rising]
        centres = np.sort(axis.values)
        middle = (centres[1:] + centres[:-1]) / 2
        edges = np.concatenate([centres[:1], middle, centres[-1:]])
        if len(centres) > 1:
            edges[0], edges[-1] = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
        inside = (centres >= x[0]) & (centres <= x[-1])
        if inside.sum() < 2:
            raise DataError(f"{self._who()} ({self.range}) and the cube ({_range(axis)}) have no range in common")
        low, high = np.clip(edges[:-1], x[0], x[-1]), np.clip(edges[1:], x[0], x[-1])
        made = np.full((len(self), len(axis)), np.nan)
        made[:, inside] = _means(x, y, low[inside], high[inside])
        return Library(self.names, replace(axis, values=centres), made, self.source, self.notes)

    def _in_unit_of(self, axis: SpectralAxis) -> Float64:
        """Own band centres in the unit of another axis."""
        same = self.axis.unit == axis.unit and (axis.kind != "wavelength" or self.axis.medium == axis.medium)
        if same:
            return self.axis.values
        try:
            return converted(self.axis, axis.unit, medium=axis.medium, rest=axis.rest or None).values
        except ConfigError as error:
            raise DataError(f"{self._who()} does not fit the cube: {error}") from error

    def _who(self) -> str:
        return self.source or "the library"


def _means(x: Float64, y: Float64, low: Float64, high: Float64) -> Float64:
    """Means of piecewise linear spectra y (n, points) over intervals, NaN where one touches a gap; shape (n, bands)."""
    held = np.isfinite(y[:, 1:]) & np.isfinite(y[:, :-1])
    filled = np.nan_to_num(y, posinf=0.0, neginf=0.0)
    steps = np.diff(x)
    zero = np.zeros((len(y), 1))
    area = np.concatenate([zero, np.cumsum(held * (filled[:, 1:] + filled[:, :-1]) / 2 * steps, axis=1)], axis=1)
    length = np.concatenate([zero, np.cumsum(held * steps, axis=1)], axis=1)

    def until(at: Float64) -> tuple[Float64, Float64]:
        place = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
        along = at - x[place]
        slope = (filled[:, place + 1] - filled[:, place]) / steps[place]
        return (
            area[:, place] + held[:, place] * (filled[:, place] + slope * along / 2) * along,
            length[:, place] + held[:, place] * along,
        )

    (area_low, length_low), (area_high, length_high) = until(low), until(high)
    width = high - low
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (area_high - area_low) / width
    return np.where((length_high - length_low) > 0.999 * width, mean, np.nan)


def _range(axis: SpectralAxis) -> str:
    ends = np.sort(axis.values[[0, -1]])
    return f"{ends[0]:g} to {ends[1]:g} {axis.display_unit or 'channels'}"
