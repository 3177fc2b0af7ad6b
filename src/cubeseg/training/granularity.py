"""From the dictionary to classes: where its entries start, and which of them are one class in the end.

A dictionary has more entries than classes are asked for. Alike entries are merged, whatever their size: so a rare class
that is unlike all others stays, where K-means would rather cut a large one in two. Of a range of numbers that one is
taken on which neighbours agree best. Counts are then told apart by their likelihood, together with those of alike
neighbours.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.iterative import Clustering, kmeans
from cubeseg.clustering.spatial import agreement
from cubeseg.config import FitConfig
from cubeseg.editing.hierarchy import merge_tree
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
    """Clusters, the class 1.. of each, what to merge for fewer classes, and the scores of the numbers tried."""

    clustering: Clustering
    owner: Int32
    tree: list[Merge]
    criteria: dict[str, dict[int, float]]


@dataclass(frozen=True, eq=False)
class Coded:
    """A sample of the patches' pixels, spectra as likelihoods see them; codes (n, d), and (m, d) of neighbours."""

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
    codes, spectra, others = [], [], []
    for w in range(len(patches)):
        variance = None if patches.variance is None else patches.variance[w]
        code, _, seen = model.encode_around(patches.spectra[w], variance, patches.usable[w])
        own, beside = patches.of_window(w, sample)
        codes.append(code[own])
        spectra.append(seen[own])
        others.append((code[beside], seen[beside]))
        yield (w + 1) / len(patches)
    sample = replace(
        sample, spectra=np.concatenate(spectra), neighbours=np.concatenate([felt for _, felt in others]),
    )  # fmt: skip
    return Coded(sample, np.concatenate(codes), np.concatenate([code for code, _ in others]))


def seeded(model: Any, patches: Patches, config: FitConfig) -> Generator[float, None, None]:
    """Give the dictionary the centres that K-means finds among the codes as they are: the best of ten starts."""
    found = yield from coded(model, patches)
    codes, k = found.codes, len(model.dictionary)
    if len(codes) < 2 * k:
        codes = np.concatenate([codes] * -(-2 * k // len(codes)))
    model.seed(kmeans(codes, k, config.seed), codes)


def found_classes(model: Any, patches: Patches, config: FitConfig) -> Generator[float, None, Level]:
    """The classes of a trained model: used entries of its dictionary, merged down to a number in the range asked for.

    Parameters
    ----------
    model : PatchModel
    patches : Patches
        Those that it was trained on.
    config : FitConfig

    Yields
    ------
    float
        Part of the work that is done.
    """
    found = yield from passing(coded(model, patches), lambda part: 0.3 * part)
    clustering, sample = model.clustering(), found.sample
    labels = _nearest(clustering, found.codes, sample.spectra)
    clustering = clustering.reordered(np.flatnonzero(np.bincount(labels, minlength=len(clustering.centroids)) > 0))
    # training parts entries that are alike; the spectra that they stand for stay what they are
    merges = merge_tree(model.expected(clustering.centroids))
    k = len(clustering.centroids)
    owners = {k: np.arange(1, k + 1, dtype=np.int32)}
    for n, merge in zip(range(k - 1, 0, -1), merges, strict=True):
        owners[n] = np.where(owners[n + 1] == merge.gone, merge.kept, owners[n + 1]).astype(np.int32)
    scores: dict[int, float] = {}
    first = _nearest(clustering, found.codes, sample.spectra)[sample.paired]
    second = _nearest(clustering, found.beside, sample.neighbours)
    low, high = (max(1, min(n, k)) for n in config.clusters)
    for n in range(low, high + 1):
        numbers = np.unique(owners[n], return_inverse=True)[1].astype(np.int32)
        scores[n] = agreement(numbers[first], numbers[second], n) if n > 1 else 0.0
    best = max(scores, key=lambda n: scores[n])
    # the classes that are left get the ids 1.. in the order of the dictionary
    kept = np.unique(owners[best])
    owner = np.asarray(np.searchsorted(kept, owners[best]) + 1, np.int32)
    number = {int(old): new for new, old in enumerate(kept, 1)}
    tree = [Merge(number[m.kept], number[m.gone], m.height) for m in merges[k - best :]]
    criteria = {"score": scores} if len(scores) > 1 else {}
    if not model.by_counts or best == 1:
        return Level(clustering, owner, tree, criteria)
    classes = owner[_nearest(clustering, found.codes, sample.spectra)]
    means = np.stack([found.codes[classes == c].mean(axis=0) for c in range(1, best + 1)])
    steps = refined(Clustering(means, clustering.spread, {}), found.codes, sample, model, config)
    clustering = yield from passing(steps, lambda part: 0.3 + 0.7 * part)
    sizes = np.bincount(_nearest(clustering, found.codes, sample.spectra), minlength=best)
    clustering = clustering.reordered(np.argsort(-sizes, kind="stable"))
    return Level(clustering, np.arange(1, best + 1, dtype=np.int32), merge_tree(clustering.centroids), criteria)


def _nearest(clustering: Clustering, codes: Float32, spectra: Float32) -> Int32:
    return np.asarray(clustering.evidence(codes, spectra).argmax(axis=1), np.int32)
