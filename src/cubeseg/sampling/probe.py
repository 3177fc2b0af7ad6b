"""A first look at a cube: which bands hold data, what the noise is, before anything large is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube
from cubeseg.errors import DataError

__all__ = ["Probe", "probe"]

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
            first, second = _pairs(data, axis=2 if data.shape[2] > 1 else 1)
            differences.append((first - second).reshape(cube.n_bands, -1).T)
            sums.append((first + second).reshape(cube.n_bands, -1).T)
    values = np.concatenate(spectra)
    values = values[_alive(values)]
    if not len(values):
        raise DataError(f"{cube.name}: no usable spectrum was found, the pixels are empty, masked or not finite")
    bands = np.isfinite(values).mean(axis=0) > 0.5
    if bands.sum() < 2:
        raise DataError(
            f"{cube.name}: only {int(bands.sum())} band holds data; clustering spectra takes at least 2 bands"
        )
    return Probe(
        bands=bands,
        noise=_noise_kind(cube, values, np.concatenate(differences), np.concatenate(sums)),
        signed=bool(np.nansum(np.minimum(values, 0) ** 2) > 1e-3 * np.nansum(values**2)),
        band_noise=_band_noise(np.concatenate(differences)),
        typical=values,
    )


def _pairs(data: Float32, axis: int) -> tuple[Float32, Float32]:
    """Neighbours along an image axis; none where there is only one pixel."""
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


def _noise_kind(cube: Cube, values: Float32, differences: Float32, sums: Float32) -> Literal["poisson", "gaussian"]:
    """Counts are whole, not negative, and neighbours differ as binomials do.

    For two Poisson counts of equal expectation (a - b)^2/(a + b) has expectation 1 whatever their sum. So its mean
    over bands, for the median pair of neighbours, must be near 1 among faint bands and among bright ones alike;
    digitised intensities may hit 1 somewhere, but their read noise and gain make it differ with intensity.
    """
    if cube.noise.kind != "unknown":
        return "poisson" if cube.noise.kind == "poisson" else "gaussian"
    finite = values[np.isfinite(values)]
    if cube.noise.variance is not None or (finite < 0).any() or (finite != np.round(finite)).any():
        return "gaussian"
    by_brightness = np.argsort(sums.sum(axis=0, dtype=np.float64), kind="stable")
    found = []
    for bands in np.array_split(by_brightness, 4):
        both, squares = sums[:, bands], differences[:, bands] ** 2
        index = np.divide(squares, both, where=both > 0, out=np.zeros_like(both))
        seen = (both > 0).sum(axis=1)
        if (seen > 0).any():
            found.append(float(np.median(index.sum(axis=1)[seen > 0] / seen[seen > 0])))
    return "poisson" if found and min(found) > 0.8 and max(found) < 1.25 else "gaussian"
