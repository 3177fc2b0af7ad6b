"""The tour without a window: steps that go on by themselves, whatever happens meanwhile."""

from __future__ import annotations

import pytest

from cubeseg import open_cube
from napari_cubeseg import samples, tour
from napari_cubeseg.layers import cube_layer, cube_layers
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.helpers import QUICK, paint


@pytest.fixture
def small(monkeypatch, painting_file):
    """The sample, small and at once."""
    monkeypatch.setattr(samples, "painting", lambda: [cube_layer(open_cube(painting_file))])
    monkeypatch.setattr(samples, "holds", lambda cube: cube is not None and cube.source.path == str(painting_file))


@pytest.fixture
def begun(viewer, small):
    session = session_of(viewer)
    session.tour.start()
    return session


def test_it_is_offered_once(settings_folder):
    assert tour.was_offered()
    (settings_folder / "tour-offered").unlink()
    assert not tour.was_offered()


def test_each_step_goes_on_when_it_is_done(begun, tmp_path):
    session = begun
    assert session.cube is not None
    assert session.tour.at == 0
    session.inspect(20, 11)
    assert session.tour.at == 1
    session.start(QUICK)
    assert session.tour.at == 2
    session.select([2])
    assert session.tour.at == 3
    session.select([2, 3])
    session.workbench.merge([2, 3])
    assert session.tour.at == 4
    session.workbench.undo()
    assert session.tour.at == 5
    session.tour.next()
    session.exports.write(tmp_path, ["csv"])
    assert session.tour.over
    session.tour.next()
    assert session.tour.at is None


def test_painting_does_for_merging(begun):
    session = begun
    session.inspect(20, 11)
    session.start(QUICK)
    session.select([2])
    paint(session.labels_layer, (2, 6), (2, 6), 3)
    assert session.tour.at == 4


def test_every_step_can_be_passed_over(begun):
    session = begun
    for n in range(1, len(tour.STEPS) + 1):
        session.tour.next()
        assert session.tour.at == n
    session.tour.next()
    assert session.tour.at is None
    session.inspect(3, 3)
    session.start(QUICK)
    assert session.tour.at is None


def test_a_cube_that_is_closed_can_be_opened_again(begun):
    session = begun
    session.viewer.layers.clear()
    assert session.tour.missing
    assert session.tour.at == 0
    session.tour.open()
    assert not session.tour.missing
    assert len(cube_layers(session.viewer)) == 1
    session.inspect(20, 11)
    assert session.tour.at == 1


def test_without_classes_it_goes_back_to_the_run(begun):
    session = begun
    session.inspect(20, 11)
    session.start(QUICK)
    session.select([2])
    session.viewer.layers.remove(session.labels_layer)
    assert session.tour.at == 1
    session.autosave.bring_back_layer()
    assert session.tour.at == 2


def test_another_cube_stays_and_the_sample_is_opened_once(session, monkeypatch, tmp_path):
    from cubeseg.samples import write_sample

    write_sample("painting", tmp_path / "sample.h5", size=16)
    other = open_cube(tmp_path / "sample.h5")
    monkeypatch.setattr(samples, "painting", lambda: [cube_layer(other)])
    monkeypatch.setattr(samples, "holds", lambda cube: cube is not None and cube.source.path == other.source.path)
    mine = session.cube_layer
    for _ in range(2):
        session.tour.start()
        assert session.cube.source.path == other.source.path
        assert len(cube_layers(session.viewer)) == 2
        session.use_cube(mine)
        session.tour.stop()


def test_a_sample_that_cannot_be_made_ends_it(viewer, monkeypatch):
    from cubeseg.errors import DataError

    def full():
        raise DataError("the disk is full")

    said = []
    monkeypatch.setattr("napari.utils.notifications.show_error", said.append)
    monkeypatch.setattr(samples, "painting", full)
    session = session_of(viewer)
    session.tour.start()
    assert said == ["the disk is full"]
    assert session.tour.at is None


def test_what_is_framed_is_named_once():
    assert len({step.widget for step in tour.STEPS}) == len(tour.STEPS) == 7


def test_the_sample_is_known_again(painting_file, tmp_path, monkeypatch):
    cube = open_cube(painting_file)
    assert not samples.holds(cube)
    monkeypatch.setattr(samples, "_folder", lambda: painting_file.parent)
    monkeypatch.setattr(samples, "_KEEP", ["a folder"])
    assert samples.holds(cube)
    assert not samples.holds(None)
    monkeypatch.setattr(samples, "_folder", lambda: tmp_path / "another")
    assert not samples.holds(cube)
