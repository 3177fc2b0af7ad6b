"""K-means in the metric of what varies inside a class: a Gaussian mixture with one shared, shrunk covariance."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import assign, distances
from cubeseg.spatial import Context

__all__ = ["shared_metric"]

Float32 = NDArray[np.float32]


def shared_metric(
    codes: Float32,
    centroids: Float32,
    context: Context | None = None,
    rounds: int = 30,
    shrinkage: float = 0.25,
    settled: float = 1e-3,
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
    (n, d), k = codes.shape, len(centroids)
    labels = assign(codes, centroids, 1.0)[0]
    for _ in range(rounds):
        within = codes - centroids[labels]
        covariance = within.T.astype(np.float64) @ within / n
        size = max(np.trace(covariance) / d, 1e-20)
        covariance = (1 - shrinkage) * covariance + shrinkage * size * np.eye(d)
        metric = np.linalg.inv(np.linalg.cholesky(covariance)).T.astype(np.float32)
        evidence = -0.5 * distances(codes @ metric, centroids @ metric)
        if context is not None:
            evidence += context(evidence)
        new = evidence.argmax(axis=1).astype(np.int32)
        members = np.bincount(new, minlength=k)
        if members.min() == 0:
            break
        changed = float((new != labels).mean())
        labels = new
        centroids = np.stack([codes[labels == c].mean(axis=0) for c in range(k)]).astype(np.float32)
        yield changed
        if changed < settled:
            break
    return metric, centroids @ metric
