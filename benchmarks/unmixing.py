"""Unmixing beside the usual ways, in the same run: the published synthetic sets, real cubes, paintings, pigments.

    python benchmarks/unmixing.py run [--sets grid real painting library] [--seeds 5] [--results FILE]
    python benchmarks/unmixing.py table [--results FILE] [--out docs/benchmarks.md]

Baselines are told the true number of components. What has been measured stays in the results file, so a run can be cut
off and taken up again. Components are matched one to one by their cosines, concentrations are scaled to the truth's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

import cubeseg
from cubeseg.axis import SpectralAxis
from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.references.library_files import load_library
from cubeseg.samples import painting
from cubeseg.samples.mixtures import synthetic_mixtures
from cubeseg.steps import finish
from cubeseg.unmixing.abundances import Abundances, nonnegative
from cubeseg.unmixing.ambiguity import matched
from cubeseg.unmixing.bound import rank_of
from cubeseg.unmixing.classical import CLASSICAL, classical_components
from cubeseg.unmixing.selection import components_of
from published_unmixing import published
from sets import DATA, case

Array = np.ndarray
Row = dict[str, Any]
GRID = [f"grid-{k}-{times}-{db}" for k in (16, 64, 128, 256) for times in (4, 8) for db in (20, 30)]
SETS = {
    "grid": GRID,
    "real": ["samson", "moffett"],
    "painting": ["painting-1-400", "painting-2-400", "painting-3-400"],
    "library": ["library-4", "library-8"],
    "large": ["image-300"],
}


def compared(components: Array, truth: Array, amounts: Array, true_amounts: Array) -> Row:
    """Cosine, angle and concentrations of matched components; missing ones count as zero concentrations."""
    k = len(truth)
    filled = np.concatenate([components, np.full((max(0, k - len(components)), components.shape[1]), 1e-9)])
    mixed = np.concatenate([amounts, np.zeros((len(amounts), len(filled) - amounts.shape[1]))], axis=1)
    order = matched(truth, filled)
    there, mine = filled[order], mixed[:, order]
    cosine = (there * truth).sum(axis=1) / np.linalg.norm(there, axis=1) / np.linalg.norm(truth, axis=1)
    mine = mine * (mine * true_amounts).sum(axis=0) / np.maximum((mine**2).sum(axis=0), 1e-30)
    rest = ((mine - true_amounts) ** 2).mean()
    return {
        "cosine": float(cosine.mean()), "least": float(cosine.min()),
        "sad": float(np.arccos(np.clip(cosine, -1, 1)).mean()), "rmse": float(np.sqrt(rest)),
        "r2": float(1 - rest / true_amounts.var()),
    }  # fmt: skip


def grid(name: str, seed: int, ways: bool, limit: float) -> Iterator[tuple[str, Callable[[], Row]]]:
    """The published synthetic sets: the noise of each spectrum is known to all that use it."""
    k, times, db = map(int, name.split("-")[1:])
    made = synthetic_mixtures(k, times, db, seed)
    rows = (made.spectra / made.noise[:, None]).astype(np.float32)

    def edge() -> Row:
        return {"found": rank_of(rows)[0]}

    def unknown() -> Row:
        flat = made.spectra / np.sqrt((made.spectra**2).mean(axis=1, keepdims=True))
        return {"found": rank_of(flat, None)[0]}

    def ours() -> Row:
        found = finish(components_of(rows, rank_of(rows)[0]))
        amounts = found.amounts * made.noise[:, None]
        return {"found": len(found.components), "chi2": found.chi2} | compared(
            found.components, made.components, amounts, made.concentrations
        )

    def usual(way: str) -> Row:
        components = classical_components(way, made.spectra, k, seed)
        components = components / np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-12)
        amounts = nonnegative(components @ components.T, made.spectra @ components.T, None, 300)
        return {"found": k} | compared(components, made.components, amounts, made.concentrations)

    def as_published(candidates: int) -> Row:
        found = published(made.spectra, candidates, limit, seed)
        row = {"found": len(found.components), "explained": found.r2, "epochs": found.epochs}
        if not len(found.components):
            return row
        return row | compared(found.components, made.components, found.concentrations, made.concentrations)

    yield "rank edge, noise known", edge
    yield "rank edge, noise estimated", unknown
    yield "cubeseg", ours
    if ways:
        for way in ("nmf", "nmf-kl", "ica", "mcr-als"):
            yield f"{way}, true number", lambda way=way: usual(way)
    if limit:
        for candidates in (1024, 4 * k):
            yield f"published, {candidates} candidates, {limit:.0f} s", lambda n=candidates: as_published(n)


def image(name: str, seed: int) -> tuple[Cube, Array, Array]:
    """A cube, its true components (k, bands) and abundances (k, y, x)."""
    kind, *rest = name.split("-")
    if kind == "painting":
        made = painting(96, float(rest[1]), seed, tier=int(rest[0]))
        return made.cube, made.states.mean(axis=1), made.abundances
    if kind == "library":
        return _library(int(rest[0]), seed)
    if kind == "image":
        return _image(int(rest[0]), seed)
    cube = case(name, 0).cube
    if name == "samson":
        found = loadmat(DATA / "samson/samson_dataset.mat")
        return cube, found["M"].T, found["A"].reshape(3, 95, 95, order="F")
    found = loadmat(DATA / "moffett/moffett.mat")
    return cube, found["GT"], np.moveaxis(found["S_GT"], -1, 0)


def _library(k: int, seed: int) -> tuple[Cube, Array, Array]:
    """Pigments of the reflectance library, mixed linearly in smooth fields, 40 dB."""
    rng = np.random.default_rng(seed)
    spectra = load_library(DATA / "pigment_library_hyppigments/__speclib_averages.hdr").values
    usable = spectra[np.isfinite(spectra).all(axis=1) & (spectra.max(axis=1) > 0.05)]
    components = np.maximum(usable[rng.choice(len(usable), k, replace=False)], 0).astype(np.float64)
    shares = _fields(rng, k, 64)
    clean = np.einsum("kb,kyx->byx", components, shares)
    noise = np.sqrt((clean**2).mean()) / 100
    data = clean + noise * rng.standard_normal(clean.shape)
    return Cube(data.astype(np.float32), SpectralAxis.channels(len(data))), components, shares


def _image(size: int, seed: int, k: int = 12, bands: int = 512) -> tuple[Cube, Array, Array]:
    """Components of the synthetic sets in smooth fields, 30 dB: for the time that an image takes."""
    rng = np.random.default_rng(seed)
    components = synthetic_mixtures(k, 4, 30, seed, bands).components
    shares = _fields(rng, k, size)
    data = np.einsum("kb,kyx->byx", components, shares).astype(np.float32)
    data += (np.sqrt((data**2).mean()) * 10**-1.5 * rng.standard_normal(data.shape, np.float32)).astype(np.float32)
    return Cube(data, SpectralAxis.channels(bands)), components, shares


def _fields(rng: np.random.Generator, k: int, size: int) -> Array:
    """Shares (k, y, x) of components that come and go smoothly and sum to one."""
    from scipy.ndimage import gaussian_filter

    fields = np.stack(
        [gaussian_filter(rng.standard_normal((size, size)), 5 * size / 64, mode="wrap") for _ in range(k)]
    )
    shares = np.exp(4 * fields / fields.std())
    return shares / shares.sum(axis=0)


def cubes(name: str, seed: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """A cube: the true number is told, except where it is to be found."""
    cube, truth, abundances = image(name, seed)
    data = np.nan_to_num(np.asarray(cube.data, np.float32))
    spectra = data.reshape(len(data), -1).T
    k, counts = len(truth), name.startswith("painting")

    def rated(components: Array, maps: Array) -> Row:
        flat = maps.reshape(len(maps), -1).T
        shares = flat / np.maximum(flat.sum(axis=1, keepdims=True), 1e-12)
        order = matched(truth, components) if len(components) >= k else np.arange(0)
        found = compared(components, truth, shares, abundances.reshape(k, -1).T)
        if len(order):
            found["rmse"] = float(np.sqrt(((shares[:, order] - abundances.reshape(k, -1).T) ** 2).mean()))
        return found

    def ours(clusters: Any) -> Row:
        options = {"method": "unmix", "seed": seed, "mixing": {"restarts": 0}}
        result = cubeseg.segment(cube, FitConfig.from_mapping(options | clusters))
        found = result.unmixed
        components = np.nan_to_num(found.components.astype(np.float64))
        maps = found.abundances if found.sum_to_one or counts else found.abundances * _norms(components)
        return {"found": len(found), "ones": found.sum_to_one} | rated(components, np.nan_to_num(maps))

    def usual(way: str, summed: bool) -> Row:
        few = spectra[:: max(1, len(spectra) // 4096)]
        components = classical_components(way, few, k, seed)
        if not summed:
            components = components / np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-12)
            components = components / components.sum(axis=1, keepdims=True) if counts else components
        maps = Abundances(components, np.ones(len(data)), summed, False)(spectra)
        return {"found": k} | rated(components, maps.T.reshape(k, *cube.image_shape))

    yield "cubeseg, true number", lambda: ours({"clusters": k})
    yield "cubeseg, number found", lambda: ours({})
    for way in CLASSICAL:
        if way == "nmf-kl" and not counts:
            continue
        yield f"{way} + NNLS", lambda way=way: usual(way, False)
        if not counts:
            yield f"{way} + NNLS, sum to one", lambda way=way: usual(way, True)


def _norms(components: Array) -> Array:
    return np.linalg.norm(components, axis=1)[:, None, None]


def main() -> None:
    """Run, or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--published", type=float, default=0, help="seconds for the published program on a grid set")
    parser.add_argument("--no-baselines", action="store_true", help="leave out the usual ways on the synthetic grid")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("unmixing.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    if options.what == "table":
        _write(rows, options.out)
        return
    done = {(r["set"], r["method"], r["seed"]) for r in rows}
    names = [name for one in options.sets for name in SETS.get(one, [one])]
    with options.results.open("a") as file:
        for name in names:
            for seed in range(options.seeds):
                if name.startswith("grid"):
                    made = grid(name, seed, not options.no_baselines, options.published)
                else:
                    made = cubes(name, seed)
                for method, run in made:
                    if (name, method, seed) in done:
                        continue
                    start = time.perf_counter()
                    try:
                        row = run()
                    except Exception as error:
                        row = {"error": f"{type(error).__name__}: {error}"}
                    row = {"set": name, "method": method, "seed": seed} | row
                    row["seconds"] = time.perf_counter() - start
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    print(row, flush=True)


def _write(rows: list[Row], path: Path) -> None:
    mark = "<!-- unmixing -->"
    before, _, rest = path.read_text().partition(mark)
    path.write_text(f"{before}{mark}\n" + "\n".join(_tables(rows)) + f"\n{mark}{rest.partition(mark)[2]}")


def _tables(rows: list[Row]) -> list[str]:
    lines = ["", "### Number of components of the published synthetic sets", ""]
    lines += [
        "| components, spectra per component, dB | seeds | rank edge | edge, noise estimated | cubeseg | "
        "component cosine | concentration RMSE | R² | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in GRID:
        mine = [r for r in rows if r["set"] == name and r["method"] == "cubeseg" and "found" in r]
        if not mine:
            continue
        seeds = {r["seed"] for r in mine}

        def counted(method: str, name: str = name, seeds: set[int] = seeds) -> str:
            own = [r for r in rows if r["set"] == name and r["method"] == method and r["seed"] in seeds]
            return ", ".join(str(r["found"]) for r in own)

        k, times, db = name.split("-")[1:]
        edges = [counted(f"rank edge, noise {what}") for what in ("known", "estimated")]
        lines.append(
            f"| {k}, {times}, {db} | {len(mine)} | {' | '.join(edges)} | {counted('cubeseg')} | "
            f"{_spread(mine, 'cosine')} | {_spread(mine, 'rmse')} | {_spread(mine, 'r2')} | "
            f"{_spread(mine, 'seconds', 1)} |"
        )
    lines += ["", "### Components and concentrations, every method", ""]
    lines += ["| set | method | seeds | found | cosine | SAD | RMSE | seconds |", "|---|---|---|---|---|---|---|---|"]
    for name in dict.fromkeys(r["set"] for r in rows if r["method"] not in ("cubeseg",)):
        for method in dict.fromkeys(r["method"] for r in rows if r["set"] == name and "cosine" in r):
            own = [r for r in rows if r["set"] == name and r["method"] == method and "cosine" in r]
            found = ", ".join(str(n) for n in sorted({r["found"] for r in own}))
            lines.append(
                f"| {name} | {method} | {len(own)} | {found} | {_spread(own, 'cosine')} | {_spread(own, 'sad')} | "
                f"{_spread(own, 'rmse')} | {_spread(own, 'seconds', 1)} |"
            )
    return lines


def _spread(rows: list[Row], key: str, digits: int = 3) -> str:
    values = [r[key] for r in rows]
    more = f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{more}"


if __name__ == "__main__":
    main()
