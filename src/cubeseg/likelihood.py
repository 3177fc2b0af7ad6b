"""Classes in data space: each pixel takes the class whose mean spectrum explains its photons best."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign_counts", "refine_counts"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


def refine_counts(
    counts: Float32, labels: Int32, k: int, rounds: int = 20, settled: float = 1e-3
) -> Generator[float, None, tuple[Float32, float]]:
    """Hard expectation-maximisation of a mixture of multinomials, started from given labels.

    This is K-means with the Kullback-Leibler divergence as distance (Banerjee et al. 2005, Bregman clustering): the
    Poisson likelihood with free intensity. No class can vanish: one that would lose its last pixel ends the rounds.

    Parameters
    ----------
    counts : array, shape (n, bins)
    labels : array of int, shape (n,)
        0..k-1.
    k : int
    rounds : int
        At most.
    settled : float
        Stop when a smaller part of the labels changes.

    Yields
    ------
    float
        The part of the labels that changed in a round.

    Returns
    -------
    profiles : array of float32, shape (k, bins + 1)
        Logarithms of the classes' normalised spectra; the last column holds the logarithm of the class's share.
    likelihood : float
        Mean over the spectra of the logarithm of the joint probability of spectrum and class, up to a constant.
    """
    background = counts.sum(axis=0, dtype=np.float64) + 1e-3
    background /= background.sum()
    profiles = _profiles(counts, labels, k, background)
    for _ in range(rounds):
        new = assign_counts(counts, profiles)[0]
        if np.bincount(new, minlength=k).min() == 0:
            break
        changed = float((new != labels).mean())
        labels = new
        profiles = _profiles(counts, labels, k, background)
        yield changed
        if changed < settled:
            break
    likelihood = 0.0
    for start in range(0, len(counts), 8192):
        part = counts[start : start + 8192]
        likelihood += float((part @ profiles[:, :-1].T + profiles[:, -1]).max(axis=1).sum(dtype=np.float64))
    return profiles, likelihood / len(counts)


def assign_counts(counts: Float32, profiles: Float32) -> tuple[Int32, Float32]:
    """The most probable class of each spectrum (n, bins), 0.., and its posterior probability."""
    odds = np.empty((len(counts), len(profiles)), np.float32)
    for start in range(0, len(counts), 8192):
        part = slice(start, start + 8192)
        odds[part] = counts[part] @ profiles[:, :-1].T
    odds += profiles[:, -1]
    labels = odds.argmax(axis=1).astype(np.int32)
    odds -= odds.max(axis=1, keepdims=True)
    return labels, (1 / np.exp(odds).sum(axis=1)).astype(np.float32)


def _profiles(counts: Float32, labels: Int32, k: int, background: NDArray[np.float64]) -> Float32:
    members = np.bincount(labels, minlength=k)
    sums = np.stack([counts[labels == c].sum(axis=0, dtype=np.float64) for c in range(k)])
    # a pixel's worth of the mean spectrum keeps channels that a small class has not seen possible
    prior = max(float(counts.sum(dtype=np.float64)) / len(counts), 1e-6)
    spectra = sums + prior * background
    spectra /= spectra.sum(axis=1, keepdims=True)
    shares = np.log((members + 1.0) / (members.sum() + k))
    return np.concatenate([np.log(spectra), shares[:, None]], axis=1).astype(np.float32)
