"""Pictures for people: the map with a scale bar, a legend and the spectra beside it; the map over the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from cubeseg.cube import Cube
from cubeseg.errors import DataError
from cubeseg.exporting.base import Format, Writer
from cubeseg.exporting.labels import coloured
from cubeseg.files import written
from cubeseg.maps.overview import overview
from cubeseg.segmentation import Segmentation
from cubeseg.steps import finish

__all__ = ["FORMATS", "figure", "scale_bar", "write_figure", "write_overlay"]

_NAMES = {"deg": "°", "arcsec": "″", "um": "µm"}
_THOUSAND = {"nm": "µm", "um": "mm", "µm": "mm", "mm": "m"}


def figure(result: Segmentation) -> Any:
    """A matplotlib figure: the map with a scale bar and a legend, and the class spectra.

    Parameters
    ----------
    result : Segmentation

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    labels = result.labels
    height, width = labels.shape
    tall = float(np.clip(5.5 * height / width, 2.6, 9.0))
    made = Figure(figsize=(12.0, tall + 0.5), layout="constrained")
    FigureCanvasAgg(made)
    left, right = made.subplots(1, 2, width_ratios=(1, 1))
    left.imshow(coloured(result), interpolation="nearest")
    left.set_axis_off()
    scale_bar(left, result)
    handles = [
        Patch(facecolor=row["colour"], edgecolor="0.4", label=f"{row['name']}  ({row['pixels']:,} px)")
        for row in result.table()
    ]
    if (labels == 0).any():
        handles.append(Patch(facecolor="white", edgecolor="0.4", label="not assigned"))
    left.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), frameon=False, fontsize=8,
        ncols=2 if len(handles) > 5 else 1,
    )  # fmt: skip
    values = result.axis.values
    for c in result.classes:
        mean = result.spectra.mean(c.id)
        if np.isfinite(mean).any():
            right.plot(values, mean, color=c.colour, linewidth=1.0)
            spread = result.spectra.std(c.id)
            right.fill_between(values, mean - spread, mean + spread, color=c.colour, alpha=0.12, linewidth=0)
    right.set_xlabel(result.axis.label)
    right.set_ylabel(f"Mean ({result.unit})" if result.unit else "Mean")
    right.margins(x=0)
    for side in ("top", "right"):
        right.spines[side].set_visible(False)
    return made


def write_figure(
    result: Segmentation, path: str | Path, cube: Cube | None = None, kind: Literal["png", "svg", "pdf"] = "png"
) -> None:
    """The figure as a picture or a drawing.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    made = figure(result)
    with written(path) as temporary:
        made.savefig(temporary, dpi=300, format=kind)


def write_overlay(result: Segmentation, path: str | Path, cube: Cube | None = None) -> None:
    """The classes over the sum of all bands, pixel by pixel.

    Raises
    ------
    DataError
        If the cube is not at hand or cannot be read, or the file cannot be written.
    """
    from PIL import Image

    if cube is None:
        raise DataError(f"{path}: an overlay shows the classes over the cube, which is not at hand; open it first")
    total = finish(overview(cube)).image
    finite = total[np.isfinite(total)]
    low, high = np.percentile(finite, (1, 99.5)) if finite.size else (0.0, 1.0)
    grey = np.clip((np.nan_to_num(total, nan=low) - low) / max(high - low, 1e-30), 0, 1)[..., None] * 255
    mixed = np.where(result.labels[..., None] > 0, 0.5 * grey + 0.5 * coloured(result), grey)
    with written(path) as temporary:
        Image.fromarray(mixed.astype(np.uint8)).save(temporary, format="PNG", optimize=True)


def scale_bar(axes: Any, result: Segmentation) -> None:
    """A bar of a round length, about a fifth of the map, where the size of a pixel is known."""
    spatial, width = result.spatial, result.labels.shape[1]
    if spatial.unit == "pixel" or not spatial.pixel_size[1] > 0:
        return
    from matplotlib.patheffects import withStroke

    wanted = 0.2 * width * spatial.pixel_size[1]
    power = 10.0 ** np.floor(np.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted * 1.0001)
    end = 0.04 * width + length / spatial.pixel_size[1]
    y = result.labels.shape[0] * 0.95
    edge = [withStroke(linewidth=4, foreground="white")]
    axes.plot([0.04 * width, end], [y, y], color="black", linewidth=2, path_effects=edge, solid_capstyle="butt")
    large = length >= 1000 and spatial.unit in _THOUSAND
    unit = _THOUSAND[spatial.unit] if large else _NAMES.get(spatial.unit, spatial.unit)
    text = f"{length / 1000 if large else length:g} {unit}"
    middle = (0.04 * width + end) / 2
    axes.text(middle, y, text, ha="center", va="bottom", fontsize=8, path_effects=edge)


def _as(kind: Literal["png", "svg", "pdf"]) -> Writer:
    return lambda result, path, cube: write_figure(result, path, cube, kind)


FORMATS = (
    Format(
        "figure", "Figure, PNG", "The map with scale bar and legend, the spectra beside it", "{stem}-figure.png",
        _as("png"), lambda result: 400_000, usual=True,
    ),
    Format(
        "figure-svg", "Figure, SVG", "The same as a drawing that can be edited", "{stem}-figure.svg", _as("svg"),
        lambda result: 300_000 + 40 * len(result.classes) * len(result.axis),
    ),
    Format(
        "figure-pdf", "Figure, PDF", "The same for print", "{stem}-figure.pdf", _as("pdf"),
        lambda result: 200_000 + 30 * len(result.classes) * len(result.axis),
    ),
    Format(
        "overlay", "Overlay, PNG", "The classes over the sum of all bands (reads the cube)", "{stem}-overlay.png",
        write_overlay, lambda result: result.labels.size * 2, cube=True,
    ),
)  # fmt: skip
