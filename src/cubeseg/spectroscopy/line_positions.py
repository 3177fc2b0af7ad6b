"""A spectral line, and where it falls on an axis of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.spectroscopy.conversion import converted

__all__ = ["HC", "Convention", "Line", "LineKind", "doppler", "positions", "tells_wavelengths", "within"]

LineKind = Literal["emission", "absorption", "band", "escape", "sum", "rayleigh", "compton", "sky"]
Convention = Literal["radio", "optical", "relativistic"]

# h c in keV nm (CODATA 2018, exact)
HC = 1.2398419843320026
_LIGHT = 299792.458


@dataclass(frozen=True)
class Line:
    """A line on an axis.

    Attributes
    ----------
    position : float
        In the unit and medium of the axis.
    label : str
        What to write beside it: ``"Fe Kα"``, ``"Hα"``, ``"CO 2-1"``.
    family : str
        Lines that come together: ``"Fe K"``, ``"H I Balmer"``, ``"CO"``.
    height : float
        Expected height relative to the strongest line of the family, 0 to 1.
    kind : LineKind
    note : str
        For a tooltip: IUPAC name, rest wavelength, source.
    """

    position: float
    label: str
    family: str
    height: float
    kind: LineKind
    note: str = ""


def doppler(redshift: float = 0.0, velocity: float = 0.0, convention: Convention = "relativistic") -> float:
    """Observed over emitted wavelength, 1 + z, of a cosmological redshift and a velocity within it.

    Parameters
    ----------
    redshift : float
        z, above -1.
    velocity : float
        km/s, positive away from us.
    convention : {"relativistic", "optical", "radio"}
        What the velocity means: sqrt((1 + b) / (1 - b)), 1 + b or 1 / (1 - b) with b = v / c
        (Greisen et al. 2006, A&A 446, 747, table 1).

    Raises
    ------
    ConfigError
        If the redshift is not above -1 or the velocity not below that of light.
    """
    beta = velocity / _LIGHT
    if not (np.isfinite(redshift) and redshift > -1):
        raise ConfigError(f"redshift: {redshift:g} is none; it must be larger than -1")
    if not abs(beta) < 1:
        raise ConfigError(f"velocity: {velocity:g} km/s is not below the speed of light, 299792.458 km/s")
    moved = {"relativistic": np.sqrt((1 + beta) / (1 - beta)), "optical": 1 + beta, "radio": 1 / (1 - beta)}
    if convention not in moved:
        raise ConfigError(f"velocity: '{convention}' is no convention; there are {', '.join(moved)}")
    return float((1 + redshift) * moved[convention])


def positions(axis: SpectralAxis, wavelengths: ArrayLike, convention: Convention = "radio") -> NDArray[np.float64]:
    """Where radiation of given vacuum wavelengths falls on an axis.

    Parameters
    ----------
    axis : SpectralAxis
        Wavelengths of which the file does not say whether they are of air are taken for those of vacuum: the two
        differ by 0.03 %.
    wavelengths : array-like, shape (n,)
        As they reach us, in vacuum, in nm.
    convention : {"radio", "optical", "relativistic"}
        Definition of the velocity, on a velocity axis.

    Returns
    -------
    array, shape (n,)
        In the unit and medium of the axis.

    Raises
    ------
    ConfigError
        If the axis is not calibrated, or is one of velocities without a rest frequency, or of Raman shifts.
    """
    given = np.asarray(wavelengths, dtype=np.float64)
    if not axis.calibrated:
        raise ConfigError("lines: the bands are only numbered; tell their wavelengths or energies first")
    if axis.kind == "raman_shift":
        raise ConfigError("lines: a Raman shift says no wavelength without the laser line, so no lines can be placed")
    if not given.size:
        return given
    # an axis rises throughout, and what differs in the last digit does not survive a conversion
    distinct, back = np.unique([float(f"{wave:.12g}") for wave in given.ravel()], return_inverse=True)
    there = SpectralAxis(distinct, "nm", medium="vacuum")
    made = converted(there, axis.unit, medium=axis.medium, rest=axis.rest or None, convention=convention)
    return made.values[back].reshape(given.shape)


def tells_wavelengths(axis: SpectralAxis) -> bool:
    """Whether every band of an axis has a wavelength: not those of channels, Raman shifts or bare velocities."""
    if not axis.calibrated or axis.kind == "raman_shift":
        return False
    if axis.kind == "velocity":
        speed = np.abs(axis.values) * (1e-3 if axis.unit == "m/s" else 1.0)
        return axis.rest > 0 and bool(speed.max() < _LIGHT)
    return bool(axis.values.min() > 0)


def within(axis: SpectralAxis, lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines that fall on the axis, half a band beyond its ends included, in the order of their positions."""
    values = np.sort(axis.values)
    slack = np.diff(values)[[0, -1]] / 2 if len(values) > 1 else np.zeros(2)
    low, high = values[0] - slack[0], values[-1] + slack[1]
    return tuple(sorted((line for line in lines if low <= line.position <= high), key=lambda line: line.position))
