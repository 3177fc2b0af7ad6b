"""The merge tree: fewer, broader classes without training again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import ConfigError
from cubeseg.record.logbook import entry
from cubeseg.segmentation import Merge, Segmentation

__all__ = ["coarser", "merge_tree", "mergeable"]


def merge_tree(centroids: NDArray[np.float32]) -> list[Merge]:
    """Which classes to make one, the most alike first.

    Average linkage (Sokal & Michener 1958) of the distances between class centres, in the metric in which the classes
    were found. Sizes do not count, so a rare class that is unlike all others stays to the end.

    Parameters
    ----------
    centroids : array, shape (K, d)
        Row k belongs to class id k + 1.

    Returns
    -------
    list of Merge
        K - 1 of them; of two merged classes the lower id stays.
    """
    from scipy.cluster.hierarchy import linkage

    k = len(centroids)
    if k < 2:
        return []
    ids = dict(enumerate(range(1, k + 1)))
    merges = []
    for step, (first, second, height, _) in enumerate(linkage(centroids.astype(np.float64), "average")):
        kept, gone = sorted((ids[int(first)], ids[int(second)]))
        ids[k + step] = kept
        merges.append(Merge(kept, gone, float(height)))
    return merges


def mergeable(result: Segmentation) -> list[Merge]:
    """The steps of the merge tree whose two classes are there and not locked."""
    free = {c.id for c in result.classes if not c.locked}
    return [m for m in result.tree if {m.kept, m.gone} <= free]


def coarser(result: Segmentation, n: int) -> Segmentation:
    """The same result with its classes merged along the tree until `n` are left.

    Names and colours of the classes that stay are kept; pixels without a class stay without; classes that were added by
    hand are no part of the tree and stay too. Class spectra are summed, nothing is read.

    Parameters
    ----------
    result : Segmentation
        Is not changed.
    n : int

    Raises
    ------
    ConfigError
        If there are fewer than `n` classes already, or the tree does not reach so far.
    """
    there = {c.id for c in result.classes}
    surplus = len(there) - n
    possible = mergeable(result)
    if n < 1 or surplus < 0 or surplus > len(possible):
        raise ConfigError(f"clusters: {n} cannot be had by merging {len(there)} classes")
    target = np.arange(max(there, default=0) + 1)
    for merge in possible[:surplus]:
        target[target == merge.gone] = merge.kept
    made = result.copy()
    made.labels = target[result.labels].astype(np.int32)
    made.spectra = result.spectra.merged(target)
    made.classes = [c for c in result.classes if target[c.id] == c.id]
    gone = {m.gone for m in possible[:surplus]}
    made.tree = [m for m in result.tree if m.gone not in gone]
    merged = [[m.kept, m.gone] for m in possible[:surplus]]
    made.log.append(entry("coarsen", classes=n, merged=merged, before=len(there)))
    return replace(made, lineage=target[result.lineage].astype(np.int32))
