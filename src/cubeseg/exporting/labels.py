"""The label image, pixel by pixel: TIFF, indexed PNG, ENVI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube
from cubeseg.errors import DataError
from cubeseg.exporting.base import Format
from cubeseg.files import written
from cubeseg.segmentation import Segmentation

__all__ = ["FORMATS", "coloured", "palette", "write_envi", "write_png", "write_tiff"]

_METRIC = {"nm": 1e-7, "um": 1e-4, "µm": 1e-4, "mm": 0.1, "cm": 1.0, "m": 100.0}


def palette(result: Segmentation, size: int) -> NDArray[np.uint8]:
    """Red, green and blue (size, 3) of every label; black where there is no class, white for 0."""
    colours = np.zeros((size, 3), np.uint8)
    colours[0] = 255
    for c in result.classes:
        colours[c.id] = [int(c.colour[at : at + 2], 16) for at in (1, 3, 5)]
    return colours


def coloured(result: Segmentation) -> NDArray[np.uint8]:
    """The map (y, x, 3) in the colours of its classes; white where there is none."""
    return palette(result, max([int(result.labels.max(initial=0)), *(c.id for c in result.classes)]) + 1)[result.labels]


def write_tiff(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """OME-TIFF of unsigned integers, with the colours as its palette; names and colours also among its annotations.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    import tifffile

    labels, spatial = _unsigned(result), result.spatial
    metadata: dict[str, Any] = {
        "axes": "YX",
        "Name": result.source.name,
        "MapAnnotation": {
            f"class {c.id}": json.dumps({"name": c.name, "colour": c.colour, "note": c.note}) for c in result.classes
        },
    }
    keywords: dict[str, Any] = {"photometric": "minisblack"}
    if labels.dtype.itemsize < 4:
        size = 256**labels.dtype.itemsize
        keywords = {"photometric": "palette", "colormap": (palette(result, size).T.astype(np.uint16) * 257)}
    if spatial.unit in _METRIC:
        height, width = (size * _METRIC[spatial.unit] for size in spatial.pixel_size)
        keywords |= {"resolution": (1 / width, 1 / height), "resolutionunit": "CENTIMETER"}
        unit = "µm" if spatial.unit == "um" else spatial.unit
        metadata |= {"PhysicalSizeX": spatial.pixel_size[1], "PhysicalSizeXUnit": unit}
        metadata |= {"PhysicalSizeY": spatial.pixel_size[0], "PhysicalSizeYUnit": unit}
    with written(path) as temporary:
        tifffile.imwrite(
            temporary, labels, compression="zlib", ome=True, metadata=metadata, software="napari-cubeseg", **keywords
        )


def write_png(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """Indexed PNG: the value of a pixel is its label, the palette has the colours; names are in its text.

    Raises
    ------
    DataError
        If there are labels above 255, or the file cannot be written.
    """
    from PIL import Image, PngImagePlugin

    labels = _unsigned(result)
    if labels.dtype != np.uint8:
        raise DataError(f"{path}: an indexed PNG holds labels up to 255, not {int(labels.max())}; take TIFF")
    image = Image.fromarray(labels, mode="P")
    image.putpalette(palette(result, 256).tobytes())
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Classes", json.dumps({c.id: {"name": c.name, "colour": c.colour} for c in result.classes}))
    text.add_text("Software", "napari-cubeseg")
    with written(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=text, optimize=True)


def write_envi(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """ENVI classification: a header with names and colours, and beside it the labels as plain numbers (.img).

    Raises
    ------
    DataError
        If the files cannot be written.
    """
    labels, spatial = _unsigned(result), result.spatial
    if labels.dtype == np.uint32:
        raise DataError(f"{path}: an ENVI classification holds labels up to 65535; take TIFF")
    largest = max([int(labels.max(initial=0)), *(c.id for c in result.classes)])
    names = {c.id: c.name for c in result.classes}
    listed = ["Unclassified", *(_safe(names.get(i, f"no class {i}")) for i in range(1, largest + 1))]
    colours = palette(result, largest + 1)
    colours[0] = 0
    lines = [
        "ENVI",
        f"description = {{classes of {_safe(result.source.name)}, napari-cubeseg}}",
        f"samples = {labels.shape[1]}",
        f"lines = {labels.shape[0]}",
        "bands = 1",
        "header offset = 0",
        "file type = ENVI Classification",
        f"data type = {1 if labels.dtype == np.uint8 else 12}",
        "interleave = bsq",
        "byte order = 0",
        f"classes = {largest + 1}",
        f"class names = {{{', '.join(listed)}}}",
        f"class lookup = {{{', '.join(str(v) for v in colours.ravel())}}}",
        "band names = {classes}",
    ]
    if spatial.unit != "pixel":
        height, width = spatial.pixel_size
        lines.append(f"map info = {{Arbitrary, 1, 1, 0, 0, {width:g}, {height:g}, 0, units={_safe(spatial.unit)}}}")
    header = Path(path)
    # the numbers first: a header without them would be worse than numbers without a header
    with written(header.with_suffix(".img")) as temporary:
        labels.astype(labels.dtype.newbyteorder("<")).tofile(temporary)
    with written(header) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _unsigned(result: Segmentation) -> NDArray[Any]:
    largest = max([int(result.labels.max(initial=0)), *(c.id for c in result.classes)])
    return result.labels.astype(np.uint8 if largest < 256 else np.uint16 if largest < 65536 else np.uint32)


def _safe(text: str) -> str:
    """Without what has a meaning in the header."""
    return " ".join("".join(" " if c in "{},=" else c for c in text).split()) or "-"


def _size(result: Segmentation) -> int:
    return result.labels.size


FORMATS = (
    Format(
        "tiff", "Labels, TIFF", "One number per pixel: the class; 0 = not assigned. Colours and names are in the file",
        "{stem}-labels.tif", write_tiff, lambda result: result.labels.size // 8 + 400_000, usual=True,
    ),
    Format(
        "png", "Labels, PNG", "One number per pixel, in the classes' colours", "{stem}-labels.png", write_png,
        lambda result: result.labels.size // 6, usual=True,
    ),
    Format(
        "envi", "Labels, ENVI", "ENVI classification, for ENVI, QGIS and Spectral Python", "{stem}-labels.hdr",
        write_envi, _size,
    ),
)  # fmt: skip
