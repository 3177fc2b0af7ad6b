"""Where real files are found, and fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CUBESEG_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items):
    """Windows are the work of one process: two would take the keys from each other."""
    for item in items:
        if "napari_cubeseg" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("window"))


def real(name: str) -> Path:
    """A real cube, or a skip that says what is missing."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"real file {name} is not here; set CUBESEG_DATA to the folder that holds it")
    return path


@pytest.fixture
def painting_file(tmp_path):
    """A small painting on disk."""
    from cubeseg.samples import write_sample

    path = tmp_path / "painting.h5"
    write_sample("painting", path, size=32, counts=300, seed=1)
    return path
