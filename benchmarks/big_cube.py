"""A cube far larger than memory: peak memory, and throughput beside that of merely reading the file.

    python benchmarks/big_cube.py FOLDER [--gib 16] [--layout bip|bsq|hdf5] [--memory 1GiB]

Writes FOLDER/big.* (tiles of the synthetic painting, so that there is something to find), clusters it in a process of
its own and prints its largest resident memory, the time of every step and how much of it the processors worked
(seconds, and seconds of all cores together), and the time of reading the file once: from one end to the other as it
lies there, and block by block as the labelling does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cubeseg.config import parse_memory
from cubeseg.io import open_cube
from cubeseg.samples import painting

_BANDS, _TILE = 2048, 256

_RUN = """
import json, sys, time
from cubeseg.config import FitConfig
from cubeseg.io import open_cube
from cubeseg.training.fitting import fit
start = time.perf_counter()
cube = open_cube(sys.argv[1])
opened = time.perf_counter() - start
taken, last, worked = {}, time.perf_counter(), time.process_time()
steps = fit(cube, FitConfig.from_mapping({"memory": sys.argv[2]} | json.loads(sys.argv[4])))
while True:
    try:
        event = next(steps)
    except StopIteration as stop:
        result = stop.value
        break
    now, busy = time.perf_counter(), time.process_time()
    sums = taken.setdefault(event.message.split(":")[0], [0.0, 0.0])
    sums[0] += now - last
    sums[1] += busy - worked
    last, worked = now, busy
result.save(sys.argv[3])
status = [line.split() for line in open("/proc/self/status")]
peak = {words[0].strip(":"): int(words[1]) // 1024 for words in status if words[0] in ("VmHWM:", "VmRSS:")}
saved = time.perf_counter() - last
steps = {name: [round(seconds, 1) for seconds in both] for name, both in taken.items()}
print(json.dumps({"opened": opened, "steps": steps, "save": saved, "classes": len(result.classes), "mib": peak}))
"""


def make(path: Path, gib: float, layout: str) -> Path:
    """Write the cube: tiles of two paintings one behind the other along the spectrum, in the layout asked for."""
    parts = [painting(_TILE, 100, seed).cube.data for seed in (0, 1)]
    tile = np.ascontiguousarray(np.concatenate(parts)[:_BANDS].astype(np.uint16))
    side = int(np.sqrt(gib * 2**30 / 2 / _BANDS)) // _TILE * _TILE
    shape = (_BANDS, side, side)
    row = np.tile(tile, (1, 1, side // _TILE))
    if layout in ("bip", "bsq"):
        target = path / f"big_{layout}.raw"
        if target.exists() and target.stat().st_size == 2 * side * side * _BANDS:
            return target.with_suffix(".hdr")
        target.with_suffix(".hdr").write_text(
            f"ENVI\nsamples = {side}\nlines = {side}\nbands = {_BANDS}\nheader offset = 0\ndata type = 12\n"
            f"interleave = {layout}\nbyte order = 0\n"
        )
        with target.open("wb") as out:
            if layout == "bip":
                lines = np.ascontiguousarray(np.moveaxis(row, 0, -1))
                for _ in range(side // _TILE):
                    lines.tofile(out)
            else:
                for band in row:
                    for _ in range(side // _TILE):
                        band.tofile(out)
        return target.with_suffix(".hdr")
    target = path / "big.h5"
    import h5py

    with h5py.File(target, "w") as file:
        image = file.create_dataset("img", (side, side, _BANDS), "u2", chunks=(64, 64, 64))
        lines = np.ascontiguousarray(np.moveaxis(row, 0, -1))
        for top in range(0, side, _TILE):
            image[top : top + _TILE] = lines
    assert shape
    return target


def main() -> None:
    """Make, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gib", type=float, default=16)
    parser.add_argument("--layout", choices=("bip", "bsq", "hdf5"), default="bip")
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--short", action="store_true", help="two epochs, 12 classes: the memory is the same")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = make(options.folder, options.gib, options.layout)
    data = path.with_suffix(".raw") if path.suffix == ".hdr" else path
    start = time.perf_counter()
    with data.open("rb", buffering=0) as file:
        buffer = bytearray(32 << 20)
        while file.readinto(buffer):
            pass
    reading = time.perf_counter() - start
    start, cube = time.perf_counter(), open_cube(path)
    for _ in cube.blocks(parse_memory(options.memory) // 64):
        pass
    blocks = time.perf_counter() - start
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(path), options.memory, str(options.folder / "result.h5"),
         json.dumps({"epochs": 2, "clusters": 12} if options.short else {})],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    print(
        json.dumps(
            {"layout": options.layout, "gib": round(data.stat().st_size / 2**30, 2), "memory": options.memory}
            | {"file_read_s": round(reading, 1), "blocks_read_s": round(blocks, 1)} | found
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
