"""A short form of `make soak`: a random user, and windows that come and go while they work."""

from __future__ import annotations

import random
import threading

import pytest
from superqt.utils import WorkerBase

from tests.soak.cycles import cycle
from tests.soak.monkey import Monkey, write_cubes
from tests.soak.user import DIST, DOCKS
from tests.soak.watch import Watch


@pytest.fixture(autouse=True)
def no_worker_left():
    yield
    WorkerBase.await_workers(5000)


def test_a_random_user_breaks_nothing(make_napari_viewer, tmp_path):
    with Watch() as watch:
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1000, 750)
        for dock in DOCKS:
            viewer.window.add_plugin_dock_widget(DIST, dock)
        monkey = Monkey(viewer, write_cubes(tmp_path), 7, watch)
        assert monkey.play(40, seconds=300) == 40
        monkey.finish()


def test_windows_come_and_go(make_napari_viewer, painting_file):
    chance = random.Random(3)
    with Watch() as watch:
        for _ in range(2):
            cycle(lambda: make_napari_viewer(show=True), painting_file, chance)
        assert not watch.wrong, watch.wrong
    assert not [t.name for t in threading.enumerate() if t.name.startswith("cubeseg-")] or warming_alone()


def warming_alone():
    """Loading libraries may outlive a window."""
    return {t.name for t in threading.enumerate() if t.name.startswith("cubeseg-")} == {"cubeseg-warming"}
