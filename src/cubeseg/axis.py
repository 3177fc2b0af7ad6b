"""The spectral axis: one value per band, its unit and what it measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubeseg.errors import DataError

__all__ = ["AxisKind", "SpectralAxis", "normalise_unit"]

AxisKind = Literal["energy", "wavelength", "frequency", "velocity", "wavenumber", "raman_shift", "channel"]

_UNITS: dict[str, tuple[str, AxisKind]] = {
    "ev": ("eV", "energy"), "kev": ("keV", "energy"), "mev": ("MeV", "energy"),
    "nm": ("nm", "wavelength"), "nanometer": ("nm", "wavelength"), "nanometers": ("nm", "wavelength"),
    "nanometre": ("nm", "wavelength"), "nanometres": ("nm", "wavelength"),
    "um": ("um", "wavelength"), "µm": ("um", "wavelength"), "μm": ("um", "wavelength"),
    "micron": ("um", "wavelength"), "microns": ("um", "wavelength"),
    "micrometer": ("um", "wavelength"), "micrometers": ("um", "wavelength"),
    "micrometre": ("um", "wavelength"), "micrometres": ("um", "wavelength"),
    "mm": ("mm", "wavelength"), "cm": ("cm", "wavelength"), "m": ("m", "wavelength"),
    "angstrom": ("Angstrom", "wavelength"), "angstroms": ("Angstrom", "wavelength"),
    "å": ("Angstrom", "wavelength"), "0.1 nm": ("Angstrom", "wavelength"),
    "hz": ("Hz", "frequency"), "khz": ("kHz", "frequency"), "mhz": ("MHz", "frequency"),
    "ghz": ("GHz", "frequency"), "thz": ("THz", "frequency"),
    "m/s": ("m/s", "velocity"), "m s-1": ("m/s", "velocity"), "m.s**-1": ("m/s", "velocity"),
    "km/s": ("km/s", "velocity"), "km s-1": ("km/s", "velocity"),
    "1/cm": ("1/cm", "wavenumber"), "cm-1": ("1/cm", "wavenumber"), "cm^-1": ("1/cm", "wavenumber"),
    "cm⁻¹": ("1/cm", "wavenumber"), "wavenumber": ("1/cm", "wavenumber"),
    "": ("", "channel"), "channel": ("", "channel"), "index": ("", "channel"), "pixel": ("", "channel"),
    "unknown": ("", "channel"), "none": ("", "channel"),
}  # fmt: skip

_NAMES: dict[AxisKind, str] = {
    "energy": "Energy",
    "wavelength": "Wavelength",
    "frequency": "Frequency",
    "velocity": "Velocity",
    "wavenumber": "Wavenumber",
    "raman_shift": "Raman shift",
    "channel": "Channel",
}

_DISPLAY = {"Angstrom": "Å", "um": "µm", "1/cm": "cm⁻¹"}


def normalise_unit(text: str) -> tuple[str, AxisKind]:
    """Bring a unit as files spell it to the project's spelling.

    Parameters
    ----------
    text : str
        For example ``"Nanometers"``, ``"m s-1"`` or ``"KEV"``.

    Returns
    -------
    unit : str
        Standard spelling; the text itself where it is not known.
    kind : AxisKind
        What the unit measures; ``"channel"`` where it is not known.
    """
    key = text.strip()
    if key == "MeV":
        return "MeV", "energy"
    return _UNITS.get(key.lower(), _UNITS.get(key.lower().replace(" ", ""), (key, "channel")))


@dataclass(frozen=True, eq=False)
class SpectralAxis:
    """The spectral axis of a cube.

    Parameters
    ----------
    values : array of float, shape (bands,)
        Band centres, strictly monotonic, in `unit`.
    unit : str
        ``"keV"``, ``"nm"``, ``"Angstrom"``, ``"m/s"``...; empty for channel numbers.
    kind : AxisKind, optional
        What is measured; told from the unit where not given.
    medium : {"air", "vacuum", ""}
        For wavelengths, where the file says so.
    rest : float
        Rest frequency in Hz, for velocities and radio frequencies; 0 where the file does not say.

    Raises
    ------
    DataError
        If the values are not a finite, strictly monotonic vector.
    """

    values: NDArray[np.float64]
    unit: str = ""
    kind: AxisKind = "channel"
    medium: Literal["air", "vacuum", ""] = ""
    rest: float = 0.0

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 1 or values.size == 0:
            raise DataError(f"the spectral axis must be a vector with one value per band, not of shape {values.shape}")
        if not np.isfinite(values).all():
            raise DataError("the spectral axis holds values that are not finite")
        steps = np.diff(values)
        if not ((steps > 0).all() or (steps < 0).all()):
            raise DataError("the values of the spectral axis neither rise nor fall throughout")
        unit, kind = normalise_unit(self.unit)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "unit", unit)
        if self.kind == "channel":
            object.__setattr__(self, "kind", kind)

    @classmethod
    def channels(cls, n_bands: int) -> SpectralAxis:
        """Axis of plain channel numbers 0..n_bands-1, for cubes without a calibration."""
        return cls(np.arange(n_bands, dtype=np.float64))

    @classmethod
    def from_values(cls, values: ArrayLike, unit: str = "") -> SpectralAxis:
        """Axis of the given band centres; the kind follows from the unit."""
        return cls(np.asarray(values, dtype=np.float64), unit)

    def __len__(self) -> int:
        return int(self.values.size)

    @property
    def calibrated(self) -> bool:
        """Whether the values are physical, not mere channel numbers."""
        return self.kind != "channel"

    @property
    def name(self) -> str:
        """What the axis measures, as a word: "Energy", "Wavelength"..."""
        return _NAMES[self.kind]

    @property
    def display_unit(self) -> str:
        """The unit as people write it: "Å", "µm", "cm⁻¹", "keV"."""
        return _DISPLAY.get(self.unit, self.unit)

    @property
    def label(self) -> str:
        """Axis label for a plot, e.g. ``"Energy (keV)"``."""
        return f"{self.name} ({self.display_unit})" if self.unit else self.name

    @property
    def step(self) -> float:
        """Mean distance of neighbouring bands, signed, in `unit` (1.0 for a single band)."""
        if len(self) == 1:
            return 1.0
        return float((self.values[-1] - self.values[0]) / (len(self) - 1))

    @property
    def is_uniform(self) -> bool:
        """Whether all steps are equal to within 1 % of a step."""
        ideal = self.values[0] + self.step * np.arange(len(self))
        return bool(np.abs(self.values - ideal).max() <= 0.01 * abs(self.step))

    def index_of(self, value: float) -> int:
        """Band whose centre is nearest to `value` (in `unit`)."""
        return int(np.argmin(np.abs(self.values - value)))

    def format(self, band: int) -> str:
        """The value of a band with its unit, for reading: ``"6.404 keV"`` or ``"channel 12"``."""
        if not self.calibrated:
            return f"channel {self.values[band]:g}"
        # on an uneven axis neighbours may lie much closer here than on average
        near = self.values[max(0, band - 1) : band + 2]
        step = np.abs(np.diff(near)).min() if len(near) > 1 else 1.0
        digits = max(0, 1 - int(np.floor(np.log10(step))))
        return f"{self.values[band]:.{digits}f} {self.display_unit}".rstrip()
