"""From raw spectra to network inputs: usable pixels, bins, noise-aware scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Block
from cubeseg.probe import Probe

__all__ = ["Features", "Preprocessor", "fill_missing", "reduce_bands", "usable_pixels"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


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


def usable_pixels(block: Block, bands: NDArray[np.int64]) -> Bool:
    """Pixels (height, width) with data in at least 90 % of the used bands, not all zero, not masked."""
    data = block.data[bands]
    return np.asarray(block.mask & (np.isfinite(data).mean(axis=0) >= 0.9) & (np.nan_to_num(data) != 0).any(axis=0))


def reduce_bands(
    spectra: Float32,
    variance: Float32 | None,
    bands: NDArray[np.int64],
    groups: NDArray[np.int64],
    sums: bool,
) -> tuple[Float32, Float32 | None]:
    """Pick `bands` and bin them by `groups`: sums, or means with the variance of the mean."""
    spectra = fill_missing(spectra[:, bands])
    picked = None if variance is None else np.nan_to_num(variance[:, bands], nan=np.inf, posinf=np.inf)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    if len(starts) < len(groups):
        members = np.float32(1) if sums else np.bincount(groups).astype(np.float32)
        spectra = (np.add.reduceat(spectra, starts, axis=1) / members).astype(np.float32)
        if picked is not None:
            picked = (np.add.reduceat(picked, starts, axis=1) / members**2).astype(np.float32)
    return spectra, picked


def fill_missing(spectra: Float32) -> Float32:
    """Replace missing values by the pixel's own mean, which says nothing about its shape there."""
    finite = np.isfinite(spectra)
    if finite.all():
        return spectra
    total = np.where(finite, spectra, 0).sum(axis=1, keepdims=True)
    return np.where(finite, spectra, total / np.maximum(finite.sum(axis=1, keepdims=True), 1)).astype(np.float32)
