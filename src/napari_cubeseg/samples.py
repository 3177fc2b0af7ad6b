"""File > Open Sample: synthetic cubes on disk, each with its truth as a hidden layer."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Literal

import h5py

from cubeseg import __version__
from cubeseg.cube import Cube
from cubeseg.io import open_cube
from cubeseg.samples import write_leaf, write_sample
from napari_cubeseg.layers import cube_layer, truth_layer

__all__ = ["galaxy", "holds", "leaf", "painting"]


def painting() -> list[tuple[Any, dict[str, Any], str]]:
    """Synthetic MA-XRF scan of a small painting, and its pigments."""
    return _layers("painting")


def galaxy() -> list[tuple[Any, dict[str, Any], str]]:
    """Synthetic integral-field cube of a galaxy, and its components."""
    return _layers("galaxy")


def leaf() -> list[tuple[Any, dict[str, Any], str]]:
    """Synthetic reflectance of a leaf with lesions, and its tissues."""
    return _layers("leaf")


def holds(cube: Cube | None) -> bool:
    """Whether this is the painting, as it was made for this process."""
    if cube is None or not cube.source.path or not _KEEP:
        return False
    return Path(cube.source.path).resolve() == (_folder() / "painting.h5").resolve()


def _layers(name: Literal["painting", "galaxy", "leaf"]) -> list[tuple[Any, dict[str, Any], str]]:
    path = _folder() / f"{name}.h5"
    if not path.is_file():
        if name == "leaf":
            write_leaf(path, size=128)
        else:
            write_sample(name, path)
    cube = open_cube(path)
    with h5py.File(path, "r") as file:
        labels = file["truth/labels"][()]
        names = tuple(text.decode() for text in file["truth/class_names"][()])
    return [cube_layer(cube), truth_layer(labels, cube.spatial, names)]


@cache
def _folder() -> Path:
    """A folder that lasts as long as the process; cubes are read from it while they are shown."""
    made = tempfile.TemporaryDirectory(prefix=f"napari-cubeseg-{__version__}-", ignore_cleanup_errors=True)
    _KEEP.append(made)
    return Path(made.name)


_KEEP: list[tempfile.TemporaryDirectory[str]] = []
