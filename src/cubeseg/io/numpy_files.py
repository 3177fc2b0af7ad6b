"""NumPy .npy (memory-mapped) and .npz."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Source
from cubeseg.errors import DataError
from cubeseg.io.layout import check_memory, check_size, choose, make_axis, spatial_order, vectors_of
from cubeseg.io.registry import ReadOptions, reader, unpacks_quickly

__all__: list[str] = []


@reader("NumPy", (".npy",), lambda path, head: head.startswith(b"\x93NUMPY"))
def read_npy(path: Path, options: ReadOptions) -> Cube:
    """One array, memory-mapped."""
    with path.open("rb") as file:
        shape, _, dtype = _header(file)
        start = file.tell()
    if dtype.hasobject:
        raise DataError(f"{path}: holds Python objects, which could run code when read; save an array of numbers")
    needed = start + int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    check_size(str(path), path.stat().st_size, needed)
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    kept = _cube_shape(array.shape)
    if kept is None:
        size = " x ".join(map(str, array.shape))
        raise DataError(f"{path}: the array has {array.ndim} axes ({size}), a cube has 3; save that part alone")
    array = array.reshape(kept)
    found = choose(str(path), [(path.name, array.shape, array.dtype)], [], ReadOptions(None, options.spectral_axis))
    assert found.spectral_axis is not None
    data = array.transpose(spatial_order(found.spectral_axis))
    source = Source(str(path), "NumPy", "", found.spectral_axis)
    return Cube(data, SpectralAxis.channels(data.shape[0]), source=source)


def _is_npz(path: Path, head: bytes) -> bool:
    return head.startswith(b"PK") and path.suffix.lower() == ".npz"


def _unpacks(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        packed = [m for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
    return not unpacks_quickly(sum(member.file_size for member in packed))


@reader("NumPy archive", (".npz",), _is_npz, slow=_unpacks)
def read_npz(path: Path, options: ReadOptions) -> Cube:
    """The 3-D member, with a vector of its length as axis.

    Mapped where it is stored as it is (``np.savez``), read whole where it is compressed.
    """
    headers = _headers(path)
    cubes = [
        (name, kept, dtype)
        for name, (shape, dtype) in headers.items()
        if (kept := _cube_shape(shape)) is not None and dtype.kind in "uif"
    ]
    with np.load(path, allow_pickle=False) as archive:
        small: dict[str, NDArray[Any]] = {
            name: archive[name] for name, (shape, dtype) in headers.items() if len(shape) == 1 and dtype.kind in "uif"
        }
        vectors = vectors_of(small)
        found = choose(str(path), cubes, vectors, options)
        assert found.spectral_axis is not None
        stored = _mapped(path, found.dataset)
        if stored is None:
            shape, dtype = headers[found.dataset]
            check_memory(str(path), int(np.prod(shape, dtype=np.float64)) * dtype.itemsize)
            stored = archive[found.dataset]
        data = stored.reshape(found.shape).transpose(spatial_order(found.spectral_axis))
    axis, notes = make_axis(data.shape[0], vectors, options.axis)
    source = Source(str(path), "NumPy archive", found.dataset, found.spectral_axis)
    return Cube(data, axis, source=source, metadata=notes)


def _cube_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The three axes of a cube, without those of length 1 that an array has beyond them; None where it has others."""
    long = shape if len(shape) <= 3 else tuple(length for length in shape if length != 1)
    return long if len(long) == 3 else None


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of every member, without reading the data; members that would unpack to more are refused."""
    headers = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as file:
                shape, _, dtype = _header(file)
            # deflate packs no better than 1 to 1032
            there = min(member.file_size, 1100 * member.compress_size)
            if int(np.prod(shape, dtype=np.float64)) * dtype.itemsize > there:
                raise DataError(f"{path}: the member {member.filename} is shorter than its header says")
            headers[member.filename.removesuffix(".npy")] = (tuple(shape), dtype)
    return headers


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype; the file is left where its data begin."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return tuple(shape), fortran, dtype


def _mapped(path: Path, name: str) -> NDArray[Any] | None:
    """A member as a memory map; None where it is compressed."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            return None
    with path.open("rb") as file:
        file.seek(member.header_offset)
        local = file.read(30)
        # name and extra field may be longer here than in the archive's directory
        file.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), io.SEEK_CUR)
        shape, fortran, dtype = _header(file)
        start = file.tell()
    check_size(str(path), path.stat().st_size, start + int(np.prod(shape, dtype=np.float64)) * dtype.itemsize)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
