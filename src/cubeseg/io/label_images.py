"""Reading label images that others made: truths and corrections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import CubeSegError, DataError
from cubeseg.io.hdf5_guard import check_hdf5
from cubeseg.io.hdf5_links import is_own
from cubeseg.io.layout import check_memory

__all__ = ["read_labels"]


def read_labels(path: str | Path, shape: tuple[int, int] | None = None) -> NDArray[np.int64]:
    """Read a label image from .npy, .mat, .tif, .png or .h5 (a result, or any 2-D dataset of whole numbers).

    Parameters
    ----------
    path : path-like
    shape : (int, int), optional
        The shape that is wanted; decides where a file holds several images.

    Returns
    -------
    array of int64, shape (y, x)

    Raises
    ------
    DataError
        One line: which file, what is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    readers = {
        ".npy": _npy, ".mat": _mat, ".tif": _tiff, ".tiff": _tiff, ".png": _png,
        ".h5": _hdf5, ".hdf5": _hdf5, ".hdf": _hdf5,
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: label images are read from .npy, .mat, .tif, .png and .h5, not '{path.suffix}'")
    try:
        found = [(name, array) for name, array in reader(path) if _is_label_image(array)]
    except CubeSegError:
        raise
    except Exception as error:  # whatever a parser throws at a broken file becomes one line
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read as a label image ({reason})") from error
    if not found:
        raise DataError(f"{path}: holds no 2-D image of whole, non-negative numbers")
    fitting = [array for _, array in found if shape is None or array.shape == shape]
    if not fitting:
        sizes = ", ".join(f"{name} {' x '.join(map(str, a.shape))}" for name, a in found)
        raise DataError(f"{path}: no label image of {shape[0]} x {shape[1]} pixels; there is {sizes}" if shape else "")
    return np.asarray(fitting[0], dtype=np.int64)


def _is_label_image(array: Any) -> bool:
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "uifb" or min(array.shape) < 1:
        return False
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        return False
    return bool(array.min() >= 0)


def _npy(path: Path) -> Iterator[tuple[str, Any]]:
    yield path.name, np.load(path, allow_pickle=False)


def _tiff(path: Path) -> Iterator[tuple[str, Any]]:
    import tifffile

    yield path.name, np.squeeze(tifffile.imread(path))


def _png(path: Path) -> Iterator[tuple[str, Any]]:
    from PIL import Image

    with Image.open(path) as image:
        if image.mode not in ("1", "L", "I", "I;16", "P"):
            raise DataError(f"{path}: is a colour picture; a label image has one number per pixel (grey or palette)")
        yield path.name, np.asarray(image)


def _mat(path: Path) -> Iterator[tuple[str, Any]]:
    if path.open("rb").read(8) == b"\x89HDF\r\n\x1a\n" or path.open("rb").read(10) == b"MATLAB 7.3":
        yield from ((name, array.T) for name, array in _hdf5(path))
        return
    from scipy.io import loadmat

    yield from ((n, a) for n, a in loadmat(path).items() if not n.startswith("__"))


def _hdf5(path: Path) -> Iterator[tuple[str, Any]]:
    import h5py

    check_hdf5(path)
    found: list[tuple[str, Any]] = []
    with h5py.File(path, "r") as file:

        def collect(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.ndim == 2 and item.dtype.kind in "uib" and is_own(item):
                check_memory(str(path), item.size * item.dtype.itemsize)
                found.append((name, item[()]))

        file.visititems(collect)
    # the labels of a result are not one image among others
    yield from sorted(found, key=lambda one: one[0] != "labels")
