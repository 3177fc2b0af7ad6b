"""Class spectra and the table of the classes as text."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.cube import Cube
from cubeseg.exporting.base import Format
from cubeseg.files import written
from cubeseg.maps.quantiles import Quantiles, class_quantiles
from cubeseg.segmentation import Segmentation
from cubeseg.steps import finish

__all__ = ["FORMATS", "write_classes", "write_csv", "write_ecsv"]


def write_csv(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """Class spectra, one row per class and band.

    Columns: class, name, colour, axis, value, unit, mean, std, n (pixels); with the cube also median, p16 and p84 (of
    at most 400 pixels of the class, chosen at random).

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    quantiles = _quantiles(result, cube)
    further = ["median", "p16", "p84"] if quantiles else []
    with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["class", "name", "colour", "axis", "value", "unit", "mean", "std", "n", *further])
        for c in result.classes:
            mean, std, n = result.spectra.mean(c.id), result.spectra.std(c.id), result.spectra.n[c.id]
            found = quantiles.get(c.id)
            for band, value in enumerate(result.axis.values):
                more = [] if found is None else [f"{v[band]:.7g}" for v in (found.median, found.low, found.high)]
                out.writerow([
                    c.id, c.name, c.colour, result.axis.name, f"{value:.10g}", result.axis.unit,
                    f"{mean[band]:.7g}", f"{std[band]:.7g}", int(n), *(more or [""] * len(further)),
                ])  # fmt: skip


def write_ecsv(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """Class spectra as astropy's ECSV: one row per band, columns mean_1, std_1 ... with units and class names.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    from astropy.table import QTable

    table: Any = QTable()
    table["axis"] = _quantity(result.axis.values, result.axis.unit)
    table["axis"].info.description = result.axis.label
    quantiles = _quantiles(result, cube)
    for c in result.classes:
        columns: dict[str, Any] = {"mean": result.spectra.mean(c.id), "std": result.spectra.std(c.id)}
        if c.id in quantiles:
            found = quantiles[c.id]
            columns |= {"median": found.median, "p16": found.low, "p84": found.high}
        for name, values in columns.items():
            table[f"{name}_{c.id}"] = _quantity(np.asarray(values, np.float64), result.unit)
            table[f"{name}_{c.id}"].info.description = f"{name} of {c.name}"
    table.meta = {
        "source": result.source.name,
        "classes": [
            {"id": c.id, "name": c.name, "colour": c.colour, "pixels": int(result.spectra.n[c.id])}
            for c in result.classes
        ],
    }
    with written(path) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)


def write_classes(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """The table of the classes: id, name, colour, pixels, share, area, unit of the area, confidence, locked, note.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    unit = f"{result.spatial.unit}^2"
    with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        names = ["class", "name", "colour", "pixels", "share", "area", "area_unit", "confidence", "locked", "note"]
        out.writerow(names)
        for row in result.table():
            out.writerow([
                row["id"], row["name"], row["colour"], row["pixels"], f"{row['share']:.6g}", f"{row['area']:.8g}",
                unit, f"{row['confidence']:.6g}", int(row["locked"]), row["note"],
            ])  # fmt: skip


def _quantiles(result: Segmentation, cube: Cube | None) -> dict[int, Quantiles]:
    if cube is None:
        return {}
    found: dict[int, Quantiles] = finish(class_quantiles(cube, result.labels))
    return found


def _quantity(values: Any, unit: str) -> Any:
    """With its unit where astropy knows it."""
    from astropy import units

    try:
        return units.Quantity(values, units.Unit(unit) if unit else units.dimensionless_unscaled)
    except (ValueError, TypeError):
        return units.Quantity(values)


FORMATS = (
    Format(
        "csv", "Spectra, CSV", "Mean, standard deviation, percentiles and number of pixels of every class",
        "{stem}-spectra.csv", write_csv, lambda result: 110 * len(result.classes) * len(result.axis), usual=True,
    ),
    Format(
        "ecsv", "Spectra, ECSV", "The same with units, as astropy reads and writes it", "{stem}-spectra.ecsv",
        write_ecsv, lambda result: 90 * len(result.classes) * len(result.axis),
    ),
    Format(
        "classes", "Class table, CSV", "Names, pixels, areas, confidence, notes", "{stem}-classes.csv", write_classes,
        lambda result: 120 * len(result.classes),
    ),
)  # fmt: skip
