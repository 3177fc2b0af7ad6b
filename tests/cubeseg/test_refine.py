"""Learning from corrections: what holds, what follows, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import FitConfig, editing, load, segment
from cubeseg.errors import DataError
from cubeseg.metrics import score
from cubeseg.samples import painting
from cubeseg.steps import finish
from cubeseg.training.refining import RefineConfig, refine


@pytest.fixture(scope="module")
def sample():
    return painting(48, 200, 0)


@pytest.fixture(scope="module", params=["pca", "deep", "global"])
def result(request, sample):
    patched = {"epochs": 1, "patch": 16} if request.param == "global" else {"epochs": 4}
    return segment(sample.cube, FitConfig(method=request.param, clusters=(5, 5), **patched))


def painted_as(result, where, label):
    made = result.copy()
    flat = np.flatnonzero(where.ravel())
    editing.paint(made, flat, np.full(len(flat), label)).do()
    return made


def check_spectra(made, cube):
    data = cube.block(slice(None), slice(None)).data
    for info in made.classes:
        mine = data[:, made.labels == info.id].astype(float)
        assert made.pixels(info.id) == mine.shape[1]
        if mine.shape[1]:
            np.testing.assert_allclose(made.spectra.mean(info.id), mine.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_painted_pixels_hold_and_alike_ones_follow(result, sample):
    """A true class that was not found: some of its pixels are painted as a new class."""
    truth = sample.truth
    shares = [(truth == t).sum() * (np.bincount(result.labels[truth == t]).max() < result.pixels(
        int(np.bincount(result.labels[truth == t]).argmax())) * 0.6) for t in range(1, truth.max() + 1)]  # fmt: skip
    target = int(np.argmax(shares)) + 1
    where = np.zeros(truth.shape, bool)
    where.flat[np.flatnonzero(truth == target)[::6][:12]] = True
    base = painted_as(result, where, 9)
    made = finish(refine(base, sample.cube))
    assert (made.labels[where] == 9).all()
    assert (made.painted == base.painted).all()
    assert made.info(9).name == "class 9"
    follow = (made.labels == 9) & ~where
    assert follow.sum() > 0.5 * ((truth == target) & ~where).sum()
    # the other classes that the five hide may join it, being unlike the rest too; the map is better all the same
    assert score(made.labels, truth)["ari"] > score(base.labels, truth)["ari"] + 0.01
    check_spectra(made, sample.cube)
    assert base.log[-1]["operation"] == "paint"
    assert made.log[-1]["operation"] == "refine"


def test_locked_classes_stay_and_gain_nothing(result, sample, tmp_path):
    base = painted_as(result, np.eye(48, dtype=bool), 2)
    editing.lock(base, [3]).do()
    editing.rename(base, 3, "smalt").do()
    base.save(tmp_path / "r.h5")
    # codes that depend on neighbours are learned once
    config = RefineConfig(epochs=int(result.config.method != "global"))
    made = finish(refine(load(tmp_path / "r.h5"), sample.cube, config=config))
    assert ((made.labels == 3) == (base.labels == 3)).all()
    assert made.info(3) == base.info(3)


def test_the_same_seed_gives_the_same_labels(result, sample):
    base = painted_as(result, np.eye(48, dtype=bool), 2)
    first = finish(refine(base, sample.cube))
    assert (first.labels == finish(refine(base, sample.cube)).labels).all()


def test_merged_and_deleted_classes_stay_so(result, sample):
    base = painted_as(result, np.eye(48, dtype=bool), 2)
    editing.merge(base, [2, 1]).do()
    editing.delete(base, [4]).do()
    made = finish(refine(base, sample.cube))
    assert set(np.unique(made.labels)) <= {0, 2, 3, 5}
    assert [c.id for c in made.classes] == [2, 3, 5]


def test_what_cannot_be_refined(result, sample):
    with pytest.raises(DataError, match="paint"):
        finish(refine(result, sample.cube))
    other = painting(32, 200, 0).cube
    with pytest.raises(DataError, match="not the cube"):
        finish(refine(painted_as(result, np.eye(48, dtype=bool), 2), other))
    bare = painted_as(result, np.eye(48, dtype=bool), 2)
    bare.model = None
    with pytest.raises(DataError, match="model"):
        finish(refine(bare, sample.cube))
