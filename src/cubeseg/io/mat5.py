"""MATLAB files of level 5 (v5 to v7): what is in them, told from tags; numbers are mapped or inflated on demand.

Layout: MathWorks, "MAT-File Format", chapter on level 5. Cells, sparse matrices, objects and functions are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import DataError
from cubeseg.io.layout import check_memory, check_size
from cubeseg.io.mat5_stream import PART, Inflating, Stream

__all__ = ["COMPRESSED", "Mat5", "Part", "Stored", "is_mat5"]

COMPRESSED = 15
_INT8, _INT32, _UINT32, _MATRIX = 1, 5, 6, 14
# data types of the format that hold numbers, or characters
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {2: "u1", 4: "u2", 16: "u1", 17: "u2", 18: "u4"}
_STRUCT, _CHAR, _NUMERIC = 2, 4, range(6, 16)
_LOGICAL_FLAG, _COMPLEX_FLAG = 0x200, 0x800
# deflate packs no better than this
_RATIO = 1040
_MOST = 65536


def is_mat5(head: bytes) -> bool:
    """Whether a file begins as one of level 5: its text is free, version and byte order behind it are not."""
    return head[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


@dataclass(frozen=True)
class Part:
    """Where numbers lie, in the file or in an inflated element, and how they are stored."""

    offset: int
    size: int
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Stored:
    """An array of the file.

    Parameters
    ----------
    name : str
        ``struct.field`` for fields.
    shape : tuple of int
        As MATLAB counts, first axis fastest.
    kind : {"number", "logical", "text"}
    real : Part
        MATLAB stores numbers in the smallest type that holds them: doubles may be bytes here.
    is_complex : bool
        Whether imaginary numbers follow, see :meth:`Mat5.imaginary`.
    packed : (int, int), optional
        Where the compressed element lies, and its length; None where the numbers can be mapped.
    """

    name: str
    shape: tuple[int, ...]
    kind: Literal["number", "logical", "text"]
    real: Part
    is_complex: bool = False
    packed: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class _Header:
    """Class, flags, shape and name, as a matrix begins with them."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str


class Mat5:
    """The arrays of a file of level 5.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    arrays : dict of str to Stored
        Numbers, logical values and texts at the top level.
    note : str
        The text at the beginning of the file.

    Raises
    ------
    DataError
        If the file is truncated or damaged; also from the methods.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrays: dict[str, Stored] = {}
        self._structs: dict[str, tuple[int, int, bool]] = {}
        self._size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(128)
            if not is_mat5(head):
                raise DataError(f"{path}: is no MATLAB file of version 5 to 7")
            self.note = head[:116].decode("latin-1").rstrip(" \0")
            self._order: Literal["<", ">"] = "<" if head[126:128] == b"IM" else ">"
            self._list(file)

    @property
    def structs(self) -> tuple[str, ...]:
        """Names of the structs (1 x 1) at the top level."""
        return tuple(self._structs)

    def fields(self, name: str) -> dict[str, Stored]:
        """The arrays of a struct, by ``struct.field``; what lies deeper is passed over."""
        at, size, packed = self._structs[name]
        found = {}
        with self._element(at, size, packed) as stream:
            self._header(stream)
            longest = int.from_bytes(self._small(stream, _INT32, 4), "little" if self._order == "<" else "big")
            names = self._small(stream, _INT8, _MOST)
            if not 0 < longest <= _MOST or len(names) % longest:
                raise self._damaged(f"the field names of '{name}' are broken")
            for start in range(0, len(names), longest):
                kind, length, inline = self._tag(stream)
                end = stream.position + length
                if kind != _MATRIX or inline is not None:
                    raise self._damaged(f"a field of '{name}' is no matrix")
                field = names[start : start + longest].split(b"\0")[0].decode("utf-8", "replace")
                header = self._header(stream) if length else None
                if header is not None and self._holds_numbers(header):
                    place = (at, size) if packed else None
                    found[f"{name}.{field}"] = self._numbers(stream, header, f"{name}.{field}", place)
                if stream.position > end:
                    raise self._damaged(f"the field '{name}.{field}' is longer than it says")
                stream.skip(end - stream.position)
        return found

    def read(self, array: Stored, part: Part | None = None) -> NDArray[Any]:
        """The numbers of an array in MATLAB's axes: a memory map, or inflated where compressed.

        Parameters
        ----------
        array : Stored
        part : Part, optional
            What :meth:`imaginary` gives, for the imaginary numbers.

        Returns
        -------
        array
            In Fortran order: the first axis is the fastest.
        """
        part = part or array.real
        if not array.size:
            return np.empty(array.shape, part.dtype)
        if array.packed is None:
            return np.memmap(self.path, part.dtype, "r", part.offset, array.shape, order="F")
        check_memory(str(self.path), part.size)
        values = np.empty(part.size, np.uint8)
        with self._element(*array.packed, packed=True) as stream:
            stream.skip(part.offset - stream.position)
            for start in range(0, part.size, PART):
                end = min(start + PART, part.size)
                values[start:end] = np.frombuffer(stream.read(end - start), np.uint8)
            stream.finish()
        return values.view(part.dtype).reshape(array.shape, order="F")

    def imaginary(self, array: Stored) -> Part:
        """Where the imaginary numbers of a complex array lie: behind all the real ones."""
        at, size = array.packed or (128, self._size - 128)
        with self._element(at, size, packed=array.packed is not None) as stream:
            # numbers in their own tag take 4 bytes, others are padded to 8
            behind = array.real.offset + max(4, array.real.size)
            stream.skip(behind + -behind % 8 - stream.position)
            return self._part(stream, array.name, array.shape, text=False)

    def text(self, array: Stored) -> str:
        """A text; the first row of one that has several."""
        if array.real.size > _MOST:
            return ""
        codes = np.atleast_2d(self.read(array))[:1].ravel(order="F")
        if array.real.dtype.itemsize == 1:
            return codes.astype(np.uint8).tobytes().decode("utf-8", "replace").rstrip("\0 ")
        return "".join(chr(code) for code in codes.tolist() if 0 < code < 0x110000).rstrip()

    def _list(self, file: IO[bytes]) -> None:
        at = 128
        for _ in range(_MOST):
            file.seek(at)
            tag = file.read(8)
            if len(tag) < 8:
                return
            kind, size = (int(n) for n in np.frombuffer(tag, f"{self._order}u4"))
            if kind not in (_MATRIX, COMPRESSED):
                raise self._damaged(f"there is no variable at byte {at} where one is due")
            self._check_whole(at + 8, size, kind == COMPRESSED)
            self._variable(at + 8, size, kind == COMPRESSED)
            at += 8 + size
        raise self._damaged(f"it holds more than {_MOST} variables")

    def _variable(self, at: int, size: int, packed: bool) -> None:
        with self._element(at, size, packed) as stream:
            header = self._header(stream)
            if header is None:
                return
            if header.kind == _STRUCT and math.prod(header.shape) == 1:
                self._structs[header.name] = (at, size, packed)
            elif self._holds_numbers(header):
                place = (at, size) if packed else None
                self.arrays[header.name] = self._numbers(stream, header, header.name, place)

    def _check_whole(self, at: int, size: int, packed: bool) -> None:
        """Refuse a truncated file, saying how much is there and in which variable it ends."""
        try:
            check_size(str(self.path), self._size, at + size)
        except DataError as error:
            where = ""
            # the beginning of the variable may be missing too
            with suppress(DataError), self._element(at, self._size - at, packed, size) as stream:
                header = self._header(stream)
                if header is not None:
                    where = f" within '{header.name}' ({' x '.join(map(str, header.shape))})"
            share = 100 * (self._size - at) / size
            raise DataError(f"{error}, cut off{where}, of which {share:.0f} % are there; copy it again") from error

    @contextmanager
    def _element(self, at: int, size: int, packed: bool, claimed: int = 0) -> Iterator[Stream]:
        """A stream over the body of a matrix."""
        with self.path.open("rb") as file:
            file.seek(at)
            if not packed:
                yield Stream(file, self.path, at, at + size)
                return
            stream = Inflating(file, self.path, at, at + size)
            kind, inside = (int(n) for n in np.frombuffer(stream.read(8), f"{self._order}u4"))
            if kind != _MATRIX or inside > _RATIO * max(size, claimed):
                raise self._damaged(f"the compressed variable at byte {at} is none")
            stream.end = 8 + inside
            yield stream

    def _header(self, stream: Stream) -> _Header | None:
        """Flags, dimensions and name; None for objects that have others."""
        flags = np.frombuffer(self._small(stream, _UINT32, 8), f"{self._order}u4")
        if flags.size != 2:
            raise self._damaged("the flags of a variable are broken")
        kind = int(flags[0]) & 0xFF
        if kind not in (_STRUCT, _CHAR, *_NUMERIC):
            return None
        shape = tuple(np.frombuffer(self._small(stream, _INT32, 4 * 32), f"{self._order}i4").tolist())
        if len(shape) < 2 or min(shape) < 0:
            raise self._damaged("the dimensions of a variable are broken")
        name = self._small(stream, _INT8, 4096).split(b"\0")[0].decode("utf-8", "replace")
        return _Header(kind, int(flags[0]), shape, name)

    @staticmethod
    def _holds_numbers(header: _Header) -> bool:
        return header.kind == _CHAR or header.kind in _NUMERIC

    def _numbers(self, stream: Stream, header: _Header, name: str, packed: tuple[int, int] | None) -> Stored:
        text = header.kind == _CHAR
        real = self._part(stream, name, header.shape, text)
        kind: Literal["number", "logical", "text"] = "text" if text else "number"
        if header.flags & _LOGICAL_FLAG and not text:
            kind = "logical"
        shape = header.shape
        if text and real.size != math.prod(shape) * real.dtype.itemsize:
            # characters of several bytes
            shape = (1, real.size // real.dtype.itemsize)
        return Stored(name, shape, kind, real, bool(header.flags & _COMPLEX_FLAG) and not text, packed)

    def _part(self, stream: Stream, name: str, shape: tuple[int, ...], text: bool) -> Part:
        kind, size, inline = self._tag(stream)
        types = _TEXTS if text else _TYPES
        if kind not in types:
            raise self._damaged(f"'{name}' is stored in a way that the format does not know (type {kind})")
        dtype = np.dtype(f"{self._order}{types[kind]}")
        if not text and size != math.prod(shape) * dtype.itemsize:
            raise self._damaged(f"'{name}' is {' x '.join(map(str, shape))}, but {size} bytes are stored for it")
        if inline is not None:
            return Part(stream.position - 4, size, dtype)
        if stream.position + size > stream.end:
            raise self._damaged(f"'{name}' is larger than its variable")
        return Part(stream.position, size, dtype)

    def _tag(self, stream: Stream) -> tuple[int, int, bytes | None]:
        """Type and size of an element, and its bytes where it is a small one that lies in its own tag."""
        word = int(np.frombuffer(stream.read(4), f"{self._order}u4")[0])
        if word >> 16:
            size = word >> 16
            if size > 4:
                raise self._damaged("a small element is longer than 4 bytes")
            return word & 0xFFFF, size, stream.read(4)[:size]
        return word, int(np.frombuffer(stream.read(4), f"{self._order}u4")[0]), None

    def _small(self, stream: Stream, wanted: int, most: int) -> bytes:
        """An element of few bytes, with its padding to 8."""
        kind, size, inline = self._tag(stream)
        if kind != wanted or size > most:
            raise self._damaged(f"an element of type {kind} and {size} bytes is in the wrong place")
        if inline is not None:
            return inline
        content = stream.read(size)
        stream.skip(-size % 8)
        return content

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{self.path}: is damaged, {what}; copy or save it again")
