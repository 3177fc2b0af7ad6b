"""The strips and tiles of TIFF pages as one array that is read in parts."""

from __future__ import annotations

import logging
import lzma
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from threading import RLock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import DataError
from cubeseg.io.layout import check_claim, check_memory, check_size

__all__ = ["Segments", "check_pages", "opened"]

_CACHE = 64 << 20
# TIFF's numbers for compressions whose output nothing bounds; others are decoded into a segment of known size
_UNBOUNDED: dict[int, Any] = {
    8: zlib.decompressobj, 32946: zlib.decompressobj, 50013: zlib.decompressobj, 34925: lzma.LZMADecompressor,
}  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A TIFF file; what tifffile has to say about odd tags is not printed."""
    import tifffile

    check_pages(path)
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    finally:
        logger.setLevel(level)


def check_pages(path: Path) -> None:
    """Refuse a file whose list of pages leads back into itself, which tifffile follows without end.

    Raises
    ------
    DataError
        If a page is listed twice.
    """
    with path.open("rb") as file:
        head = file.read(16)
        order: Literal["little", "big"] = "little" if head.startswith(b"II") else "big"
        long = head[2:4] in (b"+\x00", b"\x00+")
        start, counted, pointer, tag = (8, 8, 8, 20) if long else (4, 2, 4, 12)
        at, seen = int.from_bytes(head[start : start + pointer], order), set()
        while at:
            if at in seen:
                raise DataError(f"{path}: its list of pages leads back into itself; the file is damaged")
            seen.add(at)
            file.seek(min(at, 1 << 62))
            tags = int.from_bytes(file.read(counted), order)
            # beyond the file nothing is read, which ends the list
            file.seek(min(at + counted + tag * tags, 1 << 62))
            at = int.from_bytes(file.read(pointer), order)


class Segments:
    """Pages of one kind, decoded segment by segment when they are read.

    Parameters
    ----------
    path : str
        The file, for messages.
    pages : sequence of tifffile pages
        None where a page is missing; such a page is 0.

    Raises
    ------
    DataError
        If a page is truncated, claims what its file cannot hold, or its compression cannot be read here.

    Notes
    -----
    The shape is (page, sample plane, depth, y, x, sample), as tifffile normalises pages; `chunks` is that of a strip
    or tile. Whole numbers and slices that rise select. Reading is safe from any thread. Decoded segments are kept,
    64 MiB of them.
    """

    ndim = 6

    def __init__(self, path: str, pages: Sequence[Any]) -> None:
        self._path = path
        key = next((page.keyframe for page in pages if page is not None), None)
        if key is None or key.dtype is None:
            raise DataError(f"{path}: its pages hold no numbers that can be read")
        self._page = key
        self.dtype: np.dtype[Any] = np.dtype(key.dtype)
        self.shape: tuple[int, ...] = (len(pages), *key.shaped)
        _, depth, height, width, samples = key.shaped
        tile = (key.tiledepth, key.tilelength, key.tilewidth) if key.is_tiled else (1, key.rowsperstrip, width)
        if min(tile) < 1:
            raise DataError(f"{path}: its strips or tiles have no size; the file is damaged")
        inside = tuple(min(a, b) for a, b in zip(tile, (depth, height, width), strict=True))
        self._tile = (1, *tile, samples)
        self.chunks: tuple[int, ...] = (1, 1, *inside, samples)
        self._grid = tuple(-(-length // step) for length, step in zip(key.shaped, self._tile, strict=True))
        self._segment_bytes = int(np.prod(self._tile, dtype=np.float64)) * self.dtype.itemsize
        self._turn = RLock()
        self._kept: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._raw: dict[str, NDArray[np.uint8]] = {}
        self._pages = [None if page is None else self._extent(page) for page in pages]
        self._check(key)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (6 - len(keys))
        ranges = []
        for wanted, length in zip(keys, self.shape, strict=True):
            chosen = range(*wanted.indices(length)) if isinstance(wanted, slice) else range(wanted, wanted + 1)
            ranges.append(chosen)
        # the rectangle between the first and the last of each axis; steps are taken at the end
        spans = [(r[0], r[-1] + 1) if len(r) else (0, 0) for r in ranges]
        out = np.zeros((len(ranges[0]), *(stop - start for start, stop in spans[1:])), self.dtype)
        if out.size:
            for n, page in enumerate(ranges[0]):
                self._fill(out[n], page, spans[1:])
        steps = tuple(slice(None, None, r.step) for r in ranges[1:])
        drop = tuple(slice(None) if isinstance(wanted, slice) else 0 for wanted in keys)
        result: NDArray[Any] = out[(slice(None), *steps)][drop]
        return result

    def _fill(self, out: NDArray[Any], page: int, spans: Sequence[tuple[int, int]]) -> None:
        """One page's part of the rectangle."""
        if self._pages[page] is None:
            return
        touched = [
            range(start // step, -(-stop // step)) for (start, stop), step in zip(spans, self._tile, strict=True)
        ]
        for place in product(*touched):
            segment = self._segment(page, int(np.ravel_multi_index(place, self._grid)))
            if segment is None:
                continue
            to, take = [], []
            for n, (start, stop), step, length in zip(place, spans, self._tile, segment.shape, strict=True):
                first, last = max(n * step, start), min(n * step + length, stop)
                to.append(slice(first - start, last - start))
                take.append(slice(first - n * step, last - n * step))
            out[tuple(to)] = segment[tuple(take)]

    def _segment(self, page: int, index: int) -> NDArray[Any] | None:
        """A decoded segment (plane, depth, y, x, sample); None where the file leaves it out, which means 0."""
        with self._turn:
            if (page, index) in self._kept:
                self._kept.move_to_end((page, index))
                return self._kept[page, index]
        extent = self._pages[page]
        assert extent is not None
        raw, offsets, counts = extent
        if not counts[index]:
            return None
        encoded = raw[offsets[index] : offsets[index] + counts[index]]
        self._check_expansion(encoded)
        decoded = self._page.decode(encoded.tobytes(), index, jpegtables=self._page.jpegtables)[0]
        if decoded is None:
            return None
        segment: NDArray[Any] = np.asarray(decoded)[None]
        with self._turn:
            self._kept[page, index] = segment
            while len(self._kept) > 1 and len(self._kept) * self._segment_bytes > _CACHE:
                self._kept.popitem(last=False)
        return segment

    def _extent(self, page: Any) -> tuple[NDArray[np.uint8], tuple[int, ...], tuple[int, ...]]:
        """Bytes of the page's file, and where its segments lie in them."""
        file = str(page.parent.filehandle.path)
        if file not in self._raw:
            self._raw[file] = np.memmap(file, np.uint8, "r")
        offsets, counts = tuple(page.dataoffsets), tuple(page.databytecounts)
        wanted = int(np.prod(self._grid, dtype=np.float64))
        if len(offsets) != wanted or len(counts) != wanted:
            raise DataError(f"{self._path}: a page has {len(offsets)} strips or tiles, its size needs {wanted}")
        needed = max((offset + count for offset, count in zip(offsets, counts, strict=True)), default=0)
        check_size(self._path, self._raw[file].size, needed)
        return self._raw[file], offsets, counts

    def _check(self, key: Any) -> None:
        there = sum(raw.size for raw in self._raw.values())
        check_claim(self._path, there, int(np.prod(self.shape, dtype=np.float64)) * self.dtype.itemsize)
        check_memory(self._path, self._segment_bytes)
        for page, extent in enumerate(self._pages):
            used = [] if extent is None else [index for index, count in enumerate(extent[2]) if count]
            if used:
                # a compression that this computer lacks is said now, not when the first pixel is read
                try:
                    self._segment(page, used[0])
                except ValueError as error:
                    if "imagecodecs" not in str(error):
                        raise
                    name = getattr(key.compression, "name", key.compression)
                    raise DataError(
                        f"{self._path}: is compressed with {name}, for which the package imagecodecs is missing; "
                        "install imagecodecs, or save the file without compression"
                    ) from error
                return

    def _check_expansion(self, encoded: NDArray[np.uint8]) -> None:
        """Refuse a segment that would unpack to far more than its size, or that is too short for it."""
        make = _UNBOUNDED.get(int(self._page.compression))
        if make is None or encoded.size < 1 << 20:
            return
        unpacked = len(make().decompress(encoded.tobytes(), self._segment_bytes + 1))
        if unpacked > self._segment_bytes:
            raise DataError("a strip or tile unpacks to more than its size")
