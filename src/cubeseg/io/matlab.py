"""MATLAB .mat: v5 to v7 by their own parser, v7.3 as HDF5 with its axes reversed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube, LazyArray, Source
from cubeseg.io.halves import THZ, magnitudes
from cubeseg.io.hdf5 import SIGNATURE, cube_of, lazy_dataset, text
from cubeseg.io.layout import bad_bands, choose, make_axis, spatial_order
from cubeseg.io.lazy import AxisView
from cubeseg.io.mat5 import COMPRESSED, Mat5, Stored, is_mat5
from cubeseg.io.matlab_tables import SETTINGS, find_table
from cubeseg.io.matlab_variables import LONGEST, Magnitude, Reversed, Variable, Variables
from cubeseg.io.registry import ReadOptions, reader, unpacks_quickly

__all__: list[str] = []

# ground truth of the unmixing sets is no cube
_TRUTH = re.compile(r"(^|\.)(S_GT|GT|gt)[^.]*$")
_INTERFEROMETER = "Hyperspectrum_cube"


def _is_v73(path: Path, head: bytes) -> bool:
    return head.startswith(b"MATLAB 7.3") or (path.suffix.lower() == ".mat" and head.startswith(SIGNATURE))


@reader("MATLAB 7.3", (".mat",), _is_v73, SETTINGS)
def read_v73(path: Path, options: ReadOptions) -> Cube:
    """An HDF5 file whose arrays lie in MATLAB's order: NumPy sees their axes reversed."""
    return cube_of(path, lambda file: _cube(_v73(path, file), "MATLAB 7.3", options))


def _is_v5(path: Path, head: bytes) -> bool:
    return is_mat5(head) or head.startswith(b"MATLAB 5.0")


def _unpacks(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(132)
    # numbers of instruments are packed to a quarter or so; the type of the first element tells whether they are
    return COMPRESSED in (head[128], head[131]) and not unpacks_quickly(4 * path.stat().st_size)


@reader("MATLAB", (".mat",), _is_v5, SETTINGS, slow=_unpacks)
def read_v5(path: Path, options: ReadOptions) -> Cube:
    """The chosen variable is mapped, or unpacked where it is compressed; of the others only small ones are read."""
    file = Mat5(path)
    found = _v5(file, dict(file.arrays))
    wanted = (options.dataset or "").split(".")[0]
    if wanted in file.structs or (not found.cubes() and find_table(found, options) is None):
        # compressed structs take time to look into
        arrays = dict(file.arrays)
        for struct in file.structs:
            arrays |= file.fields(struct)
        found = _v5(file, arrays)
    return _cube(found, "MATLAB", options)


def _v5(file: Mat5, arrays: dict[str, Stored]) -> Variables:
    def source(name: str) -> Any:
        array = arrays[name]
        if array.is_complex:
            return Magnitude(file.read(array), file.read(array, file.imaginary(array)))
        return file.read(array)

    def variable(array: Stored) -> Variable:
        dtype = np.dtype(np.float64) if array.is_complex else array.real.dtype.newbyteorder("=")
        return Variable(array.shape, dtype, array.kind == "logical", array.is_complex)

    numeric = {name: array for name, array in arrays.items() if array.kind != "text"}
    small = {n: file.read(a) for n, a in numeric.items() if max(a.shape) == a.size <= LONGEST and not a.is_complex}
    texts = {name: file.text(array) for name, array in arrays.items() if array.kind == "text"}
    return Variables(
        file.path, {n: variable(a) for n, a in numeric.items()}, small, texts | {"header": file.note}, source
    )


def _v73(path: Path, file: Any) -> Variables:
    import h5py

    variables: dict[str, Variable] = {}
    small: dict[str, NDArray[Any]] = {}
    texts: dict[str, str] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or name.startswith("#") or "MATLAB_empty" in item.attrs:
            return
        key, kind = name.replace("/", "."), text(item.attrs.get("MATLAB_class", ""))
        shape = tuple(int(n) for n in item.shape[::-1])
        complex_ = item.dtype.names == ("real", "imag")
        if kind == "char":
            codes = np.ravel(item[()]).tolist() if item.size <= 65536 and item.dtype.kind in "ui" else []
            texts[key] = "".join(map(chr, codes))
        elif (item.dtype.kind in "uif" or complex_) and kind not in ("cell", "function_handle") and item.ndim:
            variables[key] = Variable(
                shape, item.dtype["real"] if complex_ else item.dtype, kind == "logical", complex_
            )
            if not complex_ and max(shape) == item.size <= LONGEST:
                small[key] = np.asarray(item[()])

    file.visititems(visit)

    def source(name: str) -> Any:
        dataset = file[name.replace(".", "/")]
        # says what is wrong with it, too
        view = lazy_dataset(path, dataset, tuple(range(dataset.ndim))[::-1])  # type: ignore[arg-type]
        mapped = isinstance(view, np.ndarray)
        if not variables[name].is_complex:
            return view if mapped else Reversed(dataset)
        parts = (view[part] if mapped else Reversed(dataset.fields(part), dataset, part) for part in ("real", "imag"))
        return Magnitude(*parts)

    return Variables(path, variables, small, texts, source)


def _cube(found: Variables, name: str, options: ReadOptions) -> Cube:
    """The cube among the variables, whatever the version of the file."""
    path, vectors = found.path, found.vectors()
    cubes = [(n, s, d) for n, s, d in found.cubes() if not _TRUTH.search(n) or n == options.dataset]
    table = None if cubes and not found.is_table(options.dataset) else find_table(found, options)
    if table is not None:
        dataset, spectral, notes = table.name, table.bands, dict(table.notes)
        data = table.unfold(found.source(dataset), str(path))
    else:
        # two stacks in one have twice as many planes as there are frequencies
        hints = {n: 2 for n, _, _ in cubes if n.endswith(_INTERFEROMETER)}
        chosen = choose(str(path), cubes, vectors, options, hints)
        assert chosen.spectral_axis is not None
        dataset, spectral, notes = chosen.dataset, chosen.spectral_axis, {}
        data = _turned(found.source(dataset), spatial_order(spectral), str(path))
    if found.variables[dataset].is_complex:
        notes["complex"] = "the numbers are complex; their magnitude is used"
    if dataset.endswith(_INTERFEROMETER):
        data, more = _magnitudes(found, dataset, data)
        notes |= more
    axis, more = make_axis(data.shape[0], found.nearest(vectors, dataset), options.axis)
    notes |= more
    if more.get("axis_from", "").endswith("fr_real"):
        notes["axis_guessed"] = THZ
    for side, values in found.small.items():
        if side.rsplit(".", 1)[-1] == "bbl":
            notes |= bad_bands(np.ravel(values), data.shape[0])
    mask = _saturation(found, dataset, (data.shape[1], data.shape[2]))
    return Cube(
        data, axis, mask=mask, source=Source(str(path), name, dataset, spectral), metadata=found.notes() | notes
    )


def _turned(source: Any, order: tuple[int, int, int], name: str) -> LazyArray:
    if isinstance(source, np.ndarray):
        return source.transpose(order)
    return AxisView(source, order, name=name)


def _magnitudes(found: Variables, dataset: str, data: LazyArray) -> tuple[LazyArray, dict[str, Any]]:
    """The spectra of an interferometer; complex ones that were saved as whole numbers are two stacks in one."""
    beside = {name: found.small.get(dataset.replace(_INTERFEROMETER, name)) for name in ("fr_real", "f")}
    scale = [found.small.get(dataset.replace(_INTERFEROMETER, name)) for name in ("minimum", "maximum")]
    low, span = (float(values.flat[0]) if values is not None and values.size == 1 else None for values in scale)
    return magnitudes(
        data,
        [values.size for values in beside.values() if values is not None],
        None if low is None or span is None else (low, span),
        f"{found.path}: '{dataset}'",
    )


def _saturation(found: Variables, dataset: str, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The pixels that an interferometer's ``saturationMap`` calls usable (1); 0 is saturated."""
    name = dataset.replace(_INTERFEROMETER, "saturationMap")
    variable = found.variables.get(name)
    if name == dataset or variable is None or variable.shape != shape or variable.is_complex:
        return None
    usable = np.asarray(found.source(name)[:, :]) != 0
    return usable if usable.any() else None
