"""The session in a viewer without a window: layers, runs, corrections, names, reopening."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps.standardize_color import transform_color

import cubeseg
from cubeseg import FitConfig, open_cube
from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube
from cubeseg.errors import DataError, JobError
from cubeseg.io import ChoiceNeeded
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Cancelled, Control, controlled
from napari_cubeseg.reader import read
from napari_cubeseg.session import session_of
from tests.conftest import real

QUICK = FitConfig(method="pca", clusters=(6, 6))


@pytest.fixture
def done(session):
    session.start(QUICK)
    assert session.result is not None
    return session


@pytest.fixture
def notified(monkeypatch):
    """What the user was told."""
    said = []
    for name in ("show_error", "show_info"):
        monkeypatch.setattr(f"napari_cubeseg.session.{name}", said.append)
    monkeypatch.setattr("napari_cubeseg.corrections.show_error", said.append)
    return said


def check_spectra(session):
    """What the plot shows must equal what the layer holds."""
    result, data = session.result, session.cube.block(slice(None), slice(None)).data
    assert (result.labels == session.labels_layer.data).all()
    for info in result.classes:
        mine = data[:, session.labels_layer.data == info.id].astype(float)
        assert result.pixels(info.id) == mine.shape[1]
        if mine.shape[1]:
            np.testing.assert_allclose(result.spectra.mean(info.id), mine.mean(axis=1), atol=1e-9)


def roles(viewer):
    return [our.role(layer) for layer in viewer.layers]


def paint(layer, rows, columns, label):
    """One undoable stroke."""
    at = np.meshgrid(np.arange(*rows), np.arange(*columns), indexing="ij")
    layer.data_setitem(tuple(a.ravel() for a in at), label)


# layers


def test_a_cube_is_a_stack_with_its_axis_in_place(session):
    layer, cube = session.cube_layer, session.cube
    assert layer.data.shape == (1024, 32, 32)
    assert not isinstance(layer.data, np.ndarray)
    assert tuple(layer.axis_labels) == ("energy", "y", "x")
    assert [str(u) for u in layer.units] == ["kiloelectron_volt", "micrometer", "micrometer"]
    assert layer.translate[0] == pytest.approx(0.5)
    assert layer.scale[0] == pytest.approx(38 / 1023)
    assert tuple(layer.scale[1:]) == (500, 500)
    assert layer.contrast_limits[0] == 0
    assert cube.axis.values[session.band] == pytest.approx(session.viewer.dims.point[0])
    assert session.band == int(session.typical.argmax())


@pytest.mark.parametrize("axis", [SpectralAxis.channels(5), SpectralAxis.from_values([1, 2, 4, 8, 16], "nm"),
                                  SpectralAxis.from_values([5, 4, 3, 2, 1], "km/s")])  # fmt: skip
def test_axes_that_napari_cannot_place_are_numbered(viewer, axis):
    cube = Cube(np.random.default_rng(0).random((5, 8, 8), np.float32), axis)
    layer = session_of(viewer).add(our.cube_layer(cube))
    assert (layer.scale[0], layer.translate[0], layer.axis_labels[0]) == (1, 0, "channel")
    session_of(viewer).show_band(3)
    assert session_of(viewer).band == 3


def test_labels_lie_over_their_cube(done):
    layer = done.labels_layer
    assert our.role(layer) == "labels"
    assert tuple(layer.scale) == (500, 500)
    assert tuple(layer.axis_labels) == ("y", "x")
    assert layer.data.dtype == np.int32
    assert layer.editable
    features = layer.features.set_index("index")
    assert features.loc[1, "pixels"] == (layer.data == 1).sum()
    assert np.allclose(layer.get_color(3), transform_color(done.result.info(3).colour)[0])
    assert layer.colormap.map(0)[3] == 0
    assert layer.colormap.map(77)[3] == 1


# runs


def test_deep_run_shows_previews_and_ends_with_labels(session):
    seen, states = [], []
    session.progressed.connect(
        lambda e: seen.append((e.stage, any(our.role(item) == "preview" for item in session.viewer.layers)))
    )
    session.run_changed.connect(lambda: states.append(session.running))
    session.start(FitConfig(clusters=(5, 5), epochs=2))
    assert ("train", True) in seen
    assert states[0] is True
    assert states[-1] is False
    assert roles(session.viewer) == ["cube", "confidence", "error", "labels"]
    assert [layer.visible for layer in session.viewer.layers] == [True, False, False, True]
    assert session.viewer.layers.selection.active is session.labels_layer
    check_spectra(session)


def test_a_second_run_keeps_the_first_result(done):
    first = done.labels_layer
    paint(first, (0, 5), (0, 5), 2)
    done.start(QUICK)
    assert done.labels_layer is not first
    assert first in done.viewer.layers
    assert not first.visible
    assert (first.data[:5, :5] == 2).all()


def test_cancel_takes_the_preview_away_and_brings_the_old_result_back(done):
    first, jobs = done.labels_layer, []
    done.runner = lambda *arguments, **_: jobs.append(arguments)
    done.start(FitConfig(clusters=(4, 4), epochs=2))
    make, control, on_event, on_done, *_ = jobs[0]
    for event in make():
        on_event(event)
        if event.labels is not None:
            break
    assert roles(done.viewer) == ["cube", "confidence", "error", "labels", "preview"]
    assert not first.visible
    done.cancel()
    assert control.cancelled
    assert not done.running
    assert roles(done.viewer) == ["cube", "confidence", "error", "labels"]
    assert first.visible
    on_done("a late result")
    assert done.labels_layer is first


def test_only_one_run_at_a_time(session):
    jobs = []
    session.runner = lambda *arguments, **_: jobs.append(arguments)
    session.start(QUICK)
    session.start(QUICK)
    assert len(jobs) == 1


def test_pause_and_resume(session):
    session.runner = lambda *_, **__: None
    session.start(QUICK)
    session.pause()
    assert session.paused
    session.resume()
    assert not session.paused
    assert session.running


def test_failures_are_told_and_leave_nothing(session, notified):
    session.start(FitConfig(clusters=(4, 4), noise="gaussian", learning_rate=1e30))
    assert "epoch" in notified[-1]
    assert not session.running
    assert len(session.viewer.layers) == 1


def test_running_without_a_cube_says_what_to_do(viewer, notified):
    session_of(viewer).start(QUICK)
    assert "Open a cube first" in notified[-1]


def test_deleting_the_preview_while_it_trains(session):
    def remove_preview(_):
        for layer in [item for item in session.viewer.layers if our.role(item) == "preview"]:
            session.viewer.layers.remove(layer)

    session.progressed.connect(remove_preview)
    session.start(FitConfig(clusters=(4, 4), epochs=3))
    assert session.result is not None
    check_spectra(session)


def test_deleting_the_cube_while_it_trains(session):
    session.progressed.connect(
        lambda _: session.viewer.layers.remove(session.cube_layer) if session.cube_layer is not None else None
    )
    session.start(FitConfig(clusters=(4, 4), epochs=1))
    assert not session.running
    assert session.result is not None


# looking


def test_inspecting_a_pixel(done):
    done.inspect(4, 7)
    assert (done.pixel.row, done.pixel.column) == (4, 7)
    assert done.pixel.label == done.result.labels[4, 7]
    np.testing.assert_array_equal(done.pixel.spectrum, done.cube.spectrum(4, 7))
    assert done.selected == (done.pixel.label,)
    assert done.labels_layer.selected_label == done.pixel.label
    done.inspect(-1, 5)
    assert done.pixel.row == 4


def test_slider_and_plot_follow_each_other(session):
    bands = []
    session.band_changed.connect(bands.append)
    session.show_band(321)
    assert session.viewer.dims.current_step[0] == 321
    session.viewer.dims.set_current_step(0, 55)
    assert session.band == 55
    assert bands[-1] == 55


# corrections


def test_painting_moves_the_means(done):
    changes = []
    done.classes_changed.connect(lambda: changes.append(1))
    before = done.result.pixels(2)
    paint(done.labels_layer, (2, 9), (3, 12), 2)
    assert done.result.pixels(2) > before
    assert changes
    check_spectra(done)
    assert done.labels_layer.features.set_index("index").loc[2, "pixels"] == done.result.pixels(2)


def test_undo_and_redo_are_followed(done):
    original = done.labels_layer.data.copy()
    paint(done.labels_layer, (2, 9), (3, 12), 2)
    painted = done.labels_layer.data.copy()
    done.labels_layer.undo()
    assert (done.result.labels == original).all()
    check_spectra(done)
    done.labels_layer.redo()
    assert (done.result.labels == painted).all()
    check_spectra(done)


def test_undo_does_not_reach_back_into_the_previews(session):
    session.start(FitConfig(clusters=(4, 4), epochs=3))
    labels = session.labels_layer.data.copy()
    session.labels_layer.undo()
    assert (session.labels_layer.data == labels).all()


def test_only_changed_pixels_are_read(done, monkeypatch):
    read_pixels = []
    spectra = Cube.spectra
    monkeypatch.setattr(Cube, "spectra", lambda self, r, c: (read_pixels.append(len(r)), spectra(self, r, c))[1])
    monkeypatch.setattr(Cube, "block", lambda *_: pytest.fail("a correction must not read blocks"))
    wrong = done.labels_layer.data[4:6, 4:9] != 3
    paint(done.labels_layer, (4, 6), (4, 9), 3)
    assert sum(read_pixels) == wrong.sum()


def test_a_new_label_becomes_a_class(done):
    paint(done.labels_layer, (0, 3), (0, 3), 20)
    assert done.result.info(20).name == "class 20"
    assert done.labels_layer.colormap.map(20)[3] == 1
    check_spectra(done)


def test_painting_goes_on_while_the_spectra_are_read(done):
    jobs = []
    done._corrections._runner = lambda *arguments, **_: jobs.append(arguments)
    layer = done.labels_layer
    paint(layer, (0, 4), (0, 4), 2)
    paint(layer, (4, 8), (0, 4), 3)
    assert len(jobs) == 1
    while jobs:
        make, _, _, on_done, *_ = jobs.pop(0)
        steps = make()
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                on_done(stop.value)
                break
    check_spectra(done)


def test_labels_of_another_shape_are_refused_and_nothing_is_lost(done, notified):
    before = done.result.labels.copy()
    done.labels_layer.data = np.ones((5, 5), np.int32)
    assert "the classes stay as they were" in notified[-1]
    assert (done.result.labels == before).all()


def test_deleting_the_labels_layer(done):
    done.viewer.layers.remove(done.labels_layer)
    assert done.result is None
    assert done.selected == ()


# names, colours


def test_rename_and_recolour_reach_layer_and_result(done, tmp_path):
    done.rename(2, "azurite")
    done.recolour(2, "#102030")
    assert done.labels_layer.features.set_index("index").loc[2, "class"] == "azurite"
    assert np.allclose(done.labels_layer.get_color(2)[:3], np.array([16, 32, 48]) / 255, atol=1e-3)
    done.export(tmp_path, ["csv", "hdf5"])
    assert "azurite" in (tmp_path / "painting-spectra.csv").read_text()
    assert cubeseg.load(tmp_path / "painting-result.h5").info(2).colour == "#102030"


def test_export_failures_are_told(done, tmp_path, notified):
    (tmp_path / "file").write_text("")
    outcomes = []
    done.exported.connect(outcomes.append)
    done.export(tmp_path / "file" / "x", ["csv"])
    assert "cannot be made" in notified[-1]
    assert outcomes == [[]]


# coherence and granularity


def test_coherence_changes_the_labels_and_keeps_what_was_painted(done):
    paint(done.labels_layer, (0, 3), (0, 3), 9)
    done.adjustments.cohere(0.0)
    alone = done.result.evidence.argmax(axis=0) + 1
    assert (done.labels_layer.data[:3, :3] == 9).all()
    assert (done.labels_layer.data[3:] == alone[3:]).all()
    done.adjustments.cohere(2.0)
    assert (done.labels_layer.data[3:] != alone[3:]).any()
    assert (done.labels_layer.data[:3, :3] == 9).all()
    check_spectra(done)
    paint(done.labels_layer, (5, 8), (5, 8), 1)
    check_spectra(done)


def test_other_labels_are_made_with_progress(done):
    seen = []
    done.adjusting.connect(seen.append)
    done.adjustments.cohere(2.0)
    assert seen[-1] is None
    assert len(seen) > 2
    assert all(a <= b for a, b in pairwise(seen[:-1]))


def test_granularity_goes_down_and_comes_back(done):
    fine, names = done.labels_layer.data.copy(), [c.name for c in done.result.classes]
    assert done.adjustments.range == (1, 6)
    heard = []
    done.classes_changed.connect(lambda: heard.append(done.adjustments.range))
    done.adjustments.coarsen(3)
    assert len(done.result.classes) == 3
    check_spectra(done)
    assert heard == [(1, 6)]
    done.adjustments.coarsen(6)
    assert (done.labels_layer.data == fine).all()
    assert [c.name for c in done.result.classes] == names
    check_spectra(done)


def test_coherence_keeps_the_granularity_and_the_way_back(done):
    done.adjustments.coarsen(3)
    done.adjustments.cohere(0.0)
    assert len(done.result.classes) == 3
    assert done.result.coherence == 0
    check_spectra(done)
    assert done.adjustments.range == (1, 6)
    done.adjustments.coarsen(6)
    assert len(done.result.classes) == 6
    assert (done.labels_layer.data == done.result.evidence.argmax(axis=0) + 1).all()
    check_spectra(done)


def test_work_on_coarse_classes_is_not_lost_by_the_slider(done):
    done.adjustments.coarsen(3)
    kept = done.result.classes[0].id
    done.rename(kept, "ground")
    paint(done.labels_layer, (5, 8), (5, 8), kept)
    assert done.adjustments.range == (1, 3)
    done.adjustments.coarsen(2)
    assert done.result.info(1).name in ("ground", "class 1")
    assert (done.labels_layer.data[5:8, 5:8] == done.labels_layer.data[5, 5]).all()


def test_painting_while_coherence_is_computed_holds(done):
    jobs, runner = [], done.runner
    done.adjustments._runner = lambda *arguments, **_: jobs.append(arguments)
    done.adjustments.cohere(0.0)
    paint(done.labels_layer, (0, 3), (0, 3), 9)
    runner(*jobs[0])
    assert len(jobs) == 2
    assert (done.labels_layer.data[:3, :3] == 9).all()
    runner(*jobs[1])
    assert (done.labels_layer.data[:3, :3] == 9).all()
    assert done.result.coherence == 0
    check_spectra(done)


# reading


def test_a_result_reopens_with_its_cube_and_is_live(done, tmp_path):
    paint(done.labels_layer, (0, 3), (0, 3), 9)
    done.rename(9, "varnish")
    done.export(tmp_path, ["hdf5"])
    viewer = ViewerModel()
    session = session_of(viewer)
    for data in read(str(tmp_path / "painting-result.h5")):
        session.add(data)
    assert roles(viewer) == ["cube", "confidence", "error", "labels"]
    assert session.result.info(9).name == "varnish"
    assert (session.labels_layer.data[:3, :3] == 9).all()
    paint(session.labels_layer, (5, 8), (5, 8), 1)
    check_spectra(session)


def test_a_result_opens_without_its_cube(done, tmp_path, painting_file):
    done.export(tmp_path, ["hdf5"])
    painting_file.unlink()
    viewer = ViewerModel()
    session = session_of(viewer)
    for data in read(str(tmp_path / "painting-result.h5")):
        session.add(data)
    assert roles(viewer) == ["confidence", "error", "labels"]
    paint(session.labels_layer, (5, 8), (5, 8), 1)
    assert session.result.pixels(1) == (session.labels_layer.data == 1).sum()


def test_a_file_that_does_not_say_is_asked_about(viewer, notified):
    path = real("xrf_aps_mda/2xfm_0011_2xfm3__0.h5")
    with pytest.raises(ChoiceNeeded) as asked:
        read(str(path))
    session = session_of(viewer)
    session.cubes.ask(asked.value)
    session.cubes.answer("MAPS_RAW/data_a", 0)
    assert session.cubes.question is None
    assert session.cube.data.shape == (2048, 11, 9)


def test_files_that_are_no_cubes_say_so(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read(str(tmp_path / "x.h5"))


def test_two_cubes_keep_their_own_results(done, tmp_path):
    from cubeseg.samples import write_sample

    first, result = done.cube_layer, done.result
    write_sample("painting", tmp_path / "other.h5", size=24)
    second = done.add(our.cube_layer(open_cube(tmp_path / "other.h5")))
    assert done.cube_layer is second
    assert done.result is None
    done.start(QUICK)
    assert done.result is not result
    done.viewer.layers.selection.active = first
    assert done.result is result


# jobs


def test_nothing_but_clear_errors_leaves_a_job():
    def broken():
        yield 1
        raise RuntimeError("boom\nmore")

    steps = controlled(broken, Control())
    with pytest.raises(JobError, match=r"unexpected RuntimeError: boom$"):
        list(steps)


def test_a_cancelled_job_closes_its_generator():
    closed, control = [], Control()

    def work():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    steps = controlled(work, control, interval=0)
    next(steps)
    control.cancel()
    with pytest.raises(Cancelled):
        next(steps)
    assert closed


def test_a_session_does_not_keep_its_viewer_alive():
    import gc
    import weakref

    viewer = ViewerModel()
    session_of(viewer)
    gone = weakref.ref(viewer)
    del viewer
    gc.collect()
    assert gone() is None
