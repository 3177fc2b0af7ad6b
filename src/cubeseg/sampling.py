"""The training sample: spectra drawn evenly over the image in one pass over the file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Block, Cube
from cubeseg.errors import DataError
from cubeseg.preprocess import Preprocessor, reduce_bands, usable_pixels
from cubeseg.probe import probe
from cubeseg.spatial import Grid

__all__ = ["Sample", "draw_sample"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_PAIRS = 6144


@dataclass(frozen=True, eq=False)
class Sample:
    """Spectra drawn evenly over the image: one random pixel in every cell of a square grid.

    Attributes
    ----------
    rows, columns : arrays of int, shape (n,)
    spectra : array of float32, shape (n, bins)
        Already binned.
    variance : array of float32, shape (n, bins), or None
    usable : array of bool, shape (y, x)
        Every pixel of the image that can be labelled.
    preprocessor : Preprocessor
    pitch : int
        Side of a grid cell in pixels.
    paired : array of int, shape (m,)
        Which spectra of the sample have their neighbour in the image read too.
    neighbours : array of float32, shape (m, bins)
    neighbour_variance : array of float32, shape (m, bins), or None
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    spectra: Float32
    variance: Float32 | None
    usable: Bool
    preprocessor: Preprocessor
    pitch: int
    paired: NDArray[np.intp]
    neighbours: Float32
    neighbour_variance: Float32 | None

    def part(self, chosen: slice | NDArray[np.intp]) -> tuple[Float32, Float32 | None]:
        """Spectra of some of the pixels, and their variance where there is one."""
        return self.spectra[chosen], None if self.variance is None else self.variance[chosen]

    @property
    def grid(self) -> Grid:
        """The sample as a coarse picture of its own."""
        height, width = self.usable.shape
        shape = (-(-height // self.pitch), -(-width // self.pitch))
        return Grid(self.rows // self.pitch, self.columns // self.pitch, shape)

    def image(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Spread labels of the sample over the grid's cells: a coarse image (y, x), 0 where unusable."""
        height, width = self.usable.shape
        grid = self.grid
        cells = np.zeros(grid.shape, np.int32)
        cells[grid.rows, grid.columns] = labels
        spread = np.repeat(np.repeat(cells, self.pitch, axis=0), self.pitch, axis=1)[:height, :width]
        return np.where(self.usable, spread, 0).astype(np.int32)


def draw_sample(
    cube: Cube, *, bins: int, limit: int, seed: int, noise: str = "auto", block_bytes: int = 64 << 20
) -> Generator[float, None, Sample]:
    """Read the cube once and keep an even sample.

    Parameters
    ----------
    cube : Cube
    bins : int
        Largest number of bins per spectrum.
    limit : int
        Largest number of spectra.
    seed : int
    noise : {"auto", "poisson", "gaussian"}
    block_bytes : int
        Size of the parts in which the cube is read.

    Yields
    ------
    float
        The part of the cube that is done, 0 to 1.

    Returns
    -------
    Sample
        With a preprocessor that still has to be fitted, see :mod:`cubeseg.scaling`.

    Raises
    ------
    DataError
        If the cube holds nothing that can be clustered.
    """
    found = probe(cube)
    kind = found.noise if noise == "auto" else noise
    if kind == "poisson" and found.signed:
        raise DataError(f"{cube.name}: has negative values, so it does not hold counts; use --noise gaussian")
    bands = np.flatnonzero(found.bands)
    groups = np.arange(bands.size) // -(-bands.size // bins)
    height, width = cube.image_shape
    pitch = max(1, int(np.ceil(np.sqrt(cube.n_pixels / limit))))
    chosen = _one_per_cell((height, width), pitch, np.random.default_rng(seed))
    usable = np.zeros((height, width), bool)
    # one array each, filled as the cube is read: lists of parts would need the memory twice
    values = np.empty((int(chosen.sum()), int(groups[-1]) + 1), np.float32)
    variance = None if cube.noise.variance is None else np.empty_like(values)
    beside = _Neighbours(max(1, len(values) // min(_PAIRS, max(limit // 4, 64))))
    places, n = [], 0
    for done, block in _counted(cube, block_bytes):
        alive = usable_pixels(block, bands)
        usable[block.rows, block.columns] = alive
        y, x = np.nonzero(chosen[block.rows, block.columns] & alive)
        filled = slice(n, n + len(y))

        def reduced(
            at: tuple[NDArray[np.intp], NDArray[np.intp]], block: Block = block
        ) -> tuple[Float32, Float32 | None]:
            stored = None if block.variance is None else block.variance[:, *at].T
            return reduce_bands(block.data[:, *at].T, stored, bands, groups, kind == "poisson")

        values[filled], found_variance = reduced((y, x))
        if variance is not None and found_variance is not None:
            variance[filled] = found_variance
        beside.collect(n, y, x, alive, reduced)
        n += len(y)
        places.append(np.stack([y + block.rows.start, x + block.columns.start]))
        yield done
    if not n:
        raise DataError(f"{cube.name}: every pixel is empty, masked or not finite, there is nothing to cluster")
    values, variance = values[:n], None if variance is None else variance[:n]
    rows, columns = np.concatenate(places, axis=1)
    blank = Preprocessor.blank(found, bands, groups, kind, variance is not None)
    return Sample(rows, columns, values, variance, usable, blank, pitch, *beside.gathered(values))


class _Neighbours:
    """Collects the pixel to the right of, or below, every n-th pixel of the sample."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._index: list[NDArray[np.intp]] = []
        self._spectra: list[Float32] = []
        self._variance: list[Float32] = []

    def collect(
        self, first: int, y: NDArray[np.intp], x: NDArray[np.intp], alive: Bool,
        reduced: Callable[[tuple[NDArray[np.intp], NDArray[np.intp]]], tuple[Float32, Float32 | None]],
    ) -> None:  # fmt: skip
        """Pixels (y, x) of a block, numbered from `first`; neighbours outside the block are not looked for."""
        picked = np.arange(-first % self._every, len(y), self._every)
        turn = (first + picked) // self._every % 2
        below, right = y[picked] + turn, x[picked] + (1 - turn)
        inside = (below < alive.shape[0]) & (right < alive.shape[1])
        inside[inside] = alive[below[inside], right[inside]]
        spectra, variance = reduced((below[inside], right[inside]))
        self._index.append(first + picked[inside])
        self._spectra.append(spectra)
        if variance is not None:
            self._variance.append(variance)

    def gathered(self, like: Float32) -> tuple[NDArray[np.intp], Float32, Float32 | None]:
        """Indices into the sample, spectra and variance of their neighbours."""
        spectra = np.concatenate([np.zeros((0, like.shape[1]), np.float32), *self._spectra])
        variance = np.concatenate(self._variance) if self._variance else None
        return np.concatenate([np.zeros(0, np.intp), *self._index]), spectra, variance


def _one_per_cell(shape: tuple[int, int], pitch: int, rng: np.random.Generator) -> Bool:
    chosen = np.zeros(shape, bool)
    tops, lefts = np.meshgrid(np.arange(0, shape[0], pitch), np.arange(0, shape[1], pitch), indexing="ij")
    tall, wide = np.minimum(pitch, shape[0] - tops), np.minimum(pitch, shape[1] - lefts)
    rows = tops + (rng.random(tops.shape) * tall).astype(int)
    columns = lefts + (rng.random(lefts.shape) * wide).astype(int)
    chosen[rows, columns] = True
    return chosen


def _counted(cube: Cube, block_bytes: int) -> Iterator[tuple[float, Block]]:
    seen = 0
    for block in cube.blocks(block_bytes):
        seen += block.data.shape[1] * block.data.shape[2]
        yield seen / cube.n_pixels, block
