"""Reading cubes: one module per format, one registry. A new format is a new module, imported here."""

from cubeseg.io import crono, cubefile, envi, fits, hdf5, matlab, numpy_files, ripple, tiff, zarr_store
from cubeseg.io.registry import (
    Candidate,
    ChoiceNeeded,
    Format,
    ReadOptions,
    Setting,
    format_of,
    formats,
    open_cube,
    reader,
    remember,
    reopen,
)

__all__ = [
    "Candidate",
    "ChoiceNeeded",
    "Format",
    "ReadOptions",
    "Setting",
    "crono",
    "cubefile",
    "envi",
    "fits",
    "format_of",
    "formats",
    "hdf5",
    "matlab",
    "numpy_files",
    "open_cube",
    "reader",
    "remember",
    "reopen",
    "ripple",
    "tiff",
    "zarr_store",
]
