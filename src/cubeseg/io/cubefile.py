"""Our own file of a cube: HDF5 with the bands one after the other, so that single bands are quickly read."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Noise, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.files import written
from cubeseg.io.hdf5 import SIGNATURE, cube_of, lazy_dataset, open_hdf5, text
from cubeseg.io.registry import ReadOptions, reader
from cubeseg.pages import mapping

__all__ = ["band_cost", "copied"]

FORMAT = "cubeseg-cube"


def _is_ours(path: Path, head: bytes) -> bool:
    if not head.startswith(SIGNATURE):
        return False
    with open_hdf5(path) as file:
        return text(file.attrs.get("format", "")) == FORMAT


@reader("cubeseg", (".h5",), _is_ours)
def read_own(path: Path, options: ReadOptions) -> Cube:
    """A cube that :func:`copied` wrote."""
    return cube_of(path, lambda file: _cube(path, file))


def _cube(path: Path, file: Any) -> Cube:
    said, axis = file.attrs, file["axis"]
    order = (0, 1, 2)
    variance = lazy_dataset(path, file["variance"], order) if "variance" in file else None
    noise: Any = text(said["noise"])
    kind: Any = text(axis.attrs["kind"])
    medium: Any = text(axis.attrs["medium"])
    height, width = (float(v) for v in said["pixel_size"])
    return Cube(
        lazy_dataset(path, file["cube"], order),
        SpectralAxis(axis[()], text(axis.attrs["unit"]), kind, medium, float(axis.attrs["rest"])),
        Noise(noise, variance),
        file["mask"][()] == 0 if "mask" in file else None,
        Spatial((height, width), text(said["pixel_unit"]), text(said["wcs"])),
        Source(str(path), "cubeseg", "cube", 0),
        text(said["data_unit"]),
        {"copied_from": text(said["copied_from"])},
    )


def band_cost(cube: Cube) -> int:
    """Bytes that have to be fetched from the file to show one band; 0 where the cube is in memory."""
    data, item = cube.data, np.dtype(cube.data.dtype).itemsize
    height, width = cube.image_shape
    if isinstance(data, np.ndarray):
        if mapping(data) is None:
            return 0
        # pages of 4 KiB: values that lie far apart take one each
        return min(data.nbytes, height * width * max(item, min(abs(data.strides[2]), 4096)))
    chunks = getattr(data, "chunks", None)
    if not chunks:
        return height * width * item
    depth = max(chunks[0]) if isinstance(chunks[0], tuple) else int(chunks[0])
    return height * width * item * min(depth, cube.n_bands)


def copied(cube: Cube, path: str | Path) -> Generator[float, None, Path]:
    """Write a cube with all that is known of it, bands one after the other as (bands, y, x).

    Parameters
    ----------
    cube : Cube
    path : path-like
        A new file; it appears when it is complete.

    Yields
    ------
    float
        Part that is done.

    Raises
    ------
    DataError
        If the file cannot be written, there is no room for it, or the cube cannot be read.
    """
    import shutil

    import h5py

    target = Path(path)
    needed = int(np.prod(cube.data.shape, dtype=np.int64)) * np.dtype(cube.data.dtype).itemsize
    variance = cube.noise.variance
    needed += 0 if variance is None else 4 * int(np.prod(variance.shape, dtype=np.int64))
    if target.parent.is_dir() and shutil.disk_usage(target.parent).free < needed:
        raise DataError(f"{target}: takes {needed / 2**30:.1f} GiB, and there is less room; choose another folder")
    with written(target) as temporary, h5py.File(temporary, "w") as file:
        _describe(file, cube)
        data = file.create_dataset("cube", cube.data.shape, np.dtype(cube.data.dtype).newbyteorder("="))
        beside = None if variance is None else file.create_dataset("variance", variance.shape, "f4")
        seen = 0
        for rows, columns in cube.places(32 << 20):
            key = (slice(None), rows, columns)
            data[key] = np.asarray(cube.data[key])
            if beside is not None:
                beside[key] = cube.noise.variance_of(key)
            seen += (rows.stop - rows.start) * (columns.stop - columns.start)
            yield seen / cube.n_pixels
    return target


def _describe(file: Any, cube: Cube) -> None:
    """Everything but the values, as the HDF5 reader finds it."""
    file["axis"] = cube.axis.values
    file["axis"].attrs.update(unit=cube.axis.unit, medium=cube.axis.medium, rest=cube.axis.rest, kind=cube.axis.kind)
    file.attrs.update(
        format=FORMAT,
        noise=cube.noise.kind,
        pixel_size=cube.spatial.pixel_size,
        pixel_unit=cube.spatial.unit,
        wcs=cube.spatial.wcs,
        data_unit=cube.unit,
        copied_from=cube.source.path,
    )
    if cube.mask is not None:
        file["mask"] = (~cube.mask).astype(np.uint8)
