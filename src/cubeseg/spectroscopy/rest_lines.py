"""Spectral lines from the ultraviolet to the radio: a table kept in the package, moved to a redshift and an axis.

``rest_lines.csv`` names the source of every value; all are those of vacuum.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.spectroscopy.line_positions import Convention, Line, LineKind, doppler, positions, within

__all__ = ["RestLine", "groups", "rest_lines", "selected", "spectral_lines"]

_LIGHT_NM_GHZ = 299792458.0  # c in nm GHz
_NANOMETRES = {"Angstrom": 0.1, "um": 1e3}
_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε"}
_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹⁺αβγδε", "01234567890123456789+abgde")


@dataclass(frozen=True)
class RestLine:
    """A line of the table.

    Attributes
    ----------
    label, family, group : str
        ``"[O III] 5007"``, ``"[O III]"``, ``"nebular"``; optical forbidden lines are named by their wavelength in air,
        as is usual.
    kind : LineKind
    wavelength : float
        In vacuum, in nm.
    height : float
        Relative to the strongest line of the family.
    rank : int
        1 = looked for first, 2 = common, 3 = faint or special.
    rest : str
        The value as published, with its unit.
    source : str
        Key of the source; the head of the table spells it out.
    """

    label: str
    family: str
    group: str
    kind: LineKind
    wavelength: float
    height: float
    rank: int
    rest: str
    source: str


@cache
def rest_lines() -> tuple[RestLine, ...]:
    """All lines of the table, from short wavelengths to long ones."""
    text = resources.files("cubeseg.spectroscopy").joinpath("rest_lines.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(row for row in text.splitlines() if not row.startswith("#"))
    made = []
    for row in rows:
        value, unit = float(row["rest"]), row["unit"]
        wavelength = _LIGHT_NM_GHZ / value if unit == "GHz" else value * _NANOMETRES[unit]
        kind: LineKind = row["kind"]  # type: ignore[assignment]
        said = f"{row['rest']} {'Å' if unit == 'Angstrom' else 'µm' if unit == 'um' else unit}"
        made.append(
            RestLine(
                row["label"], row["family"], row["group"], kind, wavelength, float(row["height"]), int(row["rank"]),
                said, row["source"],
            )
        )  # fmt: skip
    return tuple(sorted(made, key=lambda line: line.wavelength))


def groups() -> tuple[str, ...]:
    """Names of the groups of lines: "nebular", "stellar", "molecular"..."""
    return tuple(dict.fromkeys(line.group for line in rest_lines()))


def selected(names: Sequence[str] | None, rank: int = 2) -> tuple[RestLine, ...]:
    """Lines by name.

    Parameters
    ----------
    names : sequence of str, optional
        Labels (``"Hα"``, ``"Halpha"``, ``"[O III] 5007"``), families (``"[O III]"``, ``"CO"``) or groups
        (``"nebular"``); brackets, spaces and Greek letters do not matter. All but those of the night sky where None.
    rank : int
        The largest rank of lines that are not named one by one.

    Raises
    ------
    ConfigError
        If there is no such line.
    """
    table = rest_lines()
    if names is None:
        return tuple(line for line in table if line.rank <= rank and line.kind != "sky")
    found: dict[str, RestLine] = {}
    for name in names:
        key = _folded(name)
        mine = [line for line in table if _folded(line.label) == key]
        mine = mine or [line for line in table if key in (_folded(line.family), _folded(line.family.split()[-1]))]
        mine = mine or [line for line in table if _folded(line.group) == key and line.rank <= rank]
        mine = mine or [line for line in table if len(key) >= 4 and key in _folded(line.label)]
        if not mine:
            raise ConfigError(f"lines: there is no '{name.strip()}'{_advice(name)}")
        found |= {line.label: line for line in mine}
    return tuple(sorted(found.values(), key=lambda line: line.wavelength))


def spectral_lines(
    axis: SpectralAxis,
    *,
    redshift: float = 0.0,
    velocity: float = 0.0,
    convention: Convention = "relativistic",
    names: Sequence[str] | None = None,
    rank: int = 2,
) -> tuple[Line, ...]:
    """Lines of atoms, ions and molecules that fall on an axis.

    Parameters
    ----------
    axis : SpectralAxis
        Of any kind but channels and Raman shifts; wavelengths in air are told from those in vacuum.
    redshift : float
        z of the source. The sky is not moved.
    velocity : float
        In km/s, within the redshift, positive away from us.
    convention : {"relativistic", "optical", "radio"}
        What the velocity means.
    names : sequence of str, optional
        Labels, families or groups (:func:`selected`); all but the sky where None.
    rank : int
        1 = only the lines one looks for first, 2 = common ones too, 3 = all.

    Returns
    -------
    tuple of Line
        In the order of their positions.

    Raises
    ------
    ConfigError
        If a name, the redshift or the velocity makes no sense, or the axis cannot tell wavelengths.
    """
    stretch = doppler(redshift, velocity, convention)
    wanted = selected(names, rank)
    observed = np.array([line.wavelength * (1.0 if line.kind == "sky" else stretch) for line in wanted])
    meant: Convention = "radio" if convention == "relativistic" else convention
    at = positions(axis, observed, meant)
    lines = [
        Line(float(where), line.label, line.family, line.height, line.kind, f"{line.rest} at rest ({line.source})")
        for where, line in zip(at, wanted, strict=True)
    ]
    return within(axis, lines)


def _folded(name: str) -> str:
    """A name without what people leave out or write differently."""
    text = name.strip().lower().translate(_PLAIN)
    text = re.sub(r"[\s\[\]()_-]", "", text)
    for word, letter in _GREEK.items():
        text = re.sub(rf"(?<=[a-z]){word}", letter.translate(_PLAIN), text)
    return text


def _advice(name: str) -> str:
    known = {
        _folded(text): text
        for line in rest_lines()
        for text in (line.group, line.family, line.label)
    }  # fmt: skip
    near = difflib.get_close_matches(_folded(name), list(known), 1, 0.5)
    return f"; did you mean {known[near[0]]}?" if near else f"; there are groups such as {', '.join(groups()[:4])}"
