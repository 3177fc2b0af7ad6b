"""Windows around the lines of elements, and around those of atoms and molecules at a redshift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.maps.windows import Window, between, described
from cubeseg.spectroscopy.lines import Line, holds_xrays, lines_for, xray_lines
from cubeseg.spectroscopy.xrf_model import Detector

__all__ = ["element_windows", "line_windows"]

Bands = NDArray[np.intp]

_LIGHT = 299792.458
_KEV = {"eV": 1e-3, "keV": 1.0, "MeV": 1e3}
# in FWHM: half a window (84 % of a line, and most of its signal-to-noise ratio), where the background begins and ends
_HALF, _BEGIN, _END = 0.6, 1.0, 3.0
# a line is in the way of another's background, or of another's window
_NEAR, _MIXED = 0.9, 1.0
# what is there often enough to be named where it falls into a window
_COMMON = (
    "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "As",
    "Se", "Br", "Sr", "Zr", "Ag", "Cd", "Sn", "Sb", "I", "Ba", "W", "Au", "Hg", "Pb", "Bi",
)  # fmt: skip
_FAINT = 0.1


def element_windows(
    axis: SpectralAxis,
    elements: Sequence[str],
    spectrum: ArrayLike | None = None,
    *,
    background: bool = True,
    noise: float = 0.08,
) -> tuple[Window, ...]:
    """Windows around the main line of elements, K-alpha, L-alpha or M-alpha.

    Of several families on the axis the hardest is taken that stands out from the mean spectrum: few other lines lie
    there, and little of it is absorbed. A window is 1.2 FWHM wide.

    Parameters
    ----------
    axis : SpectralAxis
        X-ray energies.
    elements : sequence of str
        Symbols or names, with a family where one is meant: ``"Fe"``, ``"lead"``, ``"Pb-M"``.
    spectrum : array-like, shape (bands,), optional
        Mean spectrum of the cube.
    background : bool
        Take off the straight line between the bands beside the line, without those near other lines of `elements`.
    noise : float
        Electronic part of the FWHM in keV (:class:`cubeseg.spectroscopy.xrf_model.Detector`).

    Raises
    ------
    ConfigError
        If the axis is none of X-ray energies, there is no such element, or none of its lines lies on the axis.
    """
    if not holds_xrays(axis):
        raise ConfigError("element maps: the bands are no X-ray energies; calibrate the spectral axis first")
    wanted = list(dict.fromkeys(name.strip() for name in elements if name.strip()))
    if not wanted:
        raise ConfigError("element maps: name one element or more, such as Pb, Cu, Fe")
    unit = _KEV[axis.unit]
    step = float(np.abs(np.diff(axis.values)).min()) if len(axis) > 1 else 1.0
    lines = {name: xray_lines([name], axis) for name in wanted}
    strong = [line for mine in lines.values() for line in mine if line.height >= _FAINT]
    common = [line for line in xray_lines(_COMMON, axis) if line.height >= _FAINT]
    made = []
    for name, mine in lines.items():
        tried = []
        for line in sorted((line for line in mine if line.height == 1), key=lambda line: -line.position):
            width = float(Detector(noise).fwhm(line.position * unit)) / unit
            inside = between(axis, line.position - _HALF * width, line.position + _HALF * width)
            sides = _beside(
                axis, line.position, max(_BEGIN * width, _HALF * width + step), _END * width, len(inside),
                [other.position for other in strong], _NEAR * width,
            )  # fmt: skip
            symbol = line.label.split()[0]
            foreign = [other for other in (*strong, *common) if other.label.split()[0] != symbol]
            note = _mixed(line, foreign, _MIXED * width)
            tried.append(Window(line.label, inside, *sides, axis.values, "sum", note))
        if not tried:
            raise ConfigError(f"element maps: no line of {name} lies on the axis, {described(axis)}")
        chosen = tried[0] if spectrum is None else _seen(tried, spectrum)
        made.append(chosen if background else _gross(chosen))
    return tuple(made)


def line_windows(
    axis: SpectralAxis,
    names: Sequence[str],
    redshift: float = 0.0,
    width: float = 0.0,
    *,
    background: bool = True,
) -> tuple[Window, ...]:
    """Windows around lines of atoms and molecules, with the continuum of both sides.

    Parameters
    ----------
    axis : SpectralAxis
    names : sequence of str
        ``"Hα"``, ``"[O III] 5007"``, ``"CO"``; see :func:`cubeseg.spectroscopy.lines.spectral_lines`.
    redshift : float
    width : float
        Half the window in km/s; 0 = 300, less where the axis spans less than 2400, but not less than the nearest bands.
    background : bool
        Take off the straight line between the nearest bands on both sides that no known line is near to.

    Returns
    -------
    tuple of Window
        In the order of the names.

    Raises
    ------
    ConfigError
        If there is no such line, or one of them does not lie on the axis.
    """
    wanted = [name.strip() for name in names if name.strip()]
    if not wanted:
        raise ConfigError("line maps: name one line or more, such as Hα, [O III]")
    if not axis.calibrated:
        raise ConfigError("line maps: the bands are only numbered; tell their wavelengths first (calibrate the axis)")
    found: dict[str, Line] = {}
    for name in wanted:
        mine = lines_for(axis, [name], redshift=redshift)
        if not mine:
            where = f"at redshift {redshift:g} would lie off the axis, {described(axis)}"
            raise ConfigError(f"line maps: {name} {where}")
        found |= {line.label: line for line in mine if line.label not in found}
    lines = tuple(found.values())
    known = lines_for(axis, None, redshift=redshift)
    made = []
    for line in lines:
        per_kms = _per_kms(axis, line.position)
        step = float(np.abs(np.gradient(axis.values))[axis.index_of(line.position)]) if len(axis) > 1 else 1.0
        half = (width or min(300.0, abs(axis.values[-1] - axis.values[0]) / per_kms / 8)) * per_kms
        half = max(half, 0.75 * step)
        inside = between(axis, line.position - half, line.position + half)
        others = [other.position for other in (*known, *lines)]
        sides = _beside(axis, line.position, max(1.5 * half, half + step), 12 * half, len(inside), others, 1.2 * half)
        note = _mixed(line, [*lines, *known], half)
        made.append(Window(line.label, inside, *sides, axis.values, "sum", note))
    return tuple(made if background else map(_gross, made))


def _beside(
    axis: SpectralAxis, centre: float, begin: float, end: float, number: int, others: Sequence[float], near: float
) -> tuple[Bands, Bands]:
    """On each side the nearest bands from `begin` to `end` off the centre that no other line is near to."""
    off = axis.values - centre
    free = np.ones(len(axis), bool)
    for other in others:
        if other != centre:
            free &= np.abs(axis.values - other) > near
    many = max(2, -(-number // 2))
    sides = []
    for side in (-off, off):
        found = np.flatnonzero((side >= begin) & (side <= end) & free)
        sides.append(np.sort(found[np.argsort(side[found], kind="stable")][:many]))
    return sides[0], sides[1]


def _mixed(line: Line, others: Sequence[Line], near: float) -> str:
    """Lines that fall together with a line, the strongest of their families first."""
    found = [
        other.label
        for other in sorted(others, key=lambda other: -other.height)
        if other.label != line.label and abs(other.position - line.position) < near
    ]
    return ", ".join(list(dict.fromkeys(found))[:4])


def _seen(tried: Sequence[Window], spectrum: ArrayLike) -> Window:
    """The first that stands out from the spectrum; else the one that does most."""
    given = np.asarray(spectrum, dtype=np.float64)
    scores = []
    for one in tried:
        beside = given[np.concatenate([one.below, one.above])] if one.net else given[one.inside]
        scatter = float(np.nanstd(beside)) * np.sqrt(len(one.inside))
        net, gross = one.of(given), float(np.nansum(given[one.inside]))
        sure = net / scatter if scatter > 0 else float(net > 0)
        if sure > 3 and net > 0.03 * gross:
            return one
        scores.append(sure if np.isfinite(sure) else -np.inf)
    return tried[int(np.argmax(scores))]


def _gross(one: Window) -> Window:
    """The same without a background."""
    none = np.empty(0, np.intp)
    return Window(one.label, one.inside, none, none, one.values, one.how, one.note)


def _per_kms(axis: SpectralAxis, position: float) -> float:
    """What 1 km/s is on the axis."""
    if axis.kind == "velocity":
        return 1.0 if axis.unit == "km/s" else 1e3
    return abs(position) / _LIGHT
