"""Opening, looking over, calibrating and copying cubes, in a viewer without a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cubeseg import FitConfig, load, open_cube
from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube
from cubeseg.io import ChoiceNeeded
from cubeseg.samples import write_sample
from cubeseg.steps import finish
from cubeseg.training.replaying import replay
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import run_now
from napari_cubeseg.session import session_of


def at_once(*arguments, **keywords):
    """As the threads of a window, but in this thread."""
    return run_now(*arguments, **keywords)


@pytest.fixture
def looking(viewer, painting_file):
    """A session whose cubes are looked over, with the small painting open."""
    session = session_of(viewer)
    session.use_threads(at_once)
    session.cubes.open(painting_file)
    return session


@pytest.fixture
def notified(monkeypatch):
    seen = []
    monkeypatch.setattr("napari_cubeseg.cubes.show_error", seen.append)
    return seen


def test_the_sum_image_comes_by_itself(looking):
    total = next(layer for layer in looking.viewer.layers if our.role(layer) == "sum")
    data = np.asarray(looking.cube.data)
    assert total.data == pytest.approx(data.sum(axis=0, dtype=float), rel=1e-6)
    assert looking.typical == pytest.approx(data.mean(axis=(1, 2), dtype=float), rel=1e-5)
    assert looking.viewer.layers.index(total) == looking.viewer.layers.index(looking.cube_layer) + 1
    assert looking.viewer.layers.selection.active is looking.cube_layer


def test_the_sum_image_makes_way_for_the_bands_once(looking):
    total = next(layer for layer in looking.viewer.layers if our.role(layer) == "sum")
    assert total.visible
    looking.show_band(looking.band + 5)
    assert not total.visible
    total.visible = True
    looking.show_band(looking.band + 5)
    assert total.visible


def test_the_files_own_image_is_shown_before_the_cube_has_been_read(viewer, painting_file):
    cube = open_cube(painting_file)
    image = np.arange(cube.n_pixels, dtype=np.float32).reshape(cube.image_shape)
    waiting = []
    session = session_of(viewer)
    session.use_threads(lambda *arguments, **_: waiting.append(arguments))
    session.add(our.cube_layer(replace(cube, white=lambda: image)))
    white, look, *_ = waiting
    run_now(*white)
    shown = [layer for layer in viewer.layers if our.role(layer) == "sum"]
    assert [layer.name for layer in shown] == ["painting white light"]
    np.testing.assert_array_equal(shown[0].data, image)
    run_now(*look)
    assert session.overview is not None
    assert [layer for layer in viewer.layers if our.role(layer) == "sum"] == shown


def test_scripts_without_threads_read_nothing_by_themselves(session):
    assert [our.role(layer) for layer in session.viewer.layers] == ["cube"]
    assert session.overview is None


def test_removing_the_cube_stops_the_look(viewer, painting_file):
    waiting = []
    session = session_of(viewer)
    session.use_threads(lambda *arguments, **_: waiting.append(arguments))
    session.add(our.cube_layer(open_cube(painting_file)))
    make, control, on_event, on_done, on_error, on_cancelled = waiting[0]
    session.viewer.layers.remove(session.cube_layer)
    assert control.cancelled
    run_now(make, control, on_event, on_done, on_error, on_cancelled)
    assert len(session.viewer.layers) == 0


def test_the_caption_says_what_is_seen(looking):
    caption, layers, said = looking.viewer.canvas.overlays.text, looking.viewer.layers, []
    looking.caption.changed.connect(lambda: said.append(looking.caption.text))
    (total,) = [layer for layer in layers if our.role(layer) == "sum"]
    assert caption.visible
    assert caption.text == looking.caption.text == total.name
    looking.viewer.dims.set_current_step(0, 3)
    assert caption.text == looking.cube.axis.format(3)
    total.visible = True
    assert caption.text == total.name
    layers.move(layers.index(total), 0)
    assert caption.text == looking.cube.axis.format(3)
    assert said == [looking.cube.axis.format(3), total.name, looking.cube.axis.format(3)]
    layers.clear()
    assert not caption.visible


def test_calibration_moves_the_slider_and_the_segmentation(looking):
    looking.show_band(looking.band + 1)
    looking.start(FitConfig(method="pca", clusters=(4, 4)))
    result, band = looking.result, looking.band
    assert looking.cubes.calibrate("100=Fe,174=10.0")
    assert looking.cube.axis.unit == "keV"
    assert looking.cube.axis.values[174] == pytest.approx(10)
    assert looking.band == band
    assert result.axis.values[174] == pytest.approx(10)
    assert looking.cube_layer.scale[0] == pytest.approx(looking.cube.axis.step)
    assert looking.result is result
    assert looking.viewer.canvas.overlays.text.text == looking.cube.axis.format(band)
    assert (result.log[-1]["operation"], result.log[-1]["axis"]) == ("calibrate", "100=Fe,174=10.0")


def test_conversion_is_kept_with_what_went_before(looking):
    looking.cubes.calibrate("1,0.1 keV")
    looking.cubes.calibrate("to nm vacuum")
    assert looking.cube.axis.unit == "nm"
    source = looking.cube.source
    assert source.axis == "1,0.1 keV; to nm vacuum"
    from cubeseg.io import reopen

    assert reopen(source).axis.values == pytest.approx(looking.cube.axis.values)
    looking.cubes.calibrate("2,0.2 keV")
    assert looking.cube.source.axis == "2,0.2 keV"


def test_a_calibration_that_cannot_be_changes_nothing(looking, notified):
    before = looking.cube
    assert not looking.cubes.calibrate("nonsense")
    assert looking.cube is before
    assert len(notified) == 1


@pytest.mark.parametrize("active", [True, False])
def test_a_run_takes_over_a_calibration_made_meanwhile(viewer, painting_file, tmp_path, active):
    waiting = []
    session = session_of(viewer)
    session.add(our.cube_layer(open_cube(painting_file)))
    session.runner = lambda *arguments, **_: waiting.append(arguments)
    session.start(FitConfig(method="pca", clusters=(3, 3)))
    session.cubes.calibrate("1,2 keV")
    session.cubes.calibrate("to nm")
    if not active:
        write_sample("painting", tmp_path / "other.h5", size=20, counts=300, seed=1)
        session.add(our.cube_layer(open_cube(tmp_path / "other.h5")))
    run_now(*waiting[0])
    (result,) = [found for layer in viewer.layers if (found := our.result_of(layer)) is not None]
    assert result.axis.unit == "nm"
    assert result.axis.values[10] == pytest.approx(1.239841984 / 21)
    assert [(said["axis"], said["before"]) for said in result.log] == [("1,2 keV; to nm", "")]
    result.save(tmp_path / "r.h5")
    found = finish(replay(load(tmp_path / "r.h5"), open_cube(painting_file)))
    assert (found.missed, found.agreement) == ([], 1.0)
    assert found.result.axis.values == pytest.approx(result.axis.values)
    assert found.result.source == result.source


def test_what_is_undone_to_has_the_calibration_in_its_log(done):
    before = done.result
    done.workbench.replace(before.copy(), "another")
    done.cubes.calibrate("0,2 keV")
    done.workbench.undo()
    assert done.result is before
    assert [said["axis"] for said in before.log if said["operation"] == "calibrate"] == ["0,2 keV"]
    assert before.axis is done.cube.axis
    done.workbench.redo()
    done.workbench.undo()
    assert [said["operation"] for said in before.log].count("calibrate") == 1


def test_questions_and_answers_that_last(viewer, tmp_path, monkeypatch):
    import h5py

    monkeypatch.setenv("CUBESEG_SETTINGS", str(tmp_path / "settings"))
    paths = []
    for n in (1, 2):
        paths.append(tmp_path / f"{n}.h5")
        with h5py.File(paths[-1], "w") as file:
            for name in ("left", "right"):
                file[name] = np.full((5, 6, 30), n, np.float32)
    session = session_of(viewer)
    session.cubes.open(paths[0])
    assert isinstance(session.cubes.question, ChoiceNeeded)
    session.cubes.answer("right", 2, "0,1 keV", keep=True)
    assert session.cubes.question is None
    assert session.cube.axis.unit == "keV"
    session.cubes.open(paths[1])
    assert session.cubes.question is None
    assert session.cube.source.dataset == "right"
    assert session.cube.axis.unit == "keV"


def test_a_file_can_be_read_differently(looking, tmp_path):
    import h5py

    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["img"] = np.ones((5, 6, 30), np.float32)
        file["other"] = np.ones((5, 6, 12), np.float32)
    looking.cubes.open(path, dataset="img")
    looking.cubes.reconsider()
    question = looking.cubes.question
    assert [c.dataset for c in question.candidates] == ["img", "other"]
    looking.cubes.answer("other", 2)
    assert looking.cube.data.shape == (12, 5, 6)


def test_slow_bands_are_coarse_first_and_exact_later(viewer, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cubeseg.bands._LARGE", 1000)
    monkeypatch.setattr("napari_cubeseg.cubes._COARSE", 8000)
    data = np.memmap(tmp_path / "bip.raw", np.uint16, "w+", shape=(40, 60, 50))
    data[:] = np.random.default_rng(0).poisson(5, data.shape)
    cube = Cube(data.transpose(2, 0, 1), SpectralAxis.channels(50))
    session, waiting = session_of(viewer), []
    session.use_threads(lambda *arguments, **_: waiting.append(arguments))
    session.add(our.cube_layer(cube))
    layer, band = session.cube_layer, session.band
    shown = layer._slice.image.raw
    assert not shown.any()
    # the look over the cube, then the band
    while waiting:
        run_now(*waiting.pop(0))
    assert (layer._slice.image.raw == cube.data[band]).all()
    session.show_band(7)
    coarse = layer._slice.image.raw
    assert coarse.shape == (40, 60)
    assert (coarse != cube.data[7]).any()
    assert coarse[0, 0] == cube.data[7, 0, 0]
    session.show_band(8)
    assert waiting[0][1].cancelled
    run_now(*waiting[-1])
    assert (layer._slice.image.raw == cube.data[8]).all()
    assert (np.asarray(layer.data[:, 3, 4]) == cube.data[:, 3, 4]).all()


def test_a_copy_is_offered_where_bands_lie_apart(viewer, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cubeseg.bands._LARGE", 1000)
    data = np.memmap(tmp_path / "bip.raw", np.uint16, "w+", shape=(20, 30, 50))
    data[:] = np.random.default_rng(0).poisson(5, data.shape)
    cube = Cube(data.transpose(2, 0, 1), SpectralAxis.from_values(np.arange(50) + 400.0, "nm"))
    session = session_of(viewer)
    session.add(our.cube_layer(cube))
    assert session.cubes.copy_size() == data.nbytes
    session.cubes.copy(tmp_path / "copy.h5")
    assert session.cube.source.format == "cubeseg"
    assert (np.asarray(session.cube.data) == cube.data).all()
    assert session.cubes.copy_size() == 0


def test_a_copy_that_fails_says_why(looking, notified, tmp_path):
    looking.cubes.copy(tmp_path / "missing" / "copy.h5")
    assert "does not exist" in notified[0]
