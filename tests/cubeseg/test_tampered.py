"""Result files that were changed: each is opened as a Segmentation or refused in one line; larger runs: make fuzz."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubeseg import FitConfig, apply, editing, load, refine, segment
from cubeseg.errors import DataError
from cubeseg.segmentation import Segmentation
from cubeseg.steps import finish
from tests.cubeseg.cubes import counts_cube
from tests.cubeseg.tampering import tampered


@pytest.fixture(scope="module")
def cube():
    return counts_cube()[0]


@pytest.fixture(scope="module", params=["pca", "unmix"])
def healthy(request):
    return content(request.param)


@cache
def content(method):
    """Bytes of a healthy file."""
    result = segment(counts_cube()[0], FitConfig(method=method, clusters=(3, 3), epochs=2))
    editing.paint(result, np.arange(9), np.full(9, 2)).do()
    editing.rename(result, 1, "azurite").do()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.h5"
        result.save(path)
        return path.read_bytes()


def made(method, path):
    path.write_bytes(content(method))
    return path


def test_changed_files_are_opened_or_refused(healthy, tmp_path):
    ends = {"opened": 0, "refused": 0}
    for case in range(60):
        path = tmp_path / f"{case}.h5"
        said = tampered(healthy, path, random.Random(case))
        try:
            result = load(path)
        except DataError as error:
            told = str(error)
            ends["refused"] += 1
        else:
            assert isinstance(result, Segmentation)
            assert len(result.table()) == len(result.classes), said
            ends["opened"] += 1
            continue
        assert "\n" not in told, said
        assert path.name in told, said
    assert min(ends.values()) > 3


def put(name, value):
    def change(file):
        if name in file:
            del file[name]
        file[name] = value

    return change


def record(*keys, value):
    def change(file):
        whole = at = json.loads(file["record"][()])
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value
        put("record", json.dumps(whole))(file)

    return change


def huge(file):
    del file["latent"]
    file.create_dataset("latent", (10**6, 10**6, 8), "f2", chunks=(1000, 1000, 8))


def outside(file):
    del file["labels"]
    file.create_dataset("labels", (24, 30), "i4", external=[("/etc/passwd", 0, 24 * 30 * 4)])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: f["labels"].__setitem__((0, 0), 77), "beyond the classes"),
        (lambda f: f["labels"].__setitem__((0, 0), -1), "beyond the classes"),
        (record("classes", value=[]), "labels that no class has"),
        (record("classes", 0, "colour", value="red"), "colour of class"),
        (record("classes", 0, "id", value=2), "no different numbers"),
        (record("log", 0, "changes", value=[0, 50]), "pixels are missing"),
        (lambda f: f["changes/where"].__setitem__(0, 10**6), "outside of the image"),
        (lambda f: put("lineage", f["lineage"][:2])(f), "2 clusters"),
        (lambda f: put("centroids", f["centroids"][:2])(f), "3 clusters"),
        (lambda f: put("profiles", f["profiles"][:2])(f), "3 clusters"),
        (lambda f: put("evidence", f["evidence"][:, :5])(f), "3 clusters"),
        (lambda f: put("confidence", f["confidence"][()].T)(f), "differ in shape"),
        (lambda f: put("model/arrays/mean", np.zeros(3, np.float32))(f), "not those that were written"),
        (put("record", "{]"), "damaged"),
        (put("labels", h5py.SoftLink("/evidence")), "link to elsewhere"),
        (put("labels", h5py.ExternalLink("other.h5", "/labels")), "link to elsewhere"),
        (outside, "lie in other files"),
        (huge, "which are not there"),
    ],
)
def test_what_is_wrong_is_said(cube, tmp_path, damage, said):
    path = made("pca", tmp_path / "r.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(DataError, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["pca", "deep"])
def test_weights_that_do_not_fit_are_one_line_even_with_the_right_hash(cube, tmp_path, method):
    from cubeseg.wholeness import model_digest

    path = made(method, tmp_path / "r.h5")
    with h5py.File(path, "r+") as file:
        arrays = file["model/arrays"]
        name = next(n for n in arrays if arrays[n].ndim == 2)
        put(name, np.zeros((3, 5), np.float32))(arrays)
        values = {n: a[()] for n, a in arrays.items()}
        file["model"].attrs["sha256"] = model_digest(values, json.loads(file["model/settings"][()]))
    result = load(path)
    for steps in (apply(result, cube), refine(result, cube)):
        with pytest.raises(DataError, match="trained model in the result file is damaged") as caught:
            finish(steps)
        assert "\n" not in str(caught.value)
