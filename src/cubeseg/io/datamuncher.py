"""DataMuncher's element maps: .dms (binary) and .ims (text), one band per element.

Layout (DataMuncher's wiki; XRFx reads the same): a line with the version 2, a line with width, height and number of
maps, then the maps one after the other, as float32 or as text, then the names of the elements.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube, Source
from cubeseg.errors import DataError
from cubeseg.io.band_names import axis_of_names
from cubeseg.io.layout import check_memory, check_size
from cubeseg.io.registry import ReadOptions, reader, unpacks_quickly

__all__: list[str] = []

_START = re.compile(rb"\s*2[ \t]*\r?\n[ \t]*(\d{1,9})[ \t]+(\d{1,9})[ \t]+(\d{1,9})[ \t]*\r?\n")
_LONGEST_NAMES = 1 << 20


def _is_datamuncher(path: Path, head: bytes) -> bool:
    return path.suffix.lower() in (".dms", ".ims") and _START.match(head) is not None


def _is_long_text(path: Path) -> bool:
    # twelve times slower than unpacking
    return path.suffix.lower() == ".ims" and not unpacks_quickly(12 * path.stat().st_size)


@reader("DataMuncher", (".dms", ".ims"), _is_datamuncher, slow=_is_long_text)
def read_datamuncher(path: Path, options: ReadOptions) -> Cube:
    """Element maps; the names are in ``metadata["band_names"]``."""
    with path.open("rb") as file:
        found = _START.match(file.read(4096))
    assert found is not None
    width, height, n_maps = (int(number) for number in found.groups())
    shape = (n_maps, height, width)
    read = _binary if path.suffix.lower() == ".dms" else _text
    data, tail = read(path, found.end(), shape)
    names = tail.decode("utf-8", "replace").split()
    axis, notes = axis_of_names(names, n_maps)
    return Cube(data, axis, source=Source(str(path), "DataMuncher", "", 0), metadata=notes)


def _binary(path: Path, start: int, shape: tuple[int, ...]) -> tuple[NDArray[Any], bytes]:
    size = 4 * int(np.prod(shape, dtype=np.float64))
    check_size(str(path), path.stat().st_size, start + size)
    with path.open("rb") as file:
        file.seek(start + size)
        tail = file.read(_LONGEST_NAMES)
    return np.memmap(path, "<f4", "r", start, shape), tail


def _text(path: Path, start: int, shape: tuple[int, ...]) -> tuple[NDArray[Any], bytes]:
    count, there = int(np.prod(shape, dtype=np.float64)), path.stat().st_size
    # a number takes a digit and a space at least
    check_size(str(path), there, start + 2 * count - 1)
    check_memory(str(path), 30 * count + there)
    parts = path.read_bytes()[start:].split(maxsplit=count)
    try:
        values = np.array(parts[:count], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}: holds words where numbers should be; it is damaged") from error
    if values.size < count:
        raise DataError(f"{path}: holds {values.size} values, its header promises {count}; it is truncated")
    return values.reshape(shape), parts[count] if len(parts) > count else b""
