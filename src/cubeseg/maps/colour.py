"""The colour that an eye would see, from the bands in the visible range.

Colour-matching functions of the CIE 1931 observer (2 degrees) by the multi-lobe fit of Wyman, Sloan & Shirley 2013
(JCGT 2, 2, 1), daylight D65 (CIE 15:2004, table T.1), sRGB (IEC 61966-2-1).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.spectroscopy.line_positions import HC

__all__ = ["TrueColour", "matching", "srgb", "wavelengths"]

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

# nm
_FIRST, _LAST = 380.0, 780.0
_EYE = (400.0, 700.0)
# of the eye's range that must be covered, and the widest gap between two bands in nm
_COVERED, _GAP = 0.7, 125.0
# every 10 nm from 380
_D65 = (
    49.9755, 54.6482, 82.7549, 91.4860, 93.4318, 86.6823, 104.865, 117.008, 117.812, 114.861, 115.923, 108.811,
    109.354, 107.802, 104.790, 107.689, 104.405, 104.046, 100.000, 96.3342, 95.7880, 88.6856, 90.0062, 89.5991,
    87.6987, 83.2886, 83.6992, 80.0268, 80.2146, 82.2778, 78.2842, 69.7213, 71.6091, 74.3490, 61.6040, 69.8856,
    75.0870, 63.5927, 46.4182, 66.8054, 63.3828,
)  # fmt: skip
# height, centre, width below and above it, in nm
_LOBES = (
    ((1.056, 599.8, 37.9, 31.0), (0.362, 442.0, 16.0, 26.7), (-0.065, 501.1, 20.4, 26.2)),
    ((0.821, 568.8, 46.9, 40.5), (0.286, 530.9, 16.3, 31.1)),
    ((1.217, 437.0, 11.8, 36.0), (0.681, 459.0, 26.0, 13.8)),
)
_TO_SRGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
_METRES = {"nm": 1.0, "Angstrom": 0.1, "um": 1e3, "mm": 1e6, "cm": 1e7, "m": 1e9}
_EV = {"eV": 1.0, "keV": 1e3, "MeV": 1e6}
_HERTZ = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9, "THz": 1e12}
# a unit that has one of these in it is one of light that was received, not of a share that was reflected
_LIGHT = ("erg", "jy", "w/", "watt", "photon", "electron", "counts")


class TrueColour:
    """How the bands become the tristimulus values X, Y, Z; a recipe of :func:`cubeseg.maps.one_pass.one_pass`.

    Parameters
    ----------
    axis : SpectralAxis
        Covers most of 400 to 700 nm; what lies beyond its ends is taken to be as at its ends.
    lit : bool
        The values are shares of light that is reflected, which D65 falls on; False where they are the light itself.

    Raises
    ------
    ConfigError
        If the axis does not cover the visible range.
    """

    label = "true colour"
    note = ""

    def __init__(self, axis: SpectralAxis, lit: bool = True) -> None:
        at = wavelengths(axis)
        order = np.argsort(at)
        at = at[order]
        first, last = float(at[0]), float(at[-1])
        margin = np.diff(at)[[0, -1]] / 2 if len(at) > 1 else np.zeros(2)
        reach = (max(first - margin[0], _EYE[0]), min(last + margin[1], _EYE[1]))
        if reach[1] - reach[0] < _COVERED * (_EYE[1] - _EYE[0]):
            raise ConfigError(f"true colour: takes most of 400–700 nm, and the bands cover {first:.0f}–{last:.0f} nm")
        seen = np.flatnonzero((at >= _FIRST) & (at <= _LAST))
        if len(seen) < 3 or float(np.diff(at[seen]).max()) > _GAP:
            raise ConfigError(f"true colour: takes bands all over 400–700 nm, and there are only {len(seen)} of them")
        step = float(np.clip(np.diff(at[seen]).min() / 2, 0.02, 1.0))
        grid = np.arange(_FIRST, _LAST + step / 2, step)
        light = np.interp(grid, np.linspace(_FIRST, _LAST, len(_D65)), _D65) if lit else np.ones_like(grid)
        density = matching(grid) * light
        # straight lines between bands: each point of the grid belongs to its two neighbours
        place = np.interp(grid, at, np.arange(len(at)))
        left = np.minimum(place.astype(np.intp), len(at) - 2)
        share = place - left
        weights = np.stack([
            np.bincount(left, row * (1 - share), len(at)) + np.bincount(left + 1, row * share, len(at))
            for row in density
        ])  # fmt: skip
        used = np.flatnonzero(np.abs(weights).sum(axis=0) > 0)
        bands = order[used]
        rising = np.argsort(bands)
        self.bands: NDArray[np.intp] = bands[rising]
        self._weights: Float64 = (weights[:, used] / weights[1].sum())[:, rising]

    @cached_property
    def white(self) -> Float64:
        """X, Y, Z of a spectrum that is 1 everywhere."""
        return np.asarray(self._weights.sum(axis=1))

    def take(self, values: NDArray[Any], there: NDArray[np.bool_]) -> Float64:
        """X, Y, Z of every pixel, shape (3, h, w); NaN where the values of less than half of the range are there."""
        total = np.tensordot(self._weights, values, 1)
        if there.all():
            return total
        size = np.abs(self._weights)
        known = np.tensordot(size, there, 1) / size.sum(axis=1)[:, None, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(known.min(axis=0) > 0.5, total / known, np.nan)


def is_light(unit: str) -> bool:
    """Whether data of a unit are light that was received, rather than a reflectance."""
    return any(part in unit.lower() for part in _LIGHT)


def matching(wavelength: Float64) -> Float64:
    """Colour-matching functions x, y, z, shape (3, n), at wavelengths in nm, shape (n,)."""
    rows = []
    for lobes in _LOBES:
        row = np.zeros_like(wavelength)
        for height, centre, below, above in lobes:
            width = np.where(wavelength < centre, below, above)
            row += height * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
        rows.append(row)
    return np.stack(rows)


def srgb(xyz: NDArray[Any], white: float = 99.5) -> Float32:
    """Colours of a screen, sRGB (y, x, 3) from 0 to 1, of X, Y, Z (3, y, x).

    Parameters
    ----------
    xyz : array, shape (3, y, x)
    white : float
        The percentile of Y that is shown as white: a cube does not say how bright it was lit.
    """
    finite = xyz[1][np.isfinite(xyz[1])]
    top = float(np.percentile(finite, white)) if finite.size else 1.0
    linear = np.tensordot(_TO_SRGB, np.nan_to_num(xyz) / (top if top > 0 else 1.0), 1).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.ascontiguousarray(curved.transpose(1, 2, 0), dtype=np.float32)


def wavelengths(axis: SpectralAxis) -> Float64:
    """The bands in nm, air or vacuum: an eye sees no difference.

    Raises
    ------
    ConfigError
        If the axis says nothing of them.
    """
    if axis.unit in _METRES:
        return axis.values * _METRES[axis.unit]
    with np.errstate(divide="ignore", invalid="ignore"):
        made = {
            **{unit: HC * 1e3 / (axis.values * factor) for unit, factor in _EV.items()},
            **{unit: 299792458e9 / (axis.values * factor) for unit, factor in _HERTZ.items()},
            "1/cm": 1e7 / axis.values,
        }.get(axis.unit if axis.kind != "raman_shift" else "")
    if made is None or not np.isfinite(made).all():
        raise ConfigError(f"true colour: takes wavelengths, and the bands are those of a {axis.name.lower()} axis")
    return np.asarray(made)
