"""Viewers without a window, and small cubes in them."""

from __future__ import annotations

import pytest
from napari import settings
from napari.components import ViewerModel

from cubeseg import open_cube
from napari_cubeseg import tour
from napari_cubeseg.layers import cube_layer
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.helpers import QUICK


@pytest.fixture(autouse=True)
def settings_folder(tmp_path_factory, monkeypatch):
    """What is kept for the user is kept elsewhere, and what a user has set is not read; nobody is offered the tour."""
    folder = tmp_path_factory.mktemp("settings")
    monkeypatch.setenv("CUBESEG_SETTINGS", str(folder))
    monkeypatch.setattr("napari.settings._CFG_PATH", str(folder / "settings.yaml"))
    settings._clear_plugin_settings_cache()
    tour.remember()
    yield folder
    settings._clear_plugin_settings_cache()


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def session(viewer, painting_file):
    """A session with the small painting open; jobs run at once."""
    made = session_of(viewer)
    made.add(cube_layer(open_cube(painting_file)))
    return made


@pytest.fixture
def done(session):
    """The same, segmented."""
    session.start(QUICK)
    assert session.result is not None
    return session


@pytest.fixture
def notified(monkeypatch):
    """What the user was told."""
    said = []
    for module in ("session", "workbench", "counting", "adjust", "cubes", "exports"):
        monkeypatch.setattr(f"napari_cubeseg.{module}.show_error", said.append)
    for module in ("session", "workbench", "cubes", "exports"):
        monkeypatch.setattr(f"napari_cubeseg.{module}.show_info", said.append)
    return said
