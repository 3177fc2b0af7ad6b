"""Refine and Apply in a viewer without a window."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import load, open_cube
from cubeseg.steps import finish
from cubeseg.training.replaying import replay
from napari_cubeseg import layers as our
from napari_cubeseg.layers import cube_layer
from tests.napari_cubeseg.helpers import check_spectra, paint, run_job


@pytest.fixture
def said(notified, monkeypatch):
    for name in ("show_error", "show_info"):
        monkeypatch.setattr(f"napari_cubeseg.learning.{name}", notified.append)
    return notified


def test_painted_pixels_hold_and_it_is_one_step(done, said):
    before = done.result
    paint(done.labels_layer, (0, 4), (0, 4), 9)
    done.workbench.lock([3])
    mine = done.result.labels == 3
    states = []
    done.run_changed.connect(lambda: states.append(done.running))
    done.learning.refine()
    assert states == [True, False]
    assert done.result is not before
    assert (done.result.labels[:4, :4] == 9).all()
    assert ((done.result.labels == 3) == mine).all()
    assert (done.labels_layer.data == done.result.labels).all()
    assert done.result.info(9).name == "class 9"
    check_spectra(done)
    assert "Refined" in said[-1]
    done.workbench.undo()
    assert done.result is before
    assert (done.labels_layer.data == before.labels).all()
    check_spectra(done)
    done.workbench.redo()
    check_spectra(done)


def test_without_painting_there_is_nothing_to_learn(done, said):
    done.learning.refine()
    assert "correct some pixels" in said[-1]
    assert not done.running


def test_without_its_cube_it_says_so(done, said):
    paint(done.labels_layer, (0, 4), (0, 4), 9)
    done.viewer.layers.remove(done.cube_layer)
    done.learning.refine()
    assert "open painting first" in said[-1]


def test_work_during_refine_is_done_again(done, said):
    paint(done.labels_layer, (0, 4), (0, 4), 9)
    jobs, runner = [], done.runner
    done.runner = lambda *arguments, **_: jobs.append(arguments)
    done.learning.refine()
    done.runner = runner
    assert done.running
    done.start(None)
    assert len(jobs) == 1
    paint(done.labels_layer, (20, 24), (20, 24), 9)
    done.workbench.rename(9, "retouching")
    done.workbench.merge([1, 2])
    run_job(jobs[0])
    assert not done.running
    assert (done.result.labels[20:24, 20:24] == 9).all()
    assert (done.result.labels[:4, :4] == 9).all()
    assert done.result.info(9).name == "retouching"
    assert 2 not in [c.id for c in done.result.classes]
    check_spectra(done)


@pytest.fixture
def refining(done, said):
    """A refinement that a test lets end."""
    paint(done.labels_layer, (0, 4), (0, 4), 9)
    jobs, runner = [], done.runner
    done.runner = lambda *arguments, **_: jobs.append(arguments)
    done.learning.refine()
    done.runner = runner
    return lambda: run_job(jobs[0])


def test_all_work_during_refine_holds_in_its_order(done, refining, tmp_path):
    bench = done.workbench
    mine = done.result.labels == 3
    bench.lock([3])
    bench.hide([1])
    bench.move([9], -2)
    bench.split(4, 2)
    (part,) = {c.id for c in done.result.classes} - {1, 2, 3, 4, 5, 6, 9}
    bench.rename(part, "underdrawing")
    paint(done.labels_layer, (20, 24), (20, 24), part)
    bench.annotate(part, "seen in infrared")
    bench.recolour(2, "#010203")
    bench.merge([5, 6])
    bench.lock([part])
    assert done.cubes.calibrate("0.5,0.04 keV")
    before = done.result
    refining()
    assert done.result is not before
    assert done.result.classes == before.classes
    assert (done.result.labels[mine] == 3).all()
    assert (done.result.labels[20:24, 20:24] == np.where(mine[20:24, 20:24], 3, part)).all()
    assert (done.result.labels[before.labels == part] == part).all()
    assert done.result.axis is done.cube.axis
    check_spectra(done)
    done.exports.write(tmp_path, ["hdf5"])
    found = finish(replay(load(tmp_path / "painting-result.h5"), done.cube))
    assert (found.missed, found.agreement) == ([], 1.0)
    assert found.result.classes == done.result.classes


def test_what_refine_began_with_was_undone(done, refining, said):
    done.workbench.undo()
    before, labels = done.result, done.result.labels.copy()
    refining()
    assert "dropped" in said[-1]
    assert done.result is before
    assert (done.labels_layer.data == labels).all()
    assert not done.running


def test_undone_and_done_again_is_as_if_nothing_was(done, refining):
    before = done.result
    done.workbench.undo()
    done.workbench.redo()
    refining()
    assert done.result is not before
    assert (done.result.labels[:4, :4] == 9).all()
    assert [said["operation"] for said in done.result.log] == ["paint", "refine"]


def test_cancel_leaves_everything_as_it_was(done, said):
    paint(done.labels_layer, (0, 4), (0, 4), 9)
    jobs, runner = [], done.runner
    done.runner = lambda *arguments, **_: jobs.append(arguments)
    done.learning.refine()
    done.runner = runner
    before = done.result
    done.cancel()
    assert not done.running
    run_job(jobs[0])
    assert done.result is before


def test_another_cube_gets_the_same_classes(done, said, tmp_path):
    from cubeseg.samples import write_sample

    done.workbench.rename(2, "azurite")
    first = done.result
    write_sample("painting", tmp_path / "other.h5", size=32, counts=300, seed=1)
    other = done.add(cube_layer(open_cube(tmp_path / "other.h5")))
    assert done.cube_layer is other
    labels = next(item for item in done.viewer.layers if our.result_of(item) is first)
    done.viewer.layers.selection.active = labels
    done.learning.apply_to(other)
    assert done.result is not first
    assert done.result.info(2).name == "azurite"
    assert done.cube_layer is other
    assert (done.result.labels == first.labels).mean() > 0.99
    paint(done.labels_layer, (0, 4), (0, 4), 9)
    check_spectra(done)
    assert np.isfinite(done.result.confidence).all()
