"""The extensions of a FITS file, followed from header to header before any library trusts their numbers.

Source: FITS standard 4.0, chapters 3 and 4. What a header claims decides how much is read, allocated and looped over.
"""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cubeseg.errors import DataError
from cubeseg.io.layout import check_memory, check_size
from cubeseg.io.registry import unpacks_quickly

__all__ = ["check_blocks", "is_packed"]

_BLOCK, _CARD = 2880, 80
_BITPIX = (8, 16, 32, 64, -32, -64)
# of the standard: axes and columns
_MOST = 999
_WANTED = ("BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", "TFIELDS", "ZNAXIS", "ZIMAGE")
# longer headers are none
_LONGEST = 64 << 20


def check_blocks(path: Path) -> None:
    """Refuse a file in which an extension does not end, or whose headers do not say how large it is.

    Raises
    ------
    DataError
        With both sizes, or the keyword that is wrong.
    """
    for _ in _headers(path):
        pass


def is_packed(path: Path) -> bool:
    """Whether much must be unpacked before a file is open: all of a large gzipped one, or compressed tiles.

    Raises
    ------
    DataError
        As :func:`check_blocks`.
    """
    if _is_gzip(path):
        with path.open("rb") as file:
            file.seek(-4, io.SEEK_END)
            # of the last part of the file, and no more than the last digits of it
            said = int.from_bytes(file.read(4), "little")
        return not unpacks_quickly(max(said, 2 * path.stat().st_size))
    return any(keywords.get("ZIMAGE") == "T" for keywords in _headers(path))


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _headers(path: Path) -> Iterator[dict[str, str]]:
    """The structural keywords of each extension, after its end was found in the file."""
    packed = _is_gzip(path)
    there = _unpacked_size(path) if packed else path.stat().st_size
    with gzip.open(path) if packed else path.open("rb") as file:
        at = 0
        while at < there:
            file.seek(at)
            header = _header(path, file, first=at == 0)
            if header is None:
                # some programs pad a file to whole records of a tape
                return
            keywords, length = header
            size = _size(path, keywords)
            check_size(str(path), there, at + length + size)
            yield keywords
            at += length + size + -size % _BLOCK


def _unpacked_size(path: Path) -> int:
    """Bytes in a gzipped file, counted: its header may lie, and its end may be missing."""
    size = 0
    with gzip.open(path) as file:
        while part := file.read(1 << 20):
            size += len(part)
            check_memory(str(path), size)
    return size


def _header(path: Path, file: IO[bytes] | gzip.GzipFile, first: bool) -> tuple[dict[str, str], int] | None:
    """The structural keywords of a header and its length; None where nothing but padding follows."""
    keywords: dict[str, str] = {}
    length = 0
    while length < _LONGEST:
        block = file.read(_BLOCK)
        if length == 0 and not block.startswith(b"SIMPLE  =" if first else b"XTENSION="):
            if first or block.strip(b"\0 "):
                raise DataError(f"{path}: {'is no FITS file' if first else 'a header has no XTENSION'}; it is damaged")
            return None
        if len(block) < _BLOCK:
            raise DataError(f"{path}: ends within a header, {len(block)} bytes into a block of {_BLOCK}; copy it again")
        length += _BLOCK
        for start in range(0, _BLOCK, _CARD):
            card = block[start : start + _CARD].decode("latin-1")
            key = card[:8].rstrip()
            if key == "END" and not card[8:].strip():
                return keywords, length
            if card[8:10] == "= " and key.rstrip("0123456789") in _WANTED:
                value = card[10:].split("/")[0].strip()
                if keywords.setdefault(key, value) != value:
                    # libraries disagree about which of them holds
                    raise DataError(f"{path}: a header has {key} twice, as {keywords[key][:20]} and {value[:20]}")
    raise DataError(f"{path}: has a header without an end; it is damaged")


def _size(path: Path, keywords: dict[str, str]) -> int:
    """Bytes of an extension's data."""

    def number(key: str, default: int | None, low: int, high: int) -> int:
        said = keywords.get(key, "" if default is None else str(default))
        try:
            value = int(said)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            what = f"the value {said[:20]} for {key}" if said else f"no {key}"
            raise DataError(f"{path}: a header has {what}, so nothing says how large its data are; it is damaged")
        return value

    bits = number("BITPIX", None, -64, 64)
    if bits not in _BITPIX:
        raise DataError(f"{path}: a header has BITPIX = {bits}, which is none of {', '.join(map(str, _BITPIX))}")
    large = 1 << 62
    axes = [number(f"NAXIS{n}", None, 0, large) for n in range(1, number("NAXIS", None, 0, _MOST) + 1)]
    # of images that are compressed tile by tile, and columns of tables
    for n in range(1, number("ZNAXIS", 0, 0, _MOST) + 1):
        number(f"ZNAXIS{n}", None, 0, large)
    number("TFIELDS", 0, 0, _MOST)
    if not axes:
        return 0
    if axes[0] == 0 and keywords.get("GROUPS") == "T":
        axes = axes[1:]
    values = number("PCOUNT", 0, 0, large) + math.prod(axes)
    return abs(bits) // 8 * number("GCOUNT", 1, 0, large) * values
