"""Viewers without a window, and small cubes in them."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel

from cubeseg import open_cube
from napari_cubeseg.layers import cube_layer
from napari_cubeseg.session import session_of


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def session(viewer, painting_file):
    """A session with the small painting open; jobs run at once."""
    made = session_of(viewer)
    made.add(cube_layer(open_cube(painting_file)))
    return made
