"""Ripple (Lispix, Bruker ESPRIT): a table of keys in .rpl, a flat binary in .raw; mapped in any record order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.cube import Cube, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.flat import PARTIAL, Interleave, length_unit, map_flat, spectral_axis_of
from cubeseg.io.registry import ReadOptions, Setting, reader

__all__ = ["parse_rpl"]

_TYPES = {"signed": "i", "unsigned": "u", "float": "f"}
_LENGTHS = {"signed": (1, 2, 4, 8), "unsigned": (1, 2, 4, 8), "float": (4, 8)}
_ORDERS = {"littleendian": "<", "bigendian": ">"}
_RECORDS: dict[str, Interleave] = {"vector": "bip", "image": "bsq"}
_RECORD = Setting(
    "record",
    "How the values follow each other",
    (("file", "as the file says"), ("vector", "spectrum after spectrum"), ("image", "image after image")),
    "file",
)


def _is_ripple(path: Path, head: bytes) -> bool:
    if path.suffix.lower() == ".rpl":
        return b"\x00" not in head
    return path.suffix.lower() == ".raw" and _beside(path, ".rpl") is not None


@reader("Ripple", (".rpl", ".raw"), _is_ripple, settings=(_RECORD, PARTIAL))
def read_ripple(path: Path, options: ReadOptions) -> Cube:
    """The binary that belongs to an .rpl file, or the .rpl file that belongs to a binary."""
    table = path if path.suffix.lower() == ".rpl" else _beside(path, ".rpl")
    binary = path if path.suffix.lower() == ".raw" else _beside(path, ".raw")
    if table is None or binary is None:
        raise DataError(f"{path}: its data file is missing; {path.stem}.raw should lie beside it")
    keys = parse_rpl(table)
    width, height, depth = (_whole(table, keys, key) for key in ("width", "height", "depth"))
    dtype, guessed = _dtype(table, keys)
    order = _record(table, keys, options, width * height, depth)
    data, notes = map_flat(binary, dtype, _whole(table, keys, "offset", 0), order, (depth, height, width), options)
    axis, told = _axis(table, keys, depth)
    if data.shape[0] < depth:
        axis = SpectralAxis(axis.values[: data.shape[0]], axis.unit)
    return Cube(
        data,
        axis,
        spatial=_spatial(keys),
        source=Source(str(path), "Ripple", "", spectral_axis_of(order)),
        metadata=keys | guessed | told | notes,
    )


def parse_rpl(path: Path) -> dict[str, str]:
    """Keys and values of an .rpl file.

    Keys are in lower case without hyphens, because programs differ in them (``depth-scale``, ``depthscale``). The
    values stand after a tab, what follows a second tab is a comment.

    Raises
    ------
    DataError
        If it is no such table.
    """
    if path.stat().st_size > 1 << 20:
        raise DataError(f"{path}: is too large for a Ripple header")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    keys: dict[str, str] = {}
    for row in text.splitlines():
        parts = row.split("\t") if "\t" in row.strip() else row.split(None, 1)
        named = [part.strip() for part in parts if part.strip()]
        if len(named) > 1 and not named[0].startswith(";"):
            keys.setdefault(re.sub(r"[^a-z0-9]", "", named[0].lower()), named[1])
    if not {"width", "height", "depth"} & keys.keys():
        raise DataError(f"{path}: is no Ripple header; it has no lines 'width', 'height', 'depth' with their values")
    return keys


def _dtype(path: Path, keys: dict[str, str]) -> tuple[np.dtype[Any], dict[str, Any]]:
    kind, length = keys.get("datatype", "").lower(), _whole(path, keys, "datalength")
    if kind not in _TYPES:
        raise DataError(f"{path}: 'data-type' is '{kind[:40]}'; it is signed, unsigned or float")
    if length not in _LENGTHS[kind]:
        raise DataError(f"{path}: there are no {kind} numbers with a 'data-length' of {length} bytes")
    said = re.sub(r"[^a-z]", "", keys.get("byteorder", "").lower())
    if said not in (*_ORDERS, "dontcare", ""):
        raise DataError(f"{path}: 'byte-order' is '{said[:40]}'; it is little-endian, big-endian or dont-care")
    guessed = {}
    if said not in _ORDERS and length > 1:
        guessed["byte_order"] = "little-endian (assumed, the file does not say)"
    return np.dtype(f"{_ORDERS.get(said, '<')}{_TYPES[kind]}{length}"), guessed


def _record(path: Path, keys: dict[str, str], options: ReadOptions, pixels: int, depth: int) -> Interleave:
    asked = options.settings.get("record", "file")
    said = keys.get("recordby", "").lower() if asked == "file" else asked
    if said in _RECORDS:
        return _RECORDS[said]
    if pixels == 1 or depth == 1:
        return "bsq"
    raise DataError(
        f"{path}: 'record-by' is '{said[:40]}', which does not say how the values follow each other; "
        "say it with the setting record=vector or record=image"
    )


def _axis(path: Path, keys: dict[str, str], depth: int) -> tuple[SpectralAxis, dict[str, Any]]:
    scale = _number(path, keys, "depthscale", "depthscaleincrement")
    origin = _number(path, keys, "depthorigin", "depthscaleorigin") or 0.0
    said = next((keys[k] for k in ("depthunits", "depthscaleunits", "depthunit") if k in keys), "")
    unit, kind = normalise_unit(said)
    channels = np.arange(depth, dtype=np.float64)
    per_channel = _number(path, keys, "evperchan")
    if scale and kind != "channel":
        return SpectralAxis(origin + scale * channels, unit), {"axis_from": "depth-scale"}
    if per_channel:
        start = {"keV": origin, "eV": origin / 1000}.get(unit)
        notes = {"axis_from": "ev-per-chan"}
        if start is None:
            notes["axis_guessed"] = "channel 0 was taken to be 0 keV, the file gives only ev-per-chan"
        return SpectralAxis((start or 0.0) + per_channel / 1000 * channels, "keV"), notes
    if not scale:
        return SpectralAxis.channels(depth), {}
    values = origin + scale * channels
    # steps of 1 to 100 eV up to some tens of keV are those of X-ray detectors, and of little else
    if not said and 0.001 <= scale <= 0.1 and 2 <= values[-1] <= 200:
        guess = "the unit keV of depth-scale was told from its values"
        return SpectralAxis(values, "keV"), {"axis_from": "depth-scale", "axis_guessed": guess}
    rejected = f"depth-scale has the unit '{said}'" if said else "depth-scale has no unit"
    return SpectralAxis.channels(depth), {"axis_rejected": f"{rejected}, so bands are numbered"}


def _spatial(keys: dict[str, str]) -> Spatial:
    sizes, units = [], []
    for side in ("height", "width"):
        names = (f"{side}scale", f"{side}scaleincrement")
        given = next((float(keys[n]) for n in names if _is_number(keys.get(n, ""))), 0.0)
        sizes.append(abs(given))
        units.append(length_unit(next((keys[n] for n in (f"{side}units", f"{side}scaleunits") if n in keys), "")))
    if units[0] != units[1] or not units[0] or not all(0 < size < np.inf for size in sizes):
        return Spatial()
    return Spatial((sizes[0], sizes[1]), units[0])


def _number(path: Path, keys: dict[str, str], *names: str) -> float | None:
    given = next((keys[name] for name in names if name in keys), None)
    if given is None:
        return None
    if not _is_number(given) or not np.isfinite(float(given)):
        raise DataError(f"{path}: '{names[0]}' is '{given[:40]}', which is no number")
    return float(given)


def _is_number(given: str) -> bool:
    try:
        float(given)
    except ValueError:
        return False
    return True


def _whole(path: Path, keys: dict[str, str], key: str, default: int | None = None) -> int:
    given = keys.get(key)
    if given is None and default is not None:
        return default
    if given is None:
        raise DataError(f"{path}: the header does not give '{key}'")
    if not re.fullmatch(r"\+?\d{1,18}", given) or (default is None and int(given) == 0):
        raise DataError(f"{path}: '{key}' is '{given[:40]}', which is no whole number of 1 or more")
    return int(given)


def _beside(path: Path, ending: str) -> Path | None:
    for spelt in (ending, ending.upper(), ending.capitalize()):
        if path.with_suffix(spelt).is_file():
            return path.with_suffix(spelt)
    return None
