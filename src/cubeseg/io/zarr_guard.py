"""Chunks of a Zarr store that would unpack to far more than their array says are refused before they are unpacked.

A few KiB can claim gigabytes. What a chunk unpacks to is read from its header where the codec has one (blosc, lz4),
counted block by block (zstd, RFC 8878), or found by unpacking piece by piece up to the limit (zlib, gzip, bz2, lzma).
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from zarr.storage import WrapperStore

from cubeseg.errors import DataError

__all__ = ["PACKERS", "Guarded", "guarded"]

PACKERS = ("zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4")
# filters may make values wider before they are packed
_SLACK = 4
_LEAST = 1 << 20
_PIECE = 1 << 20
_BLOCK = 128 << 10


def guarded(array: Any, packer: str, name: str) -> Any:
    """The same array, read through a :class:`Guarded` store."""
    import zarr

    whole = getattr(array, "shards", None) or array.chunks
    limit = _SLACK * int(np.prod(whole, dtype=np.float64)) * np.dtype(array.dtype).itemsize + _LEAST
    return zarr.open_array(Guarded(array.store, packer, limit, name), path=array.path, mode="r")


class Guarded(WrapperStore[Any]):
    """A store that gives no value which is, or unpacks to, more than `limit` bytes.

    Parameters
    ----------
    store : zarr.abc.store.Store
    packer : str
        One of `PACKERS`; empty where chunks are not packed.
    limit : int
    name : str
        Of the cube's file, for the error.
    """

    def __init__(self, store: Any, packer: str, limit: int, name: str) -> None:
        super().__init__(store)
        self._packer, self._limit, self._name = packer, limit, name

    def _with_store(self, store: Any) -> Guarded:
        return Guarded(store, self._packer, self._limit, self._name)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """As the store, or :class:`DataError`."""
        return self._checked(key, await self._store.get(key, prototype, byte_range))

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        """As the store, or :class:`DataError`."""
        wanted = list(key_ranges)
        found = await self._store.get_partial_values(prototype, wanted)
        return [self._checked(key, value) for (key, _), value in zip(wanted, found, strict=True)]

    def _checked(self, key: str, value: Any) -> Any:
        if value is None or key.endswith((".zarray", ".zattrs", ".zgroup", "zarr.json")):
            return value
        if len(value) > self._limit or _unpacks_beyond(value.to_bytes(), self._packer, self._limit):
            raise DataError(f"{self._name}: its chunk '{key[-80:]}' unpacks to far more than the array says; refused")
        return value


def _unpacks_beyond(packed: bytes, packer: str, limit: int) -> bool:
    """Whether it is more than `limit` bytes; what is damaged is left to the codec."""
    try:
        match packer:
            case "blosc":
                return bool(struct.unpack_from("<I", packed, 4)[0] > limit)
            case "lz4":
                return bool(struct.unpack_from("<I", packed, 0)[0] > limit)
            case "zstd":
                return _zstd_bytes(packed) > limit
            case "zlib" | "gzip":
                inflate = zlib.decompressobj(47)
                made, left = 0, packed
                while left and made <= limit and not inflate.eof:
                    made += len(inflate.decompress(left, _PIECE))
                    left = inflate.unconsumed_tail
                return made > limit
            case "bz2" | "lzma":
                unpack = bz2.BZ2Decompressor() if packer == "bz2" else lzma.LZMADecompressor()
                made = len(unpack.decompress(packed, _PIECE))
                while made <= limit and not unpack.eof and not unpack.needs_input:
                    made += len(unpack.decompress(b"", _PIECE))
                return made > limit
    except (struct.error, zlib.error, lzma.LZMAError, OSError, EOFError):
        pass
    return False


def _zstd_bytes(packed: bytes) -> int:
    """The larger of what a zstd frame says of itself and what its blocks can hold."""
    (flags,) = struct.unpack_from("<B", packed, 4)
    single, kind = flags >> 5 & 1, flags >> 6
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    size = (1 if single else 0, 2, 4, 8)[kind]
    said = int.from_bytes(packed[at : at + size], "little") + (256 if size == 2 else 0)
    at, held, last = at + size, 0, False
    while not last:
        head = int.from_bytes(packed[at : at + 3].ljust(3, b"\1"), "little")
        last, how, length = bool(head & 1), head >> 1 & 3, head >> 3
        held += _BLOCK if how == 2 else length
        at += 3 + (1 if how == 1 else length)
        last = last or at >= len(packed)
    return max(said, held)
