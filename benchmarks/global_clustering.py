"""Deep Global Clustering beside deep clustering, K-means and the published loss set.

    python benchmarks/global_clustering.py leaves [--size 128] [--seeds 5]     a series of three days, many seeds
    python benchmarks/global_clustering.py large FOLDER [--size 1000]          the same from disk: time, memory
    python benchmarks/global_clustering.py sets [--sets ...] [--seeds 5]       paintings, galaxies, houston
    python benchmarks/global_clustering.py memory FOLDER [--cubes 1 4 16]      peak memory by the length of a series
    python benchmarks/global_clustering.py table                               docs/benchmarks.md

Each seed makes another leaf (or painting, or galaxy) and starts every method anew. The leaves are scored over all days
at once, so that a class has to mean the same on each: global learns from the series; the others, which know one cube at
a time, are given the three days side by side as one cube. All methods are told the number of classes; at K = 2 the
truth is board and leaf. What has been measured stays in the results file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cubeseg
from baselines import SCALINGS, k_means
from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.metrics import score
from cubeseg.samples import leaf, write_leaf
from cubeseg.segmentation import Segmentation
from cubeseg.steps import finish
from cubeseg.training.series import segment_series
from sets import case, there

DAYS = (0, 3, 5)
SETS = ("painting-2-30", "painting-2-100", "painting-3", "galaxy-2", "galaxy-3", "houston")
Row = dict[str, Any]


def options_of(seed: int, k: int, **more: Any) -> FitConfig:
    """Untouched defaults but for the number of classes."""
    return FitConfig.from_mapping({"seed": seed, "clusters": k, "threads": torch.get_num_threads()} | more)


def shares(labels: np.ndarray, k: int) -> dict[str, float]:
    """Classes with at least half a per cent of the pixels, and the entropy of the shares in units of log K."""
    counts = np.bincount(labels[labels > 0], minlength=k + 1)[1:]
    p = counts[counts > 0] / counts.sum()
    return {"active": int((counts >= 0.005 * counts.sum()).sum()), "entropy": float(-(p * np.log(p)).sum() / np.log(k))}


def series(cubes: list[Cube], config: FitConfig) -> np.ndarray:
    """Labels of all cubes side by side."""
    found: dict[int, np.ndarray] = {}

    def keep(index: int, result: Segmentation) -> None:
        found[index] = result.labels

    finish(segment_series([lambda c=c: c for c in cubes], config, keep))
    return np.concatenate([found[i] for i in range(len(cubes))], axis=1)


def side_by_side(cubes: list[Cube]) -> Cube:
    """One cube of several."""
    return Cube(np.concatenate([np.asarray(c.data) for c in cubes], axis=2), cubes[0].axis)


def on_leaves(seed: int, size: int) -> Iterator[tuple[str, int, Callable[[], np.ndarray], np.ndarray]]:
    """Method, number of classes, how to get labels, truth."""
    samples = [leaf(size, day, seed) for day in DAYS]
    cubes, full = [s.cube for s in samples], np.concatenate([s.truth for s in samples], axis=1)
    whole = side_by_side(cubes)
    spectra = np.moveaxis(np.asarray(whole.data), 0, -1).reshape(-1, whole.n_bands)
    for k in (2, 4, 16):
        truth = np.where(full > 1, 2, 1) if k == 2 else full
        yield "global", k, lambda k=k: series(cubes, options_of(seed, k, method="global")), truth
        published = options_of(seed, k, preset="paper-global", epochs=10)
        yield "global, published losses", k, lambda c=published: series(cubes, c), truth
        if k == 16:
            continue
        yield "deep", k, lambda k=k: cubeseg.segment(whole, options_of(seed, k)).labels, truth
        for name in ("raw", "L2"):
            scaled = SCALINGS[name]
            yield (
                f"K-means, {name}", k,
                lambda f=scaled, k=k: k_means(f(spectra), k, seed).reshape(full.shape) + 1, truth,
            )  # fmt: skip


def leaves(options: argparse.Namespace, done: set[tuple[Any, ...]]) -> Iterator[Row]:
    """The series of leaves."""
    name = f"leaves-{options.size}"
    for seed in range(options.first, options.first + options.seeds):
        for method, k, run, truth in on_leaves(seed, options.size):
            if (name, method, k, seed) in done or k not in options.numbers or options.only not in ("", method):
                continue
            yield {"set": name, "method": method, "k": k, "seed": seed} | measured(run, truth, k)


def measured(run: Callable[[], np.ndarray], truth: np.ndarray, k: int) -> Row:
    """Scores and time of one run."""
    start = time.perf_counter()
    labels = run().astype(np.int32)
    seconds = time.perf_counter() - start
    return score(labels, truth.astype(np.int32)) | shares(labels, k) | {"seconds": seconds}


def sets(options: argparse.Namespace, done: set[tuple[Any, ...]]) -> Iterator[Row]:
    """The cubes of the other benchmark, with the true number of classes, coherence off."""
    for name in options.sets:
        if not there(name):
            print(f"{name}: not on this machine, left out", flush=True)
            continue
        for seed in range(options.first, options.first + options.seeds):
            found = case(name, seed)
            for method in ("global", "deep"):
                if (name, method, found.k, seed) in done or options.only not in ("", method):
                    continue
                config = options_of(seed, found.k, method=method, coherence=0.0)
                row = {"set": name, "method": method, "k": found.k, "seed": seed}
                yield row | measured(lambda c=config, f=found: cubeseg.segment(f.cube, c).labels, found.truth, found.k)


def from_disk(paths: list[Path], truths: list[Path], config: FitConfig, answer: Any) -> None:
    """A series in a process of its own; scores against truths where there are some."""
    torch.set_num_threads(config.threads)
    table, start = [], time.perf_counter()

    def keep(index: int, result: Segmentation) -> None:
        if truths:
            table.append((result.labels.ravel(), np.load(truths[index]).ravel()))

    finish(segment_series([lambda p=p: cubeseg.open_cube(p) for p in paths], config, keep))
    seconds = time.perf_counter() - start
    peak = _peak()
    row = {"seconds": seconds, "mib": peak}
    if table:
        labels, truth = (np.concatenate(part)[None].astype(np.int32) for part in zip(*table, strict=True))
        k = config.clusters[1]
        truth = np.where(truth > 1, 2, 1).astype(np.int32) if k == 2 else truth
        row |= score(labels, truth) | shares(labels, k)
    answer.put(row)


def _peak() -> float:
    """Largest resident memory in MiB; getrusage also counts what the process was started from."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024


def apart(*arguments: Any) -> Row:
    """What :func:`from_disk` answers, its memory not mixed with ours."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=from_disk, args=(*arguments, answer))
    process.start()
    row: Row = answer.get()
    process.join()
    return row


def large(options: argparse.Namespace, done: set[tuple[Any, ...]]) -> Iterator[Row]:
    """The series at full size, from disk."""
    name = f"leaves-{options.size}, from disk"
    for seed in range(options.first, options.first + options.seeds):
        paths = [options.folder / f"leaf-{options.size}-{seed}-{day}.h5" for day in DAYS]
        for path, day in zip(paths, DAYS, strict=True):
            if not path.exists():
                write_leaf(path, size=options.size, day=day, seed=seed)
        for k in options.numbers:
            if (name, "global", k, seed) in done:
                continue
            config = options_of(seed, k, method="global", threads=options.threads)
            row = apart(paths, [p.with_suffix(".truth.npy") for p in paths], config)
            yield {"set": name, "method": "global", "k": k, "seed": seed, "threads": options.threads} | row
        if not options.keep:
            for path in paths:
                path.unlink()
                path.with_suffix(".truth.npy").unlink()


def memory(options: argparse.Namespace, done: set[tuple[Any, ...]]) -> Iterator[Row]:
    """Series of one cube of 1 GiB, named several times."""
    path = options.folder / "one.npy"
    gib = (256, 1024, 1024)
    if not path.exists():
        array = np.lib.format.open_memmap(path, "w+", np.float32, gib)
        rng = np.random.default_rng(0)
        for top in range(0, gib[1], 64):
            array[:, top : top + 64] = rng.random((gib[0], 64, gib[2]), np.float32) + 1
        array.flush()
        del array
    for n in options.cubes:
        if ("memory", "global", n, 0) in done:
            continue
        config = options_of(0, 4, method="global", epochs=2, threads=options.threads)
        row = {"set": "memory", "method": "global", "k": n, "seed": 0, "threads": options.threads}
        yield row | apart([path] * n, [], config)


def table(rows: list[Row], page: Path) -> None:
    """Put all tables between the marks of the page."""
    lines = [f"{rows[0]['machine']}.", ""] if rows else []
    for name in dict.fromkeys(r["set"] for r in rows if r["set"].startswith("leaves")):
        mine = [r for r in rows if r["set"] == name]
        lines += [f"### {name}", "", "| K | method | seeds | mIoU | ARI | classes in use | entropy / log K | "
                  "collapsed seeds | seconds | peak MiB |", "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
        for k in sorted({r["k"] for r in mine}):
            for method in dict.fromkeys(r["method"] for r in mine if r["k"] == k):
                lines.append(_line(k, method, [r for r in mine if r["k"] == k and r["method"] == method]))
        lines.append("")
    others = [r for r in rows if not r["set"].startswith(("leaves", "memory"))]
    if others:
        lines += ["### Other sets, true number of classes, coherence off", "",
                  "| set | seeds | ARI global | ARI deep | mIoU global | mIoU deep | seconds global | seconds deep |",
                  "|---|---|---|---|---|---|---|---|"]  # fmt: skip
        for name in dict.fromkeys(r["set"] for r in others):
            by = {m: [r for r in others if r["set"] == name and r["method"] == m] for m in ("global", "deep")}
            cells = [_spread([r[key] for r in by[m]]) for key in ("ari", "miou") for m in by]
            cells += [f"{np.mean([r['seconds'] for r in by[m]]):.0f}" if by[m] else "–" for m in by]
            lines.append(f"| {name} | {len(by['global'])}/{len(by['deep'])} | " + " | ".join(cells) + " |")
        lines.append("")
    lengths = [r for r in rows if r["set"] == "memory"]
    if lengths:
        lines += [
            "### Memory by the length of a series",
            "",
            "| cubes of 1 GiB | peak MiB | seconds |",
            "|---|---|---|",
        ]
        lines += [f"| {r['k']} | {r['mib']:.0f} | {r['seconds']:.0f} |" for r in lengths]
    mark = "<!-- global -->"
    before, _, rest = page.read_text().partition(mark)
    page.write_text(f"{before}{mark}\n" + "\n".join(lines).rstrip() + f"\n{mark}{rest.partition(mark)[2]}")


def _line(k: int, method: str, rows: list[Row]) -> str:
    # at K = 4 the truth has four classes on two of three days; fewer than K - 1 in use is a collapse
    collapsed = sum(r["active"] < (2 if k == 2 else k // 2 + 1) for r in rows)
    active = sorted({r["active"] for r in rows})
    scores = [_spread([r[key] for r in rows]) if k != 16 else "–" for key in ("miou", "ari")]
    mib = f"{max(r['mib'] for r in rows):.0f}" if "mib" in rows[0] else "–"
    seen = f"{active[0]}" if len(active) == 1 else f"{active[0]} to {active[-1]}"
    return (
        f"| {k} | {method} | {len(rows)} | {scores[0]} | {scores[1]} | {seen} | "
        f"{_spread([r['entropy'] for r in rows])} | {collapsed} | {np.mean([r['seconds'] for r in rows]):.0f} | {mib} |"
    )


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}" if values else "–"
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def main() -> None:
    """Run, or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("leaves", "large", "sets", "memory", "table"))
    parser.add_argument("folder", nargs="?", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--numbers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--only", default="", help="this method alone")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--cubes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", action="store_true", help="keep the cubes on disk")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("global.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args()
    options.size = options.size or (1000 if options.what == "large" else 128)
    rows = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    if options.what == "table":
        table(rows, options.out)
        return
    done = {(r["set"], r["method"], r["k"], r["seed"]) for r in rows}
    runs = {"leaves": leaves, "large": large, "sets": sets, "memory": memory}
    with options.results.open("a") as file:
        for row in runs[options.what](options, done):
            row["machine"] = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(row, flush=True)


if __name__ == "__main__":
    main()
