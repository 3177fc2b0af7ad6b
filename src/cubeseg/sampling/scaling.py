"""The choice of scaling without labels: in which metric do the classes of neighbours agree best.

A metric that follows the material gives neighbours the same class; one that follows noise or light does not. The score
is :func:`cubeseg.clustering.spatial.agreement`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from cubeseg.clustering.iterative import assign, kmeans
from cubeseg.clustering.spatial import agreement
from cubeseg.config import FitConfig, Scaling
from cubeseg.errors import ConfigError
from cubeseg.sampling.preprocess import SCALINGS, SUITABLE, Preprocessor
from cubeseg.sampling.spectra import Sample

__all__ = ["scaled"]

_CORESET, _COMPONENTS = 6000, 8
# to be preferred to the plainest scaling, another one must be better by this factor
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
        Agreement of neighbours for every scaling tried; empty where there was no choice.

    Raises
    ------
    ConfigError
        If the scaling asked for does not suit the data.
    """
    blank = sample.preprocessor
    names: tuple[Scaling, ...] = SCALINGS[blank.kind] if config.scaling == "auto" else (config.scaling,)
    if not set(names) <= SUITABLE[blank.kind]:
        raise ConfigError(
            f"scaling '{config.scaling}' does not suit this cube; use {', '.join(sorted(SUITABLE[blank.kind]))}"
        )
    pairs = (sample.spectra[sample.paired], sample.neighbours) if len(sample.paired) > 50 else None
    if pairs is None and names == ("whitened",):
        raise ConfigError("scaling 'whitened' takes at least 50 pixels with a neighbour; use shape")
    if pairs is None or (blank.n_bins < 3 and config.scaling == "auto"):
        names = names[:1]
    scores: dict[str, float] = {}
    best: Preprocessor | None = None
    for name in names:
        yield name
        made = blank.fitted(name, sample.spectra, sample.variance, pairs)
        scores[name] = _score(made, sample, config) if len(names) > 1 else 0.0
        beaten = best is None or scores[name] > scores[best.scaling]
        if best is None or (beaten and scores[name] > _MARGIN * scores[names[0]]):
            best = made
    assert best is not None
    return replace(sample, preprocessor=best), scores if len(names) > 1 else {}


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
    tried = sorted({max(2, k) for k in (low, (low + high) // 2, high + (high - low < 2) * high // 2)})
    total = 0.0
    for k in tried:
        if k > len(codes):
            continue
        centroids = kmeans(codes, k, config.seed, restarts=3)
        total += agreement(assign(first, centroids, 1.0)[0], assign(second, centroids, 1.0)[0], k)
    return total / len(tried)
