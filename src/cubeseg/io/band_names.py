"""What the names of bands say: a wavelength or energy each, or at least a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.errors import DataError

__all__ = ["axis_of_names", "natural", "short_names", "values_of_names"]

# metres, centimetres and millimetres in a name are distances
_MEASURE = re.compile(
    r"(?<![\d.,])(\d+(?:[.,]\d+)?)[ _-]?"
    r"(nm|nanomet(?:er|re)s?|[uµμ]m|microns?|micromet(?:er|re)s?|Å|angstroms?|k?eV|cm-1|cm\^-1|cm⁻¹|1/cm|[kMGT]?Hz|k?m/s)"
    r"(?![A-Za-z\d])",
    re.I,
)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Key that sorts ``band2`` before ``band10``."""
    parts = re.split(r"([0-9]+)", name.lower())
    return [(0, int(part), "") if n % 2 else (1, 0, part) for n, part in enumerate(parts)]


def values_of_names(names: Sequence[str]) -> tuple[list[float], str] | None:
    """Numbers with a unit, one for each name.

    Parameters
    ----------
    names : sequence of str
        Such as ``"reflectance 450 nm"`` or ``"map_6.4keV"``.

    Returns
    -------
    (values, unit) or None
        None where a name has none, units differ, or more than one number in them varies.
    """
    found = [_MEASURE.findall(name) for name in names]
    if not found or len({len(measures) for measures in found}) != 1:
        return None
    varying = []
    for column in zip(*found, strict=True):
        units = {normalise_unit(unit)[0] for _, unit in column}
        values = [float(number.replace(",", ".")) for number, _ in column]
        if len(units) == 1 and len(set(values)) == len(values):
            varying.append((values, units.pop()))
    return varying[0] if len(varying) == 1 else None


def short_names(names: Sequence[str]) -> list[str]:
    """Names without the words at the beginning and the end that all of them share."""
    split = [re.split(r"([_\s.]+)", name) for name in names]
    head = _shared(split)
    tail = _shared([words[head:][::-1] for words in split])
    short = ["".join(words[head : len(words) - tail]).strip("_ .") for words in split]
    return short if all(short) else list(names)


def axis_of_names(names: Sequence[str], n_bands: int) -> tuple[SpectralAxis, dict[str, Any]]:
    """The spectral axis of named bands; channel numbers where the names give no values.

    Returns
    -------
    axis : SpectralAxis
    metadata : dict
        ``axis_from`` where the names gave it; ``band_names`` where they did not.
    """
    if len(names) != n_bands or not any(names):
        return SpectralAxis.channels(n_bands), {}
    measured = values_of_names(names)
    if measured is not None:
        try:
            return SpectralAxis.from_values(*measured), {"axis_from": "names of the bands"}
        except DataError as error:
            return SpectralAxis.channels(n_bands), {"axis_rejected": str(error), "band_names": list(names)}
    return SpectralAxis.channels(n_bands), {"band_names": list(names)}


def _shared(rows: Sequence[Sequence[str]]) -> int:
    """How many words at the beginning all rows share; each keeps its last."""
    count = 0
    for words in zip(*(row[:-1] for row in rows), strict=False):
        if len(set(words)) > 1:
            break
        count += 1
    return count
