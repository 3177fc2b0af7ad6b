"""How many classes of an over-full dictionary: the level of its merge tree on which neighbours agree best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import Clustering
from cubeseg.config import FitConfig
from cubeseg.hierarchy import merge_tree
from cubeseg.patches import Patches
from cubeseg.segmentation import Merge
from cubeseg.spatial import agreement

__all__ = ["Level", "found_classes"]

Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Level:
    """Clusters, the class 1.. of each, what to merge for fewer classes, and the scores of the numbers tried."""

    clustering: Clustering
    owner: Int32
    tree: list[Merge]
    criteria: dict[str, dict[int, float]]


def found_classes(model: Any, patches: Patches, config: FitConfig) -> Level:
    """The dictionary of a trained model without its unused entries, merged down to a number in the range asked for.

    Parameters
    ----------
    model : PatchModel
    patches : Patches
        Those that it was trained on.
    config : FitConfig
    """
    clustering = model.clustering()
    labels = _labelled(model, clustering, patches)
    used = np.unique(labels[labels >= 0])
    clustering = clustering.reordered(used)
    k, low = len(used), min(config.clusters[0], len(used))
    merges = merge_tree(clustering.centroids)
    images = np.searchsorted(used, np.maximum(labels, 0)).astype(np.int32)
    scores: dict[int, float] = {}
    owner = np.arange(1, k + 1, dtype=np.int32)
    owners = {k: owner}
    for merge in merges:
        owner = np.where(owner == merge.gone, merge.kept, owner).astype(np.int32)
        owners[len(np.unique(owner))] = owner
    if low < k:
        first, second = _pairs(labels)
        for n in range(max(low, 1), k + 1):
            numbers = np.unique(owners[n], return_inverse=True)[1].astype(np.int32)
            seen = numbers[images]
            scores[n] = agreement(seen.ravel()[first], seen.ravel()[second], n) if n > 1 else 0.0
    best = max(scores, key=lambda n: scores[n]) if scores else k
    # the classes that are left get the ids 1.. in the order of the dictionary, largest first
    kept = np.unique(owners[best])
    number = {int(old): new for new, old in enumerate(kept, 1)}
    tree = [Merge(number[m.kept], number[m.gone], m.height) for m in merges[k - best :]]
    final = np.array([number[int(o)] for o in owners[best]], np.int32)
    return Level(clustering, final, tree, {"score": scores} if scores else {})


def _labelled(model: Any, clustering: Clustering, patches: Patches) -> Int32:
    """Labels (n, side, side) of the windows; -1 where unusable."""
    labels = np.full(patches.usable.shape, -1, np.int32)
    for w in range(len(patches)):
        usable = patches.usable[w]
        if usable.any():
            codes = model.look(patches, np.array([w]))
            labels[w][usable] = clustering.evidence(codes, codes[:, :0]).argmax(axis=1)
    return labels


def _pairs(labels: Int32) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Flat places of neighbours to the right and below, both usable."""
    flat = np.arange(labels.size).reshape(labels.shape)
    firsts, seconds = [], []
    for near, far in ((np.s_[:, :, :-1], np.s_[:, :, 1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        both = (labels[near] >= 0) & (labels[far] >= 0)
        firsts.append(flat[near][both])
        seconds.append(flat[far][both])
    return np.concatenate(firsts), np.concatenate(seconds)
