"""The benchmark's results as Markdown, between marks in docs/benchmarks.md."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


def write_tables(rows: list[dict[str, Any]], path: Path) -> None:
    """Put all tables between the marks of the page."""
    mark = "<!-- segmentation -->"
    page = path.read_text()
    before, _, rest = page.partition(mark)
    after = rest.partition(mark)[2]
    path.write_text(f"{before}{mark}\n" + "\n".join(_tables(rows)) + f"\n{mark}{after}")


def _tables(rows: list[dict[str, Any]]) -> list[str]:
    scored = [r for r in rows if "ari" in r]
    sets = list(dict.fromkeys(r["set"] for r in scored))
    machine = rows[0]["machine"] if rows else ""
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "numpy", "scikit-learn"))
    lines = [f"{machine} of 2 cores; {versions}.", "", "### Against the best baseline", ""]
    lines += [
        "Adjusted Rand index, mean ± standard deviation over seeds; \"best baseline\" is chosen with the truth, "
        "separately for every set. Bold: not below it. A cell without ± is a single seed.", "",
        "| set | classes | best baseline | cubeseg, defaults | coherence off | Bayes limit per pixel | "
        "K chosen from 2:15 | seconds |", "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in sets:
        lines.append(_summary(name, [r for r in scored if r["set"] == name]))
    for title, names in (("Paintings", "painting"), ("Galaxies", "galaxy"), ("Real cubes", "")):
        chosen = [s for s in sets if (s.startswith(names) if names else s.split("-")[0] not in ("painting", "galaxy"))]
        if chosen:
            lines += ["", f"### {title}: every method", "", *_matrix(scored, chosen)]
    lines += ["", "### Other measures, cubeseg with defaults and the true number", ""]
    lines += ["| set | ARI | AMI | accuracy | mIoU | seconds | peak MiB |", "|---|---|---|---|---|---|---|"]
    for name in sets:
        mine = [r for r in scored if r["set"] == name and r["method"] == "cubeseg, defaults, true number"]
        if not mine:
            continue
        cells = [f"{np.mean([r[key] for r in mine]):.3f}" for key in ("ari", "ami", "accuracy", "miou")]
        cells += [f"{np.mean([r[key] for r in mine]):.0f}" for key in ("seconds", "mib")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    rare = [r for r in rows if r["method"] == "anomaly"]
    if rare:
        lines += ["", "### Rare objects (ABU scenes), untouched defaults", "",
                  "| scene | anomalous pixels | classes | area under the ROC curve of the error map | "
                  "IoU of the best class |", "|---|---|---|---|---|"]  # fmt: skip
        for name in dict.fromkeys(r["set"] for r in rare):
            mine = [r for r in rare if r["set"] == name]
            lines.append(
                f"| {name} | {mine[0]['pixels']} | {'/'.join(str(r['found']) for r in mine)} | "
                f"{np.mean([r['auc'] for r in mine]):.3f} | {np.mean([r['iou'] for r in mine]):.3f} |"
            )
    stable = [r for r in rows if r["method"] == "stability"]
    if stable:
        lines += ["", "### The same cube, several seeds", "",
                  "Adjusted Rand index between the labels of two seeds, defaults and the true number of classes.", "",
                  "| set | seeds | mean over pairs | least |", "|---|---|---|---|"]  # fmt: skip
        lines += [f"| {r['set']} | {r['seeds']} | {r['mean']:.3f} | {r['least']:.3f} |" for r in stable]
    failed = [r for r in rows if "error" in r]
    lines += [f"\n{r['set']}, {r['method']}, seed {r['seed']}: {r['error']}" for r in failed]
    return lines


def _is_baseline(method: str) -> bool:
    return not method.startswith(("cubeseg", "Bayes"))


def _cell(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values):.3f}" if len(values) > 1 else "")


def _summary(name: str, rows: list[dict[str, Any]]) -> str:
    by: dict[str, list[dict[str, Any]]] = {}
    # only what was measured on the same cubes is set side by side
    own = {r["seed"] for r in rows if r["method"] == "cubeseg, defaults, true number"}
    shared = own & {r["seed"] for r in rows if _is_baseline(r["method"])}
    for row in rows:
        if row["seed"] in shared or not shared:
            by.setdefault(row["method"], []).append(row)
    means = {m: float(np.mean([r["ari"] for r in found])) for m, found in by.items() if _is_baseline(m)}
    best = max(means, key=lambda m: means[m]) if means else "–"
    ari = {m: [r["ari"] for r in found] for m, found in by.items()}
    mine = ari.get("cubeseg, defaults, true number", [])
    text = _cell(mine)
    if mine and means and np.mean(mine) >= means[best]:
        text = f"**{text}**"
    seconds = [r["seconds"] for r in by.get("cubeseg, defaults, true number", [])] or [float("nan")]
    chosen = "/".join(str(r["found"]) for r in by.get("cubeseg, number from 2:15", []))
    return (
        f"| {name} | {rows[0]['k']} | {_cell(ari.get(best, []))} ({best}) | {text} | "
        f"{_cell(ari.get('cubeseg, the same, coherence off', []))} | {_cell(ari.get('Bayes limit per pixel', []))} | "
        f"{chosen} | {np.mean(seconds):.0f} |"
    )


def _matrix(rows: list[dict[str, Any]], sets: list[str]) -> list[str]:
    methods = list(dict.fromkeys(r["method"] for r in rows))
    methods.sort(key=lambda m: (not _is_baseline(m), m.startswith("Bayes")))
    lines = ["| method | " + " | ".join(sets) + " |", "|---|" + "---|" * len(sets)]
    for method in methods:
        cells = [_cell([r["ari"] for r in rows if r["set"] == s and r["method"] == method]) for s in sets]
        if any(c != "–" for c in cells):
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines
