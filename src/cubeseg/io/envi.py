"""ENVI: a text header and a flat binary beside it, memory-mapped in any interleave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.cube import Cube, LazyArray, Source
from cubeseg.errors import DataError
from cubeseg.io.derived import Derived
from cubeseg.io.envi_header import axis_of, floats, is_header, parse_header, spatial_of, whole_number
from cubeseg.io.envi_reference import find_references, reflectance
from cubeseg.io.flat import PARTIAL, Interleave, map_flat, spectral_axis_of
from cubeseg.io.registry import ReadOptions, Setting, reader

__all__ = ["read_envi"]

# ENVI's numbers for types, without the complex ones
_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_ENDINGS = ("", ".raw", ".img", ".dat", ".bsq", ".bil", ".bip", ".bin", ".sli", ".cube")
_INTERLEAVES: dict[str, Interleave] = {"bsq": "bsq", "bil": "bil", "bip": "bip"}

_REFERENCE = Setting(
    "reference",
    "White and dark references beside the file",
    (("no", "are not used"), ("yes", "turn it into reflectance")),
    "no",
)


def _is_envi(path: Path, head: bytes) -> bool:
    return is_header(head) or (path.suffix.lower() in _ENDINGS and _header_beside(path) is not None)


@reader("ENVI", (".hdr", *_ENDINGS[1:]), _is_envi, settings=(_REFERENCE, PARTIAL))
def read_envi(path: Path, options: ReadOptions) -> Cube:
    """The binary that belongs to a header, or the header that belongs to a binary."""
    is_the_header = path.suffix.lower() == ".hdr"
    header_path = path if is_the_header else _header_beside(path)
    if header_path is None:
        raise DataError(f"{path}: no ENVI header lies beside it; put {path.name}.hdr or {path.stem}.hdr there")
    header = parse_header(header_path)
    if "library" in header.get("file type", "").lower():
        raise DataError(f"{path}: is a spectral library, not a cube")
    raw, notes, order = _mapped(header_path, header, None if is_the_header else path, options)
    axis, said = axis_of(header, whole_number(header_path, header, "bands"), raw.shape[0])
    data, ignored = _without_ignored(raw, header)
    notes |= said | ignored
    unit = ""
    references = find_references(header_path)
    if options.settings.get("reference") == "yes":

        def open_raw(other: Path) -> tuple[LazyArray, dict[str, str]]:
            fields = parse_header(other)
            return _mapped(other, fields, None, ReadOptions())[0], fields

        data, notes["references"] = reflectance(path, data, references, open_raw, header)
        unit = "reflectance"
    elif str(references):
        can = "reference=yes turns it into reflectance" if references.white else "a white one would give reflectance"
        notes["references"] = f"references lie beside it ({references}); {can}"
    return Cube(
        data,
        axis,
        spatial=spatial_of(header),
        source=Source(str(path), "ENVI", "", spectral_axis_of(order)),
        unit=unit,
        metadata=dict(header) | notes,
    )


def _mapped(
    path: Path, header: dict[str, str], binary: Path | None, options: ReadOptions
) -> tuple[LazyArray, dict[str, Any], Interleave]:
    """The values that a header describes, as (bands, y, x)."""
    bands, lines, samples = (whole_number(path, header, key) for key in ("bands", "lines", "samples"))
    number = whole_number(path, header, "data type")
    if number not in _TYPES:
        raise DataError(f"{path}: data type {number} is not one of real numbers; cubes hold real numbers")
    if header.get("file compression", "0") != "0":
        raise DataError(f"{path}: its data file is compressed; save it uncompressed in ENVI, or unpack it with gunzip")
    if any(floats(header.get("major frame offsets", "")) + floats(header.get("minor frame offsets", ""))):
        raise DataError(f"{path}: its data file has gaps between its frames, which are not read; save it without")
    order = _INTERLEAVES.get(header.get("interleave", "bsq").lower())
    if order is None:
        raise DataError(f"{path}: interleave '{header['interleave'][:40]}' is unknown; it is bsq, bil or bip")
    dtype = np.dtype(("<" if whole_number(path, header, "byte order", 0) == 0 else ">") + _TYPES[number])
    offset = whole_number(path, header, "header offset", 0)
    binary = binary or _binary_beside(path)
    return *map_flat(binary, dtype, offset, order, (bands, lines, samples), options), order


def _without_ignored(data: LazyArray, header: dict[str, str]) -> tuple[LazyArray, dict[str, Any]]:
    """The data with NaN for the value that the header says to ignore."""
    given = floats(header.get("data ignore value", ""))
    if not given:
        return data, {}
    value = given[0]
    notes: dict[str, Any] = {"ignore_value": value}
    kind = np.dtype(data.dtype).kind
    if not value or np.isnan(value):
        # pixels of nothing but 0 are left out everywhere, while single zeros are dark, not missing
        return data, notes
    if kind != "f":
        limits = np.iinfo(data.dtype)
        if not (value.is_integer() and limits.min <= value <= limits.max):
            return data, notes
    # headers give the huge values that mark nothing with few digits
    slack = 1e-5 * abs(value) if kind == "f" and abs(value) > 1e30 else 0.0
    with np.errstate(over="ignore"):
        stored = np.dtype(data.dtype).type(value)

    def compute(part: np.ndarray[Any, Any], key: Any) -> np.ndarray[Any, Any]:
        ignored = np.abs(part - stored) <= slack if slack else part == stored
        return np.where(ignored, np.nan, part)

    notes["ignored"] = f"values of {value:g} are ignored, as the header says"
    return Derived(data, compute, np.result_type(data.dtype, np.float32)), notes


def _header_beside(path: Path) -> Path | None:
    for candidate in (path.with_name(path.name + ".hdr"), path.with_suffix(".hdr")):
        for spelt in (candidate, candidate.with_suffix(".HDR")):
            if spelt != path and spelt.is_file():
                with spelt.open("rb") as file:
                    if is_header(file.read(64)):
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
