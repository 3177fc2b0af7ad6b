"""The dictionary's classes: where they start, what is left of them in the end, and how many.

Of an over-full dictionary, the level of its merge tree is taken on which neighbours agree best.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import Clustering, kmeans
from cubeseg.config import FitConfig
from cubeseg.hierarchy import merge_tree
from cubeseg.patches import Patches
from cubeseg.segmentation import Merge
from cubeseg.spatial import agreement

__all__ = ["Level", "coded", "found_classes", "seeded"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Level:
    """Clusters, the class 1.. of each, what to merge for fewer classes, and the scores of the numbers tried."""

    clustering: Clustering
    owner: Int32
    tree: list[Merge]
    criteria: dict[str, dict[int, float]]


def coded(model: Any, patches: Patches) -> Generator[float, None, tuple[Float32, Float32]]:
    """Encode the patches and pick pixels from them.

    Parameters
    ----------
    model : PatchModel
    patches : Patches

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    codes : array of float32, shape (n, d)
        Of some pixels.
    pairs : array of float32, shape (2, m, d)
        Of pixels and their neighbours.
    """
    maps: Float32 | None = None
    for w in range(len(patches)):
        variance = None if patches.variance is None else patches.variance[w]
        codes, _ = model.encode_around(patches.spectra[w], variance, patches.usable[w])
        maps = np.zeros((len(patches), *codes.shape), np.float32) if maps is None else maps
        maps[w] = codes
        yield (w + 1) / len(patches)
    assert maps is not None
    sample = patches.sample()
    flat = maps.reshape(-1, maps.shape[-1])
    pairs = np.stack([flat[sample.rows[sample.paired]], flat[sample.columns[sample.paired]]])
    return flat[sample.rows], pairs


def seeded(model: Any, patches: Patches, config: FitConfig) -> Generator[float, None, None]:
    """Give the dictionary the centres that K-means finds among the codes as they are: the best of ten starts."""
    codes, _ = yield from coded(model, patches)
    k = config.clusters[1]
    if len(codes) < 2 * k:
        codes = np.concatenate([codes] * -(-2 * k // len(codes)))
    model.seed(kmeans(codes, k, config.seed), codes)


def found_classes(model: Any, patches: Patches, config: FitConfig) -> Generator[float, None, Level]:
    """The dictionary of a trained model without its unused entries, merged down to a number in the range asked for.

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
    codes, pairs = yield from coded(model, patches)
    clustering = model.clustering()
    used = np.bincount(_nearest(clustering, codes), minlength=len(clustering.centroids)) > 0
    clustering = clustering.reordered(np.flatnonzero(used))
    k = len(clustering.centroids)
    merges = merge_tree(clustering.centroids)
    owner = np.arange(1, k + 1, dtype=np.int32)
    owners = {k: owner}
    for merge in merges:
        owner = np.where(owner == merge.gone, merge.kept, owner).astype(np.int32)
        owners[len(np.unique(owner))] = owner
    scores: dict[int, float] = {}
    first, second = (_nearest(clustering, c) for c in pairs)
    for n in range(max(1, min(config.clusters[0], k)), k + 1):
        numbers = np.unique(owners[n], return_inverse=True)[1].astype(np.int32)
        scores[n] = agreement(numbers[first], numbers[second], n) if n > 1 else 0.0
    best = max(scores, key=lambda n: scores[n])
    # the classes that are left get the ids 1.. in the order of the dictionary, largest first
    kept = np.unique(owners[best])
    number = {int(old): new for new, old in enumerate(kept, 1)}
    tree = [Merge(number[m.kept], number[m.gone], m.height) for m in merges[k - best :]]
    final = np.array([number[int(o)] for o in owners[best]], np.int32)
    return Level(clustering, final, tree, {"score": scores} if len(scores) > 1 else {})


def _nearest(clustering: Clustering, codes: Float32) -> Int32:
    return np.asarray(clustering.evidence(codes, codes[:, :0]).argmax(axis=1), np.int32)
