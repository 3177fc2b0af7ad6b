"""The text header of ENVI files, and what it says about bands and pixels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.cube import Spatial
from cubeseg.errors import DataError
from cubeseg.io.band_names import axis_of_names
from cubeseg.io.flat import length_unit
from cubeseg.io.layout import bad_bands, wavelength_unit

__all__ = ["axis_of", "floats", "is_header", "parse_header", "spatial_of", "whole_number"]

_INFRARED = re.compile(r"\bft-?ir\b|wave\s?number|\bcm-1\b", re.I)


def is_header(head: bytes) -> bool:
    """Whether a file that begins like this is an ENVI header."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"ENVI")


def parse_header(path: Path) -> dict[str, str]:
    """Fields of an ENVI header, keys in lower case, lists as the text between their braces.

    Raises
    ------
    DataError
        If it is no ENVI header or a brace is never closed.
    """
    if path.stat().st_size > 64 << 20:
        raise DataError(f"{path}: is too large for an ENVI header")
    content = path.read_text(encoding="utf-8-sig", errors="replace")
    if not content.lstrip().startswith("ENVI"):
        raise DataError(f"{path}: is no ENVI header; its first line would be 'ENVI'")
    fields: dict[str, str] = {}
    rows = iter(content.splitlines()[1:])
    for row in rows:
        if row.lstrip().startswith(";") or "=" not in row:
            continue
        key, value = (part.strip() for part in row.split("=", 1))
        if value.startswith("{"):
            parts = [value]
            while "}" not in parts[-1]:
                more = next(rows, None)
                if more is None:
                    raise DataError(f"{path}: the list of '{key}' is never closed; the header is truncated")
                parts.append(more)
            value = " ".join(parts).strip().removeprefix("{").split("}")[0].strip()
        fields[key.lower()] = value
    return fields


def whole_number(path: Path, header: dict[str, str], key: str, default: int | None = None) -> int:
    """A field that must be a whole number, and not 0 where there is no default.

    Raises
    ------
    DataError
    """
    given = header.get(key)
    if given is None and default is not None:
        return default
    if given is None:
        raise DataError(f"{path}: the header does not give '{key}'")
    if not re.fullmatch(r"\+?\d{1,18}", given):
        raise DataError(f"{path}: '{key} = {given[:40]}' is not a whole number")
    value = int(given)
    if default is None and value == 0:
        raise DataError(f"{path}: '{key}' is 0, so there is no cube")
    return value


def floats(given: str) -> list[float]:
    """The numbers of a list; none where one of them is no number."""
    try:
        return [float(part) for part in given.replace("\n", " ").split(",") if part.strip()]
    except ValueError:
        return []


def axis_of(header: dict[str, str], bands: int, there: int) -> tuple[SpectralAxis, dict[str, Any]]:
    """The axis of the first `there` of `bands` bands, and what is known about them.

    Returns
    -------
    axis : SpectralAxis
    metadata : dict
        ``bad_bands``, ``fwhm``, ``band_names``; ``axis_guessed`` and ``axis_rejected`` as :mod:`cubeseg.io.layout` has
        them.
    """
    notes: dict[str, Any] = {}
    if "bbl" in header:
        notes |= bad_bands(floats(header["bbl"])[:there], there)
    values = np.array(floats(header.get("wavelength", "")))
    if len(values) != bands:
        names = [name.strip() for name in header.get("band names", "").split(",")]
        axis, named = axis_of_names(names[:there] if len(names) == bands else (), there)
        if "wavelength" in header and not axis.calibrated:
            notes["axis_rejected"] = f"{len(values)} wavelengths for {bands} bands, so bands are numbered"
        return axis, notes | named
    if "fwhm" in header:
        notes["fwhm"] = floats(header["fwhm"])[:there]
    said = header.get("wavelength units", "")
    unit = normalise_unit(said)[0]
    if said.lower() in ("", "unknown"):
        unit, why = _guessed_unit(header, values)
        if unit:
            notes["axis_guessed"] = f"the unit {unit} of the wavelengths was told from {why}"
    try:
        return SpectralAxis(values[:there], unit), notes
    except DataError as error:
        notes["axis_rejected"] = str(error)
        return SpectralAxis.channels(there), notes


def spatial_of(header: dict[str, str]) -> Spatial:
    """Pixel size from ``map info`` or ``pixel size``; pixels where neither gives a size and its unit."""
    for key, at in (("map info", 5), ("pixel size", 0)):
        parts = [part.strip() for part in header.get(key, "").split(",")]
        sizes = floats(",".join(parts[at : at + 2]))
        said = next((p.split("=", 1)[1] for p in parts if re.match(r"units\s*=", p, re.I)), "")
        unit = length_unit(said)
        if not said and at:
            # what ENVI means where it writes no unit
            projection = parts[0].lower()
            unit = "m" if projection.startswith("utm") else "deg" if projection.startswith("geographic") else ""
        if len(sizes) == 2 and unit and all(0 < size < np.inf for size in sizes):
            return Spatial((sizes[1], sizes[0]), unit)
    return Spatial()


def _guessed_unit(header: dict[str, str], values: NDArray[np.float64]) -> tuple[str, str]:
    """Unit of wavelengths that have none, and what it was told from."""
    described = _INFRARED.search(header.get("description", ""))
    if values.min() >= 100 and values.max() <= 20000 and (described or _interferogram(values)):
        return "1/cm", "the description" if described else "their values, which are those of a Fourier transform"
    return wavelength_unit(values), "their values"


def _interferogram(values: NDArray[np.float64]) -> bool:
    """Whether the values are whole multiples of their step, and that no round number: a Fourier transform's points."""
    steps = np.diff(values)
    if len(steps) < 4 or not steps.all() or np.ptp(steps) > 1e-3 * abs(steps[0]):
        return False
    step = abs(values[-1] - values[0]) / len(steps)
    multiples = values / step
    return bool(np.abs(multiples - np.round(multiples)).max() < 2e-3 and abs(step * 100 - round(step * 100)) > 1e-3)
