"""How many components can be told from the noise at all: singular values beyond the Marchenko-Pastur edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["noise_of_rest", "rank_of"]

# of the largest eigenvalue of pure noise, in units of its Tracy-Widom scale: 99 % of all draws stay below
_QUANTILE = 2.02


def rank_of(spectra: NDArray[np.floating], noise: float | None = 1.0) -> tuple[int, float]:
    """Number of singular values above what noise alone reaches.

    The edge is that of Marchenko & Pastur with the fluctuation of Johnstone (2001) (real Wishart matrices).

    Parameters
    ----------
    spectra : array, shape (n, d)
        Scaled so that their noise is the same everywhere.
    noise : float, optional
        Standard deviation of the noise; estimated together with the rank where not given, see :func:`noise_of_rest`.

    Returns
    -------
    rank : int
    noise : float
    """
    n, d = spectra.shape
    if min(n, d) < 2:
        return min(n, d), noise or 0.0
    values = _eigenvalues(spectra)
    if noise is not None:
        return int((values > noise**2 * _edge(n, d)).sum()), noise
    return noise_of_rest(values, n, d)


def noise_of_rest(values: NDArray[np.floating], n: int, d: int) -> tuple[int, float]:
    """Rank and noise that agree with each other (Kritchman & Nadler 2009).

    For every rank the noise is what the smaller eigenvalues leave, divided by their degrees of freedom; the rank is the
    largest whose next eigenvalue still stands out of that noise.

    Parameters
    ----------
    values : array, shape (min(n, d),)
        Squared singular values, falling.
    n, d : int
        Spectra and bands.
    """
    tail = np.append(np.cumsum(values[::-1])[::-1], 0.0)
    best, noise = 0, float(np.sqrt(tail[0] / (n * d)))
    for rank in range(1, len(values)):
        free = (n - rank) * (d - rank)
        level = np.sqrt(max(tail[rank], 1e-300) / free)
        if values[rank - 1] <= level**2 * _edge(n, d):
            break
        best, noise = rank, float(level)
    return best, noise


def _eigenvalues(spectra: NDArray[np.floating]) -> NDArray[np.float64]:
    small = spectra.T if spectra.shape[0] > spectra.shape[1] else spectra
    moments = np.zeros((len(small), len(small)))
    for start in range(0, small.shape[1], 4096):
        part = small[:, start : start + 4096].astype(np.float64)
        moments += part @ part.T
    return np.asarray(np.maximum(np.linalg.eigvalsh(moments)[::-1], 0))


def _edge(n: int, d: int) -> float:
    """Largest eigenvalue that the products of n by d numbers of unit variance commonly reach."""
    root = np.sqrt(max(n - 1, 1)) + np.sqrt(d)
    scale = root * (1 / np.sqrt(max(n - 1, 1)) + 1 / np.sqrt(d)) ** (1 / 3)
    return float(root**2 + _QUANTILE * scale)
