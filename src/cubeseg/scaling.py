"""The choice of scaling without labels: in which metric do the classes that K-means finds agree between neighbours?

Neighbouring pixels mostly show the same material with other noise and other light. A metric that follows the material
gives both the same class; one that follows noise or light does not. The score is the mutual information of the labels
of neighbours (nats): it rewards agreement, and classes of comparable size over one class for everything.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import assign, kmeans
from cubeseg.config import FitConfig
from cubeseg.preprocess import SCALINGS, Preprocessor
from cubeseg.sampling import Sample

__all__ = ["agreement", "scaled"]

Float32 = NDArray[np.float32]

_CORESET, _COMPONENTS = 6000, 8
# a scaling with more freedom must be better by this factor
_MARGIN = 1.03


def scaled(sample: Sample, config: FitConfig) -> Generator[str, None, tuple[Sample, dict[str, float]]]:
    """Fit the sample's preprocessor, trying all scalings that its kind of data allows.

    Yields
    ------
    str
        The scaling that is tried.

    Returns
    -------
    sample : Sample
    scores : dict
        Mutual information of neighbours for every scaling tried; empty where there was no choice.
    """
    blank = sample.preprocessor
    names = SCALINGS[blank.kind] if config.scaling == "auto" else (config.scaling,)
    pairs = (sample.spectra[sample.paired], sample.neighbours) if len(sample.paired) > 50 else None
    if pairs is None or (blank.n_bins < 3 and config.scaling == "auto"):
        names = names[:1]
    best: Preprocessor | None = None
    scores: dict[str, float] = {}
    for name in names:
        yield name
        made = blank.fitted(name, sample.spectra, sample.variance, pairs)
        if len(names) > 1:
            scores[name] = _score(made, sample, config)
        if best is None or scores[name] > _MARGIN * scores[best.scaling]:
            best = made
    assert best is not None
    return replace(sample, preprocessor=best), scores


def agreement(first: NDArray[np.int32], second: NDArray[np.int32], k: int) -> float:
    """Mutual information in nats of the labels 0..k-1 of pairs, shape (m,) each."""
    table = np.zeros((k, k))
    np.add.at(table, (first, second), 1.0)
    table = (table + table.T) / max(2 * len(first), 1)
    margin = table.sum(axis=1)
    seen = table > 0
    return float((table[seen] * np.log(table[seen] / np.outer(margin, margin)[seen])).sum())


def _score(prepare: Preprocessor, sample: Sample, config: FitConfig) -> float:
    rng = np.random.default_rng(config.seed)
    few = rng.permutation(len(sample.spectra))[:_CORESET]
    inputs = prepare.features(*sample.part(np.sort(few))).inputs
    mean = inputs.mean(axis=0)
    axes = np.linalg.eigh((inputs - mean).T @ (inputs - mean))[1][:, -_COMPONENTS:]
    codes = (inputs - mean) @ axes
    first = (prepare.features(*sample.part(sample.paired)).inputs - mean) @ axes
    second = (prepare.features(sample.neighbours, sample.neighbour_variance).inputs - mean) @ axes
    low, high = config.clusters
    tried = sorted({max(2, k) for k in (low, (low + high) // 2, high)})
    total = 0.0
    for k in tried:
        if k > len(codes):
            continue
        centroids = kmeans(codes, k, config.seed, restarts=3)
        total += agreement(assign(first, centroids, 1.0)[0], assign(second, centroids, 1.0)[0], k)
    return total / len(tried)
