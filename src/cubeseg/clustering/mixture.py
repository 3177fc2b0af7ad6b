"""K-means in the metric of what varies inside a class: a Gaussian mixture with one shared, shrunk covariance."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.constraints import Constraints, Prior
from cubeseg.clustering.iterative import assign, distances
from cubeseg.clustering.spatial import Context

__all__ = ["centres_of", "shared_metric", "whitening"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


def shared_metric(
    codes: Float32,
    centroids: Float32,
    context: Context | None = None,
    rounds: int = 30,
    shrinkage: float = 0.25,
    settled: float = 1e-3,
    labels: Int32 | None = None,
    constraints: Constraints | None = None,
    prior: Prior | None = None,
    fixed: Float32 | None = None,
) -> Generator[float, None, tuple[Float32, Float32]]:
    """Hard expectation-maximisation of Gaussians of equal shares and one covariance, started from K-means.

    The covariance inside the classes is shrunk towards a sphere of the same trace (Ledoit & Wolf 2004, with a fixed
    weight), which keeps the outcome between K-means (1) and a mixture with tied covariance (0): without shrinkage the
    direction in which two classes mix may be taken for variation inside one.

    Parameters
    ----------
    codes : array, shape (n, d)
    centroids : array, shape (k, d)
    context : callable, optional
        What neighbours add; with it the classes are learned under spatial coherence.
    labels : array of int, shape (n,), optional
        0..k-1, to start from; those of the nearest centroid where not given.
    constraints : Constraints, optional
        Then `context` speaks about classes, not clusters.
    prior : Prior, optional
        Centres that count as some members each; with it a cluster may lose all members.
    fixed : array, shape (d, d), optional
        The metric, where it is known.

    Yields
    ------
    float
        The part of the labels that changed in a round.

    Returns
    -------
    metric : array of float32, shape (d, d)
        ``codes @ metric`` has unit variance inside the classes, so distances are Mahalanobis'.
    centroids : array of float32, shape (k, d)
        In the new coordinates.
    """
    k = len(centroids)
    if labels is None:
        labels = assign(codes, centroids, 1.0)[0]
    for _ in range(rounds):
        metric = whitening(codes - centroids[labels], shrinkage) if fixed is None else fixed
        evidence = -0.5 * distances(codes @ metric, centroids @ metric)
        if constraints is not None:
            evidence = constraints.told(evidence, context)
        elif context is not None:
            evidence += context(evidence)
        new = evidence.argmax(axis=1).astype(np.int32)
        members = np.bincount(new, minlength=k)
        if prior is None and members.min() == 0:
            break
        changed = float((new != labels).mean())
        labels = new
        centroids = centres_of(codes, labels, k, prior)
        yield changed
        if changed < settled:
            break
    return metric, centroids @ metric


def whitening(within: Float32, shrinkage: float = 0.25) -> Float32:
    """The metric (d, d) in which deviations (n, d) from the class centres have unit variance, shrunk as above."""
    (n, d) = within.shape
    covariance = within.T.astype(np.float64) @ within / n
    size = max(np.trace(covariance) / d, 1e-20)
    covariance = (1 - shrinkage) * covariance + shrinkage * size * np.eye(d)
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)).T, np.float32)


def centres_of(codes: Float32, labels: Int32, k: int, prior: Prior | None = None) -> Float32:
    """Means (k, d) of codes (n, d) with labels 0..k-1; without a prior no class may be empty."""
    if prior is None:
        return np.stack([codes[labels == c].mean(axis=0) for c in range(k)]).astype(np.float32)
    weight = np.nan_to_num(prior.pixels, nan=1.0)
    sums = np.stack([codes[labels == c].sum(axis=0, dtype=np.float64) for c in range(k)])
    members = np.bincount(labels, minlength=k) + weight
    return np.asarray((sums + weight[:, None] * prior.centres) / members[:, None], np.float32)
