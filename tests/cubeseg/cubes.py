"""Small cubes for tests: a few kinds of spectra in a few regions, with known labels."""

from __future__ import annotations

import numpy as np

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Noise


def regions(height: int = 24, width: int = 30) -> np.ndarray:
    """Three vertical stripes and a square: labels 1..4."""
    labels = np.repeat(np.arange(width) * 3 // width + 1, height).reshape(width, height).T
    labels[height // 3 : 2 * height // 3, width // 3 + 2 : width // 3 + 8] = 4
    return np.ascontiguousarray(labels, dtype=np.int32)


def shapes(n_bands: int = 64, k: int = 4) -> np.ndarray:
    """Spectra (k, bands): one Gaussian line each on a flat background, sum 1."""
    x = np.arange(n_bands)
    lines = np.array([np.exp(-0.5 * ((x - (i + 0.7) * n_bands / k) / (n_bands / 40)) ** 2) for i in range(k)])
    spectra = lines / lines.sum(axis=1, keepdims=True) + 0.5 / n_bands
    return spectra / spectra.sum(axis=1, keepdims=True)


def counts_cube(counts: float = 300, seed: int = 0, **keywords) -> tuple[Cube, np.ndarray]:
    """Poisson counts (bands, y, x) in keV, with their labels."""
    labels, spectra = regions(), shapes()
    data = np.random.default_rng(seed).poisson(counts * spectra[labels - 1]).astype(np.uint16)
    axis = SpectralAxis.from_values(np.linspace(1, 10, spectra.shape[1]), "keV")
    return Cube(np.ascontiguousarray(data.transpose(2, 0, 1)), axis, unit="counts", **keywords), labels


def reflectance_cube(seed: int = 0) -> tuple[Cube, np.ndarray]:
    """Positive continuous spectra with uneven illumination, in nm."""
    labels, spectra = regions(), shapes()
    rng = np.random.default_rng(seed)
    light = 0.6 + 0.4 * np.linspace(0, 1, labels.shape[0])[:, None, None]
    data = light * (0.2 + 10 * spectra[labels - 1]) + rng.normal(0, 0.01, (*labels.shape, spectra.shape[1]))
    axis = SpectralAxis.from_values(np.linspace(400, 1000, spectra.shape[1]), "nm")
    return Cube(np.ascontiguousarray(data.transpose(2, 0, 1), dtype=np.float32), axis), labels


def variance_cube(seed: int = 0) -> tuple[Cube, np.ndarray]:
    """Signed spectra with a variance cube and a border of NaN."""
    labels, spectra = regions(), shapes()
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.2, 0.4, (spectra.shape[1], *labels.shape)).astype(np.float32)
    data = 60 * (spectra - spectra.min())[labels - 1].transpose(2, 0, 1) + rng.normal(0, 1, sigma.shape) * sigma
    data[:, 0, :] = np.nan
    axis = SpectralAxis.from_values(np.linspace(4750, 9350, spectra.shape[1]), "Angstrom")
    return Cube(data.astype(np.float32), axis, Noise("gaussian", sigma**2)), labels
