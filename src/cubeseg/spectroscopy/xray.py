"""Fluorescence lines of the elements, and what a tube and a detector add: scatter, escape and sum peaks.

All data are those of Elam, Ravel & Sieber (2002, Radiat. Phys. Chem. 63, 121), read through xraydb: energies,
branching ratios, fluorescence yields, edge jumps, Coster-Kronig transitions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.spectroscopy.line_positions import HC, Line, LineKind, positions, within

__all__ = ["Transition", "element", "element_name", "escape_fraction", "scatter_lines", "transitions", "xray_lines"]

Detector = Literal["", "Si", "Ge"]

_GREEK = {"a": "α", "b": "β", "g": "γ", "l": "ℓ", "n": "η", "z": "ζ"}
_REST_ENERGY = 510.99895  # of the electron, keV
# of a sum peak relative to its two lines; the real share depends on the count rate
_PILE_UP = 0.01


@dataclass(frozen=True)
class Transition:
    """One transition of an element.

    Attributes
    ----------
    siegbahn, iupac : str
        ``"La1"`` and ``"L3-M5"``.
    family : str
        K, L or M.
    energy : float
        keV.
    edge : float
        Energy in keV that frees the electron whose place is filled.
    strength : float
        Photons per photon absorbed by the element: share of the shell x fluorescence yield x branching.
    """

    siegbahn: str
    iupac: str
    family: str
    energy: float
    edge: float
    strength: float

    @property
    def group(self) -> str:
        """What a detector of the usual resolution sees as one: ``"Kα"``, ``"Lβ"``."""
        return f"{self.family}{_GREEK.get(self.siegbahn[1:2], self.siegbahn[1:])}"


def element(name: str) -> str:
    """Symbol of an element given by its symbol or English name, in any case.

    Raises
    ------
    ConfigError
        If there is none; says which one may be meant.
    """
    names = _names()
    text = name.strip()
    if text.capitalize() in names:
        return text.capitalize()
    by_name = {word: symbol for symbol, word in names.items()}
    if text.lower() in by_name:
        return by_name[text.lower()]
    near = difflib.get_close_matches(text.lower(), list(by_name), 1, 0.6) if len(text) > 2 else []
    meant = [by_name[near[0]]] if near else difflib.get_close_matches(text.capitalize(), list(names), 2, 0.4)
    advice = f"; did you mean {' or '.join(f'{symbol} ({names[symbol]})' for symbol in meant)}?" if meant else ""
    raise ConfigError(f"there is no element '{text}'{advice}")


def element_name(symbol: str) -> str:
    """English name of an element: ``"lead"`` for Pb."""
    return _names()[symbol]


@cache
def transitions(symbol: str, excitation: float = 0.0) -> tuple[Transition, ...]:
    """K, L and M transitions of an element.

    Inner shells that are open take their part of the absorbed photons first, a share 1 - 1/jump each; Coster-Kronig
    transitions then move vacancies to higher subshells. So the ratios inside L1 to L3 and inside M are those of an
    infinitely thin sample; absorption in thick ones changes them.

    Parameters
    ----------
    symbol : str
    excitation : float
        keV; lines whose edge lies above it are left out. 0 = every family as just above its own deepest edge.

    Raises
    ------
    ConfigError
        If there is no such element.
    """
    import xraydb

    symbol = element(symbol)
    edges = {name: edge for name, edge in xraydb.xray_edges(symbol).items() if name[0] in "KLM"}
    vacancies = {family: _vacancies(symbol, family, excitation) for family in "KLM"}
    found = []
    for siegbahn, line in xraydb.xray_lines(symbol).items():
        # xraydb names the two levels of unresolved M lines together
        level = "M5" if line.initial_level == "M4,5" else line.initial_level
        if level not in edges:
            continue
        strength = vacancies[level[0]].get(level, 0.0) * edges[level].fyield * line.intensity
        if strength > 0:
            iupac = f"{line.initial_level}-{line.final_level}"
            energy, edge = line.energy / 1000, edges[level].energy / 1000
            found.append(Transition(siegbahn, iupac, level[0], energy, edge, strength))
    return tuple(found)


def xray_lines(
    elements: Sequence[str],
    axis: SpectralAxis,
    *,
    excitation: float = 0.0,
    resolved: bool = False,
    escape: Detector = "",
    sums: bool = False,
) -> tuple[Line, ...]:
    """Fluorescence lines of elements that fall on an axis.

    Parameters
    ----------
    elements : sequence of str
        Symbols or names, with a family where only that is wanted: ``"Fe"``, ``"lead"``, ``"Pb-L"``.
    axis : SpectralAxis
        Energies, or any other kind that tells them.
    excitation : float
        Energy of the tube or beam in keV, above which no edge is reached; 0 = no limit.
    resolved : bool
        Single transitions (``"Pb Lα1"``) instead of groups (``"Pb Lα"``) at their weighted mean.
    escape : {"", "Si", "Ge"}
        Detector whose escape peaks are added.
    sums : bool
        Add sum peaks of all pairs of the strongest lines of every family.

    Returns
    -------
    tuple of Line
        In the order of their positions. Heights are relative to the strongest line of the same element and family
        (:func:`transitions`), escape peaks to the same line by :func:`escape_fraction`; those of sum peaks are only
        nominal, since they grow with the count rate. `note` has the IUPAC names (Jenkins et al. 1991).

    Raises
    ------
    ConfigError
        If there is no such element, or the axis cannot tell energies.
    """
    found: list[tuple[float, Line]] = []
    for name in elements:
        symbol, wanted = _parsed(name)
        for family in wanted or "KLM":
            found += _family(symbol, family, excitation, resolved)
    extra: list[tuple[float, Line]] = []
    if escape:
        extra += _escape_peaks(found, escape)
    if sums:
        extra += _sum_peaks(found)
    return _placed(axis, found + extra)


def scatter_lines(anode: str, axis: SpectralAxis, angle: float = 90.0, excitation: float = 0.0) -> tuple[Line, ...]:
    """Lines of a tube's anode as a sample scatters them, with and without loss of energy.

    Parameters
    ----------
    anode : str
        Element of the tube: ``"Rh"``.
    axis : SpectralAxis
    angle : float
        Scattering angle in degrees; E' = E / (1 + E / 511 keV (1 - cos angle)) (Compton 1923).
    excitation : float
        Voltage of the tube in kV; 0 = no limit.

    Raises
    ------
    ConfigError
        If there is no such element, or the angle is not between 0 and 180 degrees.
    """
    if not 0 < angle <= 180:
        raise ConfigError(f"scattering angle: {angle:g} is not between 0 and 180 degrees")
    found: list[tuple[float, Line]] = []
    symbol = element(anode)
    for family in "KLM":
        for energy, line in _family(symbol, family, excitation, False):
            lost = energy / (1 + energy / _REST_ENERGY * (1 - np.cos(np.radians(angle))))
            for kind, at in (("rayleigh", energy), ("compton", float(lost))):
                named: LineKind = kind  # type: ignore[assignment]
                label = f"{line.label} {kind.capitalize()}"
                note = f"tube line scattered by {angle:g} degrees" if kind == "compton" else "tube line"
                found.append((at, Line(0.0, label, f"{symbol} tube {family}", line.height, named, note)))
    return _placed(axis, found)


@cache
def escape_fraction(energy: float, detector: Detector = "Si") -> float:
    """Share of the counts of a line that lose a K photon of the detector's material.

    Reed & Ware 1972, J. Phys. E 5, 582, eq. 5, for normal incidence:
    e = w/2 (1 - 1/r) (1 - mu_K/mu_E ln(1 + mu_E/mu_K)), of which e / (1 - e) is the ratio to the peak that stays.

    Parameters
    ----------
    energy : float
        keV.
    detector : {"Si", "Ge"}
    """
    import xraydb

    edge = xraydb.xray_edges(detector)["K"]
    if energy * 1000 <= edge.energy:
        return 0.0
    own = float(xraydb.mu_elam(detector, _k_alpha(detector) * 1000))
    its = float(xraydb.mu_elam(detector, energy * 1000))
    lost = 0.5 * edge.fyield * (1 - 1 / edge.jump_ratio) * (1 - own / its * np.log1p(its / own))
    return float(lost / (1 - lost))


@cache
def _names() -> dict[str, str]:
    """Names of the elements by symbol, as far as there are lines."""
    import xraydb

    return {xraydb.atomic_symbol(z): str(xraydb.atomic_name(z)).lower() for z in range(1, 99)}


@cache
def _k_alpha(symbol: str) -> float:
    """Energy of the K-alpha doublet in keV."""
    lines = [t for t in transitions(symbol) if t.group == "Kα"]
    return sum(t.energy * t.strength for t in lines) / sum(t.strength for t in lines)


def _vacancies(symbol: str, family: str, excitation: float) -> dict[str, float]:
    """Vacancies in the subshells of a family per absorbed photon."""
    import xraydb

    edges = {name: edge for name, edge in xraydb.xray_edges(symbol).items() if name[0] in "KLM"}
    order = sorted(edges, key=lambda name: -edges[name].energy)
    mine = [name for name in order if name[0] == family]
    if not mine:
        return {}
    # just above the deepest edge of the family, nothing deeper is open
    beam = excitation * 1000 or edges[mine[0]].energy * 1.001
    left, found = 1.0, dict.fromkeys(mine, 0.0)
    for name in order:
        if edges[name].energy < beam:
            share = left * (1 - 1 / edges[name].jump_ratio)
            left -= share
            if name in found:
                found[name] = share
    direct = dict(found)
    for place, outer in enumerate(mine):
        for inner in mine[:place]:
            if direct[inner]:
                found[outer] += direct[inner] * min(1.0, xraydb.ck_probability(symbol, inner, outer))
    return found


@cache
def _family(symbol: str, family: str, excitation: float, resolved: bool) -> tuple[tuple[float, Line], ...]:
    """Lines of one family with their energies in keV; positions are still to be filled in."""
    mine = [t for t in transitions(symbol, excitation) if t.family == family]
    parts: dict[str, list[Transition]] = {}
    for t in mine:
        label = f"{t.family}{_GREEK.get(t.siegbahn[1:2], t.siegbahn[1:2])}{t.siegbahn[2:]}" if resolved else t.group
        parts.setdefault(label, []).append(t)
    sums = {label: sum(t.strength for t in members) for label, members in parts.items()}
    found = []
    for label, members in parts.items():
        energy = sum(t.energy * t.strength for t in members) / sums[label]
        named = ", ".join(t.iupac for t in sorted(members, key=lambda t: -t.strength)[:3])
        height = sums[label] / max(sums.values())
        found.append((energy, Line(0.0, f"{symbol} {label}", f"{symbol} {family}", height, "emission", named)))
    return tuple(found)


def _escape_peaks(lines: Sequence[tuple[float, Line]], detector: Detector) -> list[tuple[float, Line]]:
    lost = _k_alpha(detector)
    found = []
    for energy, line in lines:
        share = escape_fraction(energy, detector)
        if share > 0:
            label, note = f"{line.label} escape", f"{lost:.3f} keV left the {detector} detector"
            found.append((energy - lost, Line(0.0, label, line.family, line.height * share, "escape", note)))
    return found


def _sum_peaks(lines: Sequence[tuple[float, Line]]) -> list[tuple[float, Line]]:
    strongest = [(energy, line) for energy, line in lines if line.height == 1]
    found = []
    for (one, first), (two, second) in combinations_with_replacement(strongest, 2):
        label = f"2 × {first.label}" if first is second else f"{first.label} + {second.label}"
        found.append((one + two, Line(0.0, label, "sum peaks", _PILE_UP, "sum", "two photons counted as one")))
    return found


def _placed(axis: SpectralAxis, lines: Sequence[tuple[float, Line]]) -> tuple[Line, ...]:
    """Lines of given energies (keV) on an axis."""
    at = positions(axis, [HC / energy for energy, _ in lines])
    moved = (
        Line(float(where), line.label, line.family, line.height, line.kind, line.note)
        for where, (_, line) in zip(at, lines, strict=True)
    )
    return within(axis, tuple(moved))


def _parsed(name: str) -> tuple[str, str]:
    """Symbol and family of ``Pb-L``; all families where none is named."""
    found = re.fullmatch(r"(.+?)[-_ ]([KLMklm])", name.strip())
    return (element(found[1]), found[2].upper()) if found else (element(name), "")
