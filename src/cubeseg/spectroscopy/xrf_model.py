"""X-ray spectra as a sum of what elements, scatter and pile-up contribute: the columns of a linear model.

Lines are Gaussians with the resolution of a silicon detector, FWHM^2 = noise^2 + 5.545 F eps E, F = 0.114 and
eps = 3.65 eV; with each line comes its escape peak. The ratios of L1 and L2 lines to L3 lines may be half or twice
those of a thin sample, since absorption changes them; K, L and M lines are free of each other for the same reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cubeseg.spectroscopy.xray import Transition, element, escape_fraction, transitions

__all__ = ["ANODES", "Column", "Detector", "Fit", "columns_of", "fitted", "pile_up", "scatter_columns"]

Float64 = NDArray[np.float64]

_SIGMA = 2 * np.sqrt(2 * np.log(2))
_FANO = _SIGMA**2 * 0.114 * 3.65e-3
_SILICON = 1.7397
# between the L1, L2 and the L3 lines, relative to a thin sample
_MIXTURES = (0.5, 2.0)
_ANGLES = (85.0, 105.0, 125.0, 145.0, 165.0)
_HARD = 7.0  # keV
_BLEND = 0.15  # keV
# noble gases but argon, of the air, and what decays faster than pictures last are not looked for
_LEFT_OUT = {"He", "Ne", "Kr", "Xe", "Tc", "Pm", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Pa"}
_LIGHTEST, _HEAVIEST = 5, 92
# usual anodes, and the least ratio of photons scattered with loss to those without that tells a tube from a sample
# that contains the element, which some often do
ANODES = {"Rh": 0.1, "Mo": 0.1, "Ag": 0.1, "Pd": 0.1, "W": 0.5, "Cr": 0.5, "Cu": 0.5, "Au": 0.5}


@dataclass(frozen=True)
class Detector:
    """What is known about the instrument.

    Attributes
    ----------
    noise : float
        Electronic part of the FWHM in keV.
    offset, gain : float
        The true energy is offset + gain * energy of the axis (keV).
    anode : str
        Element of the tube whose scattered lines are there, or the energy of the beam in keV; empty where none are.
    top : float
        Highest energy in keV that excites.
    """

    noise: float = 0.08
    offset: float = 0.0
    gain: float = 1.0
    anode: str = ""
    top: float = 40.0

    @property
    def beam(self) -> float:
        """Energy of a beam of one energy in keV; 0 where there is a tube or nothing is known."""
        try:
            return float(self.anode)
        except ValueError:
            return 0.0

    def fwhm(self, energy: Float64 | float) -> Float64:
        """FWHM of a line in keV at energies in keV."""
        return np.asarray(np.sqrt(self.noise**2 + _FANO * np.maximum(energy, 0)))

    def true(self, energies: Float64) -> Float64:
        """Energies of the axis as they should be."""
        return np.asarray(self.offset + self.gain * energies)


@dataclass(frozen=True, eq=False)
class Column:
    """One part of the model.

    Attributes
    ----------
    owner : str
        Symbol of the element; "scatter" or "pile-up".
    family : str
        K, L or M; for scatter the line.
    values : array, shape (bands,)
        Counts per band for one count in the lines.
    lines : tuple of (label, energy in keV, share)
        Groups of lines such as ``("Pb Lα", 10.54, 0.5)``.
    """

    owner: str
    family: str
    values: Float64
    lines: tuple[tuple[str, float, float], ...] = ()


def columns_of(
    energies: Float64, detector: Detector, elements: Sequence[str] | None = None
) -> dict[str, tuple[Column, ...]]:
    """The columns of every element that can have lines on an axis.

    Parameters
    ----------
    energies : array, shape (bands,)
        Of the axis, in keV, rising.
    detector : Detector
    elements : sequence of str, optional
        All from boron to uranium but the short-lived ones and the noble gases without argon, where None.
    """
    at = detector.true(energies)
    symbols = known_elements() if elements is None else [element(name) for name in elements]
    made = {}
    for symbol in dict.fromkeys(symbols):
        parts: dict[str, list[Transition]] = {}
        for line in transitions(symbol):
            # half a detector's width from the end the shape is lost
            if line.edge < detector.top and at[0] + 0.05 < line.energy < at[-1]:
                parts.setdefault(line.family, []).append(line)
        # what the tables have of shells that are hardly filled is not seen
        whole = {family: lines for family, lines in parts.items() if any(line.group == f"{family}α" for line in lines)}
        columns = [
            column for family, lines in whole.items() for column in _columns(at, detector, symbol, family, lines)
        ]
        if columns:
            made[symbol] = tuple(columns)
    return made


def scatter_columns(energies: Float64, detector: Detector) -> tuple[Column, ...]:
    """Lines of the tube, or the energy of the beam, scattered with and without loss by angles of 85 to 165 degrees."""
    if not detector.anode:
        return ()
    at = detector.true(energies)
    groups: dict[str, list[tuple[float, float]]] = {}
    if detector.beam:
        groups["beam"] = [(detector.beam, 1.0)]
    else:
        # Kα and Kβ apart, since the window of the tube and the sample change their ratio
        for line in transitions(detector.anode):
            if line.family in "KL" and line.edge < detector.top and at[0] < line.energy < at[-1]:
                group = line.group if line.family == "K" else "L"
                groups.setdefault(group, []).append((line.energy, line.strength))
    made = []
    for group, lines in groups.items():
        total = sum(strength for _, strength in lines)
        parts = [(energy, strength / total) for energy, strength in lines]
        made.append(Column("scatter", f"{detector.anode} {group}", _gaussians(at, detector, parts)))
        # the shift of soft lines is less than their width
        for angle in _ANGLES if parts[0][0] > _HARD else ():
            # the bound electrons move, which widens the line (Compton profile, some 1 % of the energy)
            lost = [(e / (1 + e / 511.0 * (1 - np.cos(np.radians(angle)))), share) for e, share in parts]
            values = _gaussians(at, detector, lost, 0.012)
            made.append(Column("scatter", f"{detector.anode} {group} Compton", values))
    return tuple(made)


def pile_up(energies: Float64, net: Float64) -> Column:
    """Sum peaks of a spectrum without background (bands,): its convolution with itself, at the sum of the energies."""
    from scipy.signal import fftconvolve

    peaks = np.maximum(net, 0)
    step = (energies[-1] - energies[0]) / (len(energies) - 1)
    both = np.maximum(fftconvolve(peaks, peaks), 0)
    # channel i and channel j add up to the energy of channel i + j + start
    start = round(energies[0] / step)
    shifted = np.zeros(len(net))
    first, skipped = min(max(start, 0), len(net)), max(-start, 0)
    part = both[skipped : skipped + len(net) - first]
    shifted[first : first + len(part)] = part
    total = shifted.sum()
    return Column("pile-up", "", shifted / total if total > 0 else shifted)


@dataclass(frozen=True, eq=False)
class Fit:
    """Non-negative least squares of some columns.

    Attributes
    ----------
    amounts : array, shape (columns,)
    misfit : float
        Chi-squared.
    """

    amounts: Float64
    misfit: float


def fitted(gram: Float64, moment: Float64, power: float, chosen: Sequence[int]) -> Fit:
    """Fit chosen columns, given the products of all (Lawson & Hanson 1974, chapter 23).

    Parameters
    ----------
    gram : array, shape (columns, columns)
        Weighted products of the columns.
    moment : array, shape (columns,)
        Weighted products of the columns with the spectrum.
    power : float
        Weighted square of the spectrum.
    chosen : sequence of int
    """
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import nnls

    some = np.asarray(chosen, dtype=np.intp)
    if not len(some):
        return Fit(np.zeros(0), power)
    scale = np.sqrt(np.maximum(gram[some, some], 1e-300))
    inner = gram[np.ix_(some, some)] / np.outer(scale, scale) + 1e-9 * np.eye(len(some))
    root = cholesky(inner)
    target = solve_triangular(root, moment[some] / scale, trans="T")
    found, rest = nnls(root, target, maxiter=50 * len(some))
    return Fit(found / scale, float(max(power - target @ target + rest**2, 0.0)))


@cache
def known_elements() -> tuple[str, ...]:
    """Symbols of the elements that are looked for."""
    import xraydb

    symbols = (xraydb.atomic_symbol(z) for z in range(_LIGHTEST, _HEAVIEST + 1))
    return tuple(symbol for symbol in symbols if symbol not in _LEFT_OUT)


def _columns(at: Float64, detector: Detector, symbol: str, family: str, lines: Sequence[Transition]) -> list[Column]:
    made = []
    for mixture in _MIXTURES if family == "L" else (1.0,):
        weights = [t.strength * (mixture if t.iupac[:2] in ("L1", "L2") else 1.0) for t in lines]
        total = sum(weights)
        groups: dict[str, list[tuple[float, float]]] = {}
        for line, weight in zip(lines, weights, strict=True):
            groups.setdefault(line.group, []).append((line.energy, weight / total))
        parts = [part for members in groups.values() for part in members]
        escaped = [
            (energy - _SILICON, share * escape_fraction(round(energy, 2)))
            for energy, share in parts
            if energy - _SILICON > at[0]
        ]
        values = _gaussians(at, detector, parts + escaped)
        named = tuple(
            (f"{symbol} {group}", _centre(members), sum(share for _, share in members))
            for group, members in groups.items()
        )
        made.append(Column(symbol, family, values, named))
    return made


def _centre(members: Sequence[tuple[float, float]]) -> float:
    """Where a detector sees the peak of some lines: the mean of those that it does not tell from the strongest."""
    top = max(members, key=lambda member: member[1])[0]
    near = [(energy, share) for energy, share in members if abs(energy - top) < _BLEND]
    return sum(energy * share for energy, share in near) / sum(share for _, share in near)


def _gaussians(at: Float64, detector: Detector, parts: Sequence[tuple[float, float]], extra: float = 0.0) -> Float64:
    """Sum of lines (energy, area) in counts per band; `extra` is a further width (sigma) relative to the energy."""
    step = (at[-1] - at[0]) / (len(at) - 1)
    total = np.zeros(len(at))
    for energy, area in parts:
        sigma = float(np.hypot(detector.fwhm(energy) / _SIGMA, extra * energy))
        low, high = np.searchsorted(at, (energy - 5 * sigma, energy + 5 * sigma))
        x = at[low:high]
        total[low:high] += area * np.exp(-0.5 * ((x - energy) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)) * step
    return total
