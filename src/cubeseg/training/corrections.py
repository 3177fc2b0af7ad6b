"""From painted pixels to clusters: which corrections ask for a cluster of their own, and what belongs to it.

A few painted pixels of noisy spectra do not fix a spectrum of a thousand channels. But pixels near them mostly show the
same material, and a class that was taken for another one is a part of it that stands out once one knows where to look.
So several first guesses are tried for every new cluster - pixels around the painted ones, parts into which K-means cuts
the class that they were taken from - each is refined, and that is kept on whose classes neighbouring pixels agree best,
as everywhere here (:func:`cubeseg.clustering.spatial.agreement`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.constraints import FREE, Constraints, Prior
from cubeseg.clustering.iterative import Clustering, assign, kmeans
from cubeseg.clustering.mixture import centres_of, whitening
from cubeseg.config import FitConfig
from cubeseg.models import Model
from cubeseg.sampling.spectra import Sample
from cubeseg.steps import passing
from cubeseg.training.refinement import Attempt, Refiner

__all__ = ["Corrected", "Start", "corrected"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

# at most so many corrections get a cluster of their own in one go, the largest first
MOST = 4
# what a cluster's spectrum from before counts for beside its members
_INERTIA = 2.0
# what it is worth, beside the agreement of neighbours, that painted pixels would have their class by their spectra
# alone, and what it costs that pixels that nobody painted change their class: people have looked at them too
_CONTENT, _CHANGE = 0.1, 0.5
# so many pixels must ask for a further cluster of a class that has one: mixed pixels at a border look like none
_LEAST = 8
# nats by which painted pixels together must prefer a class that they are not of, before that is more than noise
_PLAIN = 10.0
# parts of the pixels of the class that painted ones were taken from which are tried as the new cluster
_REACHES = (0.1, 0.2, 0.4)


@dataclass(frozen=True, eq=False)
class Start:
    """What corrections begin with.

    Attributes
    ----------
    labels : array of int32, shape (n,)
        The class of each spectrum of the sample as corrected; 0 = none.
    clusters : array of int32, shape (n,)
        Which cluster of `owner` each spectrum is in; -1 = none yet.
    owner : array of int32, shape (k,)
        The class of each cluster.
    painted : array of bool, shape (n,)
        Spectra whose class people chose.
    constraints : Constraints
        Of these clusters.
    gridded : int
        So many of the spectra lie on the sample's grid; those after them were added for the corrections.
    """

    labels: Int32
    clusters: Int32
    owner: Int32
    painted: Bool
    constraints: Constraints
    gridded: int


@dataclass(frozen=True, eq=False)
class Corrected:
    """Clusters refined under corrections.

    Attributes
    ----------
    clustering : Clustering
    owner : array of int32, shape (k,)
        The class of each cluster.
    metric : array of float32, shape (d, d), or None
        In which the codes are to be measured.
    score : float
        How well neighbours agree and corrections are met; larger is better.
    """

    clustering: Clustering
    owner: Int32
    metric: Float32 | None
    score: float


def corrected(
    start: Start, codes: Float32, sample: Sample, model: Model, config: FitConfig
) -> Generator[float, None, Corrected]:
    """Refine clusters under corrections.

    Parameters
    ----------
    start : Start
    codes : array, shape (n, d)
        Of the sample's spectra.
    sample : Sample
    model : Model
    config : FitConfig

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    Corrected
    """
    work = _Corrector(start, codes, sample, model, config.seed)
    best = yield from passing(work.first(), _at(0.05))
    for turn in range(MOST):
        wrong = work.misplaced(best)
        if wrong is None:
            break
        extending = work.extended(best, *wrong)
        best = yield from passing(extending, _at(0.1 + 0.8 * turn / MOST))
    best = yield from passing(work.settled(best), _at(0.9))
    yield 1.0
    made, metric = best.attempt.clustering, best.attempt.metric
    if metric is None:
        whole = Prior(np.repeat(codes.mean(axis=0)[None], len(best.owner), axis=0), np.full(len(best.owner), 1e-3))
        made = replace(made, centroids=centres_of(codes, best.attempt.labels, len(best.owner), whole))
    return Corrected(made, best.owner, metric, best.score)


def _at(done: float) -> Callable[[float], float]:
    return lambda _: done


@dataclass(frozen=True, eq=False)
class _State:
    """Clusters with their classes, refined."""

    attempt: Attempt
    owner: Int32
    prior: Prior
    score: float


class _Corrector:
    """Tries clusters for corrections."""

    def __init__(self, start: Start, codes: Float32, sample: Sample, model: Model, seed: int) -> None:
        self.start, self.codes, self.sample, self.seed = start, codes, sample, seed
        grid = replace(sample, rows=sample.rows[: start.gridded], columns=sample.columns[: start.gridded]).grid

        def context(evidence: Float32) -> Float32:
            # spectra beside the grid are painted ones, which hold anyway
            told = np.zeros_like(evidence)
            told[: start.gridded] = grid.context(evidence[: start.gridded])
            return told

        known = start.clusters >= 0
        metric = None
        if sample.preprocessor.likelihood != "multinomial":
            centres = centres_of(codes[known], start.clusters[known], len(start.owner))
            # found once: a metric that follows every cluster that is tried would tell them apart by itself
            metric = whitening(codes[known] - centres[start.clusters[known]])
        self.work = Refiner(codes, sample, model, context, metric)
        self.tried: set[tuple[int, int]] = set()

    def first(self) -> Generator[float, None, _State]:
        """The clusters as they were, under the constraints."""
        start = self.start
        clusters = start.clusters.copy()
        lost = clusters < 0
        k = len(start.owner)
        # spectra without a cluster teach nothing until one explains them
        prior = self._prior(np.where(lost, k, clusters), k)
        for row in np.flatnonzero(lost):
            own = np.flatnonzero(start.owner == start.constraints.fixed[row])
            clusters[row] = own[0] if len(own) else 0
        return (yield from self._refined(clusters, start.owner, prior, rounds=2))

    def settled(self, state: _State) -> Generator[float, None, _State]:
        """Refined to the end."""
        return (yield from self._refined(state.attempt.labels, state.owner, state.prior, rounds=4))

    def misplaced(self, state: _State) -> tuple[int, int, NDArray[np.intp]] | None:
        """The largest correction that no cluster of its class explains: its class, the cluster that does, its rows."""
        evidence, owner = state.attempt.evidence, state.owner
        best: tuple[int, int, NDArray[np.intp]] | None = None
        painted = np.flatnonzero(self.start.painted & (self.start.labels > 0))
        for class_id in np.unique(self.start.labels[painted]):
            rows = painted[self.start.labels[painted] == class_id]
            own = np.flatnonzero(owner == class_id)
            taken = evidence[rows].argmax(axis=1)
            if not len(own):
                groups = [(int(np.bincount(taken).argmax()), rows)]
            else:
                groups = [(int(c), rows[taken == c]) for c in np.setdiff1d(taken, own)]
            for cluster, group in groups:
                if (int(class_id), cluster) in self.tried:
                    continue
                if len(own):
                    apart = evidence[group, cluster] - evidence[group][:, own].max(axis=1)
                    if len(group) < _LEAST or float(apart.sum(dtype=np.float64)) < _PLAIN:
                        continue
                if best is None or len(group) > len(best[2]):
                    best = int(class_id), cluster, group
        return best

    def extended(
        self, state: _State, class_id: int, parent: int, rows: NDArray[np.intp]
    ) -> Generator[float, None, _State]:
        """The best of several ways to give a correction a cluster of its own; or none, where its class has others."""
        self.tried.add((class_id, parent))
        k = len(state.owner)
        owner = np.append(state.owner, class_id).astype(np.int32)
        best = state if class_id in state.owner else None
        centres = np.concatenate([state.prior.centres, state.prior.centres[parent][None]])
        # what is taken out of a cluster is no part of what was known about it
        pixels = np.append(state.prior.pixels, np.nan)
        pixels[parent] = min(pixels[parent], 1.0)
        prior = Prior(centres, pixels)
        for members in self._guesses(state, parent, rows):
            labels = state.attempt.labels.copy()
            labels[members] = k
            tried = yield from self._refined(labels, owner, prior, rounds=6)
            if best is None or tried.score > best.score:
                best = tried
        assert best is not None
        return best

    def _guesses(self, state: _State, parent: int, rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        from scipy.ndimage import distance_transform_edt

        sample, fixed = self.sample, self.start.constraints.fixed
        others = np.flatnonzero((state.attempt.labels == parent) & (fixed == FREE))
        yield rows
        if len(others) < 8:
            return
        away = np.ones(sample.usable.shape, bool)
        away[sample.rows[rows], sample.columns[rows]] = False
        far = distance_transform_edt(away)[sample.rows[others], sample.columns[others]]
        near = others[np.argsort(far, kind="stable")]
        for reach in _REACHES:
            yield np.concatenate([rows, near[: int(np.ceil(reach * len(near)))]])
        both = np.concatenate([rows, others])
        for n in (2, 3):
            parts = assign(self.codes[both], kmeans(self.codes[both], n, self.seed, restarts=3), 1.0)[0]
            own = np.bincount(parts[: len(rows)], minlength=n).argmax()
            yield np.unique(np.concatenate([rows, both[parts == own]]))

    def _refined(self, labels: Int32, owner: Int32, prior: Prior, rounds: int) -> Generator[float, None, _State]:
        constraints = replace(self.start.constraints, owner=owner)
        # nobody starts where the constraints do not let him
        barred = constraints.barred
        stray = np.flatnonzero(barred[np.arange(len(labels)), labels])
        labels = labels.copy()
        labels[stray] = (~barred[stray]).argmax(axis=1)
        attempt = yield from self.work.attempt(labels, len(owner), rounds, constraints, prior)
        known = (self.start.labels > 0) & ~self.start.painted
        changed = float((owner[attempt.labels] != self.start.labels)[known].mean()) if known.any() else 0.0
        score = attempt.score * (1 + _CONTENT * self._satisfied(attempt, constraints)) - _CHANGE * changed
        return _State(attempt, owner, prior, score)

    def _satisfied(self, attempt: Attempt, constraints: Constraints) -> float:
        """Mean probability that painted pixels would have the class that they were given."""
        rows = np.flatnonzero(self.start.painted & np.isin(self.start.labels, constraints.owner))
        if not len(rows):
            return 1.0
        evidence = constraints.pooled(attempt.evidence[rows])
        evidence = evidence - evidence.max(axis=1, keepdims=True)
        odds = np.exp(evidence)
        mine = np.searchsorted(np.unique(constraints.owner), self.start.labels[rows])
        return float((odds[np.arange(len(rows)), mine] / odds.sum(axis=1)).mean(dtype=np.float64))

    def _prior(self, clusters: Int32, k: int) -> Prior:
        """The clusters as they are now, which count for a part of their own members."""
        members = np.bincount(clusters, minlength=k + 1)[:k].astype(np.float64)
        if self.work.counts:
            spectra = self.sample.spectra
            pixel = spectra.sum(axis=0, dtype=np.float64) + 1e-3
            sums = np.stack([spectra[clusters == c].sum(axis=0, dtype=np.float64) for c in range(k)])
            sums += pixel / max(len(spectra), 1)
            return Prior(sums / sums.sum(axis=1, keepdims=True), _INERTIA * members)
        whole = Prior(np.repeat(self.codes.mean(axis=0)[None], k, axis=0), np.full(k, 1e-3))
        few = clusters < k
        return Prior(centres_of(self.codes[few], clusters[few], k, whole), _INERTIA * members)
