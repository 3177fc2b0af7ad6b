"""After K-means: classes refined in data space from several starts; those that neighbours agree on most are kept.

Hard expectation-maximisation finds the nearest optimum, and the likelihood is no good judge between optima: where
spectra vary inside a class (thickness, light, velocity) it pays to cut the largest class in two and to merge two small
ones. Whether neighbouring pixels get the same class tells the difference, without labels. The same measure chooses the
number of classes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.constraints import Constraints, Prior
from cubeseg.clustering.iterative import Clustering, assign, distances, kmeans, simplified_silhouette
from cubeseg.clustering.likelihood import refine_counts
from cubeseg.clustering.mixture import shared_metric
from cubeseg.clustering.spatial import Context, agreement
from cubeseg.config import FitConfig
from cubeseg.metrics import stability
from cubeseg.models import Model
from cubeseg.sampling.spectra import Sample
from cubeseg.steps import passing

__all__ = ["Attempt", "Refiner", "choose_number", "refined"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

STARTS, MOVES = 12, 24


@dataclass(frozen=True, eq=False)
class Attempt:
    """One start, refined: classes, their score, and what they make of the sample.

    `labels` (n,) and `evidence` (n, k) are those of the sample's spectra; `metric` is None where none was found.
    """

    clustering: Clustering
    score: float
    labels: Int32
    likelihood: float
    metric: Float32 | None
    evidence: Float32


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
    work = Refiner(codes, sample, model)
    best: Attempt | None = None
    for start in range(STARTS):
        centroids = clustering.centroids if start == 0 else kmeans(codes, k, config.seed + start, restarts=1)

        def part(_: float, start: int = start) -> float:
            return start / (STARTS + MOVES)

        tried = yield from passing(work.attempt(assign(codes, centroids, 1.0)[0], k), part)
        # another start must be better than the first by more than chance (half the error of an information in nats)
        chance = 0.5 / np.sqrt(max(len(sample.paired), 1))
        if best is None or tried.score > best.score:
            best = replace(tried, score=tried.score + (chance if start == 0 else 0.0))
    assert best is not None
    moves = work.moves(best, config.seed)
    for move in range(MOVES):
        labels = next(moves, None)
        if labels is None:
            break

        def moved(_: float, move: int = move) -> float:
            return (STARTS + move) / (STARTS + MOVES)

        tried = yield from passing(work.attempt(labels, k), moved)
        if tried.score > best.score:
            best, moves = tried, work.moves(tried, config.seed)
    if best.metric is not None:
        model.stretch(best.metric)
    return replace(best.clustering, scores=clustering.scores)


def choose_number(
    codes: Float32, candidates: range, sample: Sample, model: Model, config: FitConfig, starts: int = 3
) -> Generator[float, None, tuple[int, dict[str, dict[int, float]]]]:
    """Choose the number of classes by what neighbours agree on.

    For every number a few starts are refined shortly; the largest agreement wins. It falls by itself where classes
    become too small or too alike for neighbours to share them.

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    best : int
    criteria : dict of str to dict of int to float
        For every number: "score", the agreement, which decides; "silhouette" (simplified, of K-means); "stability"
        (mean adjusted Rand index between the starts); "bic" (per pixel, larger is better).
    """
    work = Refiner(codes, sample, model)
    found: dict[str, dict[int, float]] = {n: {} for n in ("score", "silhouette", "stability", "bic")}
    n, d = codes.shape
    for done, k in enumerate(candidates):
        if k == 1:
            for name in found:
                found[name][1] = 0.0
            continue
        attempts = []
        for start in range(starts):
            centroids = kmeans(codes, k, config.seed + start, restarts=1)
            if start == 0:
                found["silhouette"][k] = simplified_silhouette(codes, centroids)

            def part(_: float, done: float = done + start / starts) -> float:
                return done / len(candidates)

            labels = assign(codes, centroids, 1.0)[0]
            attempts.append((yield from passing(work.attempt(labels, k, rounds=6), part)))
        best = max(attempts, key=lambda a: a.score)
        free = k * (sample.preprocessor.n_bins if work.counts else d) + k - 1
        found["score"][k] = best.score
        found["stability"][k] = stability([a.labels for a in attempts])
        found["bic"][k] = best.likelihood - 0.5 * free * float(np.log(n)) / n
    scores = found["score"]
    return max(scores, key=lambda k: scores[k]), found


class Refiner:
    """What refining needs beside the classes themselves.

    Parameters
    ----------
    codes : array, shape (n, d)
        Of the sample's spectra.
    sample : Sample
    model : Model
    context : callable, optional
        What neighbours add; that of the sample's own grid where not given.
    metric : array, shape (d, d), optional
        In which codes are measured, where it is known already; found with the classes where not given.
    """

    def __init__(
        self,
        codes: Float32,
        sample: Sample,
        model: Model,
        context: Context | None = None,
        metric: Float32 | None = None,
    ) -> None:
        self.codes, self.sample, self.metric = codes, sample, metric
        self.context = sample.grid.context if context is None else context
        self.counts = sample.preprocessor.likelihood == "multinomial"
        self.beside = np.zeros((0, codes.shape[1]), np.float32)
        if not self.counts:
            self.beside = model.encode(sample.neighbours, sample.neighbour_variance)[0]

    def attempt(
        self,
        labels: Int32,
        k: int,
        rounds: int = 30,
        constraints: Constraints | None = None,
        prior: Prior | None = None,
    ) -> Generator[float, None, Attempt]:
        """Refine from labels 0..k-1 of the sample; under constraints the score is that of classes, not clusters."""
        sample, codes, context, metric, volume = self.sample, self.codes, self.context, None, 0.0
        centroids = _means(codes, labels, k)
        if self.counts:
            profiles = yield from refine_counts(
                sample.spectra, labels, k, context, rounds, constraints=constraints, prior=prior
            )
            made = Clustering(centroids, 1.0, {}, profiles)
            evidence = made.evidence(codes, sample.spectra)
            others = made.evidence(self.beside, sample.neighbours)
        else:
            start = None if constraints is None else labels
            metric, centroids = yield from shared_metric(
                codes, centroids, context, rounds, labels=start, constraints=constraints, prior=prior, fixed=self.metric
            )
            made = Clustering(centroids, 1.0, {})
            evidence = made.evidence(codes @ metric, sample.spectra[:0])
            others = made.evidence(self.beside @ metric, sample.spectra[:0])
            volume = float(np.linalg.slogdet(metric)[1])
        found = evidence.argmax(axis=1).astype(np.int32)
        likelihood = volume + _mean_log_sum(evidence)
        if constraints is None:
            score = agreement(found[sample.paired], others.argmax(axis=1).astype(np.int32), k)
        else:
            first, second = constraints.pooled(evidence[sample.paired]), constraints.pooled(others)
            score = agreement(first.argmax(axis=1), second.argmax(axis=1), first.shape[1])
            found = constraints.told(evidence, context).argmax(axis=1).astype(np.int32)
        return Attempt(made, score, found, likelihood, metric, evidence)

    def moves(self, best: Attempt, seed: int) -> Iterator[Int32]:
        """Other labels to start from: two alike classes made one, and a wide class cut in two."""
        codes, labels, k = self.codes, best.labels, len(best.clustering.centroids)
        centres = _means(codes, labels, k)
        scatter = np.bincount(labels, ((codes - centres[labels]) ** 2).sum(axis=1), minlength=k)
        apart = distances(centres, centres)
        pairs = sorted((float(apart[a, b]), a, b) for a in range(k) for b in range(a))
        for wide in np.argsort(-scatter)[:4]:
            members = np.flatnonzero(labels == wide)
            if len(members) < 8:
                continue
            halves = assign(codes[members], kmeans(codes[members], 2, seed, restarts=3), 1.0)[0]
            for _, a, b in pairs[:4]:
                if wide in (a, b):
                    continue
                moved = np.where(labels == a, b, labels).astype(np.int32)
                moved[members[halves == 1]] = a
                yield moved


def _means(codes: Float32, labels: Int32, k: int) -> Float32:
    return np.stack([codes[labels == c].mean(axis=0) if (labels == c).any() else codes[0] for c in range(k)])


def _mean_log_sum(evidence: Float32) -> float:
    top = evidence.max(axis=1, keepdims=True)
    logs: Any = top[:, 0] + np.log(np.exp(evidence - top).sum(axis=1))
    return float(logs.mean(dtype=np.float64))
