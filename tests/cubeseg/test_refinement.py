"""Scaling, metric, refinement and the number of classes: found without labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cubeseg import FitConfig, segment
from cubeseg.clustering.iterative import assign, kmeans
from cubeseg.clustering.likelihood import counts_evidence, refine_counts
from cubeseg.clustering.mixture import shared_metric
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError
from cubeseg.samples import painting
from cubeseg.sampling.scaling import scaled
from cubeseg.sampling.spectra import draw_sample
from cubeseg.steps import finish
from tests.cubeseg.cubes import counts_cube, reflectance_cube, regions, shapes


def test_uneven_light_does_not_decide_the_classes():
    cube, truth = reflectance_cube()
    result = segment(cube, FitConfig(method="pca", clusters=(4, 4)))
    assert adjusted_rand_score(truth.ravel(), result.labels.ravel()) > 0.95


def test_bands_of_strong_noise_call_for_whitening():
    truth = regions(48, 60)
    rng = np.random.default_rng(0)
    data = 1 + 3 * shapes()[truth - 1] + rng.normal(0, 0.005, (*truth.shape, 64))
    data[..., 3:9] += rng.normal(0, 1, (*truth.shape, 1)) * rng.normal(1, 0.2, 6)
    cube = Cube(np.ascontiguousarray(np.abs(data).transpose(2, 0, 1), np.float32), reflectance_cube()[0].axis)
    sample, scores = finish(scaled(finish(draw_sample(cube, bins=64, limit=5000, seed=0)), FitConfig(clusters=(4, 4))))
    assert sample.preprocessor.scaling == "whitened"
    assert scores["whitened"] > 1.2 * scores["shape"]
    result = segment(cube, FitConfig(method="pca", clusters=(4, 4)))
    assert adjusted_rand_score(truth.ravel(), result.labels.ravel()) > 0.9


@pytest.mark.parametrize(("make", "scaling"), [(counts_cube, "shape"), (reflectance_cube, "hellinger")])
def test_a_scaling_that_does_not_suit_the_data_is_refused(make, scaling):
    with pytest.raises(ConfigError, match="does not suit this cube; use "):
        segment(make()[0], FitConfig(method="pca", scaling=scaling))


def test_neighbours_are_neighbours():
    data = np.arange(3 * 20 * 30, dtype=np.float32).reshape(3, 20, 30) + 1
    sample = finish(draw_sample(Cube(data, reflectance_cube()[0].axis.channels(3)), bins=3, limit=100, seed=0))
    step = sample.neighbours[:, 0] - sample.spectra[sample.paired][:, 0]
    assert set(np.unique(step)) <= {1.0, 30.0}
    assert len(sample.paired) > 20


def test_shared_metric_parts_stretched_clusters():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 400)
    codes = rng.normal(0, (20.0, 1.0), (800, 2)) + np.outer(truth, (0.0, 8.0))
    codes = codes.astype(np.float32)
    start = kmeans(codes, 2, 0)
    assert adjusted_rand_score(truth, assign(codes, start, 1.0)[0]) < 0.2
    metric, centroids = finish(shared_metric(codes, np.array([[0, 1], [0, 7]], np.float32), shrinkage=0.0))
    assert adjusted_rand_score(truth, assign(codes @ metric, centroids, 1.0)[0]) > 0.95


def test_refined_counts_reach_the_bayes_limit():
    cube, truth = counts_cube(25)
    counts = np.asarray(cube.data).reshape(64, -1).T.astype(np.float32)
    start = kmeans(np.sqrt(counts), 4, 0)
    profiles = finish(refine_counts(counts, assign(np.sqrt(counts), start, 1.0)[0], 4))
    found = counts_evidence(counts, profiles).argmax(axis=1)
    limit = (counts @ np.log(shapes()).T).argmax(axis=1)
    best = adjusted_rand_score(truth.ravel(), limit)
    assert adjusted_rand_score(truth.ravel(), found) > best - 0.05


@pytest.mark.parametrize(("tier", "k"), [(1, 5), (2, 10)])
def test_the_number_of_classes_of_the_painting(tier, k):
    sample = painting(64, None, 0, tier=tier)
    result = segment(sample.cube, FitConfig(method="pca", clusters=(2, 14)))
    assert abs(len(result.classes) - k) <= 1
    assert set(result.criteria) == {"score", "silhouette", "stability", "bic"}
    assert all(set(curve) == set(range(2, 15)) for curve in result.criteria.values())


def test_coherent_defaults_beat_the_pixelwise_bayes_limit_of_few_counts():
    cube, truth = counts_cube(12)
    counts = np.asarray(cube.data).reshape(64, -1).T.astype(np.float32)
    limit = adjusted_rand_score(truth.ravel(), (counts @ np.log(shapes()).T).argmax(axis=1))
    result = segment(cube, FitConfig(clusters=(4, 4), epochs=10, batch=64))
    assert adjusted_rand_score(truth.ravel(), result.labels.ravel()) > limit
