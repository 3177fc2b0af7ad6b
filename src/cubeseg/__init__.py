"""Deep clustering of spectral datacubes, without a window.

``open_cube`` reads a file into a :class:`Cube`, ``segment`` (or the generator ``fit``) clusters it into a
:class:`Segmentation`, ``load`` opens a saved one. Heavy libraries are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PACKAGE = "napari-cubeseg"
# of sources that were never installed
_UNKNOWN = "0.1.0.dev0"

_WHERE = {
    "Cube": "cubeseg.cube",
    "CubeSegError": "cubeseg.errors",
    "FitConfig": "cubeseg.config",
    "Segmentation": "cubeseg.segmentation",
    "SpectralAxis": "cubeseg.axis",
    "apply": "cubeseg.training.applying",
    "fit": "cubeseg.training.fitting",
    "load": "cubeseg.bundle",
    "open_cube": "cubeseg.io",
    "replay": "cubeseg.training.replaying",
    "refine": "cubeseg.training.refining",
    "segment": "cubeseg.training.fitting",
}

__all__ = [
    "Cube",
    "CubeSegError",
    "FitConfig",
    "Segmentation",
    "SpectralAxis",
    "apply",
    "fit",
    "load",
    "open_cube",
    "refine",
    "replay",
    "segment",
]

if TYPE_CHECKING:
    from cubeseg.axis import SpectralAxis
    from cubeseg.bundle import load
    from cubeseg.config import FitConfig
    from cubeseg.cube import Cube
    from cubeseg.errors import CubeSegError
    from cubeseg.io import open_cube
    from cubeseg.segmentation import Segmentation
    from cubeseg.training.applying import apply
    from cubeseg.training.fitting import fit, segment
    from cubeseg.training.refining import refine
    from cubeseg.training.replaying import replay

    __version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            globals()[name] = version(_PACKAGE)
        except PackageNotFoundError:
            globals()[name] = _UNKNOWN
        return globals()[name]
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
