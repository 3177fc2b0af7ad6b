"""The session in a viewer without a window: layers, runs, corrections, names, reopening."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps.standardize_color import transform_color

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
from tests.napari_cubeseg.helpers import QUICK, check_spectra, paint


def roles(viewer):
    return [our.role(layer) for layer in viewer.layers]


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


# exports


def test_export_failures_are_told(done, tmp_path, notified):
    (tmp_path / "file").write_text("")
    outcomes = []
    done.exports.written.connect(outcomes.append)
    done.exports.write(tmp_path / "file" / "x", ["csv"])
    assert "cannot be made" in notified[-1]
    assert outcomes == [[]]


# reading


def test_a_result_reopens_with_its_cube_and_is_live(done, tmp_path):
    paint(done.labels_layer, (0, 3), (0, 3), 9)
    done.workbench.rename(9, "varnish")
    done.exports.write(tmp_path, ["hdf5"])
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
    done.exports.write(tmp_path, ["hdf5"])
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
