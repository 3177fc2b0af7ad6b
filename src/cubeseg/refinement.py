"""After K-means: classes refined in data space from several starts; those that neighbours agree on most are kept.

Hard expectation-maximisation finds the nearest optimum, and the likelihood is no good judge between optima: where
spectra vary inside a class (thickness, light, velocity) it pays to cut the largest class in two and to merge two small
ones. Whether neighbouring pixels get the same class tells the difference, without labels. The same measure chooses the
number of classes: each further one has to pay.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import Clustering, assign, kmeans, simplified_silhouette
from cubeseg.config import FitConfig
from cubeseg.likelihood import refine_counts
from cubeseg.metrics import stability
from cubeseg.mixture import shared_metric
from cubeseg.models import Model
from cubeseg.sampling import Sample
from cubeseg.spatial import agreement
from cubeseg.steps import passing

__all__ = ["choose_number", "refined"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

STARTS = 12
# nats of agreement between neighbours that a further class has to add
PRICE = 0.05


@dataclass(frozen=True, eq=False)
class _Attempt:
    """One start, refined: classes, their score, the labels of the sample, and the metric where one was found."""

    clustering: Clustering
    score: float
    labels: Int32
    likelihood: float
    metric: Float32 | None


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
    work = _Refiner(codes, sample, model)
    best: _Attempt | None = None
    for start in range(STARTS):
        centroids = clustering.centroids if start == 0 else kmeans(codes, k, config.seed + start, restarts=1)

        def part(_: float, start: int = start) -> float:
            return start / STARTS

        tried = yield from passing(work.attempt(replace(clustering, centroids=centroids), rounds=30), part)
        # another start must be better than the first by more than chance
        chance = 0.5 / np.sqrt(max(len(sample.paired), 1))
        if best is None or tried.score > best.score:
            best = replace(tried, score=tried.score + (chance if start == 0 else 0.0))
    assert best is not None
    if best.metric is not None:
        model.stretch(best.metric)
    return best.clustering


def choose_number(
    codes: Float32, candidates: range, sample: Sample, model: Model, config: FitConfig, starts: int = 3
) -> Generator[float, None, tuple[int, dict[str, dict[int, float]]]]:
    """Choose the number of classes by what neighbours agree on.

    For every number a few starts are refined shortly. The largest agreement less a price per class wins.

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    best : int
    criteria : dict of str to dict of int to float
        For every number: "score", the deciding one; "agreement" (nats); "silhouette" (simplified, of K-means);
        "stability" (mean adjusted Rand index between the starts); "bic" (per pixel, larger is better).
    """
    work = _Refiner(codes, sample, model)
    found: dict[str, dict[int, float]] = {n: {} for n in ("score", "agreement", "silhouette", "stability", "bic")}
    n, d = codes.shape
    for done, k in enumerate(candidates):
        if k == 1:
            for name in found:
                found[name][1] = 0.0 if name != "score" else -PRICE
            continue
        attempts = []
        for start in range(starts):
            centroids = kmeans(codes, k, config.seed + start, restarts=1)
            if start == 0:
                found["silhouette"][k] = simplified_silhouette(codes, centroids)

            def part(_: float, done: float = done + start / starts) -> float:
                return done / len(candidates)

            clustering = Clustering(centroids, 1.0, {})
            attempts.append((yield from passing(work.attempt(clustering, rounds=6), part)))
        best = max(attempts, key=lambda a: a.score)
        free = k * (sample.preprocessor.n_bins if work.counts else d) + k - 1
        found["agreement"][k] = best.score
        found["score"][k] = best.score - PRICE * k
        found["stability"][k] = stability([a.labels for a in attempts])
        found["bic"][k] = best.likelihood - 0.5 * free * float(np.log(n)) / n
    scores = found["score"]
    return max(scores, key=lambda k: scores[k]), found


class _Refiner:
    """What refining needs beside the classes themselves."""

    def __init__(self, codes: Float32, sample: Sample, model: Model) -> None:
        self.codes, self.sample = codes, sample
        self.counts = sample.preprocessor.likelihood == "multinomial"
        self.beside = np.zeros((0, codes.shape[1]), np.float32)
        if not self.counts:
            self.beside = model.encode(sample.neighbours, sample.neighbour_variance)[0]

    def attempt(self, start: Clustering, rounds: int) -> Generator[float, None, _Attempt]:
        k, sample = len(start.centroids), self.sample
        context, metric = sample.grid.context, None
        if self.counts:
            labels = assign(self.codes, start.centroids, 1.0)[0]
            profiles = yield from refine_counts(sample.spectra, labels, k, context, rounds)
            made = replace(start, profiles=profiles)
            evidence = made.evidence(self.codes, sample.spectra)
            others = made.evidence(self.beside, sample.neighbours)
            volume = 0.0
        else:
            metric, centroids = yield from shared_metric(self.codes, start.centroids, context, rounds)
            made = replace(start, centroids=centroids, spread=1.0)
            evidence = made.evidence(self.codes @ metric, sample.spectra[:0])
            others = made.evidence(self.beside @ metric, sample.spectra[:0])
            volume = float(np.linalg.slogdet(metric)[1])
        labels = evidence.argmax(axis=1).astype(np.int32)
        score = agreement(labels[sample.paired], others.argmax(axis=1).astype(np.int32), k)
        return _Attempt(made, score, labels, volume + _mean_log_sum(evidence), metric)


def _mean_log_sum(evidence: Float32) -> float:
    top = evidence.max(axis=1, keepdims=True)
    logs: Any = top[:, 0] + np.log(np.exp(evidence - top).sum(axis=1))
    return float(logs.mean(dtype=np.float64))
