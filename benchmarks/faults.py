"""Processes that are killed while they segment, save and export: the old file is there afterwards, or the new one.

    python benchmarks/faults.py [--kills 100] [--seed 0] [--small FOLDER]

A child process does the same again and again; at a moment of two rounds, drawn at random, it gets SIGKILL. Then every
file (a folder, for Zarr) must be there under its final name, open, and hold what one of the two runs writes into it.
Temporary files that are left over are counted; the next process that writes the same file takes them away. `--small`
names a folder on a disk of few MiB (as root: ``mount -t tmpfs -o size=2m tmpfs FOLDER``): results are saved there until
it is full.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

# does a round again and again until it is killed; tells how long the second one took
_ROUNDS = """
import sys, time
from itertools import count
{before}
for turn in count():
    start = time.monotonic()
{round}
    if turn == 1:
        sys.stdout = sys.__stdout__
        print(time.monotonic() - start, flush=True)
"""
# results whose labels are all alike, class 1 and class 2 in turn
_SAVE = _ROUNDS.format(
    before="from cubeseg import load; result = load(sys.argv[1])",
    round="    result.labels[...] = turn % 2 + 1; result.save(sys.argv[2])",
)
_EXPORT = _ROUNDS.format(
    before="from cubeseg import load; from cubeseg.exporting import export; result = load(sys.argv[1])",
    round="    result.labels[...] = turn % 2 + 1\n"
    "    export(result, sys.argv[2], ['tiff', 'png', 'fits', 'csv', 'geojson', 'hdf5'], 'e')",
)
_ZARR = _ROUNDS.format(
    before="from cubeseg import load; from cubeseg.exporting import export; result = load(sys.argv[1])",
    round="    result.labels[...] = turn % 2 + 1\n    export(result, sys.argv[2], ['zarr'], 'e')",
)
_KINDS = ("save", "export", "zarr", "segment")
_SEGMENT = _ROUNDS.format(
    before="from cubeseg.cli import main; import io",
    round="    sys.stdout = io.StringIO()\n"
    "    main(['segment', sys.argv[1], '-o', sys.argv[2], '--method', 'pca', '--clusters', str(turn % 2 + 3),\n"
    "        '--force'])",
)


def result_file(folder: Path) -> tuple[Path, Path]:
    """A small cube and its result."""
    from cubeseg import FitConfig, open_cube, segment
    from cubeseg.samples import write_sample

    cube, path = folder / "cube.h5", folder / "first.h5"
    write_sample("painting", cube, size=48, counts=300, seed=1)
    segment(open_cube(cube), FitConfig(method="pca", clusters=(4, 4))).save(path)
    return cube, path


def killed(program: str, arguments: list[Path], part: float) -> None:
    """Start a child, and kill it when it has done so many further rounds."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    try:
        told = child.stdout.readline()
        if not told:
            raise RuntimeError("the child ended before its second round")
        time.sleep(part * float(told))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def fault_of(path: Path) -> str:
    """What is wrong with a file under its final name; empty where it is whole."""
    import json

    import tifffile
    from astropy.io import fits
    from PIL import Image

    from cubeseg import load

    try:
        if path.suffix == ".zarr":
            import zarr

            group = zarr.open_group(path, mode="r")
            if "image-label" not in group.attrs["ome"]:
                return "the names of the classes are missing"
            # a chunk that is not there would be read as zeros
            return "" if set(np.unique(group["0"][...]).tolist()) in ({1}, {2}) else "labels of two runs"
        if path.suffix == ".h5":
            found = load(path)
            if path.name == "segmented.h5":
                return "" if len(found.classes) == found.config.clusters[0] else "classes of two runs"
            return "" if len(np.unique(found.labels)) == 1 else "labels of two runs"
        if path.suffix == ".tif":
            return "" if len(np.unique(tifffile.imread(path))) == 1 else "labels of two runs"
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".fits":
            with fits.open(path) as found:
                found.verify("exception")
                if len(np.unique(found["LABELS"].data)) != 1:
                    return "labels of two runs"
        elif path.suffix == ".geojson":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".csv":
            text = path.read_text(encoding="utf-8")
            widths = {line.count(",") for line in text.splitlines() if not line.startswith("#")}
            return "" if text.endswith("\n") and len(widths) == 1 else "lines are missing"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def kill_many(what: str, kills: int, seed: int, folder: Path, cube: Path, first: Path) -> Counter[str]:
    """Kill so many processes that do the same; what was found, counted."""
    rng, counts = random.Random(f"{what} {seed}"), Counter[str]()
    target = folder / what
    target.mkdir()
    program, arguments = {
        "save": (_SAVE, [first, target / "saved.h5"]),
        "export": (_EXPORT, [first, target]),
        "zarr": (_ZARR, [first, target]),
        "segment": (_SEGMENT, [cube, target / "segmented.h5"]),
    }[what]
    for _ in range(kills):
        killed(program, arguments, rng.uniform(0, 2))
        counts["kills"] += 1
        left = [p for p in target.iterdir() if p.name.startswith(".") and p.name.endswith(".part")]
        counts["kills amid writing"] += bool(left)
        counts["most leftovers at a time"] = max(counts["most leftovers at a time"], len(left))
        whole = [p for p in target.iterdir() if p not in left]
        counts["files looked at"] += len(whole)
        counts["names"] = max(counts["names"], len(whole))
        if not whole or len(whole) < counts["names"]:
            counts["FAULTS"] += 1
            print(f"    {what}: a file that was there is gone", flush=True)
        for path in whole:
            fault = fault_of(path)
            if fault:
                counts["FAULTS"] += 1
                print(f"    {what}: {path.name}: {fault}", flush=True)
    return counts


def fill(folder: Path, first: Path) -> str:
    """Save until the disk is full: each file there is whole, and the error is one line."""
    from cubeseg import load
    from cubeseg.errors import DataError

    result = load(first)
    # what does not pack well
    result.latent = np.random.default_rng(0).normal(size=(*result.labels.shape, 64)).astype(np.float32)
    for number in range(1000):
        result.labels[...] = 1
        try:
            result.save(folder / f"{number}.h5")
        except DataError as error:
            said = str(error)
            break
    else:
        return "FAULT: the disk did not fill up"
    left = [p for p in folder.iterdir() if p.name.startswith(".")]
    bad = [p.name for p in folder.glob("*.h5") if fault_of(p)]
    told = said if "\n" not in said else "FAULT: more than one line"
    verdict = f"FAULT: {left} {bad}" if left or bad or (folder / f"{number}.h5").exists() else "all whole"
    return f"full after {number} files, {verdict}; '{told}'"


def main() -> int:
    """Run, print the counts, and say by the exit status whether anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each kind of process")
    parser.add_argument("--only", choices=_KINDS, nargs="*", default=_KINDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", type=Path, help="a folder on a disk of a few MiB")
    options = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cube, first = result_file(folder)
        for what in options.only:
            start = time.monotonic()
            counts = kill_many(what, options.kills, options.seed, folder, cube, first)
            faults += counts["FAULTS"]
            counts["FAULTS"] += 0
            print(f"{what:8} {dict(counts)} {time.monotonic() - start:.0f} s", flush=True)
        if options.small:
            told = fill(options.small, first)
            faults += "FAULT" in told
            print(f"small    {told}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
