"""Iterative K-means on latent codes: seeding, the choice of K, labels that keep their identity."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.likelihood import counts_evidence
from cubeseg.errors import ConfigError

__all__ = ["Clustering", "align", "assign", "distances", "iterative_kmeans", "kmeans", "simplified_silhouette"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Clustering:
    """The outcome of iterative K-means.

    Attributes
    ----------
    centroids : array of float32, shape (K, d)
    spread : float
        Root mean squared distance of a code from its centroid, per dimension.
    scores : dict
        Score of every K that was tried; larger is better.
    profiles : array of float32, shape (K, bins + 1), optional
        Class spectra for :func:`cubeseg.clustering.likelihood.counts_evidence`, where labels come from the counts
        themselves.
    largest : bool
        Codes are amounts, and the class of a pixel is its largest one: evidence is the logarithm of their shares.
    """

    centroids: Float32
    spread: float
    scores: dict[int, float]
    profiles: Float32 | None = None
    largest: bool = False

    def evidence(self, codes: Float32, spectra: Float32) -> Float32:
        """Log-likelihood (n, K) of each class, up to a constant per pixel, for codes (n, d) and spectra (n, bins).

        Only one of the two is looked at: the spectra of counts that have profiles, otherwise the codes.
        """
        if self.profiles is not None:
            return counts_evidence(spectra, self.profiles)
        if self.largest:
            amounts = np.maximum(codes, 0)
            shares = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-30)
            return np.asarray(np.log(np.maximum(shares, 1e-6)), np.float32)
        return np.asarray(-0.5 * distances(codes, self.centroids) / max(self.spread, 1e-6) ** 2, np.float32)

    def reordered(self, order: NDArray[np.intp]) -> Clustering:
        """The same clusters, the one at ``order[k]`` now at k."""
        profiles = None if self.profiles is None else self.profiles[order]
        return Clustering(self.centroids[order], self.spread, self.scores, profiles, self.largest)


def kmeans(codes: Float32, k: int, seed: int, restarts: int = 10) -> Float32:
    """Lloyd's K-means, greedy k-means++ seeding (Arthur & Vassilvitskii 2007), best of several restarts.

    Parameters
    ----------
    codes : array, shape (n, d)
    k : int
    seed : int
    restarts : int

    Returns
    -------
    array of float32, shape (k, d)

    Raises
    ------
    ConfigError
        If there are fewer distinct codes than `k`.
    """
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if len(codes) < k:
        raise ConfigError(f"{k} classes were asked for but only {len(codes)} pixels can be used; ask for fewer")
    if k == 1:
        return np.asarray(codes.mean(axis=0, keepdims=True), dtype=np.float32)
    model = KMeans(k, n_init=restarts, random_state=seed, max_iter=100)
    with warnings.catch_warnings():
        # fewer distinct spectra than classes: some classes stay empty, which the table shows
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(model.fit(codes).cluster_centers_, dtype=np.float32)


def distances(codes: Float32, centroids: Float32) -> Float32:
    """Squared Euclidean distances, shape (n, K)."""
    # far from the origin the differences would drown in single precision
    middle = centroids.mean(axis=0)
    codes, centroids = codes - middle, centroids - middle
    squared = (codes**2).sum(1)[:, None] + (centroids**2).sum(1)[None] - 2 * codes @ centroids.T
    return np.asarray(np.maximum(squared, 0), dtype=np.float32)


def assign(codes: Float32, centroids: Float32, spread: float) -> tuple[Int32, Float32]:
    """Nearest centroid and how sure that is.

    Parameters
    ----------
    codes : array, shape (n, d)
    centroids : array, shape (K, d)
    spread : float
        Standard deviation inside a class, per dimension.

    Returns
    -------
    labels : array of int32, shape (n,)
        0..K-1.
    confidence : array of float32, shape (n,)
        Posterior of the chosen class under equal spherical Gaussians, 1/K to 1.
    """
    squared = distances(codes, centroids)
    labels = squared.argmin(axis=1).astype(np.int32)
    nearest = squared.min(axis=1, keepdims=True)
    odds = np.exp(-0.5 * (squared - nearest) / max(spread, 1e-6) ** 2)
    return labels, (1 / odds.sum(axis=1)).astype(np.float32)


def simplified_silhouette(codes: Float32, centroids: Float32) -> float:
    """Mean of (b - a)/b, distances to the two nearest centroids (Vendramin et al. 2010), O(n K)."""
    two = np.sqrt(np.sort(distances(codes, centroids), axis=1)[:, :2])
    return float(np.mean(1 - two[:, 0] / np.maximum(two[:, 1], 1e-12)))


def iterative_kmeans(
    codes: Float32, candidates: range, seed: int, coreset: int = 10000, restarts: int = 10
) -> Generator[tuple[int, float], None, Clustering]:
    """Cluster for every K of a range on a random subset, keep the best K, finish it on all codes.

    Parameters
    ----------
    codes : array, shape (n, d)
    candidates : range
        Numbers of classes to try; those above the number of codes are an error.
    seed : int
    coreset : int
        Codes used to compare the candidates.
    restarts : int
        Of K-means, for each candidate.

    Yields
    ------
    (k, score)
        After each candidate.

    Returns
    -------
    Clustering
    """
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(seed)
    few = codes if len(codes) <= coreset else codes[rng.choice(len(codes), coreset, replace=False)]
    scores: dict[int, float] = {}
    found: dict[int, Float32] = {}
    for k in candidates:
        found[k] = kmeans(few, k, seed, restarts)
        scores[k] = simplified_silhouette(few, found[k]) if k > 1 else 0.0
        yield k, scores[k]
    best = max(scores, key=lambda k: scores[k])
    centroids = found[best]
    if len(few) < len(codes):
        model = KMeans(best, init=centroids, n_init=1, max_iter=50)
        centroids = np.asarray(model.fit(codes).cluster_centers_, dtype=np.float32)
    within = distances(codes, centroids).min(axis=1).mean()
    return Clustering(centroids, float(np.sqrt(within / codes.shape[1])), scores)


def align(new: Int32, old: Int32, n_new: int) -> Int32:
    """Give new clusters the ids of the old ones that they cover best (Hungarian method).

    Parameters
    ----------
    new, old : arrays of int, same shape
        Labels 0..n_new-1 and 0.. of the same pixels.
    n_new : int

    Returns
    -------
    array of int32, shape (n_new,)
        The id for each new cluster; clusters without a counterpart get the lowest free ids.
    """
    from scipy.optimize import linear_sum_assignment

    n_old = int(old.max(initial=-1)) + 1
    overlap = np.zeros((n_new, max(n_old, 1)), np.int64)
    np.add.at(overlap, (new.ravel(), old.ravel()), 1)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    ids = np.full(n_new, -1, np.int32)
    keep = overlap[rows, columns] > 0
    ids[rows[keep]] = columns[keep]
    free = iter(sorted(set(range(n_new + n_old)) - set(ids[ids >= 0].tolist())))
    for cluster in np.flatnonzero(ids < 0):
        ids[cluster] = next(free)
    return ids
