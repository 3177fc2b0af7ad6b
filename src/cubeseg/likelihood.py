"""Classes in data space: each pixel takes the class whose mean spectrum explains its photons best."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from cubeseg.spatial import Context

__all__ = ["counts_evidence", "refine_counts"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


def refine_counts(
    counts: Float32, labels: Int32, k: int, context: Context | None = None, rounds: int = 30, settled: float = 1e-3
) -> Generator[float, None, Float32]:
    """Hard expectation-maximisation of a mixture of multinomials, started from given labels.

    This is K-means with the Kullback-Leibler divergence as distance (Banerjee et al. 2005, Bregman clustering): the
    Poisson likelihood with free intensity. No class can vanish: one that would lose its last pixel ends the rounds.

    Parameters
    ----------
    counts : array, shape (n, bins)
    labels : array of int, shape (n,)
        0..k-1.
    k : int
    context : callable, optional
        What neighbours add; with it the classes are learned under spatial coherence.
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
    array of float32, shape (k, bins + 1)
        Logarithms of the classes' normalised spectra; the last column holds the logarithm of the class's share.
    """
    background = counts.sum(axis=0, dtype=np.float64) + 1e-3
    background /= background.sum()
    profiles = _profiles(counts, labels, k, background)
    for _ in range(rounds):
        evidence = counts_evidence(counts, profiles)
        if context is not None:
            evidence += context(evidence)
        new = evidence.argmax(axis=1).astype(np.int32)
        if np.bincount(new, minlength=k).min() == 0:
            break
        changed = float((new != labels).mean())
        labels = new
        profiles = _profiles(counts, labels, k, background)
        yield changed
        if changed < settled:
            break
    return profiles


def counts_evidence(counts: Float32, profiles: Float32) -> Float32:
    """Logarithm of the joint probability of each spectrum (n, bins) and each class, up to a constant, (n, k)."""
    evidence = np.empty((len(counts), len(profiles)), np.float32)
    for start in range(0, len(counts), 8192):
        part = slice(start, start + 8192)
        evidence[part] = counts[part] @ profiles[:, :-1].T
    evidence += profiles[:, -1]
    return evidence


def _profiles(counts: Float32, labels: Int32, k: int, background: NDArray[np.float64]) -> Float32:
    members = np.bincount(labels, minlength=k)
    sums = np.zeros((k, counts.shape[1]))
    for start in range(0, len(counts), 8192):
        part = slice(start, start + 8192)
        sums += np.equal.outer(np.arange(k), labels[part]).astype(np.float32) @ counts[part]
    # a pixel's worth of the mean spectrum keeps channels that a small class has not seen possible
    prior = max(float(counts.sum(dtype=np.float64)) / len(counts), 1e-6)
    spectra = sums + prior * background
    spectra /= spectra.sum(axis=1, keepdims=True)
    shares = np.log((members + 1.0) / (members.sum() + k))
    return np.concatenate([np.log(spectra), shares[:, None]], axis=1).astype(np.float32)
