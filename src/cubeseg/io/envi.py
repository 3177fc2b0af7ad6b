"""ENVI: a text header and a flat binary beside it, memory-mapped in any interleave."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.cube import Cube, Source
from cubeseg.errors import DataError
from cubeseg.io.layout import bad_bands, check_size, wavelength_unit
from cubeseg.io.registry import ReadOptions, reader

__all__ = ["parse_header"]

# ENVI's numbers for types, without the complex ones
_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_ENDINGS = ("", ".raw", ".img", ".dat", ".bsq", ".bil", ".bip", ".bin", ".sli", ".cube")


def _is_envi(path: Path, head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf").startswith(b"ENVI") or (
        path.suffix.lower() in _ENDINGS and _header_beside(path) is not None
    )


@reader("ENVI", (".hdr", *_ENDINGS[1:]), _is_envi)
def read_envi(path: Path, options: ReadOptions) -> Cube:
    """The binary that belongs to a header, or the header that belongs to a binary."""
    header_path = path if path.suffix.lower() == ".hdr" else _header_beside(path)
    if header_path is None:
        raise DataError(f"{path}: no ENVI header lies beside it; put {path.name}.hdr or {path.stem}.hdr there")
    header = parse_header(header_path)
    binary = _binary_beside(header_path) if path.suffix.lower() == ".hdr" else path
    if "library" in header.get("file type", "").lower():
        raise DataError(f"{path}: is a spectral library, not a cube")
    lines, samples, bands = (_number(header_path, header, key) for key in ("lines", "samples", "bands"))
    type_number = _number(header_path, header, "data type")
    if type_number not in _TYPES:
        raise DataError(f"{header_path}: data type {type_number} is not one of real numbers; cubes hold real numbers")
    order = "<" if _number(header_path, header, "byte order", 0) == 0 else ">"
    offset = _number(header_path, header, "header offset", 0)
    interleave = header.get("interleave", "bsq").lower()
    stored = {"bsq": (bands, lines, samples), "bil": (lines, bands, samples), "bip": (lines, samples, bands)}
    if interleave not in stored:
        raise DataError(f"{header_path}: interleave '{interleave}' is unknown; it is bsq, bil or bip")
    dtype = np.dtype(order + _TYPES[type_number])
    check_size(str(binary), binary.stat().st_size, offset + lines * samples * bands * dtype.itemsize)
    mapped = np.memmap(binary, dtype, "r", offset, stored[interleave])
    data = mapped.transpose({"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}[interleave])
    axis, notes = _axis(header, bands)
    source = Source(str(path), "ENVI", "", {"bsq": 0, "bil": 1, "bip": 2}[interleave])
    return Cube(data, axis, source=source, metadata=dict(header) | notes)


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


def _axis(header: dict[str, str], bands: int) -> tuple[SpectralAxis, dict[str, Any]]:
    notes: dict[str, Any] = {}
    if "bbl" in header:
        notes |= bad_bands(_floats(header["bbl"]), bands)
    if ignored := _floats(header.get("data ignore value", "")):
        notes["ignore_value"] = ignored[0]
    values = _floats(header.get("wavelength", ""))
    if len(values) != bands:
        if "wavelength" in header:
            notes["axis_rejected"] = f"{len(values)} wavelengths for {bands} bands, so bands are numbered"
        return SpectralAxis.channels(bands), notes
    if "fwhm" in header:
        notes["fwhm"] = _floats(header["fwhm"])
    said = header.get("wavelength units", "")
    unit = normalise_unit(said)[0]
    if said.lower() in ("", "unknown"):
        unit = wavelength_unit(values)
        if unit:
            notes["axis_guessed"] = f"the unit {unit} of the wavelengths was told from their values"
    medium: Literal["air", "vacuum", ""] = ""
    try:
        return SpectralAxis(np.array(values), unit, medium=medium), notes
    except DataError as error:
        notes["axis_rejected"] = str(error)
        return SpectralAxis.channels(bands), notes


def _number(path: Path, header: dict[str, str], key: str, default: int | None = None) -> int:
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


def _floats(given: str) -> list[float]:
    try:
        return [float(part) for part in given.replace("\n", " ").split(",") if part.strip()]
    except ValueError:
        return []


def _header_beside(path: Path) -> Path | None:
    for candidate in (path.with_name(path.name + ".hdr"), path.with_suffix(".hdr")):
        for spelt in (candidate, candidate.with_suffix(".HDR")):
            if spelt.is_file() and spelt != path:
                return spelt
    return None


def _binary_beside(header: Path) -> Path:
    """The file of the same name with a usual ending; no name is taken from inside the header."""
    base = header.with_suffix("")
    for ending in _ENDINGS:
        for candidate in (base.with_name(base.name + ending), base.with_name(base.name + ending.upper())):
            if candidate.is_file() and candidate != header:
                return candidate
    raise DataError(f"{header}: its data file is missing; {base.name} with .raw, .img, .dat... should lie beside it")
