"""A binary file that is nothing but the cube: mapped whole, or as far as it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from cubeseg.axis import normalise_unit
from cubeseg.cube import LazyArray
from cubeseg.errors import DataError
from cubeseg.io.layout import check_size
from cubeseg.io.registry import ReadOptions, Setting

__all__ = ["PARTIAL", "Interleave", "length_unit", "map_flat", "spectral_axis_of"]

Interleave = Literal["bsq", "bil", "bip"]

PARTIAL = Setting(
    "partial",
    "A file that was cut short",
    (("no", "is refused"), ("yes", "opens as far as it goes")),
    "no",
)

# where bands, y and x are stored
_PLACES: dict[Interleave, tuple[int, int, int]] = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}

_UNITS = {
    "meter": "m", "meters": "m", "metre": "m", "metres": "m", "millimeters": "mm", "millimetres": "mm",
    "centimeters": "cm", "centimetres": "cm", "feet": "ft", "deg": "deg", "degree": "deg", "degrees": "deg",
    "arcsec": "arcsec", "arcseconds": "arcsec", "km": "km", "kilometers": "km",
}  # fmt: skip


def map_flat(
    path: Path,
    dtype: Any,
    offset: int,
    interleave: Interleave,
    shape: tuple[int, int, int],
    options: ReadOptions,
) -> tuple[LazyArray, dict[str, Any]]:
    """Map a binary file as (bands, y, x); nothing is read.

    Parameters
    ----------
    path : Path
    dtype : dtype
        With the byte order of the file.
    offset : int
        Bytes before the first value.
    interleave : {"bsq", "bil", "bip"}
        Stored order: (bands, y, x), (y, bands, x) or (y, x, bands).
    shape : (int, int, int)
        Bands, rows and columns that the header promises.
    options : ReadOptions
        The setting ``partial`` lets a truncated file open with the rows (bsq: the bands) that are whole.

    Returns
    -------
    data : LazyArray, shape (bands, y, x)
    notes : dict
        ``partial`` where not everything is there.

    Raises
    ------
    DataError
        If the file is shorter than promised, with both sizes.
    """
    places = _PLACES[interleave]
    stored = [0, 0, 0]
    for length, place in zip(shape, places, strict=True):
        stored[place] = length
    size, slab = path.stat().st_size, stored[1] * stored[2] * np.dtype(dtype).itemsize
    whole, promised = max(0, size - offset) // slab, stored[0]
    notes: dict[str, Any] = {}
    if whole < promised:
        there = f"{whole} of {promised} {'bands' if interleave == 'bsq' else 'rows'}"
        if options.settings.get("partial") != "yes" or not whole:
            try:
                check_size(str(path), size, offset + slab * promised)
            except DataError as error:
                hint = f"; {there} are whole, and the setting partial=yes opens those" if whole else ""
                raise DataError(f"{error}{hint}") from error
        notes["partial"] = f"the file is cut short: {there} are there"
        stored[0] = whole
    mapped = np.memmap(path, dtype, "r", offset, (stored[0], stored[1], stored[2]))
    return mapped.transpose(places), notes


def spectral_axis_of(interleave: Interleave) -> int:
    """Which stored axis holds the bands."""
    return _PLACES[interleave][0]


def length_unit(text: str) -> str:
    """The unit of a pixel's size in the project's spelling; empty where it is none."""
    unit, kind = normalise_unit(text)
    return unit if kind == "wavelength" else _UNITS.get(text.strip().lower(), "")
