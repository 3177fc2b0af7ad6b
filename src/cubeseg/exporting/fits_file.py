"""Labels, confidence, masks, classes and spectra in one FITS file, where the cube was on the sky."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.cube import Cube
from cubeseg.exporting.base import Format
from cubeseg.files import written
from cubeseg.segmentation import Segmentation

__all__ = ["FORMATS", "fits_unit", "write_fits"]


def write_fits(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """Extensions LABELS, CONFIDENCE, MASK_<id> for every class, ABUNDANCES after unmixing; tables CLASSES and SPECTRA.

    The images have the cube's celestial coordinates; what was done by hand is in HISTORY cards of the first header.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    from astropy.io import fits

    place = _place(result)
    labels = fits.ImageHDU(result.labels, place, name="LABELS")
    labels.header["BUNIT"] = ""
    confidence = fits.ImageHDU(result.confidence.astype(np.float32), place, name="CONFIDENCE")
    masks = []
    for c in result.classes:
        mask = fits.ImageHDU((result.labels == c.id).astype(np.uint8), place, name=f"MASK_{c.id}")
        mask.header["CLASS"] = (_ascii(c.name), "name of the class")
        masks.append(mask)
    rows = result.table()
    text = max([1, *(len(_ascii(row["name"])) for row in rows)])
    classes = fits.BinTableHDU.from_columns(
        [
            fits.Column("ID", "J", array=[row["id"] for row in rows]),
            fits.Column("NAME", f"{text}A", array=[_ascii(row["name"]) for row in rows]),
            fits.Column("COLOUR", "7A", array=[row["colour"] for row in rows]),
            fits.Column("PIXELS", "K", array=[row["pixels"] for row in rows]),
            fits.Column("CONFIDENCE", "D", array=[row["confidence"] for row in rows]),
        ],
        name="CLASSES",
    )
    columns = [fits.Column("AXIS", "D", unit=fits_unit(result.axis.unit) or None, array=result.axis.values)]
    for c in result.classes:
        for name, values in (("MEAN", result.spectra.mean(c.id)), ("STD", result.spectra.std(c.id))):
            columns.append(fits.Column(f"{name}_{c.id}", "D", unit=fits_unit(result.unit) or None, array=values))
    spectra = fits.BinTableHDU.from_columns(columns, name="SPECTRA")
    stacks = []
    if result.components is not None:
        found, named = result.components
        stack = fits.ImageHDU(found.abundances, place, name="ABUNDANCES")
        for index, c in enumerate(named, 1):
            stack.header[f"NAME{index}"] = _ascii(c.name)
        stacks.append(stack)
    primary = fits.PrimaryHDU()
    primary.header["ORIGIN"] = "napari-cubeseg"
    primary.header["OBJECT"] = (_ascii(result.source.name), "the cube that was segmented")
    for operation in result.log:
        primary.header.add_history(_ascii(json.dumps(operation)))
    with written(path) as temporary, warnings.catch_warnings():
        # units of cubes need not be FITS units
        warnings.simplefilter("ignore")
        fits.HDUList([primary, labels, confidence, *masks, *stacks, classes, spectra]).writeto(
            temporary, overwrite=True
        )


def fits_unit(unit: str) -> str:
    """A unit in the letters that FITS allows."""
    return unit.replace("µ", "u").replace("μ", "u").replace("Å", "Angstrom").encode("ascii", "replace").decode()


def _place(result: Segmentation) -> Any:
    """FITS header of where the image lies: the sky position, else the size of a pixel."""
    from astropy.io import fits

    if result.spatial.wcs:
        return fits.Header.fromstring(result.spatial.wcs)
    header = fits.Header()
    if result.spatial.unit != "pixel":
        for axis, size in ((1, result.spatial.pixel_size[1]), (2, result.spatial.pixel_size[0])):
            header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = "LINEAR", fits_unit(result.spatial.unit)
            header[f"CRPIX{axis}"], header[f"CRVAL{axis}"], header[f"CDELT{axis}"] = 1.0, 0.0, size
    return header


def _ascii(text: str) -> str:
    return " ".join(text.encode("ascii", "replace").decode().split())


FORMATS = (
    Format(
        "fits", "Labels, FITS", "Labels, confidence and a mask per class with the sky position; classes and spectra",
        "{stem}-labels.fits", write_fits, lambda result: result.labels.size * (8 + len(result.classes)), usual=True,
    ),
)  # fmt: skip
