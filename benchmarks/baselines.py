"""The methods that cubeseg is compared with, on spectra (n, bands) of an image's usable pixels.

Every one is told the true number of classes. Scalings that suit none but one kind of data are tried on all: the table
shows each, and the best one chosen with the truth as "oracle-tuned".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import NMF, PCA
from sklearn.mixture import GaussianMixture

Array = np.ndarray


def raw(x: Array) -> Array:
    """As it is."""
    return x


def maximum(x: Array) -> Array:
    """Divided by the spectrum's maximum."""
    return x / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-9)


def log_max(x: Array) -> Array:
    """log(1 + x) over its maximum: the published preprocessing."""
    return maximum(np.log1p(np.maximum(x, 0)))


def snv(x: Array) -> Array:
    """Standard normal variate."""
    return (x - x.mean(axis=1, keepdims=True)) / np.maximum(x.std(axis=1, keepdims=True), 1e-9)


def l2(x: Array) -> Array:
    """Unit norm."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def hellinger(x: Array) -> Array:
    """Square root of the normalised spectrum."""
    x = np.maximum(x, 0)
    return np.sqrt(x / np.maximum(x.sum(axis=1, keepdims=True), 1e-9))


SCALINGS = {"raw": raw, "max": maximum, "log/max": log_max, "SNV": snv, "L2": l2, "Hellinger": hellinger}


def k_means(x: Array, k: int, seed: int) -> Array:
    """Greedy k-means++ seeding, three restarts."""
    return KMeans(k, n_init=3, random_state=seed).fit_predict(x)


def pca(x: Array, n: int, seed: int) -> Array:
    """Leading principal components."""
    return PCA(min(n, *x.shape), random_state=seed).fit_transform(x)


def gmm(x: Array, k: int, seed: int, covariance: str) -> Array:
    """Gaussian mixture."""
    tiny = 1e-6 * float(np.mean(x.var(axis=0))) + 1e-12
    return GaussianMixture(k, covariance_type=covariance, n_init=2, reg_covar=tiny, random_state=seed).fit_predict(x)


def mnf(image: Array, usable: Array, n: int) -> Array:
    """Minimum noise fraction (Green et al. 1988): noise from the calmer half of the differences of neighbours."""
    pixels = image[usable]
    space = PCA(min(40, *pixels.shape), random_state=0).fit(pixels)
    scores = np.full((*usable.shape, space.n_components_), np.nan)
    scores[usable] = space.transform(pixels)
    differences = np.concatenate([
        (scores[1:] - scores[:-1]).reshape(-1, scores.shape[2]),
        (scores[:, 1:] - scores[:, :-1]).reshape(-1, scores.shape[2]),
    ])  # fmt: skip
    differences = differences[np.isfinite(differences).all(axis=1)] / np.sqrt(2)
    size = (differences**2).sum(axis=1)
    calm = differences[size <= np.median(size)]
    noise = calm.T @ calm / len(calm)
    noise += np.eye(len(noise)) * np.trace(noise) / len(noise) * 1e-4
    white = np.linalg.solve(np.linalg.cholesky(noise), scores[usable].T).T
    return pca(white, n, 0)


def umap_hdbscan(x: Array, k: int, seed: int) -> Array:
    """UMAP to five dimensions of 20 components, then HDBSCAN; it chooses the number of classes itself."""
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedded = UMAP(n_components=5, random_state=seed).fit_transform(pca(x, 20, seed))
    return HDBSCAN(min_cluster_size=max(10, len(x) // 200)).fit_predict(embedded)


def spherical(x: Array, k: int, seed: int, rounds: int = 50) -> Array:
    """Spherical K-means (Dhillon & Modha 2001): centres of unit norm, cosine similarity."""
    x = l2(x)
    centres = l2(KMeans(k, n_init=3, max_iter=5, random_state=seed).fit(x).cluster_centers_)
    labels = (x @ centres.T).argmax(axis=1)
    for _ in range(rounds):
        centres = l2(np.stack([x[labels == c].sum(axis=0) if (labels == c).any() else centres[c] for c in range(k)]))
        new = (x @ centres.T).argmax(axis=1)
        if (new == labels).all():
            break
        labels = new
    return labels


def nmf(x: Array, k: int, seed: int) -> Array:
    """Largest of k non-negative components."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = NMF(k, init="nndsvda", max_iter=100, tol=1e-3, random_state=seed)
        weights = model.fit_transform(np.maximum(x, 0))
    return (weights * model.components_.sum(axis=1)).argmax(axis=1)


def baselines(image: Array, usable: Array, k: int, seed: int, slow: bool) -> Iterator[tuple[str, Callable[[], Array]]]:
    """All baselines for an image (y, x, bands); each returns labels of the usable pixels."""
    x = image[usable].astype(np.float32)
    for name, scale in SCALINGS.items():
        yield f"K-means, {name}", lambda scale=scale: k_means(scale(x), k, seed)
        yield f"PCA + K-means, {name}", lambda scale=scale: k_means(pca(scale(x), 10, seed), k, seed)
    for name in ("raw", "L2"):
        scale = SCALINGS[name]
        for kind in ("full", "tied"):
            yield f"PCA + GMM ({kind}), {name}", lambda s=scale, c=kind: gmm(pca(s(x), 8, seed), k, seed, c)
        scaled = np.full(image.shape, np.nan, np.float32)
        scaled[usable] = scale(x)

        def noise_fraction(scaled: Array = scaled) -> Array:
            return mnf(scaled, usable, 8)

        yield f"MNF + K-means, {name}", lambda f=noise_fraction: k_means(f(), k, seed)
        for kind in ("full", "tied"):
            yield f"MNF + GMM ({kind}), {name}", lambda f=noise_fraction, c=kind: gmm(f(), k, seed, c)
    yield "spherical K-means", lambda: spherical(x, k, seed)
    yield "NMF + argmax", lambda: nmf(x, k, seed)
    if slow:
        yield "UMAP + HDBSCAN, L2", lambda: umap_hdbscan(l2(x), k, seed)
        yield "UMAP + HDBSCAN, Hellinger", lambda: umap_hdbscan(hellinger(x), k, seed)
