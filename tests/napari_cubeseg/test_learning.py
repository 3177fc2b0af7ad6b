"""Refine and Apply in a viewer without a window."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import open_cube
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
