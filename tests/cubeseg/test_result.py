"""The segmentation, its corrections, its file, its exports and its scores."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

import cubeseg
from cubeseg import FitConfig, editing, segment
from cubeseg.errors import DataError
from cubeseg.exporting import export
from cubeseg.io.label_images import read_labels
from cubeseg.metrics import score
from cubeseg.statistics import ClassSpectra
from tests.cubeseg.cubes import counts_cube, variance_cube


@pytest.fixture(scope="module")
def cube():
    return counts_cube()[0]


@pytest.fixture
def result(cube):
    return segment(cube, FitConfig(method="pca", clusters=(4, 4)))


def test_spectra_with_missing_values():
    spectra = ClassSpectra(2)
    spectra.add(np.array([[1.0, np.nan], [3.0, 4.0]], np.float32), np.array([1, 1]))
    np.testing.assert_allclose(spectra.mean(1), [2, 4])
    assert spectra.n[1] == 2


# the result file


@pytest.mark.parametrize("method", ["pca", "deep"])
@pytest.mark.parametrize("make", [counts_cube, variance_cube])
def test_save_and_load(tmp_path, method, make):
    cube, _ = make()
    result = segment(cube, FitConfig(method=method, clusters=(4, 4), epochs=2))
    editing.rename(result, 2, "Zinnober № 2").do()
    path = tmp_path / "r.h5"
    result.save(path)
    back = cubeseg.load(path)
    assert (back.labels == result.labels).all()
    assert np.array_equal(back.confidence, result.confidence, equal_nan=True)
    assert np.array_equal(back.latent, result.latent, equal_nan=True)
    assert back.classes == result.classes
    assert (back.config, back.scores, back.history, back.log) == (
        result.config, result.scores, result.history, result.log,
    )  # fmt: skip
    assert np.array_equal(back.axis.values, result.axis.values)
    assert (back.axis.unit, back.axis.kind, back.spatial, back.source) == (
        result.axis.unit, result.axis.kind, result.spatial, result.source,
    )  # fmt: skip
    np.testing.assert_array_equal(back.spectra.total, result.spectra.total)
    rows, columns = np.nonzero(result.labels)
    variance = None if cube.noise.variance is None else cube.noise.variance[:, rows, columns].T
    codes, _ = back.model.encode(*back.model.preprocessor.reduce(cube.spectra(rows, columns), variance))
    np.testing.assert_allclose(codes, result.latent[rows, columns].astype(np.float32), rtol=2e-3, atol=1e-3)


def test_large_results_are_written_without_a_copy_in_memory(tmp_path, result, monkeypatch):
    import shutil

    monkeypatch.setattr("cubeseg.bundle._SMALL", 0)
    result.save(tmp_path / "r.h5")
    assert (cubeseg.load(tmp_path / "r.h5").labels == result.labels).all()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(DataError, match="there is less room"):
        result.save(tmp_path / "s.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


def test_the_file_holds_no_pickle(tmp_path, result):
    path = tmp_path / "r.h5"
    result.save(path)

    def check(_, item):
        assert not isinstance(item, h5py.Dataset) or item.dtype.kind in "uif" or h5py.check_string_dtype(item.dtype)

    with h5py.File(path) as file:
        file.visititems(check)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: f.__delitem__("labels"), "damaged"),
        (lambda f: f.__delitem__("record"), "damaged"),
        (lambda f: f.attrs.__setitem__("version", 99), "newer cubeseg"),
        (lambda f: f.attrs.__delitem__("format"), "no result of cubeseg"),
        (lambda f: (f.__delitem__("latent"), f.create_dataset("latent", data=np.zeros((2, 2, 2)))), "differ in shape"),
        (lambda f: (f.__delitem__("record"), f.create_dataset("record", data="{]")), "damaged"),
    ],
)
def test_damaged_results(tmp_path, result, damage, said):
    path = tmp_path / "r.h5"
    result.save(path)
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(DataError, match=said) as caught:
        cubeseg.load(path)
    assert "\n" not in str(caught.value)


def test_loading_what_is_no_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        cubeseg.load(tmp_path / "none.h5")
    (tmp_path / "x.h5").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no result"):
        cubeseg.load(tmp_path / "x.h5")


def test_a_result_is_not_opened_as_a_cube(tmp_path, result):
    result.save(tmp_path / "r.h5")
    with pytest.raises(DataError, match=r"cubeseg\.load"):
        cubeseg.open_cube(tmp_path / "r.h5")


def test_saving_leaves_nothing_half_written(tmp_path, result):
    old = tmp_path / "r.h5"
    old.write_bytes(b"precious")
    with pytest.raises(DataError, match="does not exist"):
        result.save(tmp_path / "none" / "r.h5")
    from cubeseg.files import written

    def fill_up():
        with written(old) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="disk is full"):
        fill_up()
    assert old.read_bytes() == b"precious"
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


# exports


def test_fits_export_keeps_the_sky_position(tmp_path):
    from astropy.io import fits
    from astropy.wcs import WCS

    from tests.cubeseg.io.written import CUBE, fits_cube

    rng = np.random.default_rng(0)
    fits_cube(tmp_path / "sky.fits", CUBE + rng.normal(0, 1, CUBE.shape))
    cube = cubeseg.open_cube(tmp_path / "sky.fits")
    result = segment(cube, FitConfig(method="pca", clusters=(2, 2)))
    editing.rename(result, 1, "Größe").do()
    (path,) = export(result, tmp_path / "out", ["fits"])
    with fits.open(path) as written, fits.open(tmp_path / "sky.fits") as original:
        there = WCS(original["DATA"].header).celestial.pixel_to_world(5, 2)
        for name in ("LABELS", "CONFIDENCE"):
            assert WCS(written[name].header).pixel_to_world(5, 2).separation(there).arcsec < 1e-6
        assert (written["LABELS"].data == result.labels).all()
        assert written["CLASSES"].data["PIXELS"].sum() == (result.labels > 0).sum()
        assert written["SPECTRA"].columns["AXIS"].unit == "Angstrom"
        assert written["SPECTRA"].data["MEAN_1"] == pytest.approx(result.spectra.mean(1))


# scores and label files


def test_score_does_not_mind_the_names_of_clusters():
    truth = np.array([[1, 1, 2], [2, 3, 0]])
    labels = np.array([[7, 7, 4], [4, 9, 5]])
    assert score(labels, truth) == {"ari": 1.0, "nmi": 1.0, "accuracy": 1.0, "miou": 1.0, "n_clusters": 3}


def test_score_counts_what_is_wrong():
    found = score(np.array([[1, 1, 1, 2]]), np.array([[1, 1, 2, 2]]))
    assert found["accuracy"] == 0.75
    assert found["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["ari"] == pytest.approx(0.0)


def test_score_refuses_what_cannot_be_compared():
    with pytest.raises(DataError, match="must agree"):
        score(np.zeros((2, 2), int), np.zeros((3, 3), int))
    with pytest.raises(DataError, match="labels no pixel"):
        score(np.ones((2, 2), int), np.zeros((2, 2), int))


@pytest.mark.parametrize("ending", [".npy", ".mat", ".tif", ".png", ".h5"])
def test_label_files(tmp_path, ending, result):
    from scipy.io import savemat

    labels, path = np.arange(12).reshape(3, 4) % 5, tmp_path / f"t{ending}"
    if ending == ".npy":
        np.save(path, labels)
    elif ending == ".mat":
        savemat(path, {"image": np.random.default_rng(0).random((3, 4)), "gt": labels, "rgb": np.zeros((3, 4, 3))})
    elif ending == ".tif":
        tifffile.imwrite(path, labels.astype(np.uint8))
    elif ending == ".png":
        Image.fromarray(labels.astype(np.uint8)).save(path)
    else:
        with h5py.File(path, "w") as file:
            file["somewhere/deep"] = labels
    assert (read_labels(path, (3, 4)) == labels).all()
    with pytest.raises(DataError, match=r"no label image of 9 x 9"):
        read_labels(path, (9, 9))
    result.save(tmp_path / "r.h5")
    assert (read_labels(tmp_path / "r.h5") == result.labels).all()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("a.npy", b"x", "cannot be read"), ("a.txt", b"1 2", "are read from"), ("a.png", b"x", "cannot be read")],
)
def test_label_files_that_are_none(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_labels(tmp_path / name)


def test_labels_that_lie_in_another_file_are_not_followed(tmp_path):
    np.arange(12, dtype=np.int32).tofile(tmp_path / "secret.raw")
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("gt", (3, 4), "i4", external=[(tmp_path / "secret.raw", 0, 48)])
    with pytest.raises(DataError, match="holds no 2-D image"):
        read_labels(tmp_path / "t.h5")


# colours


@pytest.mark.parametrize(
    "seen",
    [
        np.eye(3),
        # severity 1.0 of Machado, Oliveira & Fernandes (2009): protanopia, deuteranopia, tritanopia
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ],
)
def test_thirty_colours_that_the_colour_blind_tell_apart(seen):
    from skimage.color import rgb2lab

    from cubeseg.segmentation import class_colour

    codes = [class_colour(i) for i in range(1, 31)]
    rgb = np.array([[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in codes])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(seen).T, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    lab = rgb2lab(shown[None])[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 12
    assert apart[:8, :8].min() > 16
    assert len({class_colour(i) for i in range(1, 60)}) == 59


def test_the_page_of_the_result_file_names_all_that_is_in_it(tmp_path, result):
    import json
    import re
    from fnmatch import fnmatch
    from pathlib import Path

    import h5py

    editing.paint(result, np.array([0, 1]), np.array([2, 2])).do()
    result.save(tmp_path / "r.h5")
    page = (Path(__file__).parents[2] / "docs" / "result-file.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    found = []
    with h5py.File(tmp_path / "r.h5") as file:
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        record = json.loads(file["record"][()])
    assert "painted" in found
    assert not [name for name in found if not any(fnmatch(name, known) for known in named)]
    assert not [name for name in record if f"`{name}`" not in page]
