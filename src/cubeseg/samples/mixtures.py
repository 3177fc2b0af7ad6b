"""Mixtures with known components, as the EB-gMCR paper makes them (Chang & Chen, arXiv 2507.23600)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mixtures", "synthetic_mixtures"]


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Mixed spectra and their truth.

    Attributes
    ----------
    spectra : array of float32, shape (n, d)
    components : array, shape (k, d)
    concentrations : array, shape (n, k)
    noise : array, shape (n,)
        Standard deviation of the noise of each spectrum.
    """

    spectra: NDArray[np.float32]
    components: NDArray[np.float64]
    concentrations: NDArray[np.float64]
    noise: NDArray[np.float64]


def synthetic_mixtures(k: int, times: int = 4, db: float = 20, seed: int = 0, d: int = 512, most: int = 4) -> Mixtures:
    """The published synthetic sets, made anew.

    Components are absolute values of orthonormal rows (after which they are no longer orthogonal: their mean cosine is
    2/pi), one to `most` of them in each spectrum with concentrations between 1 and 10, noise of its own for each
    spectrum, values below 1e-6 lifted to it. Where a component would occur in fewer than two spectra, concentrations
    are drawn again: what occurs once cannot be told from a mixture, and what never occurs cannot be counted.

    Parameters
    ----------
    k : int
        Components, at most `d`.
    times : int
        Spectra per component.
    db : float
        Signal-to-noise ratio in decibels, of powers.
    seed : int
    d : int
        Bands.
    most : int
        Largest number of components in a spectrum.
    """
    rng = np.random.default_rng(seed)
    components = np.abs(np.linalg.qr(rng.standard_normal((d, k)))[0].T)
    concentrations = np.zeros((times * k, k))
    while (concentrations > 0).sum(axis=0).min() < 2:
        concentrations[:] = 0
        for row in concentrations:
            mixed = int(rng.integers(1, min(most, k) + 1))
            row[rng.choice(k, mixed, replace=False)] = rng.uniform(1, 10, mixed)
    clean = concentrations @ components
    noise = np.sqrt((clean**2).mean(axis=1)) * 10 ** (-db / 20)
    spectra = np.maximum(clean + noise[:, None] * rng.standard_normal(clean.shape), 1e-6)
    return Mixtures(spectra.astype(np.float32), components, concentrations, noise)
