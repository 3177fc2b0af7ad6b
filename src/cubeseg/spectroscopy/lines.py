"""Lines that fall on an axis: of elements where it holds X-ray energies, of atoms and molecules elsewhere.

:func:`xray_lines` knows the elements, :func:`spectral_lines` the table from the ultraviolet to the radio;
:func:`lines_for` takes the one that the axis asks for.
"""

from __future__ import annotations

from collections.abc import Sequence

from cubeseg.axis import SpectralAxis
from cubeseg.spectroscopy.line_positions import Convention, Line, LineKind, doppler, tells_wavelengths, within
from cubeseg.spectroscopy.rest_lines import groups, spectral_lines
from cubeseg.spectroscopy.xray import Detector, element, element_name, escape_fraction, scatter_lines, xray_lines

__all__ = [
    "Line",
    "LineKind",
    "doppler",
    "element",
    "element_name",
    "escape_fraction",
    "groups",
    "holds_xrays",
    "lines_for",
    "scatter_lines",
    "spectral_lines",
    "tells_wavelengths",
    "within",
    "xray_lines",
]

# keV; photons of less energy come from outer electrons, whose lines the other table has
_SOFTEST = 0.05
_KEV = {"eV": 1e-3, "keV": 1.0, "MeV": 1e3}


def holds_xrays(axis: SpectralAxis) -> bool:
    """Whether an axis is one of energies in the range of X-rays."""
    return axis.kind == "energy" and float(axis.values.max()) * _KEV.get(axis.unit, 0.0) > _SOFTEST


def lines_for(
    axis: SpectralAxis,
    names: Sequence[str] | None = None,
    *,
    redshift: float = 0.0,
    velocity: float = 0.0,
    convention: Convention = "relativistic",
    rank: int = 2,
    excitation: float = 0.0,
    resolved: bool = False,
    escape: Detector = "",
    sums: bool = False,
    anode: str = "",
    angle: float = 90.0,
) -> tuple[Line, ...]:
    """The lines that belong on an axis, whatever it measures.

    Parameters
    ----------
    axis : SpectralAxis
    names : sequence of str, optional
        Elements (``"Fe"``, ``"Pb-L"``) on an axis of X-ray energies; labels, families or groups (``"Hα"``,
        ``"[O III]"``, ``"nebular"``) elsewhere. None: no element, or all lines up to `rank`.
    redshift, velocity, convention, rank
        As for :func:`spectral_lines`.
    excitation, resolved, escape, sums
        As for :func:`xray_lines`.
    anode : str
        Element of the X-ray tube, whose scattered lines are added; none where empty.
    angle : float
        Scattering angle in degrees.

    Returns
    -------
    tuple of Line
        In the order of their positions; none on an axis that tells no wavelength.

    Raises
    ------
    ConfigError
        If a name or a number makes no sense.
    """
    if holds_xrays(axis):
        found = xray_lines(
            names or (), axis, excitation=excitation, resolved=resolved, escape=escape, sums=sums
        )  # fmt: skip
        if anode:
            found += scatter_lines(anode, axis, angle, excitation)
        return tuple(sorted(found, key=lambda line: line.position))
    if not tells_wavelengths(axis):
        return ()
    return spectral_lines(
        axis, redshift=redshift, velocity=velocity, convention=convention, names=names, rank=rank
    )  # fmt: skip
