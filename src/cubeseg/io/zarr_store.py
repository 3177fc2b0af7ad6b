"""Zarr 2 and 3, as a folder or zipped: plain arrays, groups, xarray's and maxrf4u's stores, OME-Zarr 0.4 and 0.5."""

from __future__ import annotations

import itertools
import os
import stat
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.cube import Cube, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.band_names import axis_of_names
from cubeseg.io.layout import Vector, check_claim, check_memory, choose, is_axis_word, make_axis, spatial_order
from cubeseg.io.lazy import AxisView
from cubeseg.io.registry import ReadOptions, reader
from cubeseg.spectroscopy.calibration import inside

__all__: list[str] = []

# files that are looked through in a tenth of a second
_MANY = 2000
_MOST_CHUNKS = 30_000_000
_MARKS = ("zarr.json", ".zgroup", ".zarray")
# what turns chunks into numbers; codecs that make objects (pickle, json2, msgpack2...) are left out on purpose
_CODECS = {
    "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "endian", "fixedscaleoffset",
    "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits", "pcodec", "quantize", "scale_offset",
    "sharding_indexed", "shuffle", "transpose", "zfpy", "zlib", "zstd",
}  # fmt: skip
_BAND_DIMENSIONS = {"c", "e", "band", "bands", "channels", "lambda", "z_spectral"}
_IMAGE_DIMENSIONS = {
    "y",
    "x",
    "row",
    "rows",
    "col",
    "column",
    "columns",
    "lat",
    "lon",
    "latitude",
    "longitude",
    "lines",
    "samples",
}


@dataclass(eq=False)
class _Found:
    """An array that can be the cube: which of its axes count, what they are called, and what OME says of it."""

    array: Any
    axes: tuple[int, ...]
    dimensions: tuple[str, ...] = ()
    spectral: int | None = None
    pixel: Spatial = field(default_factory=Spatial)
    labels: Sequence[str] = ()


def _is_folder(path: Path, head: bytes) -> bool:
    return any((path / mark).is_file() for mark in _MARKS)


def _is_zip(path: Path, head: bytes) -> bool:
    if not head.startswith(b"PK") or path.suffix.lower() in (".npz", ".docx", ".xlsx"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _root_in_zip(archive) is not None
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return path.name.lower().endswith((".zarr", ".zarr.zip"))


def _root_in_zip(archive: zipfile.ZipFile) -> str | None:
    """The folder of a zipped store: the root, or the one in which all of it lies."""
    marked = [name.rpartition("/")[0] for name in archive.namelist() if name.rpartition("/")[2] in _MARKS]
    return min(marked, key=lambda folder: (folder.count("/") + bool(folder), folder), default=None)


def _has_many_chunks(path: Path) -> bool:
    """A store is looked through for links that lead out of it."""
    return next(itertools.islice(path.rglob("*"), _MANY, None), None) is not None


@reader("Zarr", (".zarr",), _is_folder, folders=True, slow=_has_many_chunks)
def read_zarr_folder(path: Path, options: ReadOptions) -> Cube:
    """A store that is a folder."""
    zarr = _zarr(path)
    root = path.resolve()
    nodes = _nodes_of_folder(path, root)
    return _cube(path, zarr.storage.LocalStore(root, read_only=True), "", nodes, options)


@reader("Zarr", (".zarr.zip", ".zip", ".zarr"), _is_zip)
def read_zarr_zip(path: Path, options: ReadOptions) -> Cube:
    """A store in a zip file."""
    zarr = _zarr(path)
    with zipfile.ZipFile(path) as archive:
        root = _root_in_zip(archive) or ""
        for member in archive.infolist():
            if member.file_size > 1 << 30 and member.file_size > 500 * member.compress_size:
                raise DataError(f"{path}: '{member.filename[:80]}' in it unpacks to {member.file_size} bytes; refused")
        marked = {name.rpartition("/")[0] for name in archive.namelist() if name.rpartition("/")[2] in _MARKS}
    inner = root + "/" if root else ""
    nodes = sorted(folder[len(inner) :] for folder in marked if folder == root or folder.startswith(inner))
    return _cube(path, zarr.storage.ZipStore(path, mode="r", read_only=True), root, nodes, options)


def _zarr(path: Path) -> Any:
    try:
        import zarr.storage
    except ImportError as error:
        raise DataError(f"{path}: is a Zarr store; to read it, install napari-cubeseg[zarr]") from error
    return zarr


def _nodes_of_folder(path: Path, root: Path) -> list[str]:
    """Groups and arrays of a store. A link in it could show files from anywhere, so those that lead out are refused."""
    nodes = []
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            entry = os.path.join(folder, name)
            mode = os.lstat(entry).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
                raise DataError(f"{path}: '{os.path.relpath(entry, root)}' is a device or a pipe; take it away")
            if stat.S_ISLNK(mode) and (name in folders or not Path(entry).resolve().is_relative_to(root)):
                raise DataError(
                    f"{path}: '{os.path.relpath(entry, root)}' is a link out of the store; replace it by the file"
                )
        if any(mark in files for mark in _MARKS):
            nodes.append("" if folder == str(root) else Path(folder).relative_to(root).as_posix())
    return sorted(nodes)


def _cube(path: Path, store: Any, root: str, nodes: Sequence[str], options: ReadOptions) -> Cube:
    with warnings.catch_warnings():
        # codecs that are not in the specification of Zarr 3 are warned about
        warnings.simplefilter("ignore")
        groups, arrays, broken = _opened(store, root, nodes)
        found = _candidates(path, groups, arrays)
        if not found and broken:
            name, error = next(iter(broken.items()))
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            raise DataError(f"{path}: '{name}' in it cannot be read as Zarr ({reason}); copy or export it again")
        lengths = {found[name].array.shape[n] for name in found for n in found[name].axes}
        vectors = [v for name, array in arrays.items() if (v := _vector(path, name, array, lengths)) is not None]
    listed = [(name, tuple(f.array.shape[n] for n in f.axes), f.array.dtype) for name, f in found.items()]
    hints = {name: f.spectral for name, f in found.items() if f.spectral is not None}
    chosen = choose(str(path), listed, vectors, options, hints)
    assert chosen.spectral_axis is not None
    one = found[chosen.dataset]
    array = _checked(path, one.array)
    bands, y, x = (one.axes[n] for n in spatial_order(chosen.spectral_axis))
    data = AxisView(array, (bands, y, x), name=str(path))
    _probe(path, array)
    near = vectors if inside(options.axis) else _nearest(vectors, chosen.dataset, one, bands)
    axis, notes = make_axis(data.shape[0], near, options.axis)
    if not axis.calibrated and one.labels and chosen.spectral_axis == one.spectral:
        axis, more = axis_of_names(one.labels, data.shape[0])
        notes |= more
    if broken:
        notes["unreadable"] = sorted(broken)
    top = dict(groups[""].attrs) if "" in groups else {}
    return Cube(
        data,
        axis,
        spatial=one.pixel if one.pixel.unit != "pixel" else _grid(vectors, one, y, x),
        source=Source(str(path), "Zarr", chosen.dataset, chosen.spectral_axis),
        metadata=top | dict(one.array.attrs) | notes,
    )


def _opened(store: Any, root: str, nodes: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Exception]]:
    """Groups, arrays of numbers, and what cannot be read, by their names within the store."""
    import zarr

    groups: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    broken: dict[str, Exception] = {}
    for name in nodes:
        # one by one: zarr's own walk stops at the first that it does not know
        try:
            node = zarr.open(store, path=f"{root}/{name}".strip("/"), mode="r", use_consolidated=False)
            if not hasattr(node, "shape"):
                groups[name] = node
            elif np.dtype(getattr(node, "dtype", "O")).kind in "uif":
                arrays[name] = node
        except Exception as error:
            broken[name] = error
    return groups, arrays, broken


def _candidates(path: Path, groups: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, _Found]:
    """Arrays with three axes that count. Of OME's pyramids only the full size is one."""
    found: dict[str, _Found] = {}
    smaller: set[str] = set()
    refused = ""
    for name, image in _images(groups):
        levels = [f"{name}/{level.get('path', '')}".strip("/") for level in image["datasets"]]
        smaller |= set(levels[1:])
        if levels and levels[0] in arrays:
            array = arrays[levels[0]]
            axes = [axis if isinstance(axis, dict) else {"name": str(axis)} for axis in image["axes"]]
            made = _ome(array, axes, image)
            if made is None:
                long = " and ".join(f"{a.get('name')} {n}" for a, n in zip(axes, array.shape, strict=False))
                refused = (
                    f"{path}: the OME image '{name or '/'}' ({long}) has no three axes bands, y and x; save them alone"
                )
                smaller.add(levels[0])
            else:
                found[levels[0]] = made
    for name, array in arrays.items():
        axes_that_count = _long(array.shape)
        if name not in found and name not in smaller and len(axes_that_count) == 3 and array.ndim >= 3:
            found[name] = _plain_array(array, axes_that_count)
    if not found and refused:
        raise DataError(refused)
    return found


def _images(groups: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """OME's images: group name and the first entry of ``multiscales``, with channel labels beside it."""
    for name, group in groups.items():
        attributes = dict(group.attrs)
        said = attributes.get("ome", attributes)
        scales = said.get("multiscales") if isinstance(said, dict) else None
        if isinstance(scales, list) and scales and isinstance(scales[0], dict):
            image = scales[0]
            datasets = [d for d in image.get("datasets", []) if isinstance(d, dict)]
            channels = said.get("omero", {}).get("channels", []) if isinstance(said.get("omero"), dict) else []
            labels = [str(c.get("label", "")) for c in channels if isinstance(c, dict)]
            yield name, {**image, "datasets": datasets, "axes": image.get("axes", []), "labels": labels}


def _ome(array: Any, axes: Sequence[dict[str, Any]], image: Mapping[str, Any]) -> _Found | None:
    names = [str(axis.get("name", "")) for axis in axes] or list("tczyx")[-array.ndim :]
    if len(names) != array.ndim or "y" not in names or "x" not in names:
        return None
    y, x = names.index("y"), names.index("x")
    channel = [n for n, axis in enumerate(axes) if axis.get("type") == "channel" or names[n] == "c"]
    long = [n for n, length in enumerate(array.shape) if length > 1 and n not in (y, x)]
    if len(long) > 1:
        return None
    bands = long[0] if long else channel[0] if channel else None
    if bands is None:
        return None
    kept = tuple(sorted((bands, y, x)))
    scale = _scale(image, array.ndim)
    units = {str(axes[n].get("unit", "")) for n in (y, x)} if axes else set()
    unit = units.pop() if len(units) == 1 else ""
    pixel = _pixel(scale[y], scale[x], unit) if scale else Spatial()
    return _Found(array, kept, tuple(names[n] for n in kept), kept.index(bands), pixel, image.get("labels", []))


def _scale(image: Mapping[str, Any], ndim: int) -> list[float]:
    """Scale of the full size, times that of the whole image; empty where there is none."""
    product, given = np.ones(ndim), False
    for holder in (image["datasets"][0], image):
        for step in holder.get("coordinateTransformations", []) or []:
            scale = step.get("scale") if isinstance(step, dict) and step.get("type") == "scale" else None
            if isinstance(scale, list) and len(scale) == ndim and all(type(v) in (int, float) for v in scale):
                product, given = product * np.array(scale, np.float64), True
    return product.tolist() if given else []


def _pixel(height: float, width: float, unit: str) -> Spatial:
    short = {"micrometer": "um", "micrometre": "um", "micron": "um", "µm": "um", "millimeter": "mm", "nanometer": "nm",
             "meter": "m", "metre": "m", "centimeter": "cm", "arcsecond": "arcsec", "degree": "deg"}  # fmt: skip
    unit = short.get(unit.lower(), unit)
    right = np.isfinite([height, width]).all() and height > 0 and width > 0
    return Spatial((float(height), float(width)), unit) if right and unit else Spatial()


def _plain_array(array: Any, axes: tuple[int, ...]) -> _Found:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    names = tuple(str(name or "") for name in names) if isinstance(names, list | tuple) else ()
    if len(names) != array.ndim:
        return _Found(array, axes)
    kept = tuple(names[n] for n in axes)
    bands = [n for n, name in enumerate(kept) if is_axis_word(name) or name.lower() in _BAND_DIMENSIONS]
    others = [n for n, name in enumerate(kept) if name.lower() not in _IMAGE_DIMENSIONS]
    spectral = bands[0] if len(bands) == 1 else others[0] if len(others) == 1 else None
    return _Found(array, axes, kept, spectral)


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """All three axes, or those longer than one of an array that has more."""
    return (0, 1, 2) if len(shape) == 3 else tuple(n for n, length in enumerate(shape) if length > 1)


def _vector(path: Path, name: str, array: Any, lengths: set[int]) -> Vector | None:
    if array.ndim != 1 or not 1 < array.size <= 1_000_000 or array.size not in lengths:
        return None
    attributes, array = array.attrs, _checked(path, array)
    unit = str(attributes.get("units", attributes.get("unit", "")))
    return Vector(name, np.asarray(array[:], np.float64), unit, str(attributes.get("medium", "")))


def _nearest(vectors: Sequence[Vector], dataset: str, one: _Found, bands: int) -> list[Vector]:
    """Vectors of the cube's own group first; where one has the name of the spectral dimension, it alone."""
    group = dataset.rpartition("/")[0]
    near = sorted(vectors, key=lambda v: v.name.rpartition("/")[0] != group)
    name = dict(zip(one.axes, one.dimensions, strict=True)).get(bands) if one.dimensions else None
    own = [v for v in near if v.name.rpartition("/")[2] == name]
    return [replace(own[0], known=True)] if own else near


def _grid(vectors: Sequence[Vector], one: _Found, y: int, x: int) -> Spatial:
    """Pixel size from evenly spaced coordinates of the image's dimensions."""
    names = dict(zip(one.axes, one.dimensions, strict=True)) if one.dimensions else {}
    sizes, units = [], set()
    for axis in (y, x):
        fitting = [v for v in vectors if names and v.name.rpartition("/")[2] == names[axis]]
        steps = np.diff(fitting[0].values) if fitting else np.array([])
        if not steps.size or not np.isfinite(steps).all() or not np.allclose(steps, steps[0], rtol=1e-3):
            return Spatial()
        sizes.append(abs(float(steps[0])))
        units.add(fitting[0].unit)
    return _pixel(sizes[0], sizes[1], units.pop()) if len(units) == 1 else Spatial()


# what a store may not do


def _checked(path: Path, array: Any) -> Any:
    """The array, its chunks unpacked with care; codecs that could run code and wrong sizes are refused."""
    from cubeseg.io.zarr_guard import PACKERS, guarded

    codecs = [codec.removeprefix("numcodecs.").lower() for codec in _codecs(array.metadata.to_dict())]
    for codec in codecs:
        if codec not in _CODECS:
            raise DataError(
                f"{path}: '{array.path}' is packed with {codec[:80]}, which cubeseg does not read; save it with zstd"
            )
    packers = [codec for codec in codecs if codec in PACKERS]
    if len(packers) > 1:
        raise DataError(f"{path}: '{array.path}' is packed {len(packers)} times over; save it with zstd alone")
    item = np.dtype(array.dtype).itemsize
    claimed = int(np.prod(array.shape, dtype=np.float64)) * item
    if claimed > 1 << 40:
        check_claim(str(path), _stored(path), claimed)
    chunk = int(np.prod(array.chunks, dtype=np.float64)) * item
    check_memory(str(path), chunk)
    if claimed > _MOST_CHUNKS * chunk:
        raise DataError(
            f"{path}: '{array.path}' is cut into {claimed // chunk:,} chunks of {chunk} bytes, which takes too long to "
            "read; save it in larger chunks"
        )
    return guarded(array, packers[0] if packers else "", str(path))


def _codecs(metadata: Any) -> Iterator[str]:
    """Names of all codecs in the metadata of an array, those inside shards too."""
    for key in ("codecs", "index_codecs", "filters", "compressor"):
        listed = metadata.get(key) or ()
        for codec in [listed] if isinstance(listed, Mapping) else listed:
            plain = codec if isinstance(codec, Mapping) else codec.get_config() if hasattr(codec, "get_config") else {}
            yield str(plain.get("name", plain.get("id", type(codec).__name__)))
            if isinstance(plain.get("configuration"), Mapping):
                yield from _codecs(plain["configuration"])


def _stored(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


def _probe(path: Path, array: Any) -> None:
    """A codec that is not installed is said now, not when the first pixel is read."""
    try:
        _ = array[(0,) * array.ndim]
    except (ImportError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise DataError(f"{path}: '{array.path}' cannot be unpacked ({reason})") from error
