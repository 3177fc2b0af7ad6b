"""Segmentation beside the usual methods, in the same run: synthetic cubes and real ones with labels.

    python benchmarks/segmentation.py run [--sets ...] [--seeds 5] [--results FILE]
    python benchmarks/segmentation.py stability --sets painting-2-100 galaxy-3 houston samson
    python benchmarks/segmentation.py table [--results ...] [--out docs/benchmarks.md]

Each seed makes another synthetic cube and starts every method anew. Baselines are told the true number of classes.
cubeseg runs with untouched defaults and the true number, and once more choosing the number from 2 to 15. Slow methods
(the published configuration, UMAP + HDBSCAN, the variants of the clustering loss) run for the first seeds only. What
has been measured stays in the results file, so a run can be cut off and taken up again.
"""

from __future__ import annotations

import argparse
import json
import platform
import threading
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, roc_auc_score

import cubeseg
from baselines import baselines
from cubeseg.config import FitConfig
from cubeseg.metrics import score
from sets import ANOMALIES, REAL, SYNTHETIC, Case, case, there
from tables import write_tables

_SLOW_SEEDS, _RANGE_SEEDS = 1, 2
_LOSS_SETS = ("painting-2-100", "painting-2-30", "painting-3", "galaxy-2", "galaxy-3", *REAL)


def bayes(found: Case) -> np.ndarray:
    """The per-pixel Bayes limit of a painting: true spectra in all their states, true shares, Poisson counts."""
    assert found.sample is not None
    x = np.asarray(found.cube.data, np.float32).reshape(found.cube.n_bands, -1).T
    k, states, bands = found.sample.states.shape
    flat = found.sample.states.reshape(-1, bands)
    odds = (x @ np.log(flat + 1e-12).T - flat.sum(axis=1)).reshape(len(x), k, states)
    shares = np.bincount(found.truth.ravel(), minlength=k + 1)[1:] / found.truth.size
    return (logsumexp(odds, axis=2) + np.log(shares)).argmax(axis=1).reshape(found.truth.shape) + 1


def contestants(name: str, found: Case, seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and function of every method; each gives labels (y, x), 0 = none, or several of them by name."""
    cube, k = found.cube, found.k
    image = np.moveaxis(np.asarray(cube.data), 0, -1)
    usable = np.isfinite(image).all(axis=2) & (image != 0).any(axis=2)

    def spread(labels: np.ndarray) -> np.ndarray:
        full = np.zeros(usable.shape, int)
        full[usable] = labels + 1 + (labels.min() < 0)
        return full

    for method, run in baselines(image, usable, k, seed, slow=seed < _SLOW_SEEDS):
        yield method, lambda run=run: spread(run())

    def deep(**options: Any) -> Any:
        return cubeseg.segment(cube, FitConfig.from_mapping({"seed": seed, "clusters": k} | options))

    def default() -> dict[str, np.ndarray]:
        result = deep()
        alone = np.where(result.labels > 0, result.evidence.argmax(axis=0) + 1, 0)
        return {"cubeseg, defaults, true number": result.labels, "cubeseg, the same, coherence off": alone}

    yield "cubeseg", default
    if seed < _RANGE_SEEDS:
        yield "cubeseg, number from 2:15", lambda: deep(clusters="2:15").labels
        yield "cubeseg, method pca, true number", lambda: deep(method="pca").labels
    if seed < _SLOW_SEEDS and name in _LOSS_SETS:
        yield "cubeseg, preset paper, true number", lambda: deep(preset="paper").labels
    if name in _LOSS_SETS:
        yield "cubeseg, no clustering loss", lambda: deep(gamma=0.0).labels
    if seed < _SLOW_SEEDS and name in _LOSS_SETS:
        for loss in ("kmeans", "prototypes"):
            yield f"cubeseg, clustering loss {loss}", lambda c=loss: deep(clustering_loss=c).labels
        yield (
            "cubeseg, clustering loss kmeans, constrained",
            lambda: deep(clustering_loss="kmeans", weighting="constrained").labels,
        )
    if name.startswith("painting"):
        yield "Bayes limit per pixel", lambda: bayes(found)


class Peak:
    """Largest resident memory above that at the start, in MiB, looked at every 20 ms."""

    def __enter__(self) -> Peak:
        self._stop, self._start = threading.Event(), self._now()
        self.mib = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.mib = max(self.mib, self._now() - self._start)

    @staticmethod
    def _now() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def measure(name: str, seed: int, done: set[tuple[str, str, int]], only: str = "") -> Iterator[dict[str, Any]]:
    """One set and seed: a row per method that has not been measured yet."""
    found = case(name, seed)
    for method, run in contestants(name, found, seed):
        shown = "cubeseg, defaults, true number" if method == "cubeseg" else method
        if (name, shown, seed) in done or only not in shown:
            continue
        try:
            with Peak() as peak:
                start = time.perf_counter()
                labels = run()
                seconds = time.perf_counter() - start
        except Exception as error:
            yield {"set": name, "method": shown, "seed": seed, "error": f"{type(error).__name__}: {error}"}
            continue
        for title, image in (labels if isinstance(labels, dict) else {shown: labels}).items():
            known = found.truth > 0
            scores = score(image.astype(np.int32), found.truth.astype(np.int32))
            ami = adjusted_mutual_info_score(found.truth[known], image[known])
            row = {"set": name, "method": title, "seed": seed, "k": found.k, "found": len(np.unique(image[image > 0]))}
            yield row | {
                "ari": scores["ari"], "ami": float(ami), "accuracy": scores["accuracy"], "miou": scores["miou"],
                "seconds": seconds, "mib": peak.mib,
            }  # fmt: skip


def anomaly(name: str, seed: int) -> dict[str, Any]:
    """Do rare objects get a high error, or a class of their own? Areas under the ROC curve, best class's IoU."""
    found = case(name, seed)
    result = cubeseg.segment(found.cube, FitConfig(seed=seed))
    known = result.labels > 0
    rare = found.truth == 2
    iou = max(((result.labels == c.id) & rare).sum() / ((result.labels == c.id) | rare).sum() for c in result.classes)
    return {
        "set": name, "method": "anomaly", "seed": seed, "pixels": int(rare.sum()), "found": len(result.classes),
        "auc": float(roc_auc_score(rare[known], result.reconstruction_error[known])), "iou": float(iou),
    }  # fmt: skip


def stability(name: str, seeds: int) -> dict[str, Any]:
    """The same cube with several seeds of the fit: how alike are the labels, and how many classes are chosen."""
    cube = case(name, 0).cube
    k = case(name, 0).k
    labels = [cubeseg.segment(cube, FitConfig(seed=seed, clusters=(k, k))).labels.ravel() for seed in range(seeds)]
    pairs = [adjusted_rand_score(a, b) for a, b in combinations(labels, 2)]
    return {
        "set": name, "method": "stability", "seed": 0, "seeds": seeds, "mean": float(np.mean(pairs)),
        "least": float(np.min(pairs)),
    }  # fmt: skip


def main() -> None:
    """Run, or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "stability", "table"))
    parser.add_argument("--sets", nargs="+", default=[*REAL, *SYNTHETIC, *ANOMALIES])
    parser.add_argument("--only", default="", help="methods whose name contains this")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    if options.what == "table":
        write_tables(rows, options.out)
        return
    if options.what == "stability":
        with options.results.open("a") as file:
            for name in options.sets:
                row = stability(name, options.seeds)
                file.write(json.dumps(row) + "\n")
                file.flush()
                print(row, flush=True)
        return
    done = {(r["set"], r["method"], r["seed"]) for r in rows}
    with options.results.open("a") as file:
        for seed in range(options.seeds):
            for name in options.sets:
                if not there(name):
                    print(f"{name}: not on this machine, left out", flush=True)
                    continue
                if name in ANOMALIES:
                    found = iter([anomaly(name, seed)] if seed < 2 and (name, "anomaly", seed) not in done else [])
                else:
                    found = measure(name, seed, done, options.only)
                for row in found:
                    row["machine"] = (
                        f"{platform.machine()}, Python {platform.python_version()}, {torch.get_num_threads()} thread(s)"
                    )
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    print(row, flush=True)


if __name__ == "__main__":
    main()
