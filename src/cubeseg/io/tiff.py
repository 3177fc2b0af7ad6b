"""TIFF: stacks of pages, samples per pixel, ImageJ, OME-TIFF and GeoTIFF; mapped where uncompressed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, LazyArray, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.band_names import axis_of_names, short_names
from cubeseg.io.layout import Vector, check_size, choose, guess_axis, make_axis, spatial_order, vectors_of
from cubeseg.io.lazy import AxisView
from cubeseg.io.registry import Candidate, ChoiceNeeded, ReadOptions, reader
from cubeseg.io.tiff_segments import Segments, check_pages, opened

__all__: list[str] = []

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
# photometric interpretations of colour: RGB, CMYK, YCbCr, CIELab, ICCLab, ITULab
_COLOUR = (2, 5, 6, 8, 9, 10)
_PAGES_READ_FOR_NAMES = 4096


@dataclass(frozen=True, eq=False)
class _Stack:
    """A series of the file that can be a cube: its name, stored shape and which of the three axes has the bands."""

    name: str
    series: Any
    shape: tuple[int, ...]
    spectral: int
    letter: str


@reader("TIFF", (".tif", ".tiff", ".btf"), lambda path, head: head.startswith(MAGIC), generic=True)
def read_tiff(path: Path, options: ReadOptions) -> Cube:
    """The stack of a TIFF file, one page, channel or sample per band."""
    with opened(path) as file:
        return _cube(path, file, options)


def _cube(path: Path, file: Any, options: ReadOptions) -> Cube:
    ome = _ome(path, file)
    stacks = _stacks(path, file)
    found, stack = _chosen(path, stacks, options)
    assert found.spectral_axis is not None
    data = _data(path, file, stack, found.spectral_axis)
    n_bands = data.shape[0]
    written = _written_metadata(file)
    axis, notes = make_axis(n_bands, _vectors(written, n_bands), options.axis)
    if not axis.calibrated and found.spectral_axis == stack.spectral:
        axis, more = _named(file, stack, ome, n_bands)
        notes |= more
    return Cube(
        data,
        axis,
        spatial=_spatial(file, stack, ome),
        source=Source(str(path), "TIFF", found.dataset, found.spectral_axis),
        metadata=_metadata(file) | notes,
    )


def _axes(series: Any) -> tuple[str, tuple[int, ...]]:
    """Names and lengths of all axes of a series, those of length one included."""
    # older versions of tifffile leave those out of `axes`, newer ones know no other
    if hasattr(series, "get_axes"):
        return series.get_axes(False), series.get_shape(False)
    return series.axes, series.shape


def _stacks(path: Path, file: Any) -> list[_Stack]:
    """All series with one axis besides the image; a file without any is refused for what it is."""
    stacks: list[_Stack] = []
    others: list[str] = []
    for number, series in enumerate(file.series):
        key = series.keyframe
        if key is None or series.dtype is None or key.is_reduced or key.is_mask:
            continue
        axes, shape = _axes(series)
        lengths = dict(zip(axes, shape, strict=True))
        size = f"{lengths.get('Y', 1)} x {lengths.get('X', 1)}"
        long = [
            n for n, (letter, length) in enumerate(zip(axes, shape, strict=True)) if letter not in "YX" and length > 1
        ]
        if "S" in axes and int(key.photometric) in _COLOUR and 1 < lengths["S"] <= 4:
            others.append(f"is a colour picture ({size}), not a datacube")
        elif "X" not in axes or "Y" not in axes:
            others.append(f"holds an array with the axes {axes}, not images")
        elif not long:
            others.append(_single(file, size))
        elif len(long) > 1:
            said = " and ".join(f"{shape[n]} along {axes[n]}" for n in long)
            others.append(f"has {len(long)} axes besides the image ({said}); save one stack with the bands alone")
        else:
            kept = sorted([long[0], axes.index("Y"), axes.index("X")])
            name = series.name or f"series {number}"
            if any(stack.name == name for stack in stacks):
                name = f"{name} {number}"
            stored = tuple(int(shape[n]) for n in kept)
            stacks.append(_Stack(name, series, stored, kept.index(long[0]), axes[long[0]]))
    if not stacks:
        raise DataError(f"{path}: {others[0] if others else 'holds no image'}")
    return stacks


def _single(file: Any, size: str) -> str:
    """Why a file of one image is no cube."""
    page = file.pages[0]
    if "napari-cubeseg" in str(page.software):
        return f"is a label image ({size}), not a datacube; open the cube that it was made from"
    return f"is a single picture ({size}), not a datacube; a folder of such pictures, one per band, can be opened"


def _chosen(path: Path, stacks: Sequence[_Stack], options: ReadOptions) -> tuple[Candidate, _Stack]:
    found = [(stack.name, stack.shape, stack.series.dtype) for stack in stacks]
    chosen = choose(str(path), found, [], options, {stack.name: stack.spectral for stack in stacks})
    stack = next(stack for stack in stacks if stack.name == chosen.dataset)
    # a NumPy array written without axes (Q) may have its bands last: pages are then rows of the image
    guessed = guess_axis("", stack.shape, [])
    if stack.letter == "Q" and options.spectral_axis is None and guessed not in (None, stack.spectral):
        size = " x ".join(map(str, stack.shape))
        asked = Candidate(stack.name, stack.shape, str(stack.series.dtype), None)
        raise ChoiceNeeded(
            f"{path}: nothing tells which axis of the array ({size}) is spectral; "
            "say it with --spectral-axis 0, 1 or 2", str(path), (asked,),
        )  # fmt: skip
    return chosen, stack


def _data(path: Path, file: Any, stack: _Stack, spectral: int) -> LazyArray:
    order, series = spatial_order(spectral), stack.series
    offset = series.dataoffset
    if offset is not None and not series.is_multifile:
        dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
        size = int(np.prod(stack.shape, dtype=np.float64)) * dtype.itemsize
        check_size(str(path), path.stat().st_size, offset + size)
        return np.memmap(path, dtype, "r", offset, stack.shape).transpose(order)
    segments = Segments(str(path), list(series.pages))
    bands = [n for n in (0, 1, 2, 5) if segments.shape[n] > 1]
    kept = sorted([*bands, 3, 4])
    if tuple(segments.shape[n] for n in kept) != stack.shape:
        raise DataError(
            f"{path}: its pages do not make up the array of {' x '.join(map(str, stack.shape))} it describes"
        )
    return AxisView(segments, (kept[order[0]], kept[order[1]], kept[order[2]]), name=str(path))


# names and values of bands


def _named(file: Any, stack: _Stack, ome: Any, n_bands: int) -> tuple[SpectralAxis, dict[str, Any]]:
    if ome is not None:
        return _ome_axis(ome, n_bands)
    names = _imagej_labels(file, n_bands) or _gdal_names(file, n_bands) or _page_names(stack, n_bands)
    return axis_of_names(names, n_bands)


def _imagej_labels(file: Any, n_bands: int) -> list[str]:
    labels = (file.imagej_metadata or {}).get("Labels", []) if file.is_imagej else []
    labels = [labels] if isinstance(labels, str) else [str(label) for label in labels]
    return labels if len(labels) == n_bands else []


def _gdal_names(file: Any, n_bands: int) -> list[str]:
    """Descriptions of bands as GDAL writes them, its item 'wavelength' with 'wavelength_units' before them."""
    text = file.pages[0].tags.valueof(42112)
    root = _xml(text) if text else None
    if root is None:
        return []
    items: dict[str, dict[int, str]] = {}
    for item in root.iter("Item"):
        number = item.get("sample", "")
        if re.fullmatch(r"\d{1,9}", number):
            items.setdefault(item.get("name", "").lower(), {})[int(number)] = (item.text or "").strip()
    units = items.get("wavelength_units", {})
    waves = {n: f"{wave} {units.get(n, '')}".strip() for n, wave in items.get("wavelength", {}).items()}
    for names in (waves if units else {}, items.get("description", {})):
        if set(names) == set(range(n_bands)):
            return [names[n] for n in range(n_bands)]
    return []


def _page_names(stack: _Stack, n_bands: int) -> list[str]:
    """PageName or ImageDescription of every page, where they differ."""
    pages = stack.series.pages
    # virtual pages have no tags of their own
    if (
        len(pages) != n_bands
        or n_bands > _PAGES_READ_FOR_NAMES
        or any(page is None or page.is_virtual for page in pages)
    ):
        return []
    for tag in (285, 270):
        names = []
        for page in pages:
            name = page.aspage().tags.valueof(tag)
            if not isinstance(name, str) or len(name) > 200:
                break
            names.append(name.strip("\x00 \r\n"))
        if len(names) == n_bands and len(set(names)) == n_bands:
            return short_names(names)
    return []


def _vectors(written: Mapping[str, Any], n_bands: int) -> list[Vector]:
    """Lists of numbers among the metadata that tifffile writes, ``{"wavelength": [...], "wavelength_unit": "nm"}``."""
    lists = {
        name: np.asarray(value, dtype=np.float64)
        for name, value in written.items()
        if isinstance(value, list) and len(value) == n_bands and all(type(v) in (int, float) for v in value)
    }
    units = {name: written.get(f"{name}_unit", written.get(f"{name}_units", "")) for name in lists}
    return [Vector(v.name, v.values, str(units[v.name])) for v in vectors_of(lists)]


# OME


def _ome(path: Path, file: Any) -> Any:
    """The OME description as XML, without namespaces; None where there is none."""
    if not file.is_ome or (root := _xml(file.ome_metadata)) is None:
        return None
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
        name = element.get("FileName", "")
        # tifffile would open the other files of the set
        if element.tag == "UUID" and (Path(name).name != name or "\\" in name or name == ".."):
            raise DataError(
                f"{path}: its OME metadata name the file '{name[:80]}' in another folder; put the set into one"
            )
        beside = path.parent / name
        if element.tag == "UUID" and name and beside.exists():
            if not beside.is_file():
                raise DataError(f"{path}: its OME metadata name '{name[:80]}', which is no file")
            check_pages(beside)
    return root


def _xml(text: Any) -> Any:
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, TypeError):
        return None


def _ome_axis(root: Any, n_bands: int) -> tuple[SpectralAxis, dict[str, Any]]:
    """From the channels' emission wavelengths, else their names, else a lambda modulo."""
    for pixels in root.iter("Pixels"):
        channels = list(pixels.iter("Channel"))
        if len(channels) != n_bands:
            continue
        units = {channel.get("EmissionWavelengthUnit", "nm") for channel in channels}
        values = [_number(channel.get("EmissionWavelength")) for channel in channels]
        if None not in values and len(units) == 1:
            try:
                axis = SpectralAxis.from_values([v for v in values if v is not None], units.pop())
                return axis, {"axis_from": "EmissionWavelength of the OME channels"}
            except DataError as error:
                return SpectralAxis.channels(n_bands), {"axis_rejected": str(error)}
        names = [channel.get("Name", "") for channel in channels]
        if any(names):
            return axis_of_names(names, n_bands)
    for modulo in root.iter():
        if modulo.tag.startswith("ModuloAlong") and modulo.get("Type", modulo.get("type", "")).lower() == "lambda":
            start, step = _number(modulo.get("Start")), _number(modulo.get("Step", "1"))
            if start is not None and step:
                values_there = start + step * np.arange(n_bands)
                return SpectralAxis.from_values(values_there, modulo.get("Unit", "nm")), {"axis_from": modulo.tag}
    return SpectralAxis.channels(n_bands), {}


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


# size of pixels


def _spatial(file: Any, stack: _Stack, ome: Any) -> Spatial:
    for pixels in ome.iter("Pixels") if ome is not None else ():
        sizes = [_number(pixels.get(f"PhysicalSize{axis}")) for axis in "YX"]
        unit = pixels.get("PhysicalSizeYUnit", "µm")
        if unit == pixels.get("PhysicalSizeXUnit", "µm"):
            return _sized(sizes, unit)
    page = stack.series.keyframe
    if (scale := page.tags.valueof(33550)) is not None and np.size(scale) >= 2:
        kind = int((page.geotiff_tags or {}).get("GTModelTypeGeoKey", 0))
        return _sized([float(scale[1]), float(scale[0])], {1: "m", 2: "deg"}.get(kind, ""))
    per_unit = [_ratio(page.tags.valueof(tag)) for tag in (283, 282)]
    sizes = [1 / r if r else None for r in per_unit]
    if file.is_imagej:
        return _sized(sizes, str((file.imagej_metadata or {}).get("unit", "")))
    unit_number = int(page.tags.valueof(296, 2))
    # 72 and 96 dots per inch are what software writes that does not know
    if unit_number == 2 and per_unit[0] not in (72, 96, 1):
        return _sized([25.4 * s if s else None for s in sizes], "mm")
    return _sized([10 * s if s else None for s in sizes], "mm") if unit_number == 3 else Spatial()


def _sized(sizes: Sequence[float | None], unit: str) -> Spatial:
    unit = unit.replace("\\u00B5", "µ").strip()
    unit = {"µm": "um", "μm": "um", "micron": "um", "microns": "um", "inch": "in"}.get(unit, unit)
    height, width = sizes
    if not height or not width or height < 0 or width < 0 or unit in ("", "pixel", "pixels"):
        return Spatial()
    return Spatial((height, width), unit)


def _ratio(value: Any) -> float:
    try:
        above, below = value
        return float(above) / float(below)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0


# metadata


def _written_metadata(file: Any) -> dict[str, Any]:
    """What tifffile wrote into the description of the first page."""
    text = file.pages[0].description
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _metadata(file: Any) -> dict[str, Any]:
    page, kept = file.pages[0], {}
    for tag, name in ((270, "ImageDescription"), (271, "Make"), (272, "Model"), (305, "Software"), (306, "DateTime")):
        value = page.tags.valueof(tag)
        if isinstance(value, str) and value:
            kept[name] = value[:100_000]
    ignored = _number(str(page.tags.valueof(42113, "")).strip("\x00 "))
    return kept | ({} if ignored is None else {"ignore_value": ignored})
