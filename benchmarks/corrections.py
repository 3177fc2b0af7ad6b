"""How much a few painted pixels help: a simulated user corrects a segmentation, stroke by stroke.

    python benchmarks/corrections.py run [--sets ...] [--seeds 3] [--starts FOLDER] [--results FILE]
    python benchmarks/corrections.py table [--results FILE] [--out docs/benchmarks.md]

The user knows the truth, first merges classes that show the same material (where more were found than there are), then
paints short strokes of one class where the largest connected region is wrong, and asks for a new map after every third.
True classes that have no class yet are painted as new ones. Every method starts from the same segmentation and has its
own user, who looks at its map. Painted pixels hold in all of them, and all but the first make their labels coherent in
the same way.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import adjusted_rand_score

import cubeseg
from cubeseg import FitConfig, Segmentation, editing
from cubeseg.clustering.spatial import coherent
from cubeseg.metrics import contingency, matched
from cubeseg.steps import finish
from cubeseg.training.refining import refine
from sets import Case, case

SETS = ("painting-2-100", "painting-3", "samson")
STARTS = ("defaults", "true number")
STROKE, EVERY, UP_TO = 6, 3, 0.005
MARK = "<!-- corrections -->"

Map = np.ndarray


def start(name: str, kind: str, seed: int, folder: Path | None) -> tuple[Case, Segmentation]:
    """A cube and the segmentation to be corrected, from a folder where it was kept."""
    found = case(name, seed)
    path = None if folder is None else folder / f"{name}-{kind.split()[0]}-{seed}.h5"
    if path is not None and path.exists():
        return found, cubeseg.load(path)
    clusters = {"clusters": found.k} if kind == "true number" else {}
    result = cubeseg.segment(found.cube, FitConfig.from_mapping({"seed": seed} | clusters))
    if path is not None:
        result.save(path)
    return found, result


def wanted_labels(result: Segmentation, truth: Map) -> Map:
    """The truth in the ids of a result's classes, 0 where it is not known; classes of one true class are merged."""
    known = truth > 0
    ids, classes = np.unique(result.labels[known]), np.unique(truth[known])
    table = contingency(result.labels[known].astype(np.int64), truth[known].astype(np.int64))
    rows, columns = matched(table)
    names = {int(classes[c]): int(ids[r]) for r, c in zip(rows, columns, strict=True) if ids[r] and table[r, c]}
    for row, class_id in enumerate(ids):
        if class_id and class_id not in names.values():
            true = int(classes[table[row].argmax()])
            if true in names:
                editing.merge(result, [names[true], int(class_id)]).do()
            else:
                names[true] = int(class_id)
    fresh = max(c.id for c in result.classes)
    wanted = np.zeros(truth.shape, np.int32)
    for true in classes:
        if int(true) not in names:
            fresh += 1
            names[int(true)] = fresh
        wanted[truth == true] = names[int(true)]
    return wanted


def stroke(labels: Map, wanted: Map, painted: Map) -> tuple[Map, Map] | None:
    """Rows and columns of a line through the middle of the largest wrong region; None where nothing is wrong."""
    wrong = (labels != wanted) & (wanted > 0) & ~painted
    best: Map | None = None
    for class_id in np.unique(wanted[wrong]):
        regions, n = ndimage.label(wrong & (wanted == class_id))
        sizes = np.bincount(regions.ravel(), minlength=n + 1)[1:]
        if n and (best is None or sizes.max() > best.sum()):
            best = regions == sizes.argmax() + 1
    if best is None:
        return None
    depth = ndimage.distance_transform_edt(np.pad(best, 1))[1:-1, 1:-1]
    middle = np.array(np.unravel_index(depth.argmax(), depth.shape))
    rows, columns = np.nonzero(best)
    places = np.stack([rows, columns], axis=1) - middle
    along = np.linalg.eigh((places.T @ places).astype(float))[1][:, -1]
    across = np.abs(places @ np.array([-along[1], along[0]]))
    order = np.argsort(np.abs(places @ along) + 4 * across, kind="stable")[:STROKE]
    return rows[order], columns[order]


class PaintedOnly:
    """The map as it was, with the painted pixels."""

    name = "painted pixels alone"

    def __init__(self, found: Case, result: Segmentation) -> None:
        self._labels = result.labels

    def __call__(self, corrections: Map) -> Map:
        """The map with the painted pixels."""
        return np.where(corrections > 0, corrections, self._labels)


class Classifier:
    """A classifier trained on the old labels and the painted pixels, each of which counts as much as 20 others."""

    def __init__(self, found: Case, result: Segmentation) -> None:
        self._result = result
        self._usable = np.isfinite(result.reconstruction_error)
        data = np.asarray(found.cube.data, np.float32)[:, self._usable].T
        prepare = result.model.preprocessor
        inputs = prepare.features(*prepare.reduce(data, None)).inputs
        self._x = PCA(min(15, *inputs.shape), random_state=0).fit_transform(inputs)

    def __call__(self, corrections: Map) -> Map:
        """The most likely classes, made coherent."""
        given, labels = corrections[self._usable], self._result.labels[self._usable]
        y = np.where(given > 0, given, labels)
        weight = np.where(given > 0, 20, 1)
        classes, logs = self.learned(y, weight)
        evidence = np.full((len(classes), *corrections.shape), -1000, np.float32)
        evidence[:, self._usable] = np.maximum(logs - logs.max(axis=1, keepdims=True), -1000).T
        at = np.searchsorted(classes, corrections[corrections > 0])
        evidence[:, corrections > 0] = np.where(np.arange(len(classes))[:, None] == at, 0, -1000)
        steps = coherent(evidence, self._usable, self._result.coherence, self._result.latent)
        found = classes[finish(steps)[0]]
        return np.where(corrections > 0, corrections, np.where(self._usable, found, 0))

    def learned(self, y: Map, weight: Map) -> tuple[Map, Map]:
        """Classes, and the logarithms of their probabilities (n, classes)."""
        raise NotImplementedError


class Forest(Classifier):
    """A random forest on principal components."""

    name = "random forest on PCA, old labels + painted"

    def learned(self, y: Map, weight: Map) -> tuple[Map, Map]:
        """Out-of-bag probabilities, because the forest has seen every pixel with its old label."""
        model = RandomForestClassifier(200, min_samples_leaf=3, oob_score=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(self._x, y, sample_weight=weight)
        return model.classes_, np.log(np.nan_to_num(model.oob_decision_function_) + 1e-3)


class Discriminant(Classifier):
    """Linear discriminant analysis on principal components."""

    name = "LDA on PCA, old labels + painted"

    def learned(self, y: Map, weight: Map) -> tuple[Map, Map]:
        """Painted pixels are repeated, as LDA knows no weights."""
        rows = np.repeat(np.arange(len(y)), weight)
        model = LinearDiscriminantAnalysis().fit(self._x[rows], y[rows])
        return model.classes_, model.predict_log_proba(self._x)


class Refine:
    """cubeseg.refine, each time from the map before."""

    name = "cubeseg refine"

    def __init__(self, found: Case, result: Segmentation) -> None:
        self._cube, self._result = found.cube, result

    def __call__(self, corrections: Map) -> Map:
        """The labels of the refined result."""
        self._result = finish(refine(self._result, self._cube, corrections))
        return self._result.labels


def session(method: Callable[[Map], Map], result: Segmentation, wanted: Map, truth: Map) -> Iterator[dict[str, Any]]:
    """One user with one method: strokes, painted part in percent, adjusted Rand index, seconds, after every new map."""
    known = truth > 0
    labels, corrections, n = result.labels, np.zeros(truth.shape, np.int64), 0

    def row(seconds: float) -> dict[str, Any]:
        index = float(adjusted_rand_score(truth[known], labels[known]))
        return {"strokes": n, "painted": 100 * float((corrections > 0).mean()), "ari": index, "seconds": seconds}

    yield row(0.0)
    while (corrections > 0).mean() < UP_TO:
        seen = labels.copy()
        for _ in range(EVERY):
            place = stroke(seen, wanted, corrections > 0)
            if place is None or (corrections > 0).mean() >= UP_TO:
                break
            seen[place] = corrections[place] = wanted[place]
            n += 1
        if (seen == labels).all():
            return
        begin = time.perf_counter()
        labels = method(corrections)
        seconds = time.perf_counter() - begin
        assert (labels[corrections > 0] == corrections[corrections > 0]).all(), "a painted pixel has changed"
        yield row(seconds)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: for each set and start a row per method, a column per new map."""
    steps = sorted({r["step"] for r in rows})
    lines = []
    for name in dict.fromkeys(r["set"] for r in rows):
        for kind in dict.fromkeys(r["start"] for r in rows):
            mine = [r for r in rows if (r["set"], r["start"]) == (name, kind)]
            if not mine:
                continue
            titles = []
            for step in steps:
                here = [r for r in mine if r["step"] == step]
                if here:
                    strokes, part = np.mean([r["strokes"] for r in here]), np.mean([r["painted"] for r in here])
                    titles.append(f"{strokes:.0f} strokes, {part:.2f} %")
            lines += ["", f"**{name}, {kind}**", "", "| method | " + " | ".join(titles) + " | s per map |"]
            lines.append("|---|" + "---|" * (len(titles) + 1))
            for method in dict.fromkeys(r["method"] for r in mine):
                cells = []
                for step in steps[: len(titles)]:
                    found = [r["ari"] for r in mine if (r["method"], r["step"]) == (method, step)]
                    cells.append(f"{np.mean(found):.3f} ± {np.std(found):.3f}" if found else "–")
                seconds = [r["seconds"] for r in mine if r["method"] == method and r["step"]]
                lines.append(f"| {method} | " + " | ".join(cells) + f" | {np.mean(seconds):.1f} |")
    return lines


def main() -> None:
    """Run, or write the table between the marks of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--starts", type=Path, help="folder in which the segmentations to be corrected are kept")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("corrections.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args()
    if options.what == "table":
        rows = [json.loads(line) for line in options.results.read_text().splitlines()]
        before, _, rest = options.out.read_text().partition(MARK)
        after = rest.partition(MARK)[2]
        options.out.write_text(f"{before}{MARK}\n" + "\n".join(table(rows)) + f"\n{MARK}{after}")
        return
    with options.results.open("a") as file:
        for name in options.sets:
            for kind in STARTS:
                for seed in range(options.seeds):
                    found, result = start(name, kind, seed, options.starts)
                    wanted = wanted_labels(result, found.truth)
                    for method in (PaintedOnly, Forest, Discriminant, Refine):
                        for step, row in enumerate(session(method(found, result), result, wanted, found.truth)):
                            row = {"set": name, "start": kind, "seed": seed, "method": method.name, "step": step} | row
                            file.write(json.dumps(row) + "\n")
                            file.flush()
                            print(row, flush=True)


if __name__ == "__main__":
    main()
