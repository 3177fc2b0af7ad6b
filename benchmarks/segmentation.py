"""Segmentation of the synthetic painting beside K-means and PCA + K-means, in the same run.

    python benchmarks/segmentation.py [--seeds 3] [--counts 30 100 300] [--size 96] [--out docs/benchmarks.md]

Each seed makes another painting (thickness, photons) and starts every method anew. The baselines are told the true
number of classes; cubeseg runs once with untouched defaults (it chooses 4 to 12 classes) and once with the true
number. The Bayes limit assigns each pixel by the true pure spectra and shares: no method that looks at one pixel at a
time can do better, but for pixels mixed at edges.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

import cubeseg
from cubeseg.config import FitConfig, Ramp
from cubeseg.samples import Sample, painting

Table = np.ndarray


def log_max(x: Table) -> Table:
    """log(1 + x), divided by the spectrum's maximum: the published preprocessing."""
    logs = np.log1p(x)
    return logs / np.maximum(logs.max(axis=1, keepdims=True), 1e-9)


def hellinger(x: Table) -> Table:
    """Square root of the normalised spectrum."""
    return np.sqrt(x / np.maximum(x.sum(axis=1, keepdims=True), 1e-9))


def k_means(x: Table, k: int, seed: int) -> Table:
    """The baseline: greedy k-means++ seeding, ten restarts."""
    return KMeans(k, n_init=10, random_state=seed).fit_predict(x)


def methods(sample: Sample, seed: int) -> dict[str, Callable[[], Table]]:
    """All contestants; each returns labels of all pixels."""
    x = np.asarray(sample.cube.data).reshape(sample.cube.n_bands, -1).T.astype(np.float32)
    k = len(sample.class_names)

    def reduced(scaled: Table) -> Table:
        return PCA(10, random_state=seed).fit_transform(scaled)

    def bayes() -> Table:
        shapes = sample.spectra / sample.spectra.sum(axis=1, keepdims=True)
        shares = np.bincount(sample.truth.ravel(), minlength=k + 1)[1:] / sample.truth.size
        return (x @ np.log(shapes.T) + np.log(shares)).argmax(axis=1)

    def deep(**options: object) -> Table:
        return cubeseg.segment(sample.cube, FitConfig(seed=seed, **options)).labels.ravel()

    return {
        "K-means, log/max": lambda: k_means(log_max(x), k, seed),
        "K-means, Hellinger": lambda: k_means(hellinger(x), k, seed),
        "PCA + K-means, log/max": lambda: k_means(reduced(log_max(x)), k, seed),
        "PCA + K-means, Hellinger": lambda: k_means(reduced(hellinger(x)), k, seed),
        "cubeseg, untouched defaults": deep,
        "cubeseg, true number of classes": lambda: deep(clusters=(k, k)),
        "cubeseg, true number, no clustering loss": lambda: deep(clusters=(k, k), gamma=Ramp()),
        "Bayes limit per pixel": bayes,
    }


def main() -> None:
    """Run everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--counts", type=float, nargs="+", default=[30, 100, 300])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows: dict[str, list[str]] = {}
    for counts in options.counts:
        scores: dict[str, list[tuple[float, float, int]]] = {}
        for seed in range(options.seeds):
            sample = painting(options.size, counts, seed)
            for name, run in methods(sample, seed).items():
                start = time.perf_counter()
                labels = run()
                seconds = time.perf_counter() - start
                ari = adjusted_rand_score(sample.truth.ravel(), labels)
                scores.setdefault(name, []).append((ari, seconds, len(np.unique(labels))))
                print(f"{counts:g} counts, seed {seed}: {name:45} ARI {ari:.3f}  {seconds:.1f} s", file=sys.stderr)
        for name, found in scores.items():
            ari, seconds, classes = (np.array(v) for v in zip(*found, strict=True))
            chosen = f", K {'/'.join(map(str, classes))}" if "untouched" in name else ""
            cell = f"{ari.mean():.3f} ± {ari.std():.3f} ({seconds.mean():.0f} s{chosen})"
            rows.setdefault(name, []).append(cell)
    lines = [
        f"Painting of {options.size} x {options.size} pixels, 1024 channels, 10 classes; adjusted Rand index, mean ± "
        f"standard deviation over {options.seeds} seeds (mean seconds). {platform.machine()}, "
        f"Python {platform.python_version()}, torch {__import__('torch').__version__}.",
        "",
        "| method | " + " | ".join(f"{c:g} counts per pixel" for c in options.counts) + " |",
        "|---|" + "---|" * len(options.counts),
        *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()),
    ]
    print("\n".join(lines))
    if options.out:
        mark = "<!-- segmentation -->"
        page = options.out.read_text() if options.out.exists() else f"# Benchmarks\n\n{mark}\n{mark}\n"
        before, _, rest = page.partition(mark)
        after = rest.partition(mark)[2]
        options.out.write_text(f"{before}{mark}\n" + "\n".join(lines) + f"\n{mark}{after}")


if __name__ == "__main__":
    main()
