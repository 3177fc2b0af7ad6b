"""The synthetic cubes: their truth, their counts, their lines, and that files hold what memory does."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.cli import main
from cubeseg.errors import ConfigError, DataError
from cubeseg.samples import galaxy, painting, write_sample


@pytest.mark.parametrize("make", [painting, galaxy])
def test_truth_has_every_class(make):
    sample = make(64)
    k = len(sample.class_names)
    assert set(np.unique(sample.truth)) - {0} == set(range(1, k + 1))
    assert sample.abundances.shape == (k, 64, 64)
    np.testing.assert_allclose(sample.abundances.sum(axis=0), 1, atol=1e-5)
    assert sample.spectra.shape == (k, sample.cube.n_bands)


def test_painting_has_the_counts_asked_for_and_a_rare_class():
    sample = painting(64, counts=150)
    assert sample.cube.data.sum() / 64**2 == pytest.approx(150, rel=0.02)
    assert 0.005 < (sample.truth == 10).mean() < 0.03


@pytest.mark.parametrize(
    ("name", "energy"),
    [("lead-tin", 10.55), ("vermilion", 9.99), ("azurite", 8.04), ("ochre", 6.40), ("titanium", 4.51), ("smalt", 6.93)],
)
def test_painting_lines_are_where_they_belong(name, energy):
    sample = painting(16, counts=400)
    index = next(i for i, n in enumerate(sample.class_names) if n.split(", ")[-1].startswith(name))
    spectrum, values = sample.spectra[index], sample.cube.axis.values
    near = np.abs(values - energy) < 0.25
    assert abs(values[near][spectrum[near].argmax()] - energy) < 0.08
    assert spectrum[near].max() > 3 * np.median(spectrum)


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_tiers(tier):
    field, picture = galaxy(32, tier=tier), painting(32, tier=tier)
    assert len(field.class_names) == (6 if tier == 1 else 7)
    assert len(picture.class_names) == (5 if tier == 1 else 10)
    assert picture.states.shape[:2] == (len(picture.class_names), 5)
    assert (picture.truth == 10).mean() < 0.03


def test_twins_have_the_same_lines_and_other_amounts():
    sample = painting(24, tier=3)
    energies = sample.cube.axis.values
    azurite, verdigris = (sample.spectra[next(i for i, n in enumerate(sample.class_names) if w in n)]
                          for w in ("azurite", "verdigris"))  # fmt: skip
    for spectrum in (azurite, verdigris):
        assert abs(energies[spectrum.argmax()] - 8.04) < 0.1
    assert not np.allclose(azurite / azurite.sum(), verdigris / verdigris.sum(), atol=1e-3)


def test_thick_paint_hides_the_ground():
    from cubeseg.samples.fluorescence import Layer, detected, emitted

    axis = np.linspace(0.5, 38.5, 1024)
    ground = Layer((("CaCO3", 1.0),), 0.02)
    calcium = []
    for mass in (0.002, 0.02):
        spectrum = detected(axis, *emitted((Layer((("Pb3C2O8H2", 0.8), ("C57H98O6", 0.2)), mass), ground)))
        calcium.append(spectrum[np.abs(axis - 3.69) < 0.1].sum() / spectrum[np.abs(axis - 10.55) < 0.2].sum())
    assert calcium[1] < 0.2 * calcium[0]


def test_counts_scatter_as_poisson():
    flat = painting(96, counts=3000)
    robe = (flat.abundances[3] > 0.999) & (np.indices((96, 96))[0] > 70)
    per_pixel = flat.cube.data[:, robe].astype(float)
    shape = per_pixel.mean(axis=1)
    expected = np.outer(shape, per_pixel.sum(axis=0)) / shape.sum()
    lines = shape > 1
    chi2 = ((per_pixel - expected) ** 2 / np.maximum(expected, 1e-9))[lines].mean()
    assert 0.9 < chi2 < 1.1


def test_galaxy_noise_agrees_with_its_variance():
    sample = galaxy(32, counts=200)
    sky = sample.truth == 7
    z = sample.cube.data[:, sky] / np.sqrt(sample.cube.noise.variance[:, sky])
    low, high = np.quantile(z, (0.16, 0.84))
    assert 0.8 < (high - low) / 2 < 1.3
    beside = np.corrcoef(z[100:200].ravel(), z[101:201].ravel())[0, 1]
    assert 0.1 < beside < 0.5
    assert 2e-5 < (z > 20).mean() < 2e-4
    assert np.isnan(sample.cube.data[:, 0, 0]).all()
    assert sample.truth[0, 0] == 0


@pytest.mark.parametrize(("name", "make"), [("painting", painting), ("galaxy", galaxy)])
def test_file_and_memory_agree(tmp_path, name, make):
    truth_path = write_sample(name, tmp_path / "p.h5", size=40, counts=50, seed=3)
    sample, cube = make(40, 50, 3), open_cube(tmp_path / "p.h5")
    assert truth_path == tmp_path / "p.truth.npy"
    assert np.array_equal(np.load(truth_path), sample.truth)
    block = cube.block(slice(None), slice(None))
    assert np.array_equal(block.data, sample.cube.data.astype(np.float32), equal_nan=True)
    if sample.cube.noise.variance is not None:
        np.testing.assert_allclose(block.variance, sample.cube.noise.variance)
    assert cube.axis.unit == sample.cube.axis.unit
    assert cube.spatial == sample.cube.spatial


def test_seeds_differ_and_repeat():
    assert np.array_equal(painting(32, seed=1).cube.data, painting(32, seed=1).cube.data)
    assert not np.array_equal(painting(32, seed=1).cube.data, painting(32, seed=2).cube.data)


@pytest.mark.parametrize(
    "bad", [{"tier": 4}, {"size": 4}, {"size": 10**6}, {"counts": 0}, {"counts": -3}, {"seed": -1}]
)
def test_senseless_requests(tmp_path, bad):
    with pytest.raises(ConfigError):
        write_sample("painting", tmp_path / "p.h5", **bad)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    import h5py

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(DataError, match="disk is full"):
        write_sample("painting", tmp_path / "p.h5", size=16)
    assert not list(tmp_path.iterdir())


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        write_sample("painting", tmp_path / "none" / "p.h5", size=16)


@pytest.mark.parametrize("name", ["painting", "galaxy", "leaf"])
def test_a_sample_is_not_written_under_the_name_of_another_format(name, tmp_path, capsys):
    assert main(["sample", name, "-o", str(tmp_path / "x.fits"), "--size", "32"]) == 2
    err = capsys.readouterr().err
    assert "ends in .h5" in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_leaf_from_the_command_line(tmp_path, capsys):
    path = tmp_path / "leaf.h5"
    assert main(["sample", "leaf", "-o", str(path), "--size", "40", "--day", "3"]) == 0
    cube = open_cube(path)
    assert (cube.image_shape, cube.axis.unit) == ((40, 40), "nm")
    assert set(np.load(tmp_path / "leaf.truth.npy").ravel()) >= {1, 2}
    for wrong in (["leaf", "--tier", "3"], ["leaf", "--counts", "30"], ["galaxy", "--day", "3"]):
        assert main(["sample", *wrong, "-o", str(tmp_path / "y.h5")]) == 2
        assert "is no option of the sample" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 2
