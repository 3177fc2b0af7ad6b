"""Deep Global Clustering: patches, registered views, tiles that agree with the whole, no collapse."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from cubeseg import FitConfig, apply, fit, load, segment
from cubeseg.axis import SpectralAxis
from cubeseg.clustering.iterative import Clustering
from cubeseg.clustering.spatial import Grid
from cubeseg.cube import Cube
from cubeseg.editing.hierarchy import coarser
from cubeseg.errors import ConfigError, DataError
from cubeseg.metrics import information, score
from cubeseg.models.patch_losses import balance_loss, consistency_loss, published_losses, unsureness
from cubeseg.models.patch_network import REACH, PatchNetwork, PatchSpec, mean_shift, pooled
from cubeseg.models.patchwise import PatchModel
from cubeseg.samples import leaf
from cubeseg.sampling.crops import Crop, common, two_crops
from cubeseg.sampling.patches import Patches
from cubeseg.sampling.probe import probe
from cubeseg.steps import finish
from cubeseg.training.fitting import _scale
from cubeseg.training.granularity import Coded, _measured, found_classes, seeded
from cubeseg.training.labelling import labelled
from cubeseg.training.refining import RefineConfig, refine
from tests.cubeseg.cubes import counts_cube, reflectance_cube, variance_cube

QUICK = FitConfig(method="global", clusters=(4, 4), epochs=2, patch=16)


@pytest.fixture(scope="module", autouse=True)
def short_epochs():
    """Few steps are enough for small cubes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cubeseg.training.lessons._STEPS", 5)
        yield


@pytest.fixture(scope="module")
def sick():
    return leaf(96, 6, 50, n_bands=61)


@pytest.fixture(scope="module")
def found(sick):
    # the choice of a scaling is tested elsewhere
    return segment(sick.cube, dataclasses.replace(QUICK, epochs=4, scaling="shape"))


@pytest.mark.parametrize("make", [counts_cube, reflectance_cube, variance_cube])
def test_finds_the_regions(make):
    cube, truth = make()
    result = segment(cube, QUICK)
    known = result.labels > 0
    assert adjusted_rand_score(truth[known], result.labels[known]) > 0.95
    assert (known == (np.isfinite(np.asarray(cube.data, float)).all(axis=0))).all()


def test_finds_the_parts_of_a_leaf(found, sick):
    assert score(found.labels, sick.truth)["miou"] > 0.75
    assert found.history[-1]["classes in use"] >= 12
    assert sorted(set(found.lineage.tolist())) == [1, 2, 3, 4]
    assert {"nmi", "vi", "consistency", "balance", "reconstruction"} <= found.history[-1].keys()


def test_the_same_seed_gives_the_same_labels():
    cube, _ = counts_cube(60)
    first, second, other = (segment(cube, dataclasses.replace(QUICK, seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.latent, second.latent)
    assert not np.array_equal(first.latent, other.latent)


def in_tiles(monkeypatch, found, cube, tile, block_bytes):
    monkeypatch.setattr("cubeseg.training.labelling._TILE", tile)
    clustering = Clustering(found.centroids, found.spread, {})
    config = dataclasses.replace(QUICK, coherence=0.0)
    return finish(labelled(cube, config, None, found.model, clustering, block_bytes))


def test_tiles_agree_with_the_whole(monkeypatch, found, sick):
    whole = in_tiles(monkeypatch, found, sick.cube, 512, 1 << 30)
    tiles = in_tiles(monkeypatch, found, sick.cube, 13, 61 * 4 * 96 * 9)
    assert (whole.labels == tiles.labels).mean() > 0.999
    np.testing.assert_allclose(whole.confidence, tiles.confidence, atol=0.02)
    monkeypatch.setattr("cubeseg.training.labelling._wider", lambda span, by, end: span)
    cut = in_tiles(monkeypatch, found, sick.cube, 13, 1 << 30)
    assert np.abs(whole.latent.astype(float) - cut.latent.astype(float)).max() > 1e-2, "without overlap there are seams"


def test_a_code_depends_on_no_more_than_its_reach():
    torch.manual_seed(0)
    network = PatchNetwork(PatchSpec(12, 4)).eval()
    inputs, seen = torch.randn(1, 25, 25, 12), torch.ones(1, 25, 25, dtype=torch.bool)
    other = inputs.clone()
    other[:, 12, 12] += 5
    with torch.no_grad():
        changed = (network(inputs, seen)[1] - network(other, seen)[1]).abs().sum(dim=1)[0] > 1e-6
    y, x = np.nonzero(changed.numpy())
    assert max(np.abs(y - 12).max(), np.abs(x - 12).max()) == REACH


def test_hidden_pixels_say_nothing():
    network = PatchNetwork(PatchSpec(6, 3)).eval()
    inputs, seen = torch.randn(1, 9, 9, 6), torch.ones(1, 9, 9, dtype=torch.bool)
    seen[0, 4, 4] = False
    other = inputs.clone()
    other[0, 4, 4] = 100
    with torch.no_grad():
        torch.testing.assert_close(network(inputs, seen)[1], network(other, seen)[1])


def test_mean_shift_moves_towards_alike_neighbours_only():
    codes = torch.zeros(1, 2, 1, 8)
    codes[0, 0, 0, :4], codes[0, 1, 0, 4:] = 1, 1
    codes[0, :, 0, 1] = torch.nn.functional.normalize(torch.tensor([1.0, 0.5]), dim=0)
    seen = torch.ones(1, 1, 8, dtype=torch.bool)
    shifted, weights = mean_shift(codes, seen, torch.tensor(0.3), 5)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 1, 8))
    assert shifted[0, 0, 0, 1] > codes[0, 0, 0, 1]
    assert shifted[0, 0, 0, 3] > 0.99
    assert shifted[0, 1, 0, 4] > 0.99
    assert torch.allclose(mean_shift(codes, ~seen, torch.tensor(0.3), 5)[0], codes)


@pytest.mark.parametrize("turn", range(8))
def test_crops_know_where_they_came_from(turn):
    rng = np.random.default_rng(turn)
    window = rng.random((24, 24, 3)).astype(np.float32)
    first, second = two_crops(24, 16, rng)
    second = Crop(second.top, second.left, 16, turn)
    maps = [torch.from_numpy(c.of(window).copy()).movedim(-1, 0) for c in (first, second)]
    here, there = common(first, second)
    one, two = first.upright(maps[0])[:, *here], second.upright(maps[1])[:, *there]
    assert one.numel() >= 3 * 64
    assert torch.equal(one, two)


def test_losses_say_what_they_should():
    sure, unsure = torch.eye(4).repeat(8, 1), torch.full((32, 4), 0.25)
    assert float(unsureness(sure)) == pytest.approx(0, abs=1e-5)
    assert float(unsureness(unsure)) == pytest.approx(np.log(4), abs=1e-5)
    assert float(consistency_loss(sure, sure)) == 0
    assert float(consistency_loss(sure, sure.roll(1, 0))) > 1
    prior = torch.tensor([0.7, 0.1, 0.1, 0.1])
    assert float(balance_loss(prior, prior)) == pytest.approx(0, abs=1e-6)
    assert float(balance_loss(torch.tensor([1.0, 0, 0, 0]), prior)) > 0.3


def test_the_published_balance_rewards_one_class():
    """As published: fewer classes cost less "balance", and sure memberships cost more "uniformity"."""
    codes, centroids = torch.nn.functional.normalize(torch.randn(32, 5), dim=1), torch.eye(4, 5)
    one = torch.eye(4)[:1].repeat(32, 1)
    even = torch.full((32, 4), 0.25)
    collapsed, uniform = (published_losses(codes, m, m, centroids) for m in (one, even))
    assert float(collapsed["balance"]) < float(uniform["balance"])
    assert float(collapsed["uniformity"]) > float(uniform["uniformity"])
    assert float(uniform["consistency"]) == 0


def test_the_dictionary_has_one_owner():
    cube, _ = counts_cube()
    patches = Patches([cube], [probe(cube)], QUICK)
    finish(patches.fill())
    patches.preprocessor = patches.preprocessor.fitted("hellinger", patches.sample().spectra, None, None)
    model = PatchModel(patches.preprocessor, QUICK)
    assert all(p is not model.dictionary for p in model.parameters())
    published = PatchModel(patches.preprocessor, dataclasses.replace(QUICK, objective="published"))
    assert any(p is published.dictionary for p in published.parameters())


def test_dead_centroids_are_revived():
    cube, _ = counts_cube()
    patches = Patches([cube], [probe(cube)], QUICK)
    finish(patches.fill())
    patches.preprocessor = patches.preprocessor.fitted("hellinger", patches.sample().spectra, None, None)
    model = PatchModel(patches.preprocessor, QUICK)
    model.start(patches)
    codes = model.look(patches, patches.kept)
    collapsed = np.repeat(codes.mean(axis=0, keepdims=True), 16, axis=0)
    collapsed[1:] *= -1
    model.seed(collapsed, codes)
    assert np.unique(model.measure(codes)).size == 1
    assert model.revive(codes) == 15
    assert np.unique(model.measure(codes)).size > 2


def test_no_seed_collapses(sick):
    for seed in range(3):
        result = segment(sick.cube, dataclasses.replace(QUICK, seed=seed))
        shares = np.bincount(result.labels.ravel(), minlength=5)[1:] / result.labels.size
        assert (shares > 0.002).sum() == 4
        # the codes did not shrink to a point either
        assert result.latent.reshape(-1, result.latent.shape[-1]).astype(float).std(axis=0).max() > 0.05


def test_over_full_dictionaries_are_navigated(sick):
    result = segment(sick.cube, dataclasses.replace(QUICK, clusters=(16, 16)))
    active = np.bincount(result.labels.ravel())[1:]
    assert (active > 0).sum() >= 12
    assert len(result.tree) == len(result.classes) - 1
    for n in (8, 4, 2):
        coarse = coarser(result, n)
        assert len(coarse.classes) == n
        assert np.unique(coarse.labels).size == n


def test_classes_start_where_neighbours_know_most_of_each_other():
    """Merged entries that cut a class at random give way to K-means; good ones stay."""
    rng = np.random.default_rng(0)
    truth = np.kron(np.arange(4).reshape(2, 2), np.ones((24, 24), int)).astype(np.int32)
    codes = np.eye(4, dtype=np.float32)[truth] + rng.normal(0, 0.05, (48, 48, 4)).astype(np.float32)
    y, x = (part.ravel() for part in np.indices((48, 48)))
    paired = np.flatnonzero(x < 47)
    sample = SimpleNamespace(paired=paired, grid=Grid(y, x, (48, 48)))
    found = Coded(sample, codes.reshape(-1, 4), codes.reshape(-1, 4)[paired + 1])
    ragged = np.where(truth == 0, rng.integers(0, 2, truth.shape), np.maximum(truth, 2)).astype(np.int32)
    for start in (ragged, truth):
        labels = finish(_measured(found, start.ravel(), 4, QUICK))[2]
        assert adjusted_rand_score(truth.ravel(), labels) > 0.99
    assert np.array_equal(labels, truth.ravel())


def test_training_after_which_neighbours_agree_less_is_taken_back(sick):
    patches = Patches([sick.cube], [probe(sick.cube)], QUICK)
    finish(patches.fill())
    patches.preprocessor = finish(_scale(patches.sample(), QUICK)).preprocessor
    model = PatchModel(patches.preprocessor, QUICK)
    model.start(patches)
    finish(seeded(model, patches, QUICK))
    good = model.snapshot()
    with torch.no_grad():
        model.dictionary.copy_(torch.nn.functional.normalize(torch.randn_like(model.dictionary), dim=1))
    bad = model.snapshot()
    found = finish(found_classes(model, patches, QUICK, good))
    assert not found.trained
    assert torch.equal(model.dictionary, good["dictionary"])
    model.stretch(None)
    found = finish(found_classes(model, patches, QUICK, bad))
    assert found.trained
    assert torch.equal(model.dictionary, good["dictionary"])


def test_a_range_gives_a_level_of_the_tree(sick):
    result = segment(sick.cube, dataclasses.replace(QUICK, clusters=(2, 8)))
    k = len(result.classes)
    assert 2 <= k <= 8
    assert set(result.scores) <= set(range(2, 9))
    assert sorted(np.unique(result.lineage)) == list(range(1, k + 1))
    assert len(result.tree) == k - 1


def test_the_result_is_like_any_other(tmp_path, found, sick):
    found.save(tmp_path / "r.h5")
    again = load(tmp_path / "r.h5")
    assert np.array_equal(again.labels, found.labels)
    other = finish(apply(again, sick.cube))
    assert (other.labels == found.labels).mean() > 0.98
    for info in found.classes:
        mine = np.asarray(sick.cube.data)[:, found.labels == info.id].astype(float)
        np.testing.assert_allclose(found.spectra.mean(info.id), mine.mean(axis=1), rtol=1e-4, atol=1e-5)


def test_refining_trains_no_further(found, sick):
    painted = np.zeros(found.labels.shape, np.int32)
    painted[:2, :2] = 1
    with pytest.raises(ConfigError, match="without further epochs"):
        finish(refine(found, sick.cube, painted, RefineConfig(epochs=2)))


class Watched:
    """An array that writes down how much is asked of it."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.ndim, self.largest = data, data.shape, data.dtype, 3, 0

    def __getitem__(self, key):
        part = self.data[key]
        self.largest = max(self.largest, part.size)
        return part


def test_never_reads_a_whole_cube():
    rng = np.random.default_rng(0)
    data = Watched(rng.random((16, 320, 320), np.float32))
    cube = Cube(data, SpectralAxis.channels(16))
    config = dataclasses.replace(QUICK, clusters=(2, 2), epochs=1, memory=64 << 20, threads=1)
    patches = Patches([cube], [probe(cube)], config)
    finish(patches.fill())
    assert data.largest <= 16 * patches.side**2
    assert patches.spectra.nbytes <= config.memory // 4
    result = segment(cube, config)
    assert data.largest < data.data.size
    assert (result.labels > 0).all()


def test_windows_respect_chunks():
    class Chunked(Watched):
        chunks = (16, 64, 64)

    data = Chunked(np.ones((16, 300, 300), np.float32))
    cube = Cube(data, SpectralAxis.channels(16))
    patches = Patches([cube], [probe(cube)], QUICK)
    finish(patches.fill())
    top, left = patches.places[:, 1], patches.places[:, 2]
    for start in (top, left):
        inside = start + patches.side <= 256
        assert (start[inside] // 64 == (start[inside] + patches.side - 1) // 64).all()
    assert len(np.unique(patches.places, axis=0)) > len(patches) // 2


@pytest.mark.parametrize(("height", "width"), [(96, 96), (64, 128), (70, 300)])
def test_windows_reach_every_part_of_a_cube(height, width):
    """Where they can hold all of it several times; the borders and a last narrow chunk too."""
    cube = Cube(np.ones((4, height, width), np.float32), SpectralAxis.channels(4))
    seen = np.zeros(cube.image_shape, int)
    for seed in range(5):
        patches = Patches([cube], [probe(cube)], FitConfig(method="global", seed=seed))
        finish(patches.fill())
        for _, top, left in patches.places:
            seen[top : top + patches.side, left : left + patches.side] += 1
    assert (seen == 0).mean() < 0.002
    assert np.quantile(seen, 0.05) > 0.25 * seen.mean()


def test_a_cube_smaller_than_a_patch():
    rng = np.random.default_rng(0)
    data = rng.normal(0, 0.01, (12, 7, 9)).astype(np.float32) + 1
    data[:6, :, 5:] += 2
    result = segment(Cube(data, SpectralAxis.channels(12)), dataclasses.replace(QUICK, clusters=(2, 2), patch=32))
    assert (result.labels[:, :4] == result.labels[0, 0]).all()
    assert (result.labels[:, 6:] != result.labels[0, 0]).all()


def test_masked_pixels_get_zero_and_say_nothing():
    cube, truth = reflectance_cube()
    mask = np.ones(truth.shape, bool)
    mask[:, :6] = False
    wild = np.array(cube.data)
    wild[:, :, :6] = 1e6
    first, second = (segment(Cube(d, cube.axis, mask=mask), QUICK) for d in (cube.data, wild))
    assert (first.labels[:, :6] == 0).all()
    assert np.array_equal(first.labels, second.labels)


@pytest.mark.parametrize(
    ("data", "mask", "said"),
    [
        (np.full((8, 20, 20), np.nan, np.float32), None, "no usable spectrum"),
        (np.ones((8, 20, 20), np.float32), np.zeros((20, 20), bool), "no usable spectrum"),
        (np.ones((1, 20, 20), np.float32), None, "at least 2 bands"),
    ],
)
def test_cubes_without_spectra_are_refused_in_one_line(data, mask, said):
    with pytest.raises(DataError, match=said) as caught:
        segment(Cube(data, SpectralAxis.channels(len(data)), mask=mask), QUICK)
    assert "\n" not in str(caught.value)


def test_all_windows_masked():
    cube, _ = counts_cube()
    patches = Patches([cube], [probe(cube)], QUICK)
    patches.cubes = [Cube(cube.data, cube.axis, mask=np.zeros(cube.image_shape, bool))]
    with pytest.raises(DataError, match="nothing to cluster"):
        finish(patches.fill())


def test_constant_spectra_are_no_crash():
    result = segment(Cube(np.full((8, 30, 30), 2.0, np.float32), SpectralAxis.channels(8)), QUICK)
    assert (result.labels > 0).all()


def test_stops_between_any_two_steps():
    steps = fit(counts_cube()[0], QUICK)
    for _ in range(20):
        next(steps)
    steps.close()


def test_information():
    a = np.array([0, 0, 1, 1, 2, 2], np.int32)
    assert information(a, (a + 1) % 3) == (pytest.approx(1), pytest.approx(0))
    nmi, vi = information(a, np.array([0, 1, 0, 1, 0, 1], np.int32))
    assert nmi == pytest.approx(0, abs=1e-9)
    assert vi == pytest.approx(np.log(6))
    assert information(np.zeros(4, np.int32), np.zeros(4, np.int32)) == (1.0, 0.0)


@pytest.mark.parametrize(("options", "said"), [({"patch": 4}, "patch"), ({"objective": "best"}, "objective")])
def test_options_that_make_no_sense(options, said):
    with pytest.raises(ConfigError, match=said):
        FitConfig(method="global", **options)


def test_the_published_losses_run():
    cube, _ = counts_cube()
    result = segment(cube, FitConfig.from_mapping({"preset": "paper-global", "clusters": 4, "epochs": 3, "patch": 16}))
    assert {"balance", "uniformity", "orthogonality", "compactness"} <= result.history[-1].keys()
    assert (result.labels > 0).all()


def test_pooled_counts_scatter_as_counts_do():
    rng = np.random.default_rng(0)
    counts = torch.from_numpy(rng.poisson(3.0, (60, 60, 8)).astype(np.float32))
    weights = torch.rand(25, 1, 1).expand(25, 60, 60)
    weights = weights / weights.sum(dim=0)
    inner = pooled(counts, weights)[4:-4, 4:-4].reshape(-1, 8)
    worth = float(1 / weights[:, 0, 0].square().sum())
    assert float(inner.mean()) == pytest.approx(3 * worth, rel=0.03)
    assert float(inner.var()) == pytest.approx(3 * worth, rel=0.25)
