"""The report: one HTML file, readable without a network and on paper, that is filed with the object."""

from __future__ import annotations

import base64
import io
from collections.abc import Generator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cubeseg
from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from cubeseg.events import FitEvent
from cubeseg.explain import explain, prepare
from cubeseg.exporting.base import Format
from cubeseg.exporting.labels import coloured
from cubeseg.exporting.picture import scale_bar
from cubeseg.files import written
from cubeseg.segmentation import Segmentation
from cubeseg.steps import finish

__all__ = ["FORMATS", "write_report"]

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; } h3 { font-size: 1rem; }
p.under { color: #555; margin: 0; } figure { margin: 0 0 1rem; } figcaption { color: #555; font-size: .85rem; }
img, svg { max-width: 100%; height: auto; } img.map { width: 100%; image-rendering: pixelated; }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; } th { text-align: left; font-weight: 600; }
td, th { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: 1em; height: 1em; border: 1px solid #888; vertical-align: -.15em; }
.class { break-inside: avoid; border-top: 1px solid #ddd; padding-top: .6rem; }
ul { margin: .3rem 0; padding-left: 1.2rem; } code { font-size: .85em; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; } }
"""


def write_report(result: Segmentation, path: str | Path) -> Generator[FitEvent, None, Path]:
    """Write the report of a segmentation, step by step; nothing is written before the end.

    Maps, class table, spectra with what they suggest, how the number of classes was chosen, what was done by hand, and
    where it all comes from. The cube is not needed.

    Parameters
    ----------
    result : Segmentation
    path : path-like

    Yields
    ------
    FitEvent
        With the part of the work that is done.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    title = f"Classes of {result.source.name}"
    yield FitEvent("write", 0.0, "Drawing the maps")
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>',
        f"<h1>{escape(title)}</h1>",
        f'<p class="under">{escape(_summary(result))}</p>',
        _maps(result),
        _classes(result),
    ]
    yield FitEvent("write", 0.2, "Drawing the spectra")
    parts.append(_spectra(result))
    parts.append("<h2>What the spectra suggest</h2><p>Suggestions with their evidence, not an analysis.</p>")
    basis: Any = None
    yield FitEvent("write", 0.3, "Looking at the spectra of all classes")
    try:
        basis = prepare(result)
    except CubeSegError as error:
        parts.append(f"<p>{escape(str(error))}</p>")
    shown = [c for c in result.classes if result.pixels(c.id)]
    for number, info in enumerate(shown if basis is not None else []):
        yield FitEvent("write", 0.4 + 0.5 * number / len(shown), f"Looking at {info.name}")
        parts.append(_suggestions(result, info.id, basis))
    yield FitEvent("write", 0.95, "Writing the report")
    parts += [_choice(result), _operations(result), _provenance(result), "</body></html>\n"]
    target = Path(path)
    with written(target) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    return target


def _summary(result: Segmentation) -> str:
    height, width = result.labels.shape
    size = result.spatial.size_text((height, width))
    extent = f" ({size})" if size else ""
    free = int((result.labels == 0).sum())
    text = f"{len(result.classes)} classes, {width} × {height} pixels{extent}, {len(result.axis)} bands"
    return f"{text}; {free:,} pixels without a class" if free else text


def _maps(result: Segmentation) -> str:
    labels = coloured(result)
    error = result.reconstruction_error
    finite = error[np.isfinite(error)]
    top = max(float(np.quantile(finite, 0.995)), 2.0) if finite.size else 1.0
    figures = [
        _figure(labels, "The classes", result),
        _figure(_mapped(result.confidence, 1.0, "viridis"), "How sure each pixel is (dark: not, bright: sure)"),
        _figure(_mapped(error, top, "inferno"), "What the model leaves unexplained (dark: noise)"),
    ]
    if result.painted is not None and result.painted.any():
        painted = np.where(result.painted[..., None], labels, 235).astype(np.uint8)
        figures.append(_figure(painted, "What was painted by hand"))
    return f'<h2>Maps</h2><div class="maps">{"".join(figures)}</div>'


def _mapped(values: NDArray[np.float32], top: float, name: str) -> NDArray[np.uint8]:
    from matplotlib import colormaps

    shown = colormaps[name](np.clip(np.nan_to_num(values) / top, 0, 1))[..., :3]
    shown[~np.isfinite(values)] = 1.0
    return np.asarray(shown * 255, np.uint8)


def _figure(pixels: NDArray[np.uint8], caption: str, scaled: Segmentation | None = None) -> str:
    """A picture of pixels; with a segmentation, with a bar that tells its scale."""
    from PIL import Image

    buffer = io.BytesIO()
    if scaled is not None and scaled.spatial.unit != "pixel":
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        height, width = pixels.shape[:2]
        made = Figure(figsize=(5.0, 5.0 * height / width))
        FigureCanvasAgg(made)
        axes = made.add_axes((0, 0, 1, 1))
        axes.imshow(pixels, interpolation="nearest")
        axes.set_axis_off()
        scale_bar(axes, scaled)
        made.savefig(buffer, dpi=max(120, int(np.ceil(max(height, width) / 5.0))), format="png")
    else:
        Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    image = f'<img class="map" alt="{escape(caption)}" src="{_data(buffer, "png")}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _classes(result: Segmentation) -> str:
    rows = []
    for row in result.table():
        rows.append(
            f'<tr><td>{_swatch(row["colour"])} {escape(row["name"])}</td><td class="number">{row["pixels"]:,}</td>'
            f'<td class="number">{100 * row["share"]:.1f} %</td>'
            f'<td class="number">{escape(result.spatial.area_text(row["area"]))}</td>'
            f'<td class="number">{row["confidence"]:.2f}</td><td>{escape(row["note"])}</td></tr>'
        )
    head = (
        '<tr><th>Class</th><th class="number">Pixels</th><th class="number">Share</th><th class="number">Area</th>'
        '<th class="number">Mean confidence</th><th>Note</th></tr>'
    )
    return f"<h2>Classes</h2><table>{head}{''.join(rows)}</table>"


def _spectra(result: Segmentation) -> str:
    made, axes = _plot(9.0, 3.6)
    for c in result.classes:
        mean = result.spectra.mean(c.id)
        if np.isfinite(mean).any():
            axes.plot(result.axis.values, mean, color=c.colour, linewidth=1.0, label=c.name)
    axes.set_xlabel(result.axis.label)
    axes.set_ylabel(f"Mean ({result.unit})" if result.unit else "Mean")
    if len(result.classes) <= 12:
        axes.legend(frameon=False, fontsize=8)
    return f"<h2>Spectra of the classes</h2><figure>{_drawn(made)}</figure>"


def _suggestions(result: Segmentation, class_id: int, basis: Any) -> str:
    info = result.info(class_id)
    try:
        text = explain(result, class_id, basis=basis).text
    except CubeSegError as error:
        text = (str(error),)
    lines = "".join(f"<li>{escape(line)}</li>" for line in text)
    return f'<div class="class"><h3>{_swatch(info.colour)} {escape(info.name)}</h3><ul>{lines}</ul></div>'


def _choice(result: Segmentation) -> str:
    scores = {n: v for n, v in result.scores.items() if np.isfinite(v)}
    if len(scores) < 2:
        return ""
    made, axes = _plot(6.0, 2.4)
    numbers = sorted(scores)
    axes.plot(numbers, [scores[n] for n in numbers], marker="o", color="#0072b2", linewidth=1)
    best = max(numbers, key=lambda n: scores[n])
    axes.axvline(best, color="0.7", linewidth=1)
    axes.set_xlabel("number of classes")
    axes.set_ylabel("score")
    text = f"The score ({result.config.selection}) of every number of classes that was tried; the best is {best}."
    return f"<h2>How many classes</h2><figure>{_drawn(made)}<figcaption>{escape(text)}</figcaption></figure>"


def _operations(result: Segmentation) -> str:
    if not result.log:
        return "<h2>Done by hand</h2><p>Nothing.</p>"
    items = []
    for entry in result.log:
        rest = ", ".join(f"{name} {_short(value)}" for name, value in entry.items() if name != "operation")
        items.append(f"<li><b>{escape(str(entry.get('operation', '')))}</b> {escape(rest)}</li>")
    return f"<h2>Done by hand</h2><ol>{''.join(items)}</ol>"


def _provenance(result: Segmentation) -> str:
    source, config, run = result.source, result.config, result.run
    versions = ", ".join(f"{name} {number}" for name, number in run.get("versions", {}).items())
    rows = {
        "Cube": source.path or source.name,
        "Format, dataset": f"{source.format}, {source.dataset}".strip(", "),
        "Content": f"SHA-256 of samples of the file: {result.fingerprint}" if result.fingerprint else "",
        "Spectral axis": f"{result.axis.label}, {result.axis.values[0]:.6g} to {result.axis.values[-1]:.6g}",
        "Method": f"{config.method}, seed {config.seed}, coherence {result.coherence:.3g}",
        "Epochs": str(len(result.history)) if result.history else "",
        "Run": ", ".join(f"{name} {run[name]}" for name in ("begun", "seconds", "device", "threads") if name in run),
        "Whole file": f"SHA-256 {run['sha256']}" if run.get("sha256") else "",
        "Versions": versions,
        "Program": f"napari-cubeseg {cubeseg.__version__}",
    }
    table = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items() if v)
    options = "\n".join(f"{k} = {v!r}" for k, v in config.to_dict().items())
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    return (
        f"<h2>Where this comes from</h2><table>{table}</table>"
        + (f"<ul>{notes}</ul>" if notes else "")
        + f"<details><summary>All options</summary><pre><code>{escape(options)}</code></pre></details>"
    )


def _plot(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    axes = made.subplots()
    axes.margins(x=0.02)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return made, axes


def _drawn(made: Any) -> str:
    """A figure as a drawing inside the page."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="svg")
    text = buffer.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


def _data(buffer: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _swatch(colour: str) -> str:
    return f'<span class="swatch" style="background:{escape(colour)}"></span>'


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 80 else text[:77] + "…"


def _write(result: Segmentation, path: Path, cube: Cube | None = None) -> None:
    finish(write_report(result, path))


FORMATS = (
    Format(
        "report", "Report, HTML", "Maps, classes, spectra and what they suggest: one page to file or print",
        "{stem}-report.html", _write, lambda result: 600_000 + 60 * len(result.classes) * len(result.axis),
    ),
)  # fmt: skip
