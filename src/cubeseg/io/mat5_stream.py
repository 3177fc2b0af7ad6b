"""The bytes of one element of a MATLAB file of level 5, as they are or inflated, read forwards and never beyond it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO

from cubeseg.errors import DataError

__all__ = ["PART", "Inflating", "Stream"]

PART = 1 << 20
# packed bytes at a time: to list a variable takes no more
_PACKED = 1 << 16


class Stream:
    """The bytes of one element, read forwards; `position` is that in the file."""

    def __init__(self, file: IO[bytes], path: Path, start: int, end: int) -> None:
        self._file, self._path = file, path
        self.position, self.end = start, end

    def read(self, n: int) -> bytes:
        """Exactly `n` bytes."""
        content = self._next(n) if self.position + n <= self.end else b""
        if len(content) != n:
            raise DataError(f"{self._path}: is damaged, a variable ends before it should; copy or save it again")
        self.position += n
        return content

    def skip(self, n: int) -> None:
        """Pass over `n` bytes."""
        self._check(n)
        self._file.seek(n, 1)
        self.position += n

    def finish(self) -> None:
        """Check what can be checked when all is read."""

    def _check(self, n: int) -> None:
        if n < 0:
            raise DataError(f"{self._path}: is damaged, a variable overlaps another; copy or save it again")

    def _next(self, n: int) -> bytes:
        return self._file.read(n)


class Inflating(Stream):
    """The same of a compressed element, `position` being that in the inflated bytes."""

    def __init__(self, file: IO[bytes], path: Path, start: int, end: int) -> None:
        super().__init__(file, path, 0, 1 << 33)
        self._left = end - start
        self._zlib = zlib.decompressobj()

    def skip(self, n: int) -> None:
        """Pass over `n` bytes, which have to be inflated too."""
        self._check(n)
        while n > 0:
            n -= len(self.read(min(n, PART)))

    def finish(self) -> None:
        """Inflate the rest, for the checksum lies at the end."""
        while not self._zlib.eof:
            rest = len(self._inflate(PART))
            self.position += rest
            if (not rest and not self._zlib.eof) or self.position > self.end + 8:
                raise DataError(f"{self._path}: is damaged, a compressed variable lacks its end; copy or save it again")

    def _next(self, n: int) -> bytes:
        parts = []
        while n > 0 and (part := self._inflate(n)):
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def _inflate(self, most: int) -> bytes:
        """At most so many bytes more; none at the end."""
        part = b""
        try:
            while not part and not self._zlib.eof and (self._zlib.unconsumed_tail or self._left):
                raw = self._zlib.unconsumed_tail
                if not raw:
                    raw = self._file.read(min(self._left, _PACKED))
                    self._left = self._left - len(raw) if raw else 0
                part = self._zlib.decompress(raw, most)
        except zlib.error as error:
            raise DataError(
                f"{self._path}: is damaged, a variable cannot be unpacked ({error}); copy it again"
            ) from error
        return part
