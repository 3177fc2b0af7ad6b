"""Classes in data space: each pixel takes the class whose mean spectrum explains its photons best."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.constraints import Constraints, Prior
from cubeseg.clustering.spatial import Context

__all__ = ["counts_evidence", "profiles_of", "refine_counts"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

# pixels that a cluster's prior may count as, where its members decide
_SHRINKAGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


def refine_counts(
    counts: Float32,
    labels: Int32,
    k: int,
    context: Context | None = None,
    rounds: int = 30,
    settled: float = 1e-3,
    constraints: Constraints | None = None,
    prior: Prior | None = None,
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
    constraints : Constraints, optional
        Then `context` speaks about classes, not clusters.
    prior : Prior, optional
        Spectra that the clusters start from; without one, a pixel's worth of the mean spectrum. With one, a cluster may
        lose all its members and stays what the prior says.

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
    profiles = profiles_of(counts, labels, k, background, prior)
    for _ in range(rounds):
        evidence = counts_evidence(counts, profiles)
        if constraints is not None:
            evidence = constraints.told(evidence, context)
        elif context is not None:
            evidence += context(evidence)
        new = evidence.argmax(axis=1).astype(np.int32)
        if prior is None and np.bincount(new, minlength=k).min() == 0:
            break
        changed = float((new != labels).mean())
        labels = new
        profiles = profiles_of(counts, labels, k, background, prior)
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


def profiles_of(
    counts: Float32, labels: Int32, k: int, background: NDArray[np.float64], prior: Prior | None = None
) -> Float32:
    """Class spectra and shares (k, bins + 1), both as logarithms, from labels 0..k-1 of the spectra (n, bins)."""
    members = np.bincount(labels, minlength=k)
    sums = np.zeros((k, counts.shape[1]))
    for start in range(0, len(counts), 8192):
        part = slice(start, start + 8192)
        sums += np.equal.outer(np.arange(k), labels[part]).astype(np.float32) @ counts[part]
    pixel = max(float(counts.sum(dtype=np.float64)) / len(counts), 1e-6)
    if prior is None:
        # a pixel's worth of the mean spectrum keeps channels that a small class has not seen possible
        spectra = sums + pixel * background
    else:
        spectra = sums + 0.1 * pixel * background
        for c in range(k):
            weight = prior.pixels[c]
            if np.isnan(weight):
                weight = _shrinkage(counts[labels == c], sums[c], prior.centres[c], pixel)
            spectra[c] += weight * pixel * prior.centres[c]
    spectra /= spectra.sum(axis=1, keepdims=True)
    shares = np.log((members + 1.0) / (members.sum() + k))
    return np.concatenate([np.log(spectra), shares[:, None]], axis=1).astype(np.float32)


def _shrinkage(own: Float32, total: NDArray[np.float64], centre: NDArray[np.floating], pixel: float) -> float:
    """How many pixels a prior spectrum shall count as: so that each member is best explained by the others.

    Empirical Bayes by leaving one out, over at most 2,000 members (n, bins) whose sum is `total`.
    """
    if len(own) < 2:
        return _SHRINKAGES[-1]
    few = own[:: -(-len(own) // 2000)]
    rest = np.maximum(total - few, 0)
    best = {
        weight: float(
            (few * np.log(rest + weight * pixel * centre + 1e-9)).sum(dtype=np.float64)
            - (few.sum(axis=1) * np.log(rest.sum(axis=1) + weight * pixel)).sum(dtype=np.float64)
        )
        for weight in _SHRINKAGES
    }
    return max(best, key=lambda weight: best[weight])
