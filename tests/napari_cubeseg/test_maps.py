"""Maps as layers, in a viewer without a window."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Source, Spatial
from cubeseg.maps.images import element_maps, false_colour, true_colour, window_maps
from cubeseg.steps import finish
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import run_now
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.helpers import QUICK, run_job


@pytest.fixture
def notified(monkeypatch):
    seen = []
    monkeypatch.setattr("napari_cubeseg.maps.show_error", seen.append)
    return seen


@pytest.fixture
def waiting(session):
    """Jobs that a test runs itself."""
    jobs = []
    session.runner = lambda *arguments, **_: jobs.append(arguments)
    return jobs


def mapped(session):
    return [layer for layer in session.viewer.layers if our.role(layer) == "map"]


def test_a_window_becomes_a_layer_on_its_cube(session):
    seen = []
    session.maps.working.connect(seen.append)
    session.maps.window(6.2, 6.6)
    (layer,) = mapped(session)
    (wanted,) = finish(window_maps(session.cube, [(6.2, 6.6)]))
    assert layer.data == pytest.approx(wanted.image)
    assert layer.name == "painting 6.2–6.6 keV"
    cube = session.cube_layer
    assert tuple(layer.scale) == tuple(cube.scale[1:])
    assert layer.units == cube.units[1:]
    assert layer.axis_labels == ("y", "x")
    assert session.viewer.layers.index(layer) == session.viewer.layers.index(cube) + 1
    assert session.viewer.layers.selection.active is cube
    assert seen[0] == ("Mapping painting", None)
    assert seen[-1] is None
    assert not session.maps.busy


def test_maps_lie_below_the_labels_and_leave_the_active_layer(done):
    labels = done.labels_layer
    done.viewer.layers.selection.active = labels
    done.maps.elements(["Fe", "Pb"])
    layers = done.viewer.layers
    assert layers.selection.active is labels
    assert [layer.name for layer in mapped(done)] == ["painting Pb Lα", "painting Fe Kα"]
    assert max(layers.index(layer) for layer in mapped(done)) < layers.index(labels)
    done.maps.window(1, 2)
    assert mapped(done)[-1].name == "painting 1–2 keV"
    assert layers.index(mapped(done)[-1]) < layers.index(labels)


def test_a_map_that_is_made_again_takes_the_place_of_the_old(session):
    session.maps.elements(["Fe"], background=False)
    (layer,) = mapped(session)
    before = layer.data.copy()
    layer.colormap = "inferno"
    session.maps.window(1, 2)
    layer.visible = False
    session.maps.elements(["Fe"])
    assert mapped(session)[-1] is layer
    assert layer.visible
    assert layer.colormap.name == "inferno"
    assert layer.data.mean() < before.mean()
    assert len(mapped(session)) == 2


def test_elements_come_in_one_pass_with_their_picture(session, monkeypatch):
    passes = []
    real = type(session.cube).places
    monkeypatch.setattr(
        "cubeseg.cube.Cube.places", lambda self, *size: (passes.append(1), real(self, *size))[1]
    )  # fmt: skip
    made = []
    session.maps.made.connect(made.append)
    session.maps.elements(["Pb", "Cu", "Fe", "Ca"], picture=True)
    assert len(passes) == 1
    picture = mapped(session)[-1]
    assert picture.name == "painting Pb Lα, Cu Kα, Fe Kα (RGB)"
    assert picture.rgb
    maps = finish(element_maps(session.cube, ["Pb", "Cu", "Fe"], session.typical))
    assert picture.data == pytest.approx(false_colour([one.image for one in maps], net=True))
    assert "Pb Lα with As Kα" in made[0][0].note
    assert len(mapped(session)) == 5


def test_three_windows_in_colour(session):
    session.maps.rgb([(3.6, 3.8), (6.2, 6.6), (10.4, 10.7)])
    (picture,) = mapped(session)
    assert picture.name == "painting 3.6–3.8, 6.2–6.6, 10.4–10.7 keV (RGB)"
    assert picture.data.shape == (32, 32, 3)
    session.maps.rgb([(3.6, 3.8), (6.2, 6.6), (10.4, 10.7)])
    assert mapped(session) == [picture]


def test_totals(session):
    for how in ("sum", "mean", "max"):
        session.maps.total(how)
    total, mean, highest = mapped(session)
    data = np.asarray(session.cube.data[:], float)
    assert total.data == pytest.approx(data.sum(axis=0))
    assert mean.data == pytest.approx(data.mean(axis=0))
    assert highest.data == pytest.approx(data.max(axis=0))
    assert highest.name == "painting largest value"


def test_the_sum_image_that_is_there_is_shown_again(viewer, painting_file):
    session = session_of(viewer)
    # a runner of its own, as a window has: cubes are looked over
    session.use_threads(lambda *arguments, **keywords: run_now(*arguments, **keywords))
    session.cubes.open(painting_file)
    total = next(layer for layer in viewer.layers if our.role(layer) == "sum")
    session.maps.window(6.2, 6.6)
    session.show_band(session.band + 5)
    assert not total.visible
    session.maps.total("sum")
    assert total.visible
    assert viewer.layers[-1] is total
    assert len(mapped(session)) == 1
    session.show_band(session.band + 5)
    assert not total.visible


def test_true_colour_and_lines_on_wavelengths(viewer, notified):
    axis = SpectralAxis(np.linspace(400, 1000, 301), "nm")
    data = np.random.default_rng(0).random((301, 8, 9)).astype(np.float32)
    cube = Cube(data, axis, spatial=Spatial((0.5, 0.5), "mm"), source=Source("field.npy"))
    session = session_of(viewer)
    session.add(our.cube_layer(cube))
    session.maps.true_colour()
    session.maps.lines(["Hα", "[O III] 5007"], 0.01)
    assert [layer.name for layer in mapped(session)] == [
        "field true colour", "field [O III] 5007", "field Hα",
    ]  # fmt: skip
    assert mapped(session)[0].data == pytest.approx(finish(true_colour(cube)))
    assert tuple(mapped(session)[1].scale) == (0.5, 0.5)
    assert not notified


def test_what_cannot_be_made_is_said(session, notified):
    session.maps.elements(["Xx"])
    session.maps.window(90, 95)
    session.maps.lines(["Hα"])
    session.maps.true_colour()
    assert ["Xx" in notified[0], "lies off the axis" in notified[1], "true colour" in notified[3]] == [True] * 3
    assert len(notified) == 4
    assert not mapped(session)
    assert not session.maps.busy


def test_without_a_cube(viewer, notified):
    session_of(viewer).maps.window(1, 2)
    assert "Open a cube first" in notified[0]


def test_requests_that_come_meanwhile_share_the_next_pass(session, waiting, notified):
    session.maps.window(6.2, 6.6)
    session.maps.window(3.6, 3.8)
    session.maps.elements(["Xx"])
    session.maps.window(10.4, 10.7)
    assert len(waiting) == 1
    run_job(waiting.pop(0))
    assert len(waiting) == 1
    assert session.maps.busy
    while waiting:
        run_job(waiting.pop(0))
    assert not session.maps.busy
    assert [layer.name for layer in mapped(session)] == [
        f"painting {t} keV" for t in ("6.2–6.6", "3.6–3.8", "10.4–10.7")
    ]
    assert len(notified) == 1  # one that cannot be made does not hold up the others


def test_stop_gives_up_everything(session, waiting):
    seen = []
    session.maps.window(6.2, 6.6)
    session.maps.window(3.6, 3.8)
    session.maps.working.connect(seen.append)
    session.maps.stop()
    assert seen == [None]
    run_now(*waiting[0])
    assert waiting[0][1].cancelled
    assert not mapped(session)
    session.maps.window(3.6, 3.8)
    run_job(waiting[1])
    assert len(mapped(session)) == 1


def test_layers_come_one_by_one_and_can_be_stopped(session, waiting):
    session.maps.elements(["Pb", "Fe", "Cu"])
    run_job(waiting.pop(0))
    assert len(mapped(session)) == 1
    assert session.maps.busy
    run_job(waiting.pop(0))
    session.maps.stop()
    run_now(*waiting.pop(0))
    assert [layer.name for layer in mapped(session)] == ["painting Cu Kα", "painting Fe Kα"]
    assert not waiting


def test_a_cube_that_is_removed_takes_its_maps_in_the_making_with_it(session, waiting):
    session.maps.window(6.2, 6.6)
    session.maps.window(3.6, 3.8)
    session.viewer.layers.remove(session.cube_layer)
    assert waiting[0][1].cancelled
    assert not session.maps.busy
    run_now(*waiting[0])
    assert len(waiting) == 1
    assert not session.viewer.layers


def test_a_damaged_file_is_one_notification(session, notified, monkeypatch):
    from cubeseg.errors import DataError

    def broken(*_):
        raise DataError("p.h5: a part of it cannot be read")
        yield

    monkeypatch.setattr("napari_cubeseg.maps.one_pass", broken)
    session.maps.window(6.2, 6.6)
    assert notified == ["p.h5: a part of it cannot be read"]
    assert not session.maps.busy


def test_maps_make_way_for_the_bands_once(session):
    session.maps.window(6.2, 6.6)
    (layer,) = mapped(session)
    assert layer.visible
    session.show_band(session.band + 5)
    assert not layer.visible
    layer.visible = True
    session.show_band(session.band + 5)
    assert layer.visible


def test_segmenting_and_mapping_go_together(session):
    session.maps.window(6.2, 6.6)
    session.start(QUICK)
    assert session.result is not None
    session.maps.elements(["Fe"])
    assert [our.role(layer) for layer in session.viewer.layers[:3]] == ["cube", "map", "map"]
