"""Windows of one cube or many, read straight from disk: all that patch-wise training keeps in memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import DataError
from cubeseg.sampling.preprocess import Preprocessor, usable_pixels
from cubeseg.sampling.probe import Probe
from cubeseg.sampling.spectra import Sample

__all__ = ["Patches"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]

# windows that are kept, windows of them that stay while others are exchanged, spectra that fix a scaling
_MOST, _KEPT, _SPECTRA, _PAIRS = 96, 16, 16384, 6144
# of a window's pixels, what must be usable, and how often another place is tried
_LEAST, _TRIES = 0.1, 8
# the plastic number: steps of its inverse powers fill a square evenly, however many are taken (Roberts 2018, R2)
_STEPS = np.array([0.7548776662466927, 0.5698402909980532])


class Patches:
    """As many windows as memory allows, evenly spread over all cubes, exchanged while training goes on.

    Parameters
    ----------
    cubes : sequence of Cube
        On the same spectral axis.
    probes : sequence of Probe
        A first look at each; they hold the same kind of values.
    config : FitConfig

    Attributes
    ----------
    spectra : array of float32, shape (n, side, side, bins)
        Binned.
    variance : the same, or None
    usable : array of bool, shape (n, side, side)
        False too beyond the image's border.
    places : array of int, shape (n, 3)
        Cube, top row, left column of each window.
    preprocessor : Preprocessor

    Raises
    ------
    DataError
        If the cubes have no band in common.
    """

    def __init__(self, cubes: Sequence[Cube], probes: Sequence[Probe], config: FitConfig) -> None:
        self.cubes, self.config = list(cubes), config
        self.preprocessor = _prepared(cubes, probes, config)
        # two crops that are as far apart as they can be still share a quarter of their pixels
        self.side = config.patch + config.patch // 2
        bins = self.preprocessor.n_bins
        with_variance = all(c.noise.variance is not None for c in cubes)
        each = self.side**2 * 4 * bins * (2 if with_variance else 1)
        pixels = sum(c.n_pixels for c in cubes)
        n = int(np.clip(4 * pixels / self.side**2, 2 * len(cubes), _MOST))
        n = max(4, min(n, config.memory // 4 // each))
        self.spectra = np.zeros((n, self.side, self.side, bins), np.float32)
        self.variance = np.zeros_like(self.spectra) if with_variance else None
        self.usable = np.zeros((n, self.side, self.side), bool)
        self.places = np.zeros((n, 3), np.intp)
        self._rng = np.random.default_rng([config.seed, 11])
        self._start = self._rng.random(2)
        self._drawn = 0
        shares = np.array([c.n_pixels for c in cubes], float)
        self._shares = np.cumsum(shares / shares.sum())

    def __len__(self) -> int:
        return len(self.spectra)

    @property
    def kept(self) -> NDArray[np.intp]:
        """Windows that stay: what changes on them is the model."""
        return np.arange(min(_KEPT, len(self)))

    def fill(self) -> Generator[float, None, None]:
        """Read all windows; yields how much is done.

        Raises
        ------
        DataError
            If none of them holds a usable pixel.
        """
        for slot in range(len(self)):
            self._read(slot)
            yield (slot + 1) / len(self)
        if not self.usable.any():
            names = ", ".join(c.name for c in self.cubes)
            raise DataError(f"{names}: every pixel is empty, masked or not finite, there is nothing to cluster")

    def renew(self, part: float = 0.25) -> Generator[float, None, None]:
        """Exchange some of the windows for others; a cube that they would hold whole is not read again."""
        free = np.setdiff1d(np.arange(len(self)), self.kept)
        if sum(c.n_pixels for c in self.cubes) * 4 <= len(self) * self.side**2 or not len(free):
            return
        for slot in self._rng.permutation(free)[: max(1, int(part * len(self)))]:
            self._read(int(slot))
            yield 0.0

    def sample(self) -> Sample:
        """Spectra of a grid of pixels of the windows, with their neighbours, as if the windows lay below each other."""
        pitch = max(1, int(np.ceil(np.sqrt(self.usable.sum() / _SPECTRA))))
        on_grid = np.zeros_like(self.usable)
        on_grid[:, ::pitch, ::pitch] = True
        window, y, x = np.nonzero(self.usable & on_grid)
        turn = np.arange(len(y)) % 2
        below, right = y + turn, x + 1 - turn
        inside = (below < self.side) & (right < self.side)
        inside[inside] = self.usable[window[inside], below[inside], right[inside]]
        paired = np.flatnonzero(inside)[:: max(1, int(inside.sum()) // _PAIRS)]
        beside = window[paired], below[paired], right[paired]
        variance = None if self.variance is None else self.variance[window, y, x]
        other = None if self.variance is None else self.variance[beside]
        # a window takes up whole cells of the grid
        height = -(-self.side // pitch) * pitch
        usable = np.zeros((len(self) * height, self.side), bool)
        usable[window * height + y, x] = True
        spectra, neighbours = self.spectra[window, y, x], self.spectra[beside]
        return Sample(window * height + y, x, spectra, variance, usable, self.preprocessor, pitch,
                      paired, neighbours, other)  # fmt: skip

    def of_window(self, window: int, sample: Sample) -> tuple[Pixels, Pixels]:
        """Rows and columns within a window of the pixels of :meth:`sample` that lie there, and of their neighbours."""
        height = len(sample.usable) // len(self)
        own = np.flatnonzero(sample.rows // height == window)
        paired = np.intersect1d(own, sample.paired, assume_unique=True)
        y, x, turn = sample.rows % height, sample.columns, paired % 2
        return (y[own], x[own]), (y[paired] + turn, x[paired] + 1 - turn)

    def _read(self, slot: int) -> None:
        """Fill a slot with the next place that holds data, or leave the best of several tries there."""
        best = -1.0
        for _ in range(_TRIES):
            place = self._next()
            spectra, variance, usable = self._window(*place)
            share = float(usable.mean())
            if share > best:
                best, self.places[slot] = share, place
                self.spectra[slot], self.usable[slot] = spectra, usable
                if self.variance is not None and variance is not None:
                    self.variance[slot] = variance
            if share >= _LEAST * min(1.0, self.cubes[place[0]].n_pixels / self.side**2):
                return

    def _next(self) -> tuple[int, int, int]:
        number, self._drawn = self._drawn, self._drawn + 1
        cubes = len(self.cubes)
        # first every cube once, then by their size
        chosen = number % cubes if number < 2 * cubes else int(np.searchsorted(self._shares, self._rng.random()))
        cube = self.cubes[min(chosen, cubes - 1)]
        u, v = (self._start + (number + 1) * _STEPS) % 1.0
        tall, wide = cube.chunk
        (height, width), side = cube.image_shape, self.side
        return min(chosen, cubes - 1), _aligned(u, height, side, tall), _aligned(v, width, side, wide)

    def _window(self, number: int, top: int, left: int) -> tuple[Float32, Float32 | None, Bool]:
        cube, side, prepare = self.cubes[number], self.side, self.preprocessor
        height, width = cube.image_shape
        block = cube.block(slice(top, min(top + side, height)), slice(left, min(left + side, width)))
        alive = usable_pixels(block, prepare.bands)
        spectra = np.zeros((side, side, prepare.n_bins), np.float32)
        usable = np.zeros((side, side), bool)
        usable[: alive.shape[0], : alive.shape[1]] = alive
        reduced, noise = prepare.reduce(*block.spectra(alive))
        spectra[usable] = reduced
        variance = None
        if noise is not None:
            variance = np.zeros_like(spectra)
            variance[usable] = noise
        return spectra, variance, usable


def _aligned(u: float, length: int, side: int, chunk: int) -> int:
    """A start from 0 to length - side, at random by u in [0, 1), such that few chunks are touched.

    Pixels at the ends are in nearly as many windows as others.
    """
    # within one chunk, where one is large enough
    piece = chunk if chunk >= side else length
    first = int(u * length) // piece * piece
    width = min(piece, length - first)
    if width < side:
        return max(0, min(first, length - side))
    # windows that would begin or end beyond are moved inside
    start = int(np.clip((u * length - first) / width * (width + side) - side, 0, width - side))
    aligned = start if chunk >= side or start == width - side else start // chunk * chunk
    return first + aligned


def _prepared(cubes: Sequence[Cube], probes: Sequence[Probe], config: FitConfig) -> Preprocessor:
    """What all cubes have in common; not fitted yet."""
    kinds = [p.noise if config.noise == "auto" else config.noise for p in probes]
    for cube, look, kind in zip(cubes, probes, kinds, strict=True):
        if kind == "poisson" and look.signed:
            raise DataError(f"{cube.name}: has negative values, so it does not hold counts; use --noise gaussian")
    shared = np.logical_and.reduce([p.bands for p in probes])
    if shared.sum() < 2:
        raise DataError(f"{', '.join(c.name for c in cubes)}: have no two bands with data in common")
    bands = np.flatnonzero(shared)
    groups = np.arange(bands.size) // -(-bands.size // config.bins)
    noise = np.median([p.band_noise for p in probes], axis=0).astype(np.float32)
    found = replace(probes[0], bands=shared, band_noise=noise, signed=any(p.signed for p in probes))
    has_variance = all(c.noise.variance is not None for c in cubes)
    return Preprocessor.blank(found, bands, groups, kinds[0], has_variance)
