"""One model, many cubes: the same classes, on whatever axis; what is unlike gets no class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cubeseg import FitConfig, editing, load, segment
from cubeseg.axis import SpectralAxis
from cubeseg.cli import main
from cubeseg.cube import Cube, Noise
from cubeseg.errors import DataError
from cubeseg.samples import painting, write_sample
from cubeseg.sampling.resampling import resampled
from cubeseg.steps import finish
from cubeseg.training.applying import apply
from tests.cubeseg.cubes import variance_cube


@pytest.fixture(scope="module")
def cube():
    return painting(40, 400, 0).cube


@pytest.fixture(scope="module", params=["pca", "deep"])
def result(request, cube):
    return segment(cube, FitConfig(method=request.param, clusters=(6, 6), epochs=4))


def check_spectra(made, cube):
    data = cube.block(slice(None), slice(None)).data
    for info in made.classes:
        mine = data[:, made.labels == info.id].astype(float)
        assert made.pixels(info.id) == mine.shape[1]
        if mine.shape[1]:
            np.testing.assert_allclose(made.spectra.mean(info.id), mine.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_the_same_cube_gets_the_same_labels(result, cube):
    made = finish(apply(result, cube))
    assert (made.labels == result.labels).mean() > 0.995
    check_spectra(made, cube)
    assert made.log[0]["operation"] == "apply"


def test_classes_keep_their_names_and_what_was_done_with_them(result, cube, tmp_path):
    known = result.copy()
    editing.rename(known, 2, "azurite").do()
    editing.recolour(known, 2, "#123456").do()
    editing.merge(known, [1, 3]).do()
    editing.delete(known, [4]).do()
    editing.paint(known, np.arange(5), np.full(5, 9)).do()
    known.save(tmp_path / "r.h5")
    made = finish(apply(load(tmp_path / "r.h5"), cube))
    assert made.classes == known.classes
    assert set(np.unique(made.labels)) <= {0, 1, 2, 5, 6}
    same = known.labels.ravel()[5:] == made.labels.ravel()[5:]
    assert same.mean() > 0.99
    assert any("class 9" in note for note in made.notes)


def test_another_axis(result, cube):
    values = cube.axis.values
    finer = SpectralAxis.from_values(values * 1e3 + 3.0, "eV")
    shifted = replace(cube, axis=finer)
    made = finish(apply(result, shifted))
    assert adjusted_rand_score(made.labels.ravel(), result.labels.ravel()) > 0.9
    assert len(made.axis) == 1024
    assert made.axis.unit == "eV"
    check_spectra(made, shifted)


def test_bands_that_are_missing_are_told(result, cube):
    shorter = Cube(
        np.asarray(cube.data)[:800], SpectralAxis.from_values(cube.axis.values[:800], "keV"), Noise("poisson")
    )
    made = finish(apply(result, shorter))
    assert adjusted_rand_score(made.labels.ravel(), result.labels.ravel()) > 0.85
    assert any("lacks 224 of the model's 1024 bands" in note for note in made.notes)
    check_spectra(made, shorter)


def test_what_is_unlike_has_no_class_or_little_confidence(result, cube):
    data = np.asarray(cube.data, dtype=np.float32).copy()
    rng = np.random.default_rng(0)
    line = np.exp(-0.5 * ((np.arange(1024) - 700) / 4) ** 2)
    data[:, :8, :8] = rng.poisson(400 * (line / line.sum())[:, None, None] * np.ones((1, 8, 8)))
    made = finish(apply(result, replace(cube, data=data)))
    alien, rest = np.zeros(made.labels.shape, bool), made.confidence[8:, 8:]
    alien[:8, :8] = True
    wrong = alien & (made.labels > 0) & (made.confidence > 0.5)
    assert wrong.sum() <= 3
    assert np.median(rest) > 0.8
    assert np.median(made.confidence[:8, :8]) < 0.4
    if result.config.method == "deep":
        assert any("no class" in note for note in made.notes)


def test_cubes_that_do_not_fit_are_refused(result, cube):
    far = replace(cube, axis=SpectralAxis.from_values(cube.axis.values + 30, "keV"))
    with pytest.raises(DataError, match=r"covers 2\d % of the model's range, 0.5 to 38.5 keV"):
        finish(apply(result, far))
    other = replace(cube, axis=SpectralAxis.from_values(np.linspace(1, 9, 1024), "km/s"))
    with pytest.raises(DataError, match="does not fit the model's"):
        finish(apply(result, other))
    bare = result.copy()
    bare.model = None
    with pytest.raises(DataError, match="holds no model"):
        finish(apply(bare, cube))


def test_rebinning_loses_no_count_and_passes_variances_on():
    rng = np.random.default_rng(0)
    data = rng.poisson(5, (60, 4, 5)).astype(np.float32)
    own = SpectralAxis.from_values(np.linspace(1, 7, 60), "keV")
    wanted = SpectralAxis.from_values(np.linspace(0.5, 7.5, 25), "keV")
    view, covered = resampled(Cube(data, own, Noise("poisson")), wanted)
    assert covered.sum() == 21
    np.testing.assert_allclose(np.asarray(view.data[:, :, :]).sum(axis=0), data.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(view.data[3:7, 1:2, 2:4], np.asarray(view.data[:, :, :])[3:7, 1:2, 2:4])
    flux = Cube(np.full((60, 4, 5), 3.0, np.float32), own, Noise("gaussian", np.full((60, 4, 5), 0.25, np.float32)))
    view, _ = resampled(flux, wanted)
    np.testing.assert_allclose(view.data[3:-3, :, :], 3.0, rtol=1e-6)
    variance = view.noise.variance_of((slice(None), slice(0, 4), slice(0, 5)))
    assert (variance[3:-3] < 0.2).all()
    assert (variance[3:-3] > 0.05).all()


def test_missing_bands_get_the_mixture_of_known_spectra():
    rng = np.random.default_rng(0)
    known = rng.random((3, 40))
    known /= known.sum(axis=1, keepdims=True)
    whole = np.tensordot(known, rng.random((3, 4, 5)), axes=(0, 0)).astype(np.float32)
    axis = SpectralAxis.from_values(np.arange(40.0), "nm")
    part = Cube(whole[:28], SpectralAxis.from_values(axis.values[:28], "nm"))
    view, covered = resampled(part, axis, known)
    assert covered.tolist() == [True] * 28 + [False] * 12
    np.testing.assert_allclose(view.data[:, :, :], whole, rtol=0.05)


def test_values_that_are_none_spoil_no_band_beside_them():
    data = np.ones((40, 3, 3), np.float32)
    data[10, 1, 1] = np.nan
    data[20:24, 2, 2] = np.nan
    cube = Cube(data, SpectralAxis.from_values(np.arange(40.0), "nm"), Noise("gaussian"))
    view, _ = resampled(cube, SpectralAxis.from_values(np.arange(0.5, 39, 4), "nm"))
    seen = np.asarray(view.data[:, :, :])
    assert np.isnan(seen).sum() == 1
    np.testing.assert_allclose(seen[np.isfinite(seen)], 1, rtol=1e-5)


def test_bands_that_are_missing_say_nothing_about_counts(cube):
    result = segment(cube, FitConfig(method="pca", clusters=(6, 6)))
    clear = slice(100, 1024)
    shorter = Cube(
        np.asarray(cube.data)[clear], SpectralAxis.from_values(cube.axis.values[clear], "keV"), Noise("poisson")
    )
    made = finish(apply(result, shorter))
    logs = result.profiles[:, :-1][:, clear]
    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    alone = np.tensordot(logs, np.asarray(shorter.data, np.float32), axes=(1, 0)) + result.profiles[:, -1, None, None]
    found = made.evidence.astype(np.float32)
    assert (found.argmax(axis=0) == alone.argmax(axis=0)).mean() > 0.99
    assert any("hold" in note and "of the known spectra" in note for note in made.notes)
    np.testing.assert_array_equal(made.profiles, result.profiles)


def test_an_axis_that_falls():
    cube = variance_cube()[0]
    falling = replace(
        cube,
        data=np.asarray(cube.data)[::-1],
        axis=replace(cube.axis, values=cube.axis.values[::-1].copy()),
        noise=Noise("gaussian"),
    )
    view, covered = resampled(falling, cube.axis)
    assert covered.all()
    np.testing.assert_allclose(view.data[:, :, :], np.asarray(cube.data), rtol=1e-4, atol=1e-4)


def test_from_the_command_line(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_sample("painting", tmp_path / f"{name}.h5", size=32, counts=300, seed=seed)
    files = {name: str(tmp_path / f"{name}.h5") for name in ("a", "b", "r", "o")}
    assert main(["segment", files["a"], "-o", files["r"], "--method", "pca", "--clusters", "6"]) == 0
    assert main(["apply", files["r"], files["b"], "-o", files["o"]]) == 0
    made = load(files["o"])
    assert made.source.path.endswith("b.h5")
    assert [c.id for c in made.classes] == [1, 2, 3, 4, 5, 6]
    capsys.readouterr()
    assert main(["apply", files["r"], str(tmp_path / "none.h5"), "-o", files["o"]]) == 2
    assert "none.h5" in capsys.readouterr().err
    assert main(["apply", files["r"], files["b"], "-o", files["r"]]) == 2
    assert "is one of the inputs" in capsys.readouterr().err


def test_refine_from_the_command_line(tmp_path, capsys):
    write_sample("painting", tmp_path / "a.h5", size=32, counts=300, seed=1)
    files = {name: str(tmp_path / f"{name}.h5") for name in ("a", "r", "o")}
    assert main(["segment", files["a"], "-o", files["r"], "--method", "pca", "--clusters", "6"]) == 0
    painted = np.zeros((32, 32), np.uint8)
    painted[4:9, 4:9] = 9
    np.save(tmp_path / "painted.npy", painted)
    corrections = str(tmp_path / "painted.npy")
    assert main(["refine", files["r"], "--corrections", corrections, "-o", files["o"]]) == 0
    made = load(files["o"])
    assert (made.labels[4:9, 4:9] == 9).all()
    capsys.readouterr()
    np.save(tmp_path / "small.npy", painted[:5, :5])
    for labels, said in ((str(tmp_path / "small.npy"), "small.npy"), (str(tmp_path / "none.npy"), "none.npy")):
        assert main(["refine", files["r"], "--corrections", labels, "-o", str(tmp_path / "x.h5")]) == 2
        assert said in capsys.readouterr().err
    assert main(["refine", files["r"], "-o", str(tmp_path / "x.h5")]) == 2
    (tmp_path / "a.h5").rename(tmp_path / "moved.h5")
    assert main(["refine", files["r"], "--corrections", corrections, "-o", str(tmp_path / "x.h5")]) == 2
    assert "--cube" in capsys.readouterr().err
    moved = ["--cube", str(tmp_path / "moved.h5")]
    assert main(["refine", files["r"], "--corrections", corrections, "-o", str(tmp_path / "x.h5"), *moved]) == 0
    assert not list(tmp_path.glob(".*"))
