"""From raw spectra to network inputs: usable pixels, bins, noise-aware scaling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.config import Scaling
from cubeseg.cube import Block
from cubeseg.sampling.probe import Probe

__all__ = ["SCALINGS", "SUITABLE", "Features", "Preprocessor", "fill_missing", "reduce_bands", "usable_pixels"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


# what is tried for each kind of data; the first is kept unless another one is clearly better. The brightness of a
# reflectance spectrum is not: uneven light makes classes that neighbours agree on perfectly
SCALINGS: dict[str, tuple[Scaling, ...]] = {
    "counts": ("hellinger",),
    "shape": ("shape", "whitened"),
    "signal": ("signal", "signal+brightness"),
}
# what may be asked for
SUITABLE: dict[str, set[Scaling]] = {
    "counts": {"hellinger", "log-max"},
    "shape": {"shape", "shape+brightness", "whitened", "log-max"},
    "signal": {"signal", "signal+brightness", "log-max"},
}


@dataclass(frozen=True, eq=False)
class Features:
    """Network inputs and what the network has to reproduce.

    Attributes
    ----------
    inputs : array of float32, shape (n, features)
    targets : array of float32, shape (n, outputs)
        Counts for the multinomial likelihood, otherwise the inputs.
    """

    inputs: Float32
    targets: Float32


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """The fitted way from raw spectra to network inputs; stored with the model.

    Which scaling suits which kind of data:

    counts
        "hellinger": square root of the normalised spectrum, so that Euclidean distances are those of the multinomial
        distribution.
    shape (positive continuous spectra)
        "shape": unit norm. "shape+brightness": the logarithm of the norm joins as one feature. "whitened": unit norm,
        then divided by the covariance that neighbouring pixels reveal (minimum noise fraction, Green et al. 1988,
        with the calmer half of the differences), so that reconstruction and distances are Mahalanobis'.
    signal (signed data, data with a variance)
        "signal": divided by the noise, and by the signal-to-noise where that exceeds one, so that faint pixels are not
        blown up; "signal+brightness" as above.
    any
        "log-max": log(1 + x) over its maximum, the published preprocessing (arXiv 2401.17695).

    Attributes
    ----------
    kind : {"counts", "shape", "signal"}
    scaling : str
    bands : array of int
        Used bands; `groups`, of the same length, holds the bin of each.
    centre : array of float32, shape (bins,)
    scale : float
    band_noise, ceiling : array of float32, shape (bins,)
        Noise of a bin, and the level (in units of the noise) that all but a hundredth of the pixels stay below.
    brightness : (float, float)
        Mean and standard deviation of the log brightness.
    projection : array of float32, shape (bins, r)
        For "whitened"; otherwise empty.
    """

    kind: Literal["counts", "shape", "signal"]
    scaling: Scaling
    bands: NDArray[np.int64]
    groups: NDArray[np.int64]
    centre: Float32
    scale: float
    band_noise: Float32
    ceiling: Float32
    brightness: tuple[float, float]
    projection: Float32

    BRIGHTNESS_WEIGHT = 0.5

    @classmethod
    def blank(
        cls, found: Probe, bands: NDArray[np.int64], groups: NDArray[np.int64], noise: str, has_variance: bool
    ) -> Preprocessor:
        """Knows the kind of the data and the noise of each bin; :meth:`fitted` adds the rest."""
        kind: Literal["counts", "shape", "signal"] = (
            "counts" if noise == "poisson" else "signal" if has_variance or found.signed else "shape"
        )
        members = np.bincount(groups)
        band_noise = np.sqrt(np.bincount(groups, found.band_noise[bands].astype(np.float64) ** 2)) / members
        floor = np.median(band_noise[band_noise > 0]) * 1e-3 if (band_noise > 0).any() else 1.0
        return cls(kind, SCALINGS[kind][0], bands, groups, np.zeros(1, np.float32), 1.0,
                   np.maximum(band_noise, floor).astype(np.float32), np.full(len(members), np.inf, np.float32),
                   (0.0, 1.0), np.zeros((0, 0), np.float32))  # fmt: skip

    def fitted(
        self, scaling: Scaling, spectra: Float32, variance: Float32 | None, pairs: tuple[Float32, Float32] | None
    ) -> Preprocessor:
        """Learn centre and scale from binned training spectra (n, bins) and pairs of neighbours (m, bins) each."""
        made = replace(self, scaling=scaling)
        # some thousands fix a mean and a scale; temporary copies of all would be the peak of the memory
        spaced = slice(None, None, max(1, len(spectra) // 8192))
        spectra, variance = spectra[spaced], None if variance is None else variance[spaced]
        if self.kind == "signal":
            sigma = np.sqrt(variance) if variance is not None else self.band_noise
            # a variance of zero says that the value is none
            ratio = np.where(sigma > 0, spectra / np.where(sigma > 0, sigma, 1), 0)
            made = replace(made, ceiling=np.quantile(ratio, 0.99, axis=0).astype(np.float32))
        raw, brightness = made._raw(spectra, variance)
        centre = raw.mean(axis=0)
        made = replace(made, centre=centre, brightness=(float(brightness.mean()), float(brightness.std()) or 1.0))
        if scaling == "log-max":
            return replace(made, centre=np.zeros_like(centre))
        if scaling == "whitened" and pairs is not None:
            projection = _noise_whitening(raw - centre, made._raw(pairs[0], None)[0] - made._raw(pairs[1], None)[0])
            spread = float(np.sqrt(np.mean(((raw - centre) @ projection) ** 2))) or 1.0
            return replace(made, projection=(projection / spread).astype(np.float32))
        return replace(made, scale=float(np.sqrt(np.mean((raw - centre) ** 2))) or 1.0)

    @property
    def n_bins(self) -> int:
        """Number of bins of a reduced spectrum."""
        return int(self.groups[-1]) + 1

    @property
    def n_inputs(self) -> int:
        """Width of the network's input."""
        width = self.projection.shape[1] if self.projection.size else self.n_bins
        return width + self.scaling.endswith("+brightness")

    @property
    def likelihood(self) -> Literal["multinomial", "gaussian"]:
        """Likelihood of the reconstruction that goes with these inputs."""
        return "multinomial" if self.scaling == "hellinger" else "gaussian"

    def reduce(self, spectra: Float32, variance: Float32 | None) -> tuple[Float32, Float32 | None]:
        """Drop unusable bands, bin the others (sums for counts, means otherwise); (n, bands) -> (n, bins)."""
        counts = self.kind == "counts"
        return reduce_bands(spectra, variance, self.bands, self.groups, counts)

    def features(self, spectra: Float32, variance: Float32 | None = None) -> Features:
        """Features of binned spectra (n, bins); `variance` of the same shape where the cube has one."""
        inputs, brightness = self._raw(spectra, variance)
        inputs -= self.centre
        inputs /= np.float32(self.scale)
        if self.projection.size:
            inputs = inputs @ self.projection
        if self.likelihood == "multinomial":
            return Features(inputs, _positive(spectra))
        if self.scaling.endswith("+brightness"):
            extra = (brightness - self.brightness[0]) / self.brightness[1]
            extra *= self.BRIGHTNESS_WEIGHT * np.sqrt(inputs.shape[1])
            inputs = np.concatenate([inputs, extra[:, None].astype(np.float32)], axis=1)
        return Features(inputs, inputs)

    def _raw(self, x: Float32, variance: Float32 | None) -> tuple[Float32, Float32]:
        if self.scaling == "log-max":
            logs = np.log1p(np.maximum(x, 0))
            top = np.maximum(logs.max(axis=1, keepdims=True), 1e-12)
            return logs / top, np.log(top[:, 0])
        if self.kind == "counts":
            total = np.maximum(x.sum(axis=1, keepdims=True), 1e-6)
            parts = _positive(x) / total
            return np.sqrt(parts, out=parts), np.log(total[:, 0])
        if self.kind == "shape":
            norm = np.maximum(np.sqrt(np.mean(x**2, axis=1, keepdims=True)), 1e-12)
            return x / norm, np.log(norm[:, 0])
        sigma = np.sqrt(variance) if variance is not None else self.band_noise
        scaled = np.clip(np.where(sigma > 0, x / np.where(sigma > 0, sigma, 1), 0), -1e4, 1e4)
        scaled = _without_spikes(scaled, self.ceiling)
        power = np.maximum(np.mean(scaled**2, axis=1, keepdims=True) - 1, 0)
        return (scaled / np.sqrt(1 + power)).astype(np.float32), 0.5 * np.log1p(power[:, 0])


def _positive(x: Float32) -> Float32:
    """Negative values as 0; the array itself where there are none."""
    return x if x.min(initial=0) >= 0 else np.maximum(x, 0)


def _without_spikes(scaled: Float32, ceiling: Float32) -> Float32:
    """Cosmic rays cut down: far above the noise, both neighbours and what other pixels show in that bin."""
    if scaled.shape[1] < 8:
        return scaled
    padded = np.pad(np.abs(scaled), ((0, 0), (1, 1)), mode="edge")
    beside = np.maximum(padded[:, :-2], padded[:, 2:])
    allowed = np.maximum(np.maximum(3 * beside, 1.2 * ceiling), 8.0)
    return np.asarray(np.minimum(scaled, allowed))


def _noise_whitening(centred: Float32, differences: Float32, components: int = 40) -> NDArray[np.float64]:
    """Projection (bins, r) on principal components in which the noise of neighbour differences is white."""
    _, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    leading = vectors[:, ::-1][:, : min(components, centred.shape[1])]
    seen = differences @ leading / np.sqrt(2)
    size = (seen**2).sum(axis=1)
    calm = seen[size <= np.median(size)]
    noise = calm.T @ calm / max(len(calm), 1)
    noise += np.eye(len(noise)) * max(np.trace(noise) / len(noise) * 1e-4, 1e-12)
    return np.asarray(leading @ np.linalg.inv(np.linalg.cholesky(noise)).T)


def usable_pixels(block: Block, bands: NDArray[np.int64]) -> Bool:
    """Pixels (height, width) with data in at least 90 % of the used bands, not all zero, not masked."""
    data = block.data if len(bands) == len(block.data) else block.data[bands]
    # a sum is finite only where all is: most pixels need no closer look
    total = data.sum(axis=0)
    whole = np.isfinite(total) & block.mask
    alive = whole & (total != 0)
    if (whole & ~alive).any():
        # empty, or values that cancel each other
        alive = whole & data.any(axis=0)
    y, x = np.nonzero(~whole & block.mask)
    if len(y):
        rest = data[:, y, x]
        finite = np.isfinite(rest)
        alive[y, x] = (finite.mean(axis=0) >= 0.9) & ((rest != 0) & finite).any(axis=0)
    return np.asarray(alive)


def reduce_bands(
    spectra: Float32,
    variance: Float32 | None,
    bands: NDArray[np.int64],
    groups: NDArray[np.int64],
    sums: bool,
) -> tuple[Float32, Float32 | None]:
    """Pick `bands` and bin them by `groups` (0, 0, 1, 1, ...): sums, or means with the variance of the mean."""
    width, whole = int((groups == 0).sum()), len(bands) == spectra.shape[1]
    spectra = spectra if whole else spectra.take(bands, axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        reduced = _added(spectra, width)
    if not np.isfinite(reduced).all():
        reduced = _added(fill_missing(spectra), width)
    picked = None if variance is None else np.nan_to_num(variance.take(bands, axis=1), nan=np.inf, posinf=np.inf)
    if picked is not None:
        picked = _added(picked, width)
    if width > 1 and not sums:
        members = np.bincount(groups).astype(np.float32)
        reduced /= members
        if picked is not None:
            picked /= members**2
    return reduced, picked


def _added(values: Float32, width: int) -> Float32:
    """Sums of `width` columns each, the last of fewer; by columns, which is much faster than ``np.add.reduceat``."""
    if width == 1:
        return values
    first, second = values[:, ::width], values[:, 1::width]
    made = np.empty(first.shape, np.float32)
    whole = second.shape[1]
    np.add(first[:, :whole], second, out=made[:, :whole])
    made[:, whole:] = first[:, whole:]
    for k in range(2, width):
        part = values[:, k::width]
        made[:, : part.shape[1]] += part
    return made


def fill_missing(spectra: Float32) -> Float32:
    """Replace missing values by the pixel's own mean, which says nothing about its shape there."""
    finite = np.isfinite(spectra)
    if finite.all():
        return spectra
    total = np.where(finite, spectra, 0).sum(axis=1, keepdims=True)
    return np.where(finite, spectra, total / np.maximum(finite.sum(axis=1, keepdims=True), 1)).astype(np.float32)
