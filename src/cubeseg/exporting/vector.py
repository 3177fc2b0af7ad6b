"""Outlines of the classes for programs that work with vectors: GeoJSON, SVG, regions of SAOImage DS9."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube
from cubeseg.exporting.base import Format
from cubeseg.exporting.outlines import Coordinates, Polygon, coordinates_of, outlines, placed
from cubeseg.files import written
from cubeseg.segmentation import ClassInfo, Segmentation

__all__ = ["FORMATS", "write_ds9", "write_geojson", "write_svg"]


def write_geojson(
    result: Segmentation, path: str | Path, cube: Cube | None = None, coordinates: Coordinates = "auto"
) -> None:
    """One MultiPolygon per class, with id, name, colour, note, pixels and area.

    Coordinates are x and y in the unit of the image where that is known, right ascension and declination in degrees
    where its place on the sky is (which RFC 7946, made for maps of the Earth, does not provide for), pixels otherwise;
    the member ``coordinates`` of the collection says which.

    Raises
    ------
    ConfigError
        If the image has no such coordinates.
    DataError
        If the file cannot be written.
    """
    which = coordinates_of(result.spatial, coordinates)
    digits = 9 if which == "sky" else 6
    features = []
    rows = {row["id"]: row for row in result.table()}
    for info, polygons in _classes(result):
        places = [[_listed(placed(ring, result.spatial, which), digits) for ring in polygon] for polygon in polygons]
        row = rows[info.id]
        features.append({
            "type": "Feature",
            "id": info.id,
            "properties": {
                "id": info.id, "name": info.name, "colour": info.colour, "fill": info.colour, "note": info.note,
                "pixels": row["pixels"], "area": row["area"], "confidence": _finite(row["confidence"]),
            },
            "geometry": {"type": "MultiPolygon", "coordinates": places},
        })  # fmt: skip
    unit = {"pixel": "pixel", "sky": "deg"}.get(which, result.spatial.unit)
    made = {
        "type": "FeatureCollection",
        "name": result.source.name,
        "coordinates": which,
        "unit": unit,
        "features": features,
    }
    with written(path) as temporary:
        temporary.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")


def write_svg(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """One path per class in its colour, named; a pixel of the image is a unit of the drawing.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    height, width = result.labels.shape
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{_text(result.source.name)}</title>",
    ]
    for info, polygons in _classes(result):
        # corners, not centres, are whole numbers here
        rings = [
            "M" + "L".join(f"{x:g} {y:g}" for x, y in ring[:-1] + 0.5) + "Z" for polygon in polygons for ring in polygon
        ]
        lines.append(
            f'<path id="class-{info.id}" fill="{info.colour}" fill-rule="evenodd" d="{"".join(rings)}">'
            f"<title>{_text(info.name)}</title></path>"
        )
    lines.append("</svg>\n")
    with written(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def write_ds9(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """Polygons in image coordinates (the centre of the first pixel is 1, 1); holes are regions that are left out.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    lines = ["# Region file format: DS9 version 4.1", f"# classes of {_one_line(result.source.name)}", "image"]
    for info, polygons in _classes(result):
        name = _one_line(info.name).replace("{", "(").replace("}", ")")
        for polygon in polygons:
            for number, ring in enumerate(polygon):
                points = ",".join(f"{value:g}" for value in (ring[:-1] + 1).ravel())
                sign = "-" if number else ""
                lines.append(f"{sign}polygon({points}) # color={info.colour} text={{{name}}} tag={{class {info.id}}}")
    with written(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _classes(result: Segmentation) -> Iterator[tuple[ClassInfo, list[Polygon]]]:
    for info in result.classes:
        yield info, outlines(result.labels == info.id)


def _listed(ring: NDArray[np.float64], digits: int) -> list[list[float]]:
    return [list(point) for point in np.round(ring, digits).tolist()]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _text(text: str) -> str:
    return quoteattr(_one_line(text))[1:-1].replace("'", "&apos;")


def _size(result: Segmentation) -> int:
    # asked at every key stroke: some rows tell enough
    step = max(1, result.labels.size // 250_000)
    rows = result.labels[::step]
    corners = 2 * step * int((rows[:, 1:] != rows[:, :-1]).sum())
    return 30 * corners + 300 * len(result.classes)


FORMATS = (
    Format(
        "geojson", "Outlines, GeoJSON", "A polygon around every region, in the image's own coordinates",
        "{stem}-outlines.geojson", write_geojson, _size,
    ),
    Format(
        "svg", "Outlines, SVG", "The outlines of the classes for drawing programs", "{stem}-outlines.svg",
        write_svg, _size,
    ),
    Format(
        "ds9", "Regions, DS9", "A polygon around every region, for SAOImage DS9", "{stem}-classes.reg",
        write_ds9, _size,
    ),
)  # fmt: skip
