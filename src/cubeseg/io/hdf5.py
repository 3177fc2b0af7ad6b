"""Generic HDF5: any 3-D dataset, its axis from attributes, dimension scales or sibling vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, LazyArray, Noise, NoiseKind, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.hdf5_guard import SIGNATURE, check_hdf5
from cubeseg.io.hdf5_links import check_own, elsewhere, is_own, member, text
from cubeseg.io.hdf5_scales import long_axes, named_axis, pixel_size, vector_of
from cubeseg.io.layout import Vector, check_claim, check_size, choose, make_axis, spatial_order
from cubeseg.io.lazy import AxisView
from cubeseg.io.nexus import signals
from cubeseg.io.registry import ReadOptions, reader
from cubeseg.io.white import is_white
from cubeseg.spectroscopy.calibration import inside

__all__ = ["SIGNATURE", "check_filters", "cube_of", "lazy_dataset", "open_hdf5", "text"]


@reader(
    "HDF5",
    (".h5", ".hdf5", ".hdf", ".he5", ".nxs"),
    lambda path, head: head.startswith(SIGNATURE) and path.suffix.lower() != ".mat",
    generic=True,
)
def read_hdf5(path: Path, options: ReadOptions) -> Cube:
    """The cube of an HDF5 file; nothing is read but its surroundings."""
    return cube_of(path, lambda file: _cube(path, file, options))


def _cube(path: Path, file: Any, options: ReadOptions) -> Cube:
    if text(file.attrs.get("format", "")) == "cubeseg-result":
        raise DataError(
            f"{path}: is a segmentation result, not a cube; open it with File > Open File(s) or cubeseg.load"
        )
    cubes, vectors = _collect(file)
    if not cubes and (others := elsewhere(file)):
        raise DataError(f"{path}: holds only links to other files ({others}), which are not followed; open those")
    plots = _plots(file, cubes)
    options = _resolved(file, cubes, plots, options)
    named = {name: named_axis(file[name], plots.get(name)) for name, _, _ in cubes}
    scales = {name: axis for name, axis in named.items() if axis is not None}
    found = choose(str(path), cubes, vectors, options, {name: axis for name, (axis, _) in scales.items()})
    assert found.spectral_axis is not None
    dataset = file[found.dataset]
    long = long_axes(dataset.shape)
    bands, y, x = (long[n] for n in spatial_order(found.spectral_axis))
    order = (bands, y, x)
    data = lazy_dataset(path, dataset, order)
    near = _nearest_first(vectors, dataset.name)
    number, scale = scales.get(found.dataset, (None, None))
    scaled = scale is not None and number == found.spectral_axis and not inside(options.axis)
    attributes = _attributes(dataset, file)
    axis, notes = make_axis(data.shape[0], [scale] if scale is not None and scaled else near, options.axis)
    said = inside(options.axis) is not None
    if not axis.calibrated and not said and (calibrated := _calibrated(axis, attributes, dataset)) is not None:
        axis, notes = calibrated, {"axis_from": "calibration"}
    elif not axis.calibrated and scaled:
        # numbered channels are a scale too
        axis, notes = make_axis(data.shape[0], near)
    if (times := _live_time(dataset)) is not None:
        notes["live_time"] = times
    white = _white(file, dataset, (dataset.shape[y], dataset.shape[x]))
    if white is not None:
        notes["white_light"] = white.name.strip("/")
    return Cube(
        data,
        axis,
        _noise(path, file, dataset, order, attributes),
        spatial=_spatial(attributes) or pixel_size(dataset, y, x, plots.get(found.dataset)),
        source=Source(str(path), "HDF5", found.dataset, found.spectral_axis),
        unit=text(attributes.get("data_unit", dataset.attrs.get("units", ""))),
        metadata={name: _plain(value) for name, value in attributes.items()} | notes,
        white=None if white is None else partial(_image, white),
    )


def _white(file: Any, dataset: Any, shape: tuple[int, ...]) -> Any | None:
    """The dataset with an image of the same pixels summed over the bands, nearest first; None where there is none."""
    import h5py

    found: list[Any] = []

    def visit(name: str, item: Any) -> None:
        fits = isinstance(item, h5py.Dataset) and item.dtype.kind in "uif" and item.shape == shape
        if fits and is_white(name.rsplit("/", 1)[-1]) and is_own(item):
            found.append(item)

    file.visititems(visit)
    return min(found, key=lambda item: (item.parent != dataset.parent, item.name), default=None)


def _image(dataset: Any) -> NDArray[np.float32]:
    return np.asarray(dataset[()], np.float32)


def cube_of(path: Path, make: Callable[[Any], Cube]) -> Cube:
    """What `make` makes of the open file; it stays open for the cube, and is closed where there is none."""
    file = open_hdf5(path)
    try:
        return make(file)
    except BaseException:
        # an open handle would keep others from writing the file
        file.close()
        raise


def open_hdf5(path: Path) -> Any:
    """Open for reading, with room for a row of chunks in the cache.

    Raises
    ------
    DataError
        If the HDF5 library does not come back from it.
    """
    import h5py

    check_hdf5(path)
    return h5py.File(path, "r", rdcc_nbytes=64 << 20, locking="best-effort")


def lazy_dataset(path: Path, dataset: Any, order: tuple[int, int, int]) -> LazyArray:
    """A dataset as (bands, y, x): memory-mapped where it lies in one piece, so that any slice is cheap.

    Raises
    ------
    DataError
        If the file is shorter than the data, lacks a filter, or the values lie in other files.
    """
    check_own(path, dataset)
    offset = dataset.id.get_offset()
    plain = dataset.chunks is None and dataset.compression is None and not dataset.is_virtual
    # types that NumPy lacks (of fewer bits than bytes, say) are converted by h5py
    same = dataset.id.get_type().get_size() == dataset.dtype.itemsize
    if plain and same and offset is not None and dataset.size:
        check_size(str(path), path.stat().st_size, offset + dataset.size * dataset.dtype.itemsize)
        mapped = np.memmap(path, dataset.dtype, "r", offset, tuple(dataset.shape[n] for n in sorted(order)))
        return mapped.transpose([sorted(order).index(n) for n in order])
    size = path.stat().st_size
    check_claim(str(path), size, int(np.prod(dataset.shape, dtype=np.float64)) * dataset.dtype.itemsize)
    check_filters(path, dataset)
    return AxisView(dataset, order, name=str(path))


def check_filters(path: Path, dataset: Any) -> None:
    """A compression that this computer lacks is said now, not when the first pixel is read.

    Raises
    ------
    DataError
    """
    import h5py

    filters = dataset.id.get_create_plist()
    for n in range(filters.get_nfilters()):
        code, _, _, name = filters.get_filter(n)
        if not h5py.h5z.filter_avail(code):
            raise DataError(
                f"{path}: '{dataset.name}' is compressed with {text(name) or 'a filter'} (HDF5 filter {code}), which "
                "is not installed; install the package hdf5plugin and import it, or repack the file with gzip"
            )


def _collect(file: Any) -> tuple[list[tuple[str, tuple[int, ...], Any]], list[Vector]]:
    """All numeric 3-D datasets and all vectors; the group of a sample's truth is left out."""
    import h5py

    cubes: list[tuple[str, tuple[int, ...], Any]] = []
    lines: list[Any] = []

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "uif" or name.startswith("truth/"):
            return
        if item.ndim >= 3 and len(long_axes(item.shape)) == 3 and "IMAGE_COLORMODEL" not in item.attrs:
            cubes.append((name, tuple(item.shape[n] for n in long_axes(item.shape)), item.dtype))
        elif item.ndim == 1 and 1 < item.size <= 1_000_000 and is_own(item):
            lines.append(item)

    file.visititems(visit)
    lengths = {length for _, shape, _ in cubes for length in shape}
    vectors = [vector_of(item) for item in lines if item.size in lengths]
    for holder in [file, *(file[name] for name, _, _ in cubes)]:
        for key, value in holder.attrs.items():
            array = np.asarray(value)
            if array.ndim == 1 and array.size > 3 and array.dtype.kind in "uif":
                unit = text(holder.attrs.get(f"{key}_unit", holder.attrs.get(f"{key}_units", "")))
                vectors.append(Vector(f"{holder.name.strip('/')}/{key}", array.astype(np.float64), unit))
    return cubes, vectors


def _plots(file: Any, cubes: Sequence[tuple[str, tuple[int, ...], Any]]) -> dict[str, Any]:
    """Names of the cubes that NeXus calls signals, each with its NXdata group."""
    found: dict[str, Any] = {}
    for signal, group in signals(file):
        for name, _, _ in cubes:
            # a link and what it points to are equal
            if file[name] == signal:
                found.setdefault(name, group)
    return found


def _resolved(
    file: Any, cubes: Sequence[tuple[str, tuple[int, ...], Any]], plots: Mapping[str, Any], options: ReadOptions
) -> ReadOptions:
    """The dataset that was asked for by the name of a link, or that the file itself means."""
    if options.dataset is None:
        return replace(options, dataset=next(iter(plots))) if len(plots) == 1 else options
    names = [name for name, _, _ in cubes]
    if options.dataset.strip("/") in names or (item := member(file, options.dataset)) is None:
        return options
    return replace(options, dataset=next((name for name in names if file[name] == item), options.dataset))


def _nearest_first(vectors: Sequence[Vector], name: str) -> list[Vector]:
    """Vectors in the order of how much of their path they share with the dataset."""
    own = name.strip("/").split("/")

    def shared(vector: Vector) -> int:
        parts = vector.name.split("/")
        return sum(1 for a, b in zip(own, parts, strict=False) if a == b)

    return sorted(vectors, key=shared, reverse=True)


def _attributes(dataset: Any, file: Any) -> dict[str, Any]:
    """Attributes of the root, the group and the dataset, the nearest winning."""
    return {**dict(file.attrs), **dict(dataset.parent.attrs), **dict(dataset.attrs)}


def _calibrated(axis: SpectralAxis, attributes: Mapping[str, Any], dataset: Any) -> SpectralAxis | None:
    """Channel numbers through ``calibration``, in keV unless it says otherwise; None where there is none that fits.

    An attribute, or (as PyMca writes it) a small dataset beside the cube: a + b x + c x^2. Pairs of channel and
    energy are those of XISMuS, whose attribute ``datatypes`` is 1 where the spectra are not of X-rays.
    """
    given, unit = attributes.get("calibration", []), text(attributes.get("calibration_unit", ""))
    beside = member(dataset.parent, "calibration")
    if not np.size(given) and getattr(beside, "size", None) in (2, 3) and is_own(beside):
        given, unit = beside[()], text(beside.attrs.get("units", unit))
    numbers = np.atleast_1d(np.asarray(given))
    if numbers.dtype.kind not in "uif" or not np.isfinite(numbers).all() or numbers.size > 1000:
        return None
    numbers = numbers.astype(np.float64)
    if numbers.ndim == 2 and numbers.shape[1] == 2 and len(numbers) > 1:
        if np.ptp(numbers[:, 0]) == 0 or text(attributes.get("datatypes", 0)) == "1":
            return None
        slope, offset = np.polyfit(numbers[:, 0], numbers[:, 1], 1)
        numbers = np.array([offset, slope])
    numbers = numbers.ravel()
    if not 2 <= numbers.size <= 3 or not numbers[1]:
        return None
    channels = np.arange(len(axis), dtype=np.float64)
    try:
        return SpectralAxis.from_values(np.polynomial.polynomial.polyval(channels, numbers), unit or "keV")
    except DataError:
        return None


def _live_time(dataset: Any) -> str | None:
    """What PyMca keeps about live times, beside the data that they belong to."""
    times = member(dataset.parent, "live_time")
    if getattr(times, "ndim", 0) not in (1, 2) or times.dtype.kind not in "uif" or not 0 < times.size <= 1 << 24:
        return None
    if not is_own(times):
        return None
    values = np.asarray(times[()], dtype=np.float64)
    values = values[np.isfinite(values)]
    unit = text(times.attrs.get("units", ""))
    low, middle, top = np.percentile(values, (0, 50, 100)) if values.size else (np.nan,) * 3
    return f"{low:.4g} to {top:.4g} {unit}, median {middle:.4g}; not applied".replace(" ,", ",")


def _noise(path: Path, file: Any, dataset: Any, order: tuple[int, int, int], attributes: dict[str, Any]) -> Noise:
    said = text(attributes.get("noise", ""))
    kind: NoiseKind = "poisson" if said == "poisson" else "gaussian" if said == "gaussian" else "unknown"
    for name, inverse, squared in (("variance", False, True), ("ivar", True, True), ("error", False, False)):
        beside = member(dataset.parent, name)
        if beside is not None and beside != dataset and getattr(beside, "shape", None) == dataset.shape:
            return Noise("gaussian", lazy_dataset(path, beside, order), inverse, squared)
    return Noise(kind)


def _spatial(attributes: dict[str, Any]) -> Spatial | None:
    size = np.atleast_1d(np.asarray(attributes.get("pixel_size", [])))
    if size.size not in (1, 2) or size.dtype.kind not in "uif" or not (np.isfinite(size).all() and (size > 0).all()):
        return None
    unit = text(attributes.get("pixel_unit", attributes.get("pixel_size_unit", "pixel"))) or "pixel"
    return Spatial((float(size[0]), float(size[-1])), unit)


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.kind in "SOU":
        return text(value) if array.size == 1 else [text(v) for v in array.ravel()[:1000]]
    return array.tolist() if array.size <= 10000 and array.dtype.kind in "uifb" else str(array.dtype)
