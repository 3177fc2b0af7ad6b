"""From the dictionary to classes: where its entries start, and which of them are one class in the end.

A dictionary has more entries than classes are asked for. Alike entries are merged, whatever their size: so a rare class
that is unlike all others stays, where K-means would rather cut a large one in two. Of a range of numbers that one is
taken on which neighbours agree best. The classes are then refined under the noise model of the data.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.iterative import Clustering, assign, kmeans
from cubeseg.clustering.mixture import centres_of, shared_metric
from cubeseg.clustering.spatial import agreement
from cubeseg.config import FitConfig
from cubeseg.editing.hierarchy import merge_tree
from cubeseg.metrics import information
from cubeseg.sampling.patches import Patches
from cubeseg.sampling.spectra import Sample
from cubeseg.segmentation import Merge
from cubeseg.steps import passing
from cubeseg.training.refinement import refined

__all__ = ["Coded", "Level", "coded", "found_classes", "seeded"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Level:
    """Clusters, the class 1.. of each, what to merge for fewer classes, and the scores of the numbers tried.

    `trained` is False where what the training began with was taken.
    """

    clustering: Clustering
    owner: Int32
    tree: list[Merge]
    criteria: dict[str, dict[int, float]]
    trained: bool


@dataclass(frozen=True, eq=False)
class Coded:
    """A sample of the patches' pixels; codes (n, d), and (m, d) of neighbours."""

    sample: Sample
    codes: Float32
    beside: Float32


def coded(model: Any, patches: Patches) -> Generator[float, None, Coded]:
    """Encode the patches.

    Parameters
    ----------
    model : PatchModel
    patches : Patches

    Yields
    ------
    float
        Part of the work that is done.
    """
    sample = patches.sample()
    codes, others = [], []
    for w in range(len(patches)):
        variance = None if patches.variance is None else patches.variance[w]
        code, _, _ = model.encode_around(patches.spectra[w], variance, patches.usable[w])
        own, beside = patches.of_window(w, sample)
        codes.append(code[own])
        others.append(code[beside])
        yield (w + 1) / len(patches)
    return Coded(sample, np.concatenate(codes), np.concatenate(others))


def seeded(model: Any, patches: Patches, config: FitConfig) -> Generator[float, None, None]:
    """Give the dictionary the centres that K-means finds among the codes as they are: the best of ten starts."""
    found = yield from coded(model, patches)
    codes, k = found.codes, len(model.dictionary)
    if len(codes) < 2 * k:
        codes = np.concatenate([codes] * -(-2 * k // len(codes)))
    model.seed(kmeans(codes, k, config.seed), codes)


def found_classes(
    model: Any, patches: Patches, config: FitConfig, start: dict[str, Any] | None = None
) -> Generator[float, None, Level]:
    """The classes of a trained model: used entries of its dictionary, merged down to a number in the range asked for.

    Training may lose classes of few pixels, whose spectra the network smooths away. So what it began with is looked at
    too, on the same patches, and taken where neighbours agree no less on its classes.

    Parameters
    ----------
    model : PatchModel
    patches : Patches
        Those that it was trained on.
    config : FitConfig
    start : dict, optional
        Snapshot of the model from before the training.

    Yields
    ------
    float
        Part of the work that is done.
    """
    found = yield from passing(coded(model, patches), lambda part: 0.2 * part)
    made, trained = _merged(model, found, config), True
    if start is not None:
        after = model.snapshot()
        model.reset(start)
        before = yield from passing(coded(model, patches), lambda part: 0.2 + 0.2 * part)
        model.measure(before.codes)
        other = _merged(model, before, config)
        if other.score >= made.score:
            found, made, trained = before, other, False
        else:
            model.reset(after)
    clustering, labels, owner, tree, scores = made.clustering, made.labels, made.owner, made.tree, made.scores
    criteria = {"score": scores} if len(scores) > 1 else {}
    best = int(owner.max())
    if best == 1 or not model.refines:
        return Level(clustering, owner, tree, criteria, trained)
    steps = _refined(model, found, owner[labels] - 1, best, config)
    clustering, tree = yield from passing(steps, lambda part: 0.4 + 0.6 * part)
    return Level(clustering, np.arange(1, best + 1, dtype=np.int32), tree, criteria, trained)


@dataclass(frozen=True, eq=False)
class _Merged:
    """Entries of the dictionary that are used, their classes 1.., and how much neighbours agree on these.

    `labels` (n,) are those of the entries.
    """

    clustering: Clustering
    labels: Int32
    owner: Int32
    tree: list[Merge]
    scores: dict[int, float]
    score: float


def _merged(model: Any, found: Coded, config: FitConfig) -> _Merged:
    clustering, paired = model.clustering(), found.sample.paired
    labels = assign(found.codes, clustering.centroids, 1.0)[0]
    clustering = clustering.reordered(np.flatnonzero(np.bincount(labels, minlength=len(clustering.centroids)) > 0))
    # training parts entries that are alike; the spectra that they stand for stay what they are
    merges = merge_tree(model.expected(clustering.centroids))
    k = len(clustering.centroids)
    owners = {k: np.arange(1, k + 1, dtype=np.int32)}
    for n, merge in zip(range(k - 1, 0, -1), merges, strict=True):
        owners[n] = np.where(owners[n + 1] == merge.gone, merge.kept, owners[n + 1]).astype(np.int32)
    scores: dict[int, float] = {}
    labels, beside = (assign(codes, clustering.centroids, 1.0)[0] for codes in (found.codes, found.beside))
    low, high = (max(1, min(n, k)) for n in config.clusters)
    for n in range(low, high + 1):
        numbers = np.unique(owners[n], return_inverse=True)[1].astype(np.int32)
        scores[n] = agreement(numbers[labels[paired]], numbers[beside], n) if n > 1 else 0.0
    best = max(scores, key=lambda n: scores[n])
    # the classes that are left get the ids 1.. in the order of the dictionary
    kept = np.unique(owners[best])
    owner = np.asarray(np.searchsorted(kept, owners[best]) + 1, np.int32)
    number = {int(old): new for new, old in enumerate(kept, 1)}
    tree = [Merge(number[m.kept], number[m.gone], m.height) for m in merges[k - best :]]
    return _Merged(clustering, labels, owner, tree, scores, scores[best])


def _refined(
    model: Any, found: Coded, labels: Int32, k: int, config: FitConfig
) -> Generator[float, None, tuple[Clustering, list[Merge]]]:
    """Classes as the noise has them, those of most pixels first, and their tree; from labels (n,) 0..k-1 of the codes.

    Of counts: learned from each pixel's own photons, which no two pixels share, so that neighbours may say which start
    is best; applied to the photons of alike neighbours too. Otherwise: measured by the covariance inside the classes.
    """
    codes, sample = found.codes, found.sample
    if model.by_counts:
        start = Clustering(centres_of(codes, labels, k), 1.0, {})
        made = yield from refined(start, codes, sample, model, config)
        labels = made.evidence(codes, sample.spectra).argmax(axis=1).astype(np.int32)
    else:
        metric, made, labels = yield from _measured(found, labels, k, config)
        model.stretch(metric)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    means = np.stack([codes[labels == c].mean(axis=0) if (labels == c).any() else codes[0] for c in order])
    return made.reordered(order), merge_tree(model.expected(means))


def _measured(
    found: Coded, labels: Int32, k: int, config: FitConfig
) -> Generator[float, None, tuple[Float32, Clustering, Int32]]:
    """Metric, classes in it, labels of the codes: from labels 0..k-1, or from K-means where neighbours know more then.

    Merged entries find rare classes, K-means parts large ones that are alike. What the class of a pixel tells of its
    neighbour's must be more in itself and as a part of all that there is to tell: to cut a class anywhere gives more to
    tell, but less of it is told; where a rare class is lost, there is less to tell, but more of it is told.
    """
    codes, sample = found.codes, found.sample
    starts = [labels, assign(codes, kmeans(codes, k, config.seed), 1.0)[0]]
    best, told = None, (0.0, 0.0)
    for number, start in enumerate(starts):
        if np.bincount(start, minlength=k).min() == 0:
            continue

        def part(_: float, number: int = number) -> float:
            return number / len(starts)

        steps = shared_metric(codes, centres_of(codes, start, k), sample.grid.context, labels=start)
        metric, centroids = yield from passing(steps, part)
        own, beside = (assign(c @ metric, centroids, 1.0)[0] for c in (codes, found.beside))
        own_too = own[sample.paired]
        tells = agreement(own_too, beside, k), information(own_too, beside)[0]
        if best is None or (tells[0] > told[0] and tells[1] > told[1]):
            best, told = (metric, Clustering(centroids, 1.0, {}), own), tells
    assert best is not None
    return best
