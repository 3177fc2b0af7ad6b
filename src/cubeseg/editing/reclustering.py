"""Another number of classes from the same latent codes, without training again."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.iterative import distances, kmeans
from cubeseg.clustering.spatial import coherent
from cubeseg.cube import Cube
from cubeseg.editing.hierarchy import merge_tree
from cubeseg.editing.relabel import moved
from cubeseg.errors import ConfigError, DataError
from cubeseg.record.logbook import entry
from cubeseg.segmentation import ClassInfo, Merge, Segmentation, class_colour
from cubeseg.steps import passing

__all__ = ["Grouping", "reclustered", "regrouped"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

_FAINTEST = -1000.0
_BLOCK = 1 << 17


@dataclass(frozen=True, eq=False)
class Grouping:
    """Clusters of the codes of all pixels that are free to change.

    Attributes
    ----------
    labels : array of int32, shape (y, x)
        Every pixel for itself; painted pixels and locked classes as they were.
    ids : array of int32, shape (k,)
        The class of each cluster: one that was there where a cluster covers it best, otherwise a new one.
    centroids : array of float32, shape (k, d)
    spread : float
    seed : int
        Of K-means.
    """

    labels: Int32
    ids: Int32
    centroids: Float32
    spread: float
    seed: int = 0


def regrouped(result: Segmentation, n: int, seed: int = 0) -> Grouping:
    """Cluster the codes anew into `n` classes, locked ones included: K-means on 10,000 of them, then all assigned.

    Parameters
    ----------
    result : Segmentation
        Is not changed.
    n : int
    seed : int

    Raises
    ------
    ConfigError
        If `n` leaves no class beside the locked ones, or there are fewer different codes.
    """
    locked = [c.id for c in result.classes if c.locked and result.pixels(c.id)]
    k = n - len(locked)
    if k < 1:
        raise ConfigError(f"{len(locked)} classes are locked, so there must be more than {len(locked)} classes")
    usable = np.isfinite(result.reconstruction_error)
    where = np.flatnonzero((usable & ~result.held).ravel())
    if len(where) < k:
        raise ConfigError(f"only {len(where)} pixels are free to change, too few for {k} classes")
    flat = result.latent.reshape(-1, result.latent.shape[-1])
    rng = np.random.default_rng(seed)
    few = where if len(where) <= 10000 else np.sort(rng.choice(where, 10000, replace=False))
    centroids = kmeans(flat[few].astype(np.float32), k, seed, restarts=3)
    groups, squared = np.empty(len(where), np.int32), 0.0
    for start in range(0, len(where), _BLOCK):
        part = slice(start, start + _BLOCK)
        apart = distances(flat[where[part]].astype(np.float32), centroids)
        groups[part] = apart.argmin(axis=1)
        squared += float(apart.min(axis=1).sum(dtype=np.float64))
    spread = float(np.sqrt(squared / (len(where) * flat.shape[1])))
    old = result.labels.ravel()[where]
    ids = _matched(groups, old, k, result, locked)
    labels = result.labels.copy()
    labels.flat[where] = ids[groups]
    return Grouping(labels, ids, centroids, spread, seed)


def reclustered(result: Segmentation, cube: Cube | None, grouping: Grouping) -> Generator[float, None, Segmentation]:
    """A result with the classes of a grouping, its labels as coherent as before.

    Painted pixels and locked classes hold; classes that survive keep id, name, colour and note. Class spectra follow
    from the pixels that change, which are read from the cube.

    Parameters
    ----------
    result : Segmentation
        Is not changed.
    cube : Cube or None
        Without it only the numbers of pixels follow.
    grouping : Grouping
        Of this result.

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    Segmentation

    Raises
    ------
    DataError
        If the cube is another one.
    """
    if cube is not None and (cube.image_shape != result.labels.shape or cube.n_bands != len(result.axis)):
        raise DataError(f"{cube.name}: is not the cube that was segmented, its size differs")
    usable = np.isfinite(result.reconstruction_error)
    locked = np.array([c.id for c in result.classes if c.locked and result.pixels(c.id)], np.int32)
    held = ~usable | result.held
    evidence = _evidence(result, grouping, locked)
    yield 0.1
    steps = coherent(evidence, usable, result.coherence, result.latent)
    lineage = np.concatenate([grouping.ids, locked])
    clusters, confidence = yield from passing(steps, lambda part: 0.1 + 0.4 * part)
    labels = grouping.labels if result.coherence == 0 else lineage[clusters].astype(np.int32)
    labels = np.where(held, result.labels, labels).astype(np.int32)
    made = result.copy()
    moving = moved(made.spectra, cube, made.labels, labels)
    yield from passing(moving, lambda part: 0.5 + 0.5 * part)
    there = set(np.unique(labels).tolist())
    known = {c.id for c in result.classes}
    fresh = [i for i in grouping.ids.tolist() if i not in known]
    made.labels = labels
    made.confidence = np.where(held, result.confidence, confidence)
    # those that coherence leaves no pixel get some again with less of it
    there |= set(lineage.tolist())
    made.classes = [c for c in result.classes if c.id in there] + [
        ClassInfo(i, f"class {i}", class_colour(i)) for i in fresh
    ]
    flat = result.latent.reshape(-1, result.latent.shape[-1])
    means = [flat[result.labels.ravel() == i].mean(axis=0, dtype=np.float64) for i in locked]
    made.centroids = np.asarray([*grouping.centroids, *means], np.float32)
    made.lineage, made.evidence, made.profiles, made.spread = lineage.astype(np.int32), evidence, None, grouping.spread
    made.tree = [
        Merge(int(lineage[m.kept - 1]), int(lineage[m.gone - 1]), m.height) for m in merge_tree(made.centroids)
    ]
    if made.unmixed is not None:
        made.unmixed = replace(made.unmixed, classes=False)
    made.log.append(entry("recluster", classes=len(lineage), seed=grouping.seed, before=len(result.classes)))
    return made


def _matched(groups: Int32, old: Int32, k: int, result: Segmentation, locked: list[int]) -> Int32:
    """For each new group the id of the class that it covers best (Hungarian method), or a fresh one."""
    from scipy.optimize import linear_sum_assignment

    size = int(old.max(initial=0)) + 1
    overlap = np.bincount(groups.astype(np.int64) * size + old, minlength=k * size).reshape(k, size)
    known = np.array([c.id for c in result.classes if c.id not in locked and c.id < size], np.intp)
    ids = np.zeros(k, np.int32)
    if len(known):
        rows, columns = linear_sum_assignment(overlap[:, known], maximize=True)
        real = overlap[rows, known[columns]] > 0
        ids[rows[real]] = known[columns[real]]
    first = max([int(result.labels.max(initial=0)), *(c.id for c in result.classes)]) + 1
    ids[ids == 0] = np.arange(first, first + int((ids == 0).sum()))
    return ids


def _evidence(result: Segmentation, grouping: Grouping, locked: Int32) -> NDArray[np.float16]:
    """Log-likelihoods (k + locked, y, x): spherical Gaussians of the codes; locked classes own exactly their pixels."""
    k, shape = len(grouping.centroids), result.labels.shape
    flat, labels = result.latent.reshape(-1, result.latent.shape[-1]), result.labels.ravel()
    made = np.zeros((k + len(locked), *shape), np.float16)
    pixels = made.reshape(len(made), -1)
    for start in range(0, len(flat), _BLOCK):
        part = slice(start, start + _BLOCK)
        squared = distances(np.nan_to_num(flat[part].astype(np.float32)), grouping.centroids)
        behind = -0.5 * (squared - squared.min(axis=1, keepdims=True)).T / max(grouping.spread, 1e-6) ** 2
        pixels[:k, part] = np.maximum(behind, _FAINTEST)
        if len(locked):
            own = labels[part] == locked[:, None]
            pixels[:k, part][:, own.any(axis=0)] = _FAINTEST
            pixels[k:, part] = np.where(own, 0, _FAINTEST)
    return made
