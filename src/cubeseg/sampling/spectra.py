"""The training sample: spectra drawn evenly over the image in one pass over the file."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.spatial import Grid
from cubeseg.cube import Block, Cube
from cubeseg.errors import DataError
from cubeseg.parallel.executor import HERE, Executor
from cubeseg.sampling.preprocess import Preprocessor, reduce_bands, usable_pixels
from cubeseg.sampling.probe import Probe, probe

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
    cube: Cube,
    *,
    bins: int,
    limit: int,
    seed: int,
    noise: str = "auto",
    block_bytes: int = 64 << 20,
    executor: Executor = HERE,
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
    executor : Executor
        Where it is read.

    Yields
    ------
    float
        The part of the cube that is done, 0 to 1.

    Returns
    -------
    Sample
        With a preprocessor that still has to be fitted, see :mod:`cubeseg.sampling.scaling`.

    Raises
    ------
    DataError
        If the cube holds nothing that can be clustered.
    """
    found = yield from _looked(cube, executor)
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
    draw = _Draw(bands, groups, kind == "poisson", max(1, len(values) // min(_PAIRS, max(limit // 4, 64))))
    beside = _Neighbours(draw.every)
    places, n, done = [], 0, 0.0

    def asked() -> Iterator[_Asked]:
        for rows, columns in cube.places(block_bytes):
            yield rows, columns, chosen[rows, columns], n if executor.in_turn else None

    with closing(executor.map(draw, cube, asked())) as parts:
        for part in parts:
            if part is not None:
                filled = slice(n, n + len(part.y))
                values[filled] = part.spectra
                if variance is not None and part.variance is not None:
                    variance[filled] = part.variance
                usable[part.rows, part.columns] = part.alive
                places.append(np.stack([part.y + part.rows.start, part.x + part.columns.start]))
                beside.collect(n, part)
                n += len(part.y)
                done += part.alive.size / cube.n_pixels
            yield min(done, 1.0)
    if not n:
        raise DataError(f"{cube.name}: every pixel is empty, masked or not finite, there is nothing to cluster")
    values, variance = values[:n], None if variance is None else variance[:n]
    rows, columns = np.concatenate(places, axis=1)
    blank = Preprocessor.blank(found, bands, groups, kind, variance is not None)
    return Sample(rows, columns, values, variance, usable, blank, pitch, *beside.gathered(values))


def _looked(cube: Cube, executor: Executor) -> Generator[float, None, Probe]:
    """The first look, taken where the cube is read."""
    with closing(executor.map(_look, cube, [()])) as answers:
        for found in answers:
            if found is not None:
                return found
            yield 0.0
    raise AssertionError("a look was asked for")


def _look(cube: Cube, _: tuple[()]) -> Probe:
    return probe(cube)


# rows, columns, which pixels (height, width) are wanted, and how many came before, where that is known
_Asked = tuple[slice, slice, Bool, int | None]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The sample's part of a block: pixels (y, x) within the block, their binned spectra, their neighbours.

    ``at[turn, i]`` is the row in `beside` of the neighbour of pixel i, to the right (0) or below (1); -1 for none.
    """

    rows: slice
    columns: slice
    alive: Bool
    y: NDArray[np.intp]
    x: NDArray[np.intp]
    spectra: Float32
    variance: Float32 | None
    at: NDArray[np.intp]
    beside: Float32
    beside_variance: Float32 | None


@dataclass(frozen=True, eq=False)
class _Draw:
    """Reads a block and draws from it; the neighbour of every n-th pixel of the sample comes along.

    Which pixels these are follows from how many came before; where that is not known yet, all neighbours come.
    """

    bands: NDArray[np.intp]
    groups: NDArray[np.intp]
    counts: bool
    every: int

    def __call__(self, cube: Cube, asked: _Asked) -> _Drawn:
        rows, columns, chosen, before = asked
        block = cube.block(rows, columns)
        alive = usable_pixels(block, self.bands)
        y, x = np.nonzero(chosen & alive)
        wanted = np.full((2, len(y)), before is None)
        if before is not None:
            wanted[_turns(before, len(y), self.every)] = True
        turn, i = np.nonzero(wanted)
        below, right = y[i] + turn, x[i] + (1 - turn)
        inside = (below < alive.shape[0]) & (right < alive.shape[1])
        inside[inside] = alive[below[inside], right[inside]]
        at = np.full(wanted.shape, -1, np.intp)
        at[turn[inside], i[inside]] = np.arange(int(inside.sum()))
        spectra, variance = self._reduced(block, y, x)
        beside, beside_variance = self._reduced(block, below[inside], right[inside])
        return _Drawn(rows, columns, alive, y, x, spectra, variance, at, beside, beside_variance)

    def _reduced(self, block: Block, y: NDArray[np.intp], x: NDArray[np.intp]) -> tuple[Float32, Float32 | None]:
        stored = None if block.variance is None else block.variance[:, y, x].T
        return reduce_bands(block.data[:, y, x].T, stored, self.bands, self.groups, self.counts)


def _turns(first: int, n: int, every: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of n pixels, numbered from `first`, those whose neighbour is wanted: in which direction, and which they are."""
    picked = np.arange(-first % every, n, every)
    return (first + picked) // every % 2, picked


class _Neighbours:
    """Collects the pixel to the right of, or below, every n-th pixel of the sample."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._index: list[NDArray[np.intp]] = []
        self._spectra: list[Float32] = []
        self._variance: list[Float32] = []

    def collect(self, first: int, part: _Drawn) -> None:
        """From a block whose pixels are numbered from `first`; neighbours outside the block are not looked for."""
        turn, picked = _turns(first, len(part.y), self._every)
        at = part.at[turn, picked]
        self._index.append(first + picked[at >= 0])
        self._spectra.append(part.beside[at[at >= 0]])
        if part.beside_variance is not None:
            self._variance.append(part.beside_variance[at[at >= 0]])

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
