"""Everything in one: the result file itself, NeXus, OME-Zarr labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.cube import Cube
from cubeseg.errors import DataError
from cubeseg.exporting.base import Format
from cubeseg.exporting.labels import palette
from cubeseg.files import written, written_folder
from cubeseg.segmentation import Segmentation

__all__ = ["FORMATS", "write_hdf5", "write_nexus", "write_zarr"]

_NGFF = {
    "um": "micrometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "nm": "nanometer",
    "cm": "centimeter",
    "m": "meter",
}


def write_hdf5(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """The result file itself.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    result.save(path)


def write_nexus(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """NeXus: plottable groups (NXdata) of the labels, their confidence, and the spectra of the classes.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    import h5py

    names = [c.name for c in result.classes]
    with written(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["NX_class"], file.attrs["default"] = "NXroot", "entry"
        entry = _group(file, "entry", "NXentry")
        entry.attrs["default"] = "labels"
        entry["title"] = f"Classes of {result.source.name}"
        for name, image in (("labels", result.labels), ("confidence", result.confidence.astype(np.float32))):
            group = _group(entry, name, "NXdata")
            group.attrs["signal"], group.attrs["axes"] = name, ["y", "x"]
            group.create_dataset(name, data=image, compression="gzip")
            for axis, size, step in zip("yx", image.shape, result.spatial.pixel_size, strict=True):
                group[axis] = np.arange(size) * step
                group[axis].attrs["units"] = result.spatial.unit
        labels = entry["labels"]
        labels["class_id"] = [c.id for c in result.classes]
        labels["class_name"] = np.array(names, dtype=h5py.string_dtype())
        labels["class_colour"] = np.array([c.colour for c in result.classes], dtype=h5py.string_dtype())
        spectra = _group(entry, "spectra", "NXdata")
        spectra.attrs["signal"], spectra.attrs["axes"] = "mean", ["class_id", "axis"]
        spectra.attrs["interpretation"] = "spectrum"
        spectra["class_id"] = [c.id for c in result.classes]
        spectra["class_name"] = np.array(names, dtype=h5py.string_dtype())
        spectra["axis"] = result.axis.values
        spectra["axis"].attrs["units"], spectra["axis"].attrs["long_name"] = result.axis.unit, result.axis.label
        spectra["mean"] = np.array([result.spectra.mean(c.id) for c in result.classes])
        spectra["mean_errors"] = np.array([result.spectra.std(c.id) for c in result.classes])
        spectra["mean"].attrs["units"] = result.unit


def write_zarr(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """OME-Zarr 0.5 label image with the colours and names of its labels.

    Raises
    ------
    DataError
        If zarr is not installed, or the folder cannot be written.
    """
    try:
        import zarr
    except ImportError as error:
        raise DataError(f'{path}: writing OME-Zarr takes zarr: pip install "napari-cubeseg[zarr]"') from error
    height, width = result.labels.shape
    unit = _NGFF.get(result.spatial.unit)
    size = list(result.spatial.pixel_size) if unit else [1.0, 1.0]
    axes: list[dict[str, Any]] = [{"name": n, "type": "space"} | ({"unit": unit} if unit else {}) for n in "yx"]
    largest = max([0, *(c.id for c in result.classes)])
    colours = palette(result, largest + 1)
    scale = [{"type": "scale", "scale": size}]
    multiscale = {
        "name": result.source.name,
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    image_label = {
        "colors": [{"label-value": c.id, "rgba": [*map(int, colours[c.id]), 255]} for c in result.classes],
        "properties": [
            {"label-value": c.id, "name": c.name, "note": c.note, "pixels": int(result.spectra.n[c.id])}
            for c in result.classes
        ],
    }
    with written_folder(path) as temporary:
        group: Any = zarr.open_group(temporary, mode="w", zarr_format=3)
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "image-label": image_label}
        array = group.create_array(
            "0", shape=(height, width), chunks=(min(height, 1024), min(width, 1024)), dtype="int32",
            dimension_names=["y", "x"],
        )  # fmt: skip
        array[...] = result.labels


def _group(parent: Any, name: str, kind: str) -> Any:
    made = parent.create_group(name)
    made.attrs["NX_class"] = kind
    return made


def _everything(result: Segmentation) -> int:
    maps = (result.labels, result.confidence, result.reconstruction_error, result.latent, result.evidence)
    return int(sum(part.nbytes for part in maps) * 0.7) + 24 * result.spectra.total.size


FORMATS = (
    Format(
        "hdf5", "Everything, HDF5", "The result file: open it again with File > Open File(s), or with cubeseg.load",
        "{stem}-result.h5", write_hdf5, _everything, usual=True,
    ),
    Format(
        "nexus", "Labels and spectra, NeXus", "For silx, h5web, PyMca and other viewers of HDF5", "{stem}-classes.nxs",
        write_nexus, lambda result: result.labels.size // 2 + 16 * len(result.classes) * len(result.axis),
    ),
    Format(
        "zarr", "Labels, OME-Zarr", "A label image for programs that read OME-Zarr", "{stem}-labels.zarr", write_zarr,
        lambda result: result.labels.size // 4,
    ),
)  # fmt: skip
