"""What unmixing found: abundances as a stack of images, components as a table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from cubeseg.cube import Cube
from cubeseg.errors import ConfigError
from cubeseg.exporting.base import Format
from cubeseg.files import written
from cubeseg.segmentation import ClassInfo, Segmentation
from cubeseg.unmixing.unmixed import Unmixed

__all__ = ["FORMATS", "write_abundances", "write_components"]


def write_abundances(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """Abundances as a stack of float32 images, one for each component; their names as JSON in the description.

    Raises
    ------
    ConfigError
        If the result has none.
    DataError
        If the file cannot be written.
    """
    import tifffile

    found, classes = _components(result)
    table = {"components": [{"id": c.id, "name": c.name, "colour": c.colour} for c in classes]}
    with written(path) as temporary:
        tifffile.imwrite(
            temporary, found.abundances, compression="zlib", description=json.dumps(table),
            photometric="minisblack", metadata=None, software="napari-cubeseg",
        )  # fmt: skip


def write_components(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """Component spectra, one row per component and band: component, name, axis value, axis unit, value, spread.

    Raises
    ------
    ConfigError
        If the result has none.
    DataError
        If the file cannot be written.
    """
    found, classes = _components(result)
    with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["component", "name", "colour", "axis", "value", "unit", "component value", "spread"])
        for c, values, spread in zip(classes, found.components, found.spread, strict=True):
            for at, value, width in zip(result.axis.values, values, spread, strict=True):
                out.writerow([
                    c.id, c.name, c.colour, result.axis.name, f"{at:.10g}", result.axis.unit,
                    f"{value:.7g}", f"{width:.7g}",
                ])  # fmt: skip


def _components(result: Segmentation) -> tuple[Unmixed, list[ClassInfo]]:
    found = result.components
    if found is None:
        raise ConfigError("this result has no components and abundances; segment the cube with the method unmix")
    return found


def _size(result: Segmentation) -> int:
    return 0 if result.components is None else int(0.7 * result.components[0].abundances.nbytes)


FORMATS = (
    Format(
        "abundances", "Abundances, TIFF", "A stack, one image per component; after unmixing", "{stem}-abundances.tif",
        write_abundances, _size, unmixed=True,
    ),
    Format(
        "components", "Components, CSV", "Component spectra with their spread; after unmixing",
        "{stem}-components.csv", write_components, lambda result: 90 * len(result.classes) * len(result.axis),
        unmixed=True,
    ),
)  # fmt: skip
