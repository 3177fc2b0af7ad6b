"""The datacube: data that stays where it is, with all that is known about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.errors import DataError, first_line
from cubeseg.pages import intact, let_go, mapping, slabs
from cubeseg.source import Source, Spatial

__all__ = ["Block", "Cube", "LazyArray", "Noise", "NoiseKind", "Source", "Spatial"]

NoiseKind = Literal["poisson", "gaussian", "unknown"]
Float32 = NDArray[np.float32]

# pixels of a mapped file that are read at once: each brings 64 KiB of the file around it into memory
_FEW = 128


class LazyArray(Protocol):
    """What a cube's data must offer: NumPy, a memory map, an HDF5 view and Dask all do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Bands, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored."""

    @property
    def ndim(self) -> int:
        """3 for a cube."""

    def __getitem__(self, key: Any) -> Any: ...


@dataclass(frozen=True, eq=False)
class Noise:
    """How the values scatter about the truth.

    Parameters
    ----------
    kind : {"poisson", "gaussian", "unknown"}
        Poisson: the values are counts. Gaussian: `variance` holds the variance of every value, or is
        None where only the kind is known. Unknown: to be found from the data.
    variance : LazyArray, shape (bands, y, x), optional
        Variance, in the square of the data's unit.
    inverse : bool
        The array holds inverse variances (MaNGA's IVAR); 0 then means "no information".
    squared : bool
        False where the array holds standard deviations (JWST's ERR) instead of variances.
    """

    kind: NoiseKind = "unknown"
    variance: LazyArray | None = None
    inverse: bool = False
    squared: bool = True

    def variance_of(self, key: Any) -> Float32 | None:
        """Variance of the part of the cube that `key` selects; None where no variance is stored."""
        if self.variance is None:
            return None
        stored = np.asarray(self.variance[key], dtype=np.float32)
        if not self.squared:
            stored = np.square(stored)
        if self.inverse:
            with np.errstate(divide="ignore"):
                stored = np.where(stored > 0, 1 / stored, np.inf).astype(np.float32)
        # a variance below zero is none
        return np.where(stored < 0, np.float32(np.inf), stored)


@dataclass(frozen=True, eq=False)
class Block:
    """A rectangle of pixels with all its bands.

    `data` has shape (bands, height, width) and float32; `variance` the same or None;
    `mask` (height, width) is True where the file calls a pixel usable.
    """

    rows: slice
    columns: slice
    data: Float32
    variance: Float32 | None
    mask: NDArray[np.bool_]

    def part(self, rows: slice, columns: slice) -> Block:
        """A rectangle within; no values are copied."""
        key = (slice(None), rows, columns)
        variance = None if self.variance is None else self.variance[key]
        return Block(rows, columns, self.data[key], variance, self.mask[rows, columns])

    def spectra(self, wanted: NDArray[np.bool_]) -> tuple[Float32, Float32 | None]:
        """Spectra (n, bands) of the pixels that are `wanted` (height, width), and their variance."""
        return _turned(self.data, wanted), None if self.variance is None else _turned(self.variance, wanted)


@dataclass(frozen=True, eq=False)
class Cube:
    """A spectral datacube.

    Parameters
    ----------
    data : LazyArray, shape (bands, y, x)
        Real numbers; read in parts, never copied whole without being asked.
    axis : SpectralAxis
        One value per band.
    noise : Noise
    mask : array of bool, shape (y, x), optional
        True where the file calls the pixel usable; None where it does not say.
    spatial : Spatial
    source : Source
    unit : str
        Unit of the data ("counts", "K", "erg/s/cm2/Å"...), empty where unknown.
    metadata : mapping
        The file's own metadata, kept as found.
    white : callable, optional
        Reads the image of the whole, float32 (y, x), that the file holds beside the cube ("white light").

    Raises
    ------
    DataError
        If the parts do not fit each other.
    """

    data: LazyArray
    axis: SpectralAxis
    noise: Noise = field(default_factory=Noise)
    mask: NDArray[np.bool_] | None = None
    spatial: Spatial = field(default_factory=Spatial)
    source: Source = field(default_factory=Source)
    unit: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    white: Callable[[], Float32] | None = None

    def __repr__(self) -> str:
        bands, rows, columns = self.data.shape
        return f"<Cube {self.source.name}: {bands} bands, {rows} x {columns} pixels, {self.data.dtype}>"

    def __post_init__(self) -> None:
        name, shape = self.source.path or "this array", tuple(self.data.shape)
        if len(shape) != 3:
            raise DataError(f"{name}: a cube has 3 axes (bands, y, x), this has {len(shape)}")
        if any(n != n for n in shape):
            raise DataError(f"{name}: Dask does not know its size yet; call its compute_chunk_sizes() first")
        if 0 in shape:
            raise DataError(f"{name}: the cube is empty, its shape is {shape}")
        if np.dtype(self.data.dtype).kind not in "uifb":
            raise DataError(f"{name}: a cube holds real numbers, not {self.data.dtype}")
        if len(self.axis) != shape[0]:
            raise DataError(f"{name}: {shape[0]} bands but {len(self.axis)} values on the spectral axis")
        if self.mask is not None and self.mask.shape != shape[1:]:
            raise DataError(f"{name}: the mask is {self.mask.shape}, the image {shape[1:]}")
        variance = self.noise.variance
        if variance is not None and tuple(variance.shape) != shape:
            raise DataError(f"{name}: the variance is {tuple(variance.shape)}, the data {shape}")

    @property
    def name(self) -> str:
        """How messages call this cube: its path, or "this cube"."""
        return self.source.path or "this cube"

    @property
    def n_bands(self) -> int:
        """Number of bands."""
        return int(self.data.shape[0])

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.data.shape[1]), int(self.data.shape[2])

    @property
    def n_pixels(self) -> int:
        """Number of pixels of the image, masked ones included."""
        return self.image_shape[0] * self.image_shape[1]

    def check(self) -> None:
        """See whether the file is still what it was; reading calls this first.

        Raises
        ------
        DataError
            If a file that is mapped into memory has become shorter.
        """
        if not intact(self.data) or not intact(self.noise.variance):
            raise DataError(f"{self.name}: was cut short or written anew while it was open; open it again")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What the system says of a file that has gone becomes one line with its name."""
        self.check()
        try:
            yield
        except OSError as error:
            raise DataError(f"{self.name}: can no longer be read ({error.strerror or first_line(error)})") from error

    def block(self, rows: slice, columns: slice) -> Block:
        """Read one rectangle of pixels with all bands."""
        variance = None
        with self._reading():
            data = _taken(self.data, lambda key: np.array(self.data[key], dtype=np.float32), rows, columns)
            if self.noise.variance is not None:
                variance = _taken(self.noise.variance, self.noise.variance_of, rows, columns)
        mask = np.ones(data.shape[1:], bool) if self.mask is None else self.mask[rows, columns]
        return Block(rows, columns, data, variance, mask)

    def blocks(self, max_bytes: int = 64 << 20) -> Iterator[Block]:
        """Read the whole cube once, rectangle by rectangle, along the chunks of the file.

        Parameters
        ----------
        max_bytes : int
            No block's float32 data is larger, unless a single column of chunks is.

        Yields
        ------
        Block
        """
        for rows, columns in self.places(max_bytes):
            yield self.block(rows, columns)

    def places(self, max_bytes: int = 64 << 20) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of the rectangles of :meth:`blocks`."""
        height, width = self.image_shape
        tall, wide = self.chunk
        pixels = max(1, max_bytes // (4 * self.n_bands))
        if getattr(self.data, "chunks", None) and tall * wide <= (8 if self._computed else 2) * pixels:
            # a part of a chunk costs as much as all of it, above all where it has to be computed
            pixels = max(pixels, tall * wide)
        if pixels < tall * width:
            rows, columns = (
                min(tall, max(1, pixels // min(wide, width))),
                max(wide, pixels // tall // wide * wide),
            )
        else:
            rows, columns = max(tall, pixels // width // tall * tall), width
        across = list(_spans(width, columns, self._sizes(2)))
        for down in _spans(height, rows, self._sizes(1)):
            for part in across:
                yield down, part

    def spectra(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Float32:
        """Read the spectra of single pixels, touching only the chunks that hold them.

        Parameters
        ----------
        rows, columns : arrays of int, shape (n,)

        Returns
        -------
        array of float32, shape (n, bands)
        """
        with self._reading():
            return self._spectra(rows, columns)

    def _spectra(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Float32:
        rows, columns = np.asarray(rows, dtype=np.intp), np.asarray(columns, dtype=np.intp)
        result = np.empty((rows.size, self.n_bands), np.float32)
        if isinstance(self.data, np.ndarray):
            parts = slabs(self.data)
            few = _FEW if len(parts) == 1 and mapping(self.data) is not None else max(rows.size, 1)
            for start in range(0, rows.size, few):
                pixels = slice(start, start + few)
                for bands in parts:
                    result[pixels, bands] = self.data[bands, rows[pixels], columns[pixels]].T
                    let_go(self.data)
            return result
        tall, wide = self.chunk
        down, across = _number(rows, tall, self._sizes(1)), _number(columns, wide, self._sizes(2))
        tiles = down * self.image_shape[1] + across
        order = np.argsort(tiles, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(tiles[order])) + 1):
            if not members.size:
                continue
            y, x = rows[members], columns[members]
            top, left = int(y.min()), int(x.min())
            part = np.asarray(self.data[:, top : int(y.max()) + 1, left : int(x.max()) + 1])
            result[members] = part[:, y - top, x - left].T
        let_go(self.data)
        return result

    def spectrum(self, row: int, column: int) -> Float32:
        """Read one pixel's spectrum, shape (bands,)."""
        with self._reading():
            return np.asarray(self.data[:, row, column], dtype=np.float32)

    @property
    def chunk(self) -> tuple[int, int]:
        """Height and width of the pieces in which the file is best read."""
        if self._computed:
            return max(self._sizes(1)), max(self._sizes(2))
        chunks = getattr(self.data, "chunks", None)
        if not chunks:
            return 1, min(self.image_shape[1], 64)
        return min(int(chunks[1]), self.image_shape[0]), min(int(chunks[2]), self.image_shape[1])

    @property
    def _computed(self) -> bool:
        """Whether the data are a Dask array, which makes its chunks when they are asked for."""
        chunks: Any = getattr(self.data, "chunks", None)
        return bool(chunks) and isinstance(chunks[0], tuple)

    def _sizes(self, axis: int) -> tuple[int, ...]:
        """Sizes of the chunks of a Dask array, which need not be equal."""
        chunks: tuple[tuple[int, ...], ...] = getattr(self.data, "chunks", ())
        return chunks[axis] if self._computed else ()


def _turned(values: Float32, wanted: NDArray[np.bool_]) -> Float32:
    """Values (bands, y, x) as spectra (n, bands), each in one piece."""
    turned = values.transpose(1, 2, 0)
    if turned.strides[2] != turned.itemsize:
        # a cache line of each pixel at a time: NumPy's own way takes five times as long
        turned = np.empty(turned.shape, np.float32)
        for start in range(0, len(values), 16):
            turned[..., start : start + 16] = values[start : start + 16].transpose(1, 2, 0)
    spectra = turned.reshape(-1, len(values))
    return spectra if wanted.all() else spectra[wanted.ravel()]


def _taken(array: LazyArray, read: Callable[[Any], Any], rows: slice, columns: slice) -> Float32:
    """A rectangle of pixels with all bands; of a mapped file few pages are in memory at once."""
    parts, made = slabs(array), None
    for bands in parts:
        part: Float32 = read((bands, rows, columns))
        let_go(array)
        if len(parts) == 1:
            return part
        if made is None:
            made = np.empty((array.shape[0], *part.shape[1:]), np.float32)
        made[bands] = part
    assert made is not None
    return made


def _spans(length: int, step: int, sizes: tuple[int, ...]) -> Iterator[slice]:
    """Cut a length into pieces of at most `step`, that end where chunks of unequal sizes do."""
    edges = np.cumsum([0, *(sizes or (length,))])
    start = 0
    while start < length:
        edge = int(edges[np.searchsorted(edges, start + step, side="right") - 1])
        stop = edge if edge > start else start + step
        yield slice(start, stop)
        start = stop


def _number(places: NDArray[np.intp], step: int, sizes: tuple[int, ...]) -> NDArray[np.intp]:
    """Which piece of an axis each place lies in."""
    return np.searchsorted(np.cumsum(sizes), places, side="right") if sizes else places // step
