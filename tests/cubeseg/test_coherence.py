"""Neighbours: agreement as a score, the Potts model, other labels from the same run, the merge tree."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cubeseg import FitConfig, editing, load, segment
from cubeseg.clustering.spatial import Edges, agreement, around, coherent, strength_of
from cubeseg.editing.hierarchy import coarser, merge_tree
from cubeseg.editing.relabel import recohered
from cubeseg.errors import ConfigError, DataError
from cubeseg.steps import finish
from tests.cubeseg.cubes import counts_cube, regions


def noisy(truth, k, clear, seed=0):
    """Evidence (k, y, x): `clear` nats for the true class, unit noise."""
    evidence = np.random.default_rng(seed).normal(0, 1, (k, *truth.shape))
    np.put_along_axis(evidence, truth[None], np.take_along_axis(evidence, truth[None], 0) + clear, 0)
    return evidence.astype(np.float32)


def test_agreement_scores_order_and_punishes_ragged_small_classes():
    rng = np.random.default_rng(0)
    same = rng.integers(0, 3, 4000)
    assert agreement(same, same, 3) == pytest.approx(np.log(3), abs=0.01)
    assert agreement(same, rng.integers(0, 3, 4000), 3) < 0.01
    mostly = np.where(rng.random(4000) < 0.9, same, rng.integers(0, 3, 4000))
    assert 0.3 < agreement(same, mostly, 3) < np.log(3)
    ragged = np.where((same == 0) & (rng.random(4000) < 0.5), 3, same)
    other = np.where((same == 0) & (rng.random(4000) < 0.5), 3, same)
    assert agreement(ragged, other, 4) < agreement(same, same, 3)


def test_the_sum_over_neighbours_is_what_it_says():
    belief = np.random.default_rng(0).random((2, 6, 7)).astype(np.float32)
    padded = np.pad(belief, ((0, 0), (1, 1), (1, 1)))
    slow = sum(
        padded[:, 1 + dy : 7 + dy, 1 + dx : 8 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)
    )
    np.testing.assert_allclose(around(belief), slow, rtol=1e-5)
    flat = np.zeros((6, 7, 3), np.float32)
    edges = Edges.of(flat, np.ones((6, 7), bool), 1.0)
    np.testing.assert_allclose(around(belief, edges), slow, rtol=1e-5)


def test_strips_do_not_show():
    truth = np.zeros((200, 40), int)
    truth[:, 20:] = 1
    evidence, usable = noisy(truth, 2, 1.0), np.ones((200, 40), bool)
    whole = finish(coherent(evidence, usable, 0.7))
    shifted = finish(coherent(evidence[:, 30:], usable[30:], 0.7))
    np.testing.assert_array_equal(whole[0][40:], shifted[0][10:])


def test_coherence_mends_noise_and_zero_leaves_every_pixel_alone():
    truth = regions(60, 60) - 1
    evidence, usable = noisy(truth, 4, 1.5), np.ones(truth.shape, bool)
    alone, sure = finish(coherent(evidence, usable, 0.0))
    np.testing.assert_array_equal(alone, evidence.argmax(axis=0))
    strength = strength_of(evidence, usable)
    together, surer = finish(coherent(evidence, usable, strength))
    assert 0.2 < strength <= 1
    assert (together == truth).mean() > 0.97 > (alone == truth).mean() + 0.1
    assert surer.mean() > sure.mean()


def test_no_order_in_the_picture_means_no_coherence():
    truth = np.random.default_rng(1).integers(0, 4, (80, 80))
    assert strength_of(noisy(truth, 4, 8.0), np.ones((80, 80), bool)) < 0.1


def test_thin_lines_and_single_bright_pixels_stay():
    truth = np.zeros((120, 120), int)
    truth[:, 60:] = 1
    truth[30, 10:50] = 2
    truth[np.arange(70, 110), np.arange(70, 110)] = 2
    truth[np.random.default_rng(0).integers(0, 120, 60), np.random.default_rng(1).integers(0, 120, 60)] = 3
    rare = truth >= 2
    assert 0.005 < rare.mean() < 0.02
    evidence, usable = noisy(truth, 4, 10.0), np.ones(truth.shape, bool)
    labels, _ = finish(coherent(evidence, usable, strength_of(evidence, usable)))
    assert (labels[rare] == truth[rare]).mean() > 0.95


def test_a_rare_class_of_thin_lines_survives_the_defaults():
    cube, truth = counts_cube(400)
    data = np.array(cube.data)
    stranger = np.full(64, 0.1)
    stranger[33] = 200
    truth = truth.copy()
    truth[5, 2:16] = 5
    data[:, 5, 2:16] = np.random.default_rng(5).poisson(stranger[:, None], (64, 14))
    result = segment(type(cube)(data, cube.axis, unit="counts"), FitConfig(clusters=(5, 5), epochs=8, batch=64))
    mine = result.labels[5, 2:16]
    assert result.coherence > 0
    assert (mine == np.bincount(mine).argmax()).mean() > 0.9
    assert adjusted_rand_score(truth.ravel(), result.labels.ravel()) > 0.95


@pytest.fixture(scope="module")
def result():
    return segment(counts_cube(40)[0], FitConfig(method="pca", clusters=(4, 4)))


def test_other_coherence_from_the_same_run(result):
    cube, _ = counts_cube(40)
    made = finish(recohered(result, cube, 0.0))
    np.testing.assert_array_equal(made.labels, result.evidence.argmax(axis=0) + 1)
    for info in made.classes:
        mine = cube.data[:, made.labels == info.id].astype(np.float64)
        np.testing.assert_allclose(made.spectra.mean(info.id), mine.mean(axis=1), rtol=1e-6)
    back = finish(recohered(made, cube, result.coherence))
    np.testing.assert_array_equal(back.labels, result.labels)
    assert made.log[-1]["operation"] == "coherence"


def test_painted_pixels_hold(result):
    painted = result.copy()
    where = np.ravel_multi_index(([3, 4], [7, 7]), result.labels.shape)
    editing.paint(painted, where, np.array([9, 9])).do()
    made = finish(recohered(painted, None, 0.4))
    assert (made.labels[[3, 4], [7, 7]] == 9).all()
    assert result.painted is None


def test_coherence_needs_its_evidence(result):
    bare = result.copy()
    bare.evidence = np.zeros((0, 0, 0), np.float16)
    with pytest.raises(DataError, match="likelihoods"):
        finish(recohered(bare, None, 0.4))
    with pytest.raises(ConfigError, match="negative"):
        finish(recohered(result, None, -1))


def test_merge_tree_joins_the_alike_first():
    merges = merge_tree(np.array([[0.0, 0], [10, 0], [0.5, 0], [10, 1]], np.float32))
    assert [(m.kept, m.gone) for m in merges] == [(1, 3), (2, 4), (1, 2)]
    assert merge_tree(np.zeros((1, 3), np.float32)) == []


def test_coarser_results_are_results(result, tmp_path):
    made = coarser(result, 2)
    assert len(made.classes) == 2
    assert set(np.unique(made.labels)) == {c.id for c in made.classes}
    cube, _ = counts_cube(40)
    for info in made.classes:
        mine = cube.data[:, made.labels == info.id].astype(np.float64)
        np.testing.assert_allclose(made.spectra.mean(info.id), mine.mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(made.spectra.std(info.id), mine.std(axis=1), rtol=1e-4, atol=1e-6)
    assert len(result.classes) == 4
    made.save(tmp_path / "c.h5")
    again = load(tmp_path / "c.h5")
    np.testing.assert_array_equal(again.lineage, made.lineage)
    assert again.tree == made.tree
    relabelled = finish(recohered(again, cube, 0.0))
    assert set(np.unique(relabelled.labels)) == {c.id for c in made.classes}
    for n in (0, 5):
        with pytest.raises(ConfigError, match="cannot be had"):
            coarser(result, n)
