"""MATLAB .mat: v5 and v7 through SciPy, v7.3 as HDF5 with its axes reversed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube, Source
from cubeseg.errors import DataError
from cubeseg.io.hdf5 import SIGNATURE, lazy_dataset, open_hdf5
from cubeseg.io.layout import Vector, bad_bands, check_memory, check_size, choose, make_axis, spatial_order, vectors_of
from cubeseg.io.registry import ReadOptions, reader

__all__: list[str] = []

_FLAT_NAMES = ("Y", "V", "X", "R", "data")


def _is_v73(path: Path, head: bytes) -> bool:
    return head.startswith(b"MATLAB 7.3") or (path.suffix.lower() == ".mat" and head.startswith(SIGNATURE))


@reader("MATLAB 7.3", (".mat",), _is_v73)
def read_v73(path: Path, options: ReadOptions) -> Cube:
    """An HDF5 file whose arrays lie in MATLAB's order: NumPy sees their axes reversed."""
    file = open_hdf5(path)
    try:
        return _v73_cube(path, file, options)
    except BaseException:
        file.close()
        raise


def _v73_cube(path: Path, file: Any, options: ReadOptions) -> Cube:
    import h5py

    cubes: list[tuple[str, tuple[int, ...], Any]] = []
    vectors: list[Vector] = []

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "uif" or name.startswith("#"):
            return
        if item.ndim == 3:
            cubes.append((name, item.shape[::-1], item.dtype))
        elif 1 <= item.ndim <= 2 and max(item.shape, default=0) == item.size and 1 < item.size <= 1_000_000:
            vectors.append(Vector(name, np.ravel(item[()]).astype(np.float64)))

    file.visititems(visit)
    found = choose(str(path), cubes, vectors, options)
    assert found.spectral_axis is not None
    bands, y, x = (2 - n for n in spatial_order(found.spectral_axis))
    data = lazy_dataset(path, file[found.dataset], (bands, y, x))
    axis, notes = make_axis(data.shape[0], vectors, options.axis)
    for vector in vectors:
        if vector.name.rsplit("/", 1)[-1] == "bbl":
            notes |= bad_bands(vector.values, data.shape[0])
    return Cube(data, axis, source=Source(str(path), "MATLAB 7.3", found.dataset, found.spectral_axis), metadata=notes)


def _is_v5(path: Path, head: bytes) -> bool:
    # the text at the beginning is free; version and byte order at its end are not
    return head.startswith(b"MATLAB 5.0") or head[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


@reader("MATLAB", (".mat",), _is_v5)
def read_v5(path: Path, options: ReadOptions) -> Cube:
    """The chosen variable is read whole, as the format demands; the others are not touched."""
    from scipy.io import loadmat, whosmat

    _check_elements(path)
    listed = whosmat(str(path))
    numeric = {"double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
    known = {name: (shape, kind) for name, shape, kind in listed if kind in numeric}
    small = [name for name, (shape, _) in known.items() if max(shape, default=0) == np.prod(shape) <= 1_000_000]
    sides = loadmat(str(path), variable_names=small) if small else {}
    sides = {name: value for name, value in sides.items() if isinstance(value, np.ndarray)}
    vectors = vectors_of(sides)
    cubes = [
        (name, tuple(shape), _dtype(kind))
        for name, (shape, kind) in known.items()
        if len(shape) == 3 and (not name.startswith(("S_GT", "GT", "gt")) or name == options.dataset)
    ]
    flat = None if cubes and options.dataset is None else _flattened(path, known, sides, options)
    if flat is not None:
        return flat
    inside: dict[str, NDArray[Any]] = {}
    if not cubes:
        inside = _struct_fields(path, [name for name, shape, kind in listed if kind == "struct" and shape == (1, 1)])
        cubes = [(name, value.shape, str(value.dtype)) for name, value in inside.items() if value.ndim == 3]
        vectors = [*vectors, *vectors_of(inside)]
        sides |= {name.rsplit(".", 1)[-1]: value for name, value in inside.items()}
    found = choose(str(path), cubes, vectors, options)
    assert found.spectral_axis is not None
    check_memory(str(path), int(np.prod(found.shape, dtype=np.float64)) * np.dtype(found.dtype).itemsize)
    array = inside.get(found.dataset)
    if array is None:
        array = loadmat(str(path), variable_names=[found.dataset])[found.dataset]
    data = array.transpose(spatial_order(found.spectral_axis))
    axis, notes = make_axis(data.shape[0], vectors, options.axis)
    if "bbl" in sides:
        notes |= bad_bands(sides["bbl"], data.shape[0])
    return Cube(data, axis, source=Source(str(path), "MATLAB", found.dataset, found.spectral_axis), metadata=notes)


def _struct_fields(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    """Numeric fields of structs, as ``struct.field``."""
    from scipy.io import loadmat

    if not names:
        return {}
    found = {}
    for name, value in loadmat(str(path), variable_names=names).items():
        if name in names and isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
            for field in value.dtype.names:
                inner = value.reshape(-1)[0][field]
                if isinstance(inner, np.ndarray) and inner.dtype.kind in "uif":
                    found[f"{name}.{field}"] = inner
    return found


def _check_elements(path: Path) -> None:
    """Follow the file's chain of data elements: the last one must end inside it (MAT-file format, level 5)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        order: Literal["little", "big"] = "little" if file.read(128)[126:128] == b"IM" else "big"
        while len(tag := file.read(8)) == 8:
            end = file.tell() + int.from_bytes(tag[4:8], order)
            check_size(str(path), size, end)
            file.seek(end)


def _flattened(path: Path, known: dict[str, Any], sides: dict[str, NDArray[Any]], options: ReadOptions) -> Cube | None:
    """The (bands x pixels) matrix of the unmixing sets, its pixels in column-major order."""
    names = [options.dataset] if options.dataset in known else [n for n in _FLAT_NAMES if n in known]
    for name in names:
        shape = known[name][0]
        if len(shape) != 2 or min(shape) < 2:
            continue
        size = _image_size(shape[1], known, sides)
        if size is None:
            raise DataError(
                f"{path}: '{name}' is a table of {shape[0]} x {shape[1]}; nothing says its image's height and width: "
                "add the variables nRow and nCol, or store it as rows x columns x bands"
            )
        from scipy.io import loadmat

        matrix = loadmat(str(path), variable_names=[name])[name]
        data = matrix.reshape(shape[0], *size, order="F")
        axis, notes = make_axis(shape[0], vectors_of(sides), options.axis)
        notes["pixel_order"] = "column-major (assumed, as MATLAB writes)"
        return Cube(data, axis, source=Source(str(path), "MATLAB", name, 0), metadata=notes)
    return None


def _image_size(pixels: int, known: dict[str, Any], sides: dict[str, NDArray[Any]]) -> tuple[int, int] | None:
    """Height and width: stated, or those of another variable with as many pixels, or a square."""
    for rows, columns in (("lines", "cols"), ("nRow", "nCol"), ("H", "W"), ("rows", "columns")):
        if rows in sides and columns in sides and sides[rows].size == 1 == sides[columns].size:
            size = int(sides[rows].item()), int(sides[columns].item())
            if size[0] * size[1] == pixels:
                return size
    for shape, _ in known.values():
        if len(shape) >= 2 and shape[0] > 1 and shape[1] > 1 and shape[0] * shape[1] == pixels:
            return int(shape[0]), int(shape[1])
    side = round(pixels**0.5)
    return (side, side) if side * side == pixels else None


def _dtype(kind: str) -> str:
    return {"double": "float64", "single": "float32"}.get(kind, kind)
