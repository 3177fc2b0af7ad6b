"""From a cube to training spectra: what is usable, what the noise is, an even sample, noise-aware inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Block, Cube
from cubeseg.errors import DataError

__all__ = ["Features", "Preprocessor", "Probe", "Sample", "draw_sample", "probe"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Probe:
    """What a few hundred spectra tell about a cube before it is read.

    Attributes
    ----------
    bands : array of bool, shape (bands,)
        Bands that hold data: finite in most pixels.
    noise : {"poisson", "gaussian"}
    signed : bool
        Negative values carry weight (background-subtracted data), so a spectrum has no meaningful norm.
    band_noise : array of float32, shape (bands,)
        Standard deviation that differences of neighbouring pixels reveal.
    typical : array of float32, shape (n, bands)
        The spectra read, unusable ones left out; for contrast limits and a first look.
    """

    bands: Bool
    noise: Literal["poisson", "gaussian"]
    signed: bool
    band_noise: Float32
    typical: Float32


def probe(cube: Cube, patches: int = 5, side: int = 8) -> Probe:
    """Look at a grid of small patches.

    Parameters
    ----------
    cube : Cube
    patches : int
        Patches along each image axis.
    side : int
        Height and width of a patch in pixels.

    Raises
    ------
    DataError
        If nothing in the patches, or in the whole cube, can be used.
    """
    height, width = cube.image_shape
    spectra, differences, sums = [], [], []
    for top in np.unique(np.linspace(0, max(height - side, 0), patches).astype(int)):
        for left in np.unique(np.linspace(0, max(width - side, 0), patches).astype(int)):
            block = cube.block(slice(top, min(top + side, height)), slice(left, min(left + side, width)))
            data = np.where(block.mask, block.data, np.float32(np.nan))
            spectra.append(data.reshape(cube.n_bands, -1).T)
            axis = 2 if data.shape[2] > 1 else 1
            first, second = _pairs(data, axis)
            differences.append((first - second).reshape(cube.n_bands, -1).T)
            sums.append((first + second).reshape(cube.n_bands, -1).T)
    values = np.concatenate(spectra)
    values = values[_alive(values)]
    if not len(values):
        raise DataError(
            f"{_name(cube)}: no usable spectrum was found, the pixels are empty, masked or not finite"
        )
    bands = np.isfinite(values).mean(axis=0) > 0.5
    if bands.sum() < 2:
        raise DataError(
            f"{_name(cube)}: only {int(bands.sum())} band holds data; clustering spectra takes at least 2 bands"
        )
    return Probe(
        bands=bands,
        noise=_noise_kind(cube, values, np.concatenate(differences), np.concatenate(sums)),
        signed=bool(np.nansum(np.minimum(values, 0) ** 2) > 1e-3 * np.nansum(values**2)),
        band_noise=_band_noise(np.concatenate(differences)),
        typical=values,
    )


@dataclass(frozen=True, eq=False)
class Features:
    """Network inputs and what the network has to reproduce.

    Attributes
    ----------
    inputs : array of float32, shape (n, features)
    targets : array of float32, shape (n, outputs)
        Counts for the multinomial likelihood, otherwise the inputs.
    weights : array of float32, shape (n, 1), optional
        Inverse variance of the targets of each spectrum.
    """

    inputs: Float32
    targets: Float32
    weights: Float32 | None


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """The fitted way from raw spectra to network inputs; stored with the model.

    Counts are scaled as their noise asks for: square root of the normalised spectrum (Hellinger), so that
    Euclidean distances are those of the multinomial distribution. Positive continuous spectra are split into
    shape (unit norm) and brightness (logarithm, a feature with its own weight). Signed data are divided by
    their noise and by their signal-to-noise where that exceeds one, so that faint pixels are not blown up.

    Attributes
    ----------
    kind : {"counts", "shape", "signal"}
    groups : array of int, shape (used bands,)
        Bin of each used band; `bands` lists these bands.
    centre : array of float32, shape (features,)
    scale : float
    band_noise : array of float32, shape (bins,)
    brightness : (float, float)
        Mean and standard deviation of the log brightness.
    """

    kind: Literal["counts", "shape", "signal"]
    bands: NDArray[np.int64]
    groups: NDArray[np.int64]
    centre: Float32
    scale: float
    band_noise: Float32
    brightness: tuple[float, float]

    BRIGHTNESS_WEIGHT = 0.5

    @classmethod
    def fit(
        cls, found: Probe, spectra: Float32, variance: Float32 | None, bands: NDArray[np.int64],
        groups: NDArray[np.int64], noise: Literal["poisson", "gaussian"],
    ) -> Preprocessor:  # fmt: skip
        """Learn centre and scale from binned training spectra (n, bins)."""
        kind: Literal["counts", "shape", "signal"] = (
            "counts" if noise == "poisson" else "signal" if variance is not None or found.signed else "shape"
        )
        members = np.bincount(groups)
        band_noise = np.sqrt(np.bincount(groups, found.band_noise[bands].astype(np.float64) ** 2)) / members
        floor = np.median(band_noise[band_noise > 0]) * 1e-3 if (band_noise > 0).any() else 1.0
        blank = cls(kind, bands, groups, np.zeros(1, np.float32), 1.0,
                    np.maximum(band_noise, floor).astype(np.float32), (0.0, 1.0))  # fmt: skip
        raw, brightness = blank._raw(spectra, variance)[:2]
        centre = raw.mean(axis=0)
        scale = float(np.sqrt(np.mean((raw - centre) ** 2))) or 1.0
        spread = float(brightness.std()) or 1.0
        return cls(kind, bands, groups, centre, scale, blank.band_noise, (float(brightness.mean()), spread))

    @property
    def n_bins(self) -> int:
        """Number of bins of a reduced spectrum."""
        return int(self.groups[-1]) + 1

    @property
    def n_inputs(self) -> int:
        """Width of the network's input."""
        return self.n_bins + (self.kind != "counts")

    @property
    def likelihood(self) -> Literal["multinomial", "gaussian"]:
        """Likelihood of the reconstruction that goes with these inputs."""
        return "multinomial" if self.kind == "counts" else "gaussian"

    def reduce(self, spectra: Float32, variance: Float32 | None) -> tuple[Float32, Float32 | None]:
        """Drop unusable bands, bin the others (sums for counts, means otherwise); (n, bands) -> (n, bins)."""
        counts = self.kind == "counts"
        return reduce_bands(spectra, variance, self.bands, self.groups, counts)

    def features(self, spectra: Float32, variance: Float32 | None = None) -> Features:
        """Features of binned spectra (n, bins); `variance` of the same shape where the cube has one."""
        raw, brightness, weights = self._raw(spectra, variance)
        inputs = (raw - self.centre) / np.float32(self.scale)
        if self.kind == "counts":
            return Features(inputs, np.maximum(spectra, 0), None)
        extra = (brightness - self.brightness[0]) / self.brightness[1]
        extra *= self.BRIGHTNESS_WEIGHT * np.sqrt(self.n_bins)
        inputs = np.concatenate([inputs, extra[:, None].astype(np.float32)], axis=1)
        return Features(inputs, inputs, weights)

    def _raw(self, x: Float32, variance: Float32 | None) -> tuple[Float32, Float32, Float32 | None]:
        if self.kind == "counts":
            total = np.maximum(x.sum(axis=1, keepdims=True), 1e-6)
            return np.sqrt(np.maximum(x, 0) / total), np.log(total[:, 0]), None
        if self.kind == "shape":
            norm = np.maximum(np.sqrt(np.mean(x**2, axis=1, keepdims=True)), 1e-12)
            return x / norm, np.log(norm[:, 0]), None
        sigma = np.sqrt(variance) if variance is not None else self.band_noise
        scaled = np.clip(np.where(sigma > 0, x / np.where(sigma > 0, sigma, 1), 0), -1e4, 1e4)
        power = np.maximum(np.mean(scaled**2, axis=1, keepdims=True) - 1, 0)
        weights = np.minimum(1 + power, 400.0)
        return (scaled / np.sqrt(1 + power)).astype(np.float32), 0.5 * np.log1p(power[:, 0]), weights


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
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    spectra: Float32
    variance: Float32 | None
    usable: Bool
    preprocessor: Preprocessor
    pitch: int

    def image(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Spread labels of the sample over the grid's cells: a coarse label image (y, x), 0 where unusable."""
        height, width = self.usable.shape
        cells = np.zeros((-(-height // self.pitch), -(-width // self.pitch)), np.int32)
        cells[self.rows // self.pitch, self.columns // self.pitch] = labels
        spread = np.repeat(np.repeat(cells, self.pitch, axis=0), self.pitch, axis=1)[:height, :width]
        return np.where(self.usable, spread, 0).astype(np.int32)


def draw_sample(
    cube: Cube, *, bins: int, limit: int, seed: int, noise: str = "auto", block_bytes: int = 64 << 20
) -> Iterator[float]:
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

    Raises
    ------
    DataError
        If the cube holds nothing that can be clustered.
    """
    found = probe(cube)
    kind = found.noise if noise == "auto" else noise
    if kind == "poisson" and found.signed:
        raise DataError(
            f"{_name(cube)}: has negative values, so it does not hold counts; use --noise gaussian"
        )
    bands = np.flatnonzero(found.bands)
    groups = np.arange(bands.size) // -(-bands.size // bins)
    height, width = cube.image_shape
    pitch = max(1, int(np.ceil(np.sqrt(cube.n_pixels / limit))))
    chosen = _one_per_cell((height, width), pitch, np.random.default_rng(seed))
    usable = np.zeros((height, width), bool)
    spectra, variances, places = [], [], []
    for done, block in _counted(cube, block_bytes):
        alive = usable_pixels(block, bands)
        usable[block.rows, block.columns] = alive
        y, x = np.nonzero(chosen[block.rows, block.columns] & alive)
        values, variance = reduce_bands(
            _filled(block.data[:, y, x].T), None if block.variance is None else block.variance[:, y, x].T,
            bands, groups, kind == "poisson",
        )  # fmt: skip
        spectra.append(values)
        variances.append(variance)
        places.append(np.stack([y + block.rows.start, x + block.columns.start]))
        yield done
    if not usable.any():
        raise DataError(
            f"{_name(cube)}: every pixel is empty, masked or not finite, there is nothing to cluster"
        )
    values = np.concatenate(spectra)
    variance = (
        None if cube.noise.variance is None else np.concatenate([v for v in variances if v is not None])
    )
    rows, columns = np.concatenate(places, axis=1)
    fitted = Preprocessor.fit(
        found, values, variance, bands, groups, "poisson" if kind == "poisson" else "gaussian"
    )
    return Sample(rows, columns, values, variance, usable, fitted, pitch)


def usable_pixels(block: Block, bands: NDArray[np.int64]) -> Bool:
    """Pixels (height, width) with data in at least 90 % of the used bands, not all zero, not masked."""
    data = block.data[bands]
    return np.asarray(
        block.mask & (np.isfinite(data).mean(axis=0) >= 0.9) & (np.nan_to_num(data) != 0).any(axis=0)
    )


def reduce_bands(
    spectra: Float32,
    variance: Float32 | None,
    bands: NDArray[np.int64],
    groups: NDArray[np.int64],
    sums: bool,
) -> tuple[Float32, Float32 | None]:
    """Pick `bands` and bin them by `groups`: sums, or means with the variance of the mean."""
    spectra = _filled(spectra[:, bands])
    picked = None if variance is None else np.nan_to_num(variance[:, bands], nan=np.inf, posinf=np.inf)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    if len(starts) < len(groups):
        members = np.float32(1) if sums else np.bincount(groups).astype(np.float32)
        spectra = np.add.reduceat(spectra, starts, axis=1) / members
        picked = None if picked is None else np.add.reduceat(picked, starts, axis=1) / members**2
    return spectra, picked


def _filled(spectra: Float32) -> Float32:
    """Replace missing values by the pixel's own mean, which says nothing about its shape there."""
    finite = np.isfinite(spectra)
    if finite.all():
        return spectra
    total = np.where(finite, spectra, 0).sum(axis=1, keepdims=True)
    return np.where(finite, spectra, total / np.maximum(finite.sum(axis=1, keepdims=True), 1)).astype(
        np.float32
    )


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


def _pairs(data: Float32, axis: int) -> tuple[Float32, Float32]:
    """Neighbours along an image axis; a pixel with itself where there is only one."""
    if data.shape[axis] < 2:
        return data, data
    return data.take(range(1, data.shape[axis]), axis), data.take(range(data.shape[axis] - 1), axis)


def _alive(spectra: Float32) -> Bool:
    finite = np.isfinite(spectra)
    return np.asarray(finite.any(axis=1) & (np.where(finite, spectra, 0) != 0).any(axis=1))


def _band_noise(differences: Float32) -> Float32:
    """Per band, from the median of absolute neighbour differences (1.4826 * median / sqrt 2)."""
    with np.errstate(all="ignore"):
        finite = np.where(np.isfinite(differences), np.abs(differences), np.nan)
        keep = ~np.isnan(finite).all(axis=0)
        noise = np.zeros(differences.shape[1], np.float32)
        noise[keep] = 1.0484 * np.nanmedian(finite[:, keep], axis=0)
    return noise


def _noise_kind(
    cube: Cube, values: Float32, differences: Float32, sums: Float32
) -> Literal["poisson", "gaussian"]:
    """Counts are whole, not negative, and neighbours differ as binomials do.

    For two Poisson counts of equal expectation (a - b)^2/(a + b) has expectation 1 whatever their sum, so
    the median over pairs of its mean over bands tells counts from digitised intensities.
    """
    if cube.noise.kind != "unknown":
        return "poisson" if cube.noise.kind == "poisson" else "gaussian"
    finite = values[np.isfinite(values)]
    if cube.noise.variance is not None or (finite < 0).any() or (finite != np.round(finite)).any():
        return "gaussian"
    with np.errstate(all="ignore"):
        index = np.nanmean(np.where(sums > 0, differences**2 / sums, np.nan), axis=1)
    index = index[np.isfinite(index)]
    return "poisson" if index.size and 0.6 < float(np.median(index)) < 1.6 else "gaussian"


def _name(cube: Cube) -> str:
    return cube.source.path or "this cube"
