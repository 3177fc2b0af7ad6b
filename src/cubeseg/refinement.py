"""After K-means: classes refined in data space from several starts; those that neighbours agree on most are kept.

Hard expectation-maximisation finds the nearest optimum, and the likelihood is no good judge between optima: where
spectra vary inside a class (thickness, light, velocity) it pays to cut the largest class in two and to merge two small
ones. Whether neighbouring pixels get the same class tells the difference, without labels.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import Clustering, assign, kmeans
from cubeseg.config import FitConfig
from cubeseg.likelihood import refine_counts
from cubeseg.mixture import shared_metric
from cubeseg.models import Model
from cubeseg.sampling import Sample
from cubeseg.spatial import agreement
from cubeseg.steps import passing

__all__ = ["refined"]

Float32 = NDArray[np.float32]

STARTS = 12


def refined(
    clustering: Clustering, codes: Float32, sample: Sample, model: Model, config: FitConfig
) -> Generator[float, None, Clustering]:
    """Refine classes under the noise model of the data.

    Counts: a mixture of multinomials. Otherwise: Gaussians with one covariance; the model is told to measure by it.

    Parameters
    ----------
    clustering : Clustering
        Of the codes.
    codes : array, shape (n, d)
        Of the sample's spectra.

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    Clustering
    """
    k = len(clustering.centroids)
    counts = sample.preprocessor.likelihood == "multinomial"
    context = sample.grid.context
    beside = np.zeros((0, codes.shape[1]), np.float32)
    if not counts:
        beside = model.encode(sample.neighbours, sample.neighbour_variance)[0]
    best, found, metric = -np.inf, clustering, None
    for start in range(STARTS):
        centroids = clustering.centroids if start == 0 else kmeans(codes, k, config.seed + start, restarts=1)

        def done(_: float, start: int = start) -> float:
            return start / STARTS

        if counts:
            steps = refine_counts(sample.spectra, assign(codes, centroids, 1.0)[0], k, context)
            profiles = yield from passing(steps, done)
            tried, stretch = replace(clustering, centroids=centroids, profiles=profiles), None
            labels = tried.evidence(codes[:0], sample.spectra[sample.paired]).argmax(axis=1)
            others = tried.evidence(codes[:0], sample.neighbours).argmax(axis=1)
        else:
            stretch, moved = yield from passing(shared_metric(codes, centroids, context), done)
            tried = replace(clustering, centroids=moved, spread=1.0)
            labels = assign(codes[sample.paired] @ stretch, moved, 1.0)[0]
            others = assign(beside @ stretch, moved, 1.0)[0]
        # another start must be better by more than chance
        score = agreement(labels, others, k) - (start > 0) * 0.5 / np.sqrt(max(len(labels), 1))
        if score > best:
            best, found, metric = score, tried, stretch
    if metric is not None:
        model.stretch(metric)
    return found
