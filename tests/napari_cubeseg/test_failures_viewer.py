"""Failures inside, seen from the window: reads that do not come back, devices that go, files that are cut short."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtTest import QTest

from cubeseg import open_cube
from cubeseg.models.deep import DeepModel
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control
from napari_cubeseg.qt.jobs import run_in_thread
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.test_viewer import (  # noqa: F401
    button,
    docks,
    mouse,
    no_worker_left,
    on_canvas,
    options,
    run,
    viewer,
    wait,
)


class Blocking:
    """A cube whose reads of more than one spectrum do not come back, as from a network drive that has gone."""

    def __init__(self, whole):
        self.whole, self.gone, self.asked = np.asarray(whole), threading.Event(), threading.Event()
        self.shape, self.dtype, self.ndim = whole.shape, whole.dtype, 3

    def __getitem__(self, key):
        if threading.current_thread() is not threading.main_thread() and isinstance(key[1], slice):
            self.asked.set()
            self.gone.wait(60)
        return self.whole[key]


@pytest.fixture
def blocking(viewer, docks, painting_file):  # noqa: F811
    """The same cube beside itself; its reads block until they are let go."""
    cube = open_cube(painting_file)
    data = Blocking(cube.data)
    session_of(viewer).add(our.cube_layer(replace(cube, data=data, source=replace(cube.source, path="slow.h5"))))
    yield data
    data.gone.set()


def test_a_read_that_does_not_come_back_holds_up_nothing_else(viewer, docks, blocking):  # noqa: F811
    session = session_of(viewer)
    options(docks[0], "pca", (4, 4))
    for _ in range(3):
        button(docks[0], "cubeseg.train.run").click()
        wait(blocking.asked.is_set, 20)
        blocking.asked.clear()
        button(docks[0], "cubeseg.train.pause").click()
        button(docks[0], "cubeseg.train.cancel").click()
        assert not session.running
        assert button(docks[0], "cubeseg.train.run").isEnabled()
    # three runs and the look over the cube hang; another cube can be worked on all the same
    first = our.cube_layers(viewer)[0]
    viewer.layers.selection.active = first
    assert session.cube_layer is first
    run(viewer, docks[0])
    assert our.made_from(session.result, our.cube_of(first))
    mouse(viewer, [on_canvas(viewer, session.labels_layer, 20, 11)])
    wait(lambda: session.pixel is not None, 20)


def failing(monkeypatch, error, after):
    good = DeepModel.loss

    def loss(self, spectra, variance, progress):
        if progress >= after:
            raise error
        return good(self, spectra, variance, progress)

    monkeypatch.setattr(DeepModel, "loss", loss)


def test_a_device_that_vanishes_leaves_one_message_and_the_earlier_work(viewer, docks, monkeypatch):  # noqa: F811
    session = session_of(viewer)
    run(viewer, docks[0])
    before, labels = session.result, session.labels_layer.data.copy()
    session.workbench.rename(2, "azurite")
    failing(monkeypatch, RuntimeError("CUDA error: the launch timed out and was terminated\nmore"), 0.0)
    options(docks[0], "deep", (4, 4), 4)
    told = len(notification_manager.records)
    button(docks[0], "cubeseg.train.run").click()
    wait(lambda: not session.running)
    (said,) = [r.message for r in notification_manager.records[told:] if "failed" in r.message]
    assert "the launch timed out" in said
    assert "\n" not in said
    assert session.result is before
    assert session.result.info(2).name == "azurite"
    assert session.labels_layer.visible
    assert (session.labels_layer.data == labels).all()
    assert button(docks[0], "cubeseg.train.run").isEnabled()


def test_memory_that_ends_in_the_middle_keeps_the_model_so_far(viewer, docks, monkeypatch):  # noqa: F811
    failing(monkeypatch, MemoryError(), 0.6)
    run(viewer, docks[0], method="deep", clusters=(4, 4), epochs=4)
    assert "the model of epoch" in session_of(viewer).result.notes[0]


def test_a_file_that_was_cut_short_is_told_and_the_window_stays(viewer, docks, tmp_path):  # noqa: F811
    session, path = session_of(viewer), tmp_path / "short.npy"
    np.save(path, np.random.default_rng(0).random((40, 64, 80)).astype(np.float32))
    session.add(our.cube_layer(open_cube(path, spectral_axis=0)))
    wait(lambda: session.cube.source.name == "short" and session.overview is not None, 20)
    run(viewer, docks[0])
    before = session.result
    os.truncate(path, 4096)
    with pytest.raises(Exception, match="cut short or written anew"):
        viewer.dims.set_current_step(0, (viewer.dims.current_step[0] + 9) % 40)
    told = len(notification_manager.records)
    button(docks[0], "cubeseg.train.run").click()
    wait(lambda: not session.running)
    assert any("cut short or written anew" in r.message for r in notification_manager.records[told:])
    assert session.result is before
    session.workbench.merge([1, 2])
    QTest.qWait(50)
    assert (session.labels_layer.data == session.result.labels).all()


def test_a_click_on_a_cube_that_does_not_answer(viewer, docks, painting_file):  # noqa: F811
    session, gone = session_of(viewer), threading.Event()
    run(viewer, docks[0])

    class Slow(Blocking):
        """A single spectrum does not come back either."""

        def __getitem__(self, key):
            if threading.current_thread() is not threading.main_thread():
                self.asked.set()
                gone.wait(60)
            return self.whole[key]

    cube = session.cube
    slow = Slow(cube.data)
    layer = session.cube_layer
    layer.metadata[our.KEY]["cube"] = replace(cube, data=slow)
    try:
        for row in (5, 9, 14):
            mouse(viewer, [on_canvas(viewer, session.labels_layer, row, 11)])
        wait(slow.asked.is_set, 20)
        assert session.pixel is None
        # the window goes on, and what is painted waits for the cube
        layer = session.labels_layer
        layer.data_setitem((np.arange(4), np.arange(4)), 3)
        assert (session.result.labels[np.arange(4), np.arange(4)] == 3).all()
        assert not session.workbench.settled
        assert session.workbench.merge([1, 2])
    finally:
        gone.set()
    wait(lambda: session.pixel is not None and session.workbench.settled, 30)
    # only the last click is shown
    assert session.pixel.row == 14


def test_a_click_on_a_cube_that_is_gone_is_one_message(viewer, docks):  # noqa: F811
    session = session_of(viewer)
    run(viewer, docks[0])
    before = session.result
    cube, told = session.cube, len(notification_manager.records)

    class Gone(Blocking):
        def __getitem__(self, key):
            raise PermissionError(13, "Permission denied")

    session.cube_layer.metadata[our.KEY]["cube"] = replace(cube, data=Gone(cube.data))
    mouse(viewer, [on_canvas(viewer, session.labels_layer, 20, 11)])
    wait(lambda: len(notification_manager.records) > told, 20)
    QTest.qWait(100)
    (said,) = [r.message for r in notification_manager.records[told:]]
    assert "painting" in said
    assert "Permission denied" in said
    assert "\n" not in said
    assert session.result is before
    session.workbench.rename(2, "azurite")
    assert before.info(2).name == "azurite"


@pytest.mark.parametrize("how", ["ends", "is cancelled", "is quit by napari"])
def test_a_long_job_lets_go_of_what_it_held(viewer, how):  # noqa: F811
    class Load:
        """What is large."""

    load, control, seen = Load(), Control(), []
    gone = weakref.ref(load)

    def steps(held=load):
        yield from range(3 if how == "ends" else 100_000)
        return held

    told = [lambda *_, held=load: seen.append(held is None) for _ in range(4)]
    run_in_thread(steps, control, *told, title="A long job")
    del load, told, steps
    if how != "ends":
        wait(lambda: seen, 10)
    if how == "is cancelled":
        control.cancel()
    elif how == "is quit by napari":
        viewer.window._task_status_manager.cancel_all()

    def let_go():
        gc.collect()
        return gone() is None

    wait(let_go, 20)
