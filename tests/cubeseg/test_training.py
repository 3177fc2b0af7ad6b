"""The one training loop: what it finds, that it repeats, how it stops and fails."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cubeseg import FitConfig, fit, segment
from cubeseg.axis import SpectralAxis
from cubeseg.config import Ramp
from cubeseg.cube import Cube, Noise
from cubeseg.errors import ConfigError, DataError, JobError
from tests.cubeseg.cubes import counts_cube, reflectance_cube, variance_cube

QUICK = {"epochs": 8, "batch": 64}


def events_and_result(cube, config):
    steps, events = fit(cube, config), []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            return events, stop.value


@pytest.mark.parametrize("method", ["deep", "pca"])
@pytest.mark.parametrize("make", [counts_cube, reflectance_cube, variance_cube])
def test_finds_the_regions(method, make):
    cube, truth = make()
    result = segment(cube, FitConfig(method=method, clusters=(4, 4), **QUICK))
    known = result.labels > 0
    assert adjusted_rand_score(truth[known], result.labels[known]) > 0.95


def test_counts_are_told_from_intensities():
    assert segment(counts_cube()[0], FitConfig(method="pca")).model.preprocessor.kind == "counts"
    assert segment(reflectance_cube()[0], FitConfig(method="pca")).model.preprocessor.kind == "shape"
    assert segment(variance_cube()[0], FitConfig(method="pca")).model.preprocessor.kind == "signal"


def test_chooses_the_number_of_classes():
    cube, _ = counts_cube(1000)
    result = segment(cube, FitConfig(method="pca", clusters=(2, 8)))
    assert len(result.classes) == 4
    assert set(result.scores) == set(range(2, 9))


def test_masked_pixels_get_zero():
    cube, _ = variance_cube()
    result = segment(cube, FitConfig(method="pca", clusters=(4, 4)))
    assert (result.labels[0] == 0).all()
    assert (result.labels[1:] > 0).all()
    assert np.isnan(result.confidence[0]).all()
    assert np.isfinite(result.latent[1:]).all()


def test_the_same_seed_gives_the_same_labels():
    cube, _ = counts_cube(60)
    first, second, other = (segment(cube, FitConfig(clusters=(4, 4), seed=seed, **QUICK)) for seed in (3, 3, 4))
    assert (first.labels == second.labels).all()
    assert np.array_equal(first.latent, second.latent)
    assert not np.array_equal(first.latent, other.latent)


def test_events_tell_the_story_in_order():
    cube, _ = counts_cube()
    events, result = events_and_result(cube, FitConfig(clusters=(3, 5), **QUICK))
    stages = list(dict.fromkeys(e.stage for e in events))
    assert stages[0] == "read"
    assert stages[-1] == "label"
    done = [e.done for e in events]
    assert all(a <= b + 1e-9 for a, b in pairwise(done))
    assert done[-1] == pytest.approx(1)
    losses = [e.losses["total"] for e in events if e.losses]
    assert len(losses) == len(result.history) <= 8
    assert losses[-1] < losses[0]
    previews = [e.labels for e in events if e.labels is not None]
    assert previews
    assert previews[0].shape == result.labels.shape


def test_final_colours_follow_the_last_preview():
    cube, _ = counts_cube()
    events, result = events_and_result(cube, FitConfig(clusters=(4, 4), **QUICK))
    last = [e.labels for e in events if e.labels is not None][-1]
    assert (last == result.labels).mean() > 0.95


def test_can_be_stopped_between_any_two_steps():
    steps = fit(counts_cube()[0], FitConfig(**QUICK))
    for _ in range(12):
        next(steps)
    steps.close()


def test_class_spectra_are_those_of_the_labels():
    cube, _ = variance_cube()
    result = segment(cube, FitConfig(method="pca", clusters=(4, 4)))
    for info in result.classes:
        mine = cube.data[:, result.labels == info.id].astype(np.float64)
        assert result.pixels(info.id) == mine.shape[1]
        np.testing.assert_allclose(result.spectra.mean(info.id), mine.mean(axis=1), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(result.spectra.std(info.id), mine.std(axis=1), rtol=1e-4, atol=1e-5)


def cube_of(data, **keywords):
    return Cube(data, SpectralAxis.channels(data.shape[0]), **keywords)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.full((8, 5, 5), np.nan, np.float32), "no usable spectrum"),
        (np.zeros((8, 5, 5), np.float32), "no usable spectrum"),
        (np.ones((1, 5, 5), np.float32), "at least 2 bands"),
    ],
)
def test_cubes_without_spectra_are_refused_in_one_line(data, said):
    with pytest.raises(DataError, match=said) as caught:
        segment(cube_of(data), FitConfig(method="pca"))
    assert "\n" not in str(caught.value)


def test_more_classes_than_pixels_are_refused():
    with pytest.raises(ConfigError, match="classes were asked for"):
        segment(cube_of(np.random.default_rng(0).random((8, 2, 2), np.float32)), FitConfig(clusters=(9, 9)))


def test_one_pixel_is_one_class_or_a_clear_line():
    one = cube_of(np.random.default_rng(0).random((8, 1, 1), np.float32))
    assert (segment(one, FitConfig(clusters=(1, 1), **QUICK)).labels == 1).all()
    with pytest.raises(ConfigError, match="2 classes"):
        segment(one, FitConfig(clusters=(2, 4), **QUICK))


def test_constant_spectra_give_one_class_not_a_crash():
    result = segment(cube_of(np.full((8, 6, 6), 2.0, np.float32)), FitConfig(clusters=(2, 4), **QUICK))
    assert (result.labels > 0).all()


def test_negative_values_cannot_be_counts():
    data = np.random.default_rng(0).normal(size=(8, 6, 6)).astype(np.float32)
    with pytest.raises(DataError, match="negative"):
        segment(cube_of(data), FitConfig(noise="poisson"))


def test_a_loss_that_explodes_names_the_epoch():
    cube, _ = reflectance_cube()
    with pytest.raises(JobError, match="epoch"):
        segment(cube, FitConfig(learning_rate=1e30, **QUICK))


def test_a_loss_that_explodes_late_keeps_the_last_good_model(monkeypatch):
    from cubeseg.models.deep import DeepModel

    whole = DeepModel.loss

    def breaking(self, spectra, variance, progress):
        terms = whole(self, spectra, variance, progress)
        return terms | {"total": terms["total"] * (float("nan") if progress > 0.6 else 1.0)}

    monkeypatch.setattr(DeepModel, "loss", breaking)
    cube, truth = counts_cube()
    result = segment(cube, FitConfig(clusters=(4, 4), settled=1.0, **QUICK))
    assert adjusted_rand_score(truth.ravel(), result.labels.ravel()) > 0.9
    assert len(result.history) == 4
    assert "epoch 5" in result.notes[0]
    assert "the model of epoch 4 was kept" in result.notes[0]


def test_training_ends_early_when_the_labels_have_settled():
    cube, _ = counts_cube(2000)
    short = segment(cube, FitConfig(clusters=(4, 4), epochs=40, batch=64))
    whole = segment(cube, FitConfig(clusters=(4, 4), epochs=40, batch=64, settled=1.0))
    assert len(short.history) < len(whole.history) == 40


@pytest.mark.parametrize("loss", ["silhouette", "kmeans", "prototypes"])
def test_all_clustering_losses_train(loss):
    cube, truth = counts_cube()
    config = FitConfig(clusters=(4, 4), clustering_loss=loss, gamma=Ramp(0.05, 0.05), **QUICK)
    result = segment(cube, config)
    assert adjusted_rand_score(truth.ravel(), result.labels.ravel()) > 0.9
    assert "clustering" in result.history[-1]


def test_the_published_configuration_runs():
    cube, _ = counts_cube(2000)
    result = segment(cube, FitConfig.from_mapping({"preset": "paper", "clusters": 4, "epochs": 6}))
    assert result.coherence == 0
    assert result.profiles is None
    assert result.model.preprocessor.scaling == "log-max"
    assert np.abs(result.latent).max() <= 1


def test_fewer_pixels_than_a_batch_and_two_bands():
    data = np.random.default_rng(0).random((2, 5, 5), np.float32) + np.repeat([[[0.0]], [[3.0]]], 5, 1)
    data[:, :, 3:] = data[::-1, :, 3:]
    result = segment(cube_of(data.astype(np.float32)), FitConfig(clusters=(2, 2), epochs=4))
    assert set(np.unique(result.labels)) == {1, 2}


def test_a_variance_of_zero_is_no_crash():
    cube, _ = variance_cube()
    variance = np.array(cube.noise.variance)
    variance[5] = 0
    variance[:, 3, 4] = 0
    result = segment(Cube(cube.data, cube.axis, Noise("gaussian", variance)), FitConfig(clusters=(4, 4), **QUICK))
    assert (result.labels[4:] > 0).all()


def test_confidence_is_low_between_classes_and_error_high_for_strangers():
    cube, truth = counts_cube()
    data = np.array(cube.data)
    data[:, 20, 20] = 0
    data[60, 20, 20] = 300
    result = segment(Cube(data, cube.axis, unit="counts"), FitConfig(clusters=(4, 4), **QUICK))
    assert result.reconstruction_error[20, 20] == result.reconstruction_error.max()
    assert 0.5 < np.median(result.reconstruction_error) < 2
    assert result.confidence.min() >= 0.25 - 1e-6
    assert truth.shape == result.confidence.shape


def test_reading_errors_while_it_runs_become_one_line():
    class Broken:
        shape, dtype, ndim = (8, 40, 40), np.dtype("float32"), 3
        reads = 0

        def __getitem__(self, key):
            self.reads += 1
            if self.reads > 26:
                raise OSError("Input/output error")
            return np.random.default_rng(0).random(np.empty(self.shape)[key].shape, dtype=np.float32)

    with pytest.raises(DataError, match=r"this cube: can no longer be read \(Input/output error\)"):
        segment(Cube(Broken(), SpectralAxis.channels(8)), FitConfig(method="pca"))


def test_bands_of_nan_are_left_out():
    cube, truth = reflectance_cube()
    data = np.array(cube.data)
    data[10:14] = np.nan
    result = segment(Cube(data, cube.axis), FitConfig(method="pca", clusters=(4, 4)))
    assert adjusted_rand_score(truth.ravel(), result.labels.ravel()) > 0.95
    assert np.isnan(result.spectra.mean(1)[10:14]).all()


def test_threads_are_limited_while_it_runs_only():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    for _ in fit(counts_cube()[0], FitConfig(clusters=(3, 3), threads=1, **QUICK)):
        seen.append(torch.get_num_threads())
    assert set(seen[1:]) == {1}
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_ten_steps_in_all_are_no_crash():
    cube, _ = counts_cube()
    assert len(segment(cube, FitConfig(clusters=(4, 4), epochs=1, batch=72)).history) == 1
