"""The spectral axis in another unit: keV and nm, Hz and km/s, air and vacuum."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.errors import ConfigError

__all__ = ["air_to_vacuum", "converted", "refraction", "vacuum_to_air"]

Float64 = NDArray[np.float64]
_DOPPLER = {"radio": "doppler_radio", "optical": "doppler_optical", "relativistic": "doppler_relativistic"}


def converted(
    axis: SpectralAxis,
    unit: str,
    *,
    medium: Literal["air", "vacuum", ""] = "",
    rest: float | None = None,
    convention: Literal["radio", "optical", "relativistic"] = "radio",
) -> SpectralAxis:
    """The same bands with their values in another unit, by ``astropy.units``.

    Parameters
    ----------
    axis : SpectralAxis
    unit : str
        ``"nm"``, ``"keV"``, ``"GHz"``, ``"km/s"``, ``"1/cm"``...
    medium : {"air", "vacuum", ""}
        Of the wavelengths wanted; "" leaves it as it is. Energies, frequencies and wavenumbers belong to vacuum.
    rest : float, optional
        Rest frequency in Hz, for velocities; that of the axis where not given.
    convention : {"radio", "optical", "relativistic"}
        Definition of the velocity.

    Raises
    ------
    ConfigError
        If the axis has no unit, the two do not measure related things, or the rest frequency is missing.
    """
    from astropy import units

    wanted, kind = normalise_unit(unit)
    if not axis.calibrated or kind == "channel":
        raise ConfigError(f"bands in {axis.unit or 'channels'} cannot be converted to {unit or 'channels'}")
    if axis.kind == "raman_shift" or (axis.kind == "velocity") != (kind == "velocity"):
        rest = rest or axis.rest
        if axis.kind == "raman_shift" or not rest:
            missing = "the laser line" if axis.kind == "raman_shift" else "the rest frequency"
            raise ConfigError(f"{axis.name.lower()} cannot be converted to {unit} without {missing}")
    values = axis.values
    if axis.kind == "wavelength" and axis.medium == "air" and (kind != "wavelength" or medium == "vacuum"):
        values = air_to_vacuum((values * units.Unit(axis.unit)).to_value("nm"))
        values = (values * units.nm).to_value(axis.unit)
    rules = units.spectral()
    if rest:
        rules = rules + getattr(units, _DOPPLER[convention])(rest * units.Hz)
    try:
        made = (values * units.Unit(axis.unit)).to_value(units.Unit(wanted), equivalencies=rules)
    except units.UnitConversionError as error:
        raise ConfigError(f"{axis.name.lower()} in {axis.unit} cannot be converted to {unit}") from error
    there: Literal["air", "vacuum", ""] = ""
    if kind == "wavelength":
        there = medium or (axis.medium if axis.kind == "wavelength" else "vacuum")
        if there == "air" and (axis.kind != "wavelength" or axis.medium == "vacuum"):
            made = vacuum_to_air((made * units.Unit(wanted)).to_value("nm"))
            made = (made * units.nm).to_value(wanted)
    return SpectralAxis(np.asarray(made, dtype=np.float64), wanted, kind, there, rest or axis.rest)


def refraction(vacuum: Float64) -> Float64:
    """Refractive index of standard air at vacuum wavelengths in nm (Birch & Downs 1994, as in Morton 2000).

    Below 200 nm, where the formula ends and spectra are given in vacuum, it is 1.
    """
    s = (1e3 / np.asarray(vacuum, dtype=np.float64)) ** 2
    index = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s) + 1.5998e-4 / (38.9 - s)
    return np.where(np.asarray(vacuum) >= 200, index, 1.0)


def vacuum_to_air(vacuum: Float64) -> Float64:
    """Wavelengths in air of vacuum wavelengths, both in nm."""
    return np.asarray(vacuum, dtype=np.float64) / refraction(vacuum)


def air_to_vacuum(air: Float64) -> Float64:
    """Vacuum wavelengths of wavelengths in air, both in nm; three fixed-point steps reach 1e-9."""
    vacuum = np.asarray(air, dtype=np.float64)
    for _ in range(4):
        vacuum = air * refraction(vacuum)
    return vacuum
