"""Exports: labels as TIFF, FITS, PNG with legend; spectra as CSV; abundances as TIFF; everything as one HDF5 file."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.errors import ConfigError
from cubeseg.files import written
from cubeseg.segmentation import ClassInfo, Segmentation
from cubeseg.unmixed import Unmixed

__all__ = [
    "FORMATS",
    "export",
    "export_abundances",
    "export_components",
    "export_csv",
    "export_fits",
    "export_hdf5",
    "export_png",
    "export_tiff",
]

_LATER = ("envi", "geojson")
_METRIC = {"nm": 1e-7, "um": 1e-4, "µm": 1e-4, "mm": 0.1, "cm": 1.0, "m": 100.0}


def export_tiff(result: Segmentation, path: str | Path) -> None:
    """Label image as unsigned integers; the class table as JSON in the image description."""
    import tifffile

    largest = int(result.labels.max(initial=0))
    dtype = np.uint8 if largest < 256 else np.uint16 if largest < 65536 else np.uint32
    table: dict[str, Any] = {"classes": {c.id: {"name": c.name, "colour": c.colour} for c in result.classes}}
    spatial = result.spatial
    table["pixel_size"], table["unit"] = list(spatial.pixel_size), spatial.unit
    table |= {"wcs": spatial.wcs} if spatial.wcs else {}
    places: dict[str, Any] = {}
    if spatial.unit in _METRIC:
        height, width = (size * _METRIC[spatial.unit] for size in spatial.pixel_size)
        places = {"resolution": (1 / width, 1 / height), "resolutionunit": "CENTIMETER"}
    with written(path) as temporary:
        tifffile.imwrite(
            temporary, result.labels.astype(dtype), compression="zlib", description=json.dumps(table),
            photometric="minisblack", metadata=None, software="napari-cubeseg",
            **places,
        )  # fmt: skip


def export_png(result: Segmentation, path: str | Path) -> None:
    """Label map in the classes' colours, pixel by pixel, with a legend of names and pixel counts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgba
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = np.ones((int(max(result.labels.max(initial=0), max((c.id for c in result.classes), default=0))) + 1, 4))
    for c in result.classes:
        colours[c.id] = to_rgba(c.colour)
    height, width = result.labels.shape
    inches = 7.0 * np.array([width, height]) / max(height, width)
    inches = np.maximum(inches, 1.0)
    figure = Figure(figsize=(inches[0] + 2.6, max(inches[1], 0.26 * len(result.classes) + 0.3)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(colours[result.labels], interpolation="nearest")
    axes.set_axis_off()
    handles = [
        Patch(facecolor=row["colour"], edgecolor="0.4", label=f"{row['name']}  ({row['pixels']:,} px)")
        for row in result.table()
    ]
    if (result.labels == 0).any():
        handles.append(Patch(facecolor="white", edgecolor="0.4", label="not assigned"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0)
    with written(path) as temporary:
        figure.savefig(temporary, dpi=max(150, int(np.ceil(max(height, width) / 7.0))), format="png")


def export_fits(result: Segmentation, path: str | Path) -> None:
    """Labels and their confidence as images with the cube's sky position, classes and their spectra as tables."""
    from astropy.io import fits

    place = _place(result)
    labels = fits.ImageHDU(result.labels, place, name="LABELS")
    labels.header["BUNIT"] = ""
    confidence = fits.ImageHDU(result.confidence.astype(np.float32), place, name="CONFIDENCE")
    rows = result.table()
    text = max([1, *(len(row["name"].encode("ascii", "replace")) for row in rows)])
    classes = fits.BinTableHDU.from_columns(
        [
            fits.Column("ID", "J", array=[row["id"] for row in rows]),
            fits.Column("NAME", f"{text}A", array=[row["name"].encode("ascii", "replace").decode() for row in rows]),
            fits.Column("COLOUR", "7A", array=[row["colour"] for row in rows]),
            fits.Column("PIXELS", "K", array=[row["pixels"] for row in rows]),
            fits.Column("CONFIDENCE", "D", array=[row["confidence"] for row in rows]),
        ],
        name="CLASSES",
    )
    columns = [fits.Column("AXIS", "D", unit=result.axis.unit or None, array=result.axis.values)]
    for c in result.classes:
        for name, values in (("MEAN", result.spectra.mean(c.id)), ("STD", result.spectra.std(c.id))):
            columns.append(fits.Column(f"{name}_{c.id}", "D", unit=result.unit or None, array=values))
    spectra = fits.BinTableHDU.from_columns(columns, name="SPECTRA")
    images = [labels, confidence]
    if result.components is not None:
        found, named = result.components
        stack = fits.ImageHDU(found.abundances, place, name="ABUNDANCES")
        for index, c in enumerate(named, 1):
            stack.header[f"NAME{index}"] = c.name.encode("ascii", "replace").decode()
        images.append(stack)
    primary = fits.PrimaryHDU()
    primary.header["ORIGIN"] = "napari-cubeseg"
    with written(path) as temporary, warnings.catch_warnings():
        # units of cubes need not be FITS units
        warnings.simplefilter("ignore")
        fits.HDUList([primary, *images, classes, spectra]).writeto(temporary, overwrite=True)


def _place(result: Segmentation) -> Any:
    """FITS header of where the image lies: the sky position, else the size of a pixel."""
    from astropy.io import fits

    if result.spatial.wcs:
        return fits.Header.fromstring(result.spatial.wcs)
    header = fits.Header()
    if result.spatial.unit != "pixel":
        for axis, size in ((1, result.spatial.pixel_size[1]), (2, result.spatial.pixel_size[0])):
            header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = "LINEAR", result.spatial.unit
            header[f"CRPIX{axis}"], header[f"CRVAL{axis}"], header[f"CDELT{axis}"] = 1.0, 0.0, size
    return header


def export_abundances(result: Segmentation, path: str | Path) -> None:
    """Abundances as a stack of float32 images, one for each component; their names as JSON in the description.

    Raises
    ------
    ConfigError
        If the result has none.
    """
    import tifffile

    found, classes = _components(result)
    table = {"components": [{"id": c.id, "name": c.name, "colour": c.colour} for c in classes]}
    with written(path) as temporary:
        tifffile.imwrite(
            temporary, found.abundances, compression="zlib", description=json.dumps(table),
            photometric="minisblack", metadata=None, software="napari-cubeseg",
        )  # fmt: skip


def export_components(result: Segmentation, path: str | Path) -> None:
    """Component spectra, one row per component and band: component, name, axis value, axis unit, value, spread.

    Raises
    ------
    ConfigError
        If the result has none.
    """
    found, classes = _components(result)
    with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["component", "name", "colour", "axis", "value", "unit", "component value", "spread"])
        for c, values, spread in zip(classes, found.components, found.spread, strict=True):
            for at, value, width in zip(result.axis.values, values, spread, strict=True):
                out.writerow([
                    c.id, c.name, c.colour, result.axis.name, f"{at:.10g}", result.axis.unit,
                    f"{value:.7g}", f"{width:.7g}",
                ])  # fmt: skip


def _components(result: Segmentation) -> tuple[Unmixed, list[ClassInfo]]:
    found = result.components
    if found is None:
        raise ConfigError("this result has no components and abundances; segment the cube with the method unmix")
    return found


def export_csv(result: Segmentation, path: str | Path) -> None:
    """Class spectra, one row per class and band: class, name, axis value, axis unit, mean, std, n."""
    with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["class", "name", "colour", "axis", "value", "unit", "mean", "std", "n"])
        for c in result.classes:
            mean, std, n = result.spectra.mean(c.id), result.spectra.std(c.id), result.spectra.n[c.id]
            for band, value in enumerate(result.axis.values):
                out.writerow([
                    c.id, c.name, c.colour, result.axis.name, f"{value:.10g}", result.axis.unit,
                    f"{mean[band]:.7g}", f"{std[band]:.7g}", int(n),
                ])  # fmt: skip


def export_hdf5(result: Segmentation, path: str | Path) -> None:
    """The result file itself."""
    result.save(path)


FORMATS: dict[str, tuple[str, Callable[[Segmentation, Path], None]]] = {
    "tiff": ("{stem}-labels.tif", export_tiff),
    "png": ("{stem}-labels.png", export_png),
    "fits": ("{stem}-labels.fits", export_fits),
    "csv": ("{stem}-spectra.csv", export_csv),
    "hdf5": ("{stem}-result.h5", export_hdf5),
    "abundances": ("{stem}-abundances.tif", export_abundances),
    "components": ("{stem}-components.csv", export_components),
}


def export(result: Segmentation, folder: str | Path, formats: Sequence[str], stem: str = "") -> list[Path]:
    """Write several formats into a folder.

    Parameters
    ----------
    result : Segmentation
    folder : path-like
        Made if it is missing.
    formats : sequence of str
        Keys of :data:`FORMATS`.
    stem : str
        Beginning of the file names; the cube's name where not given.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ConfigError
        For an unknown format; nothing is written then.
    DataError
        If a file cannot be written; those written before it stay, each of them whole.
    """
    for name in formats:
        if name in _LATER:
            raise ConfigError(f"format '{name}' is not built yet; there are {', '.join(FORMATS)}")
        if name not in FORMATS:
            raise ConfigError(f"unknown format '{name}'; there are {', '.join(FORMATS)}")
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{target}: the folder cannot be made ({error.strerror}); choose another") from error
    paths = []
    for name in dict.fromkeys(formats):
        pattern, write = FORMATS[name]
        path = target / pattern.format(stem=stem or result.source.name)
        write(result, path)
        paths.append(path)
    return paths
