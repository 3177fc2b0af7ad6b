"""*File > Save Selected Layers*: segmentations, and maps of them, by the ending of the name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.errors import DataError
from cubeseg.exporting import FORMATS
from cubeseg.exporting.fits_file import fits_unit
from cubeseg.files import written
from cubeseg.segmentation import Segmentation
from napari_cubeseg.layers import KEY

__all__ = ["LABEL_ENDINGS", "write_image", "write_labels"]

# TIFF and PNG are napari's own
LABEL_ENDINGS = {
    ".h5": "hdf5",
    ".fits": "fits",
    ".hdr": "envi",
    ".geojson": "geojson",
    ".svg": "svg",
    ".reg": "ds9",
    ".nxs": "nexus",
    ".ecsv": "ecsv",
    ".csv": "csv",
    ".pdf": "figure-pdf",
}


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a segmentation in the format that the ending of the name stands for.

    Raises
    ------
    DataError
        If the layer is none of ours, or the file cannot be written.
    """
    result = attributes.get("metadata", {}).get(KEY, {}).get("result")
    if not isinstance(result, Segmentation):
        raise DataError(f"{path}: the layer was not made by Segment datacube; save its labels as TIFF")
    FORMATS[LABEL_ENDINGS[Path(path).suffix.lower()]].write(result.copy(), Path(path), None)
    return [path]


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a map (y, x) or a stack as FITS, with the size of a pixel.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    from astropy.io import fits

    values = np.asarray(data)
    # FITS has no half precision
    values = values.astype(np.float32) if values.dtype == np.float16 else values
    header = fits.Header()
    # what FITS calls axis 1 is the last one
    for axis, (size, unit) in enumerate(zip(reversed(attributes["scale"]), reversed(attributes["units"]), strict=True)):
        header[f"CRPIX{axis + 1}"], header[f"CRVAL{axis + 1}"], header[f"CDELT{axis + 1}"] = 1.0, 0.0, float(size)
        header[f"CUNIT{axis + 1}"] = fits_unit(f"{unit:~}" if hasattr(unit, "dimensionality") else str(unit))
    header["OBJECT"] = attributes.get("name", "").encode("ascii", "replace").decode()[:68]
    with written(path) as temporary:
        fits.PrimaryHDU(values, header).writeto(temporary, overwrite=True)
    return [path]
