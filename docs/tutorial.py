"""From a scan to a map of materials, step by step: python docs/tutorial.py [--size 96] [--folder tutorial].

A synthetic MA-XRF scan of a portrait stands in for a real one, so that at the end there is a truth to compare with. Put
your own file in the place of `scan`, and leave the last step out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import cubeseg
from cubeseg import editing
from cubeseg.editing.edits import counted
from cubeseg.exporting import export
from cubeseg.metrics import score
from cubeseg.samples import write_sample
from cubeseg.steps import finish

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=96, help="height and width of the scan in pixels")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--folder", type=Path, default=Path("tutorial"))
options = parser.parse_args()
options.folder.mkdir(exist_ok=True)

# 1. Open the scan. Only what is looked at is read from the disk.
scan = options.folder / "portrait.h5"
truth = np.load(write_sample("painting", scan, size=options.size, seed=1))
cube = cubeseg.open_cube(scan)
height, width = cube.image_shape
print(f"1. {scan.name}: {height} x {width} pixels, {cube.axis.format(0)} to {cube.axis.format(cube.n_bands - 1)}")

# 2. Train. The events tell how far it is; a window would draw them, here the losses are printed.
config = cubeseg.FitConfig(method="deep", clusters=(4, 9), epochs=options.epochs, seed=1)
run = cubeseg.fit(cube, config)
try:
    while True:
        event = next(run)
        if event.losses:
            print(f"   epoch {event.epoch:2}: {event.losses['total']:.4f}")
except StopIteration as stop:
    result = stop.value
print(f"2. {result.n_clusters} classes")

# 3. Look at them: how large, how sure, and at which energy each is brightest.
for row in result.table():
    peak = int(np.nanargmax(result.spectra.mean(row["id"])))
    share, sure = f"{100 * row['share']:5.1f} %", f"{row['confidence']:.2f}"
    print(f"   {row['name']}: {share} of the image, sure to {sure}, brightest at {cube.axis.format(peak)}")

# 4. Correct by hand. Each operation is a step that could be undone, and is written down.
largest = max(result.classes, key=lambda c: result.pixels(c.id)).id
editing.rename(result, largest, "ground").do()
where = np.flatnonzero((truth == truth[0, 0]).ravel())[: options.size]
stroke = editing.paint(result, where, np.full(len(where), largest))
stroke.do()
for part in stroke.pixels:
    stroke.count(part, finish(counted(part, cube, width)))
print(f"4. {len(where)} pixels painted as 'ground'")

# 5. Learn from what was painted: alike pixels follow.
refined = finish(cubeseg.refine(result, cube))
print(f"5. {int((refined.labels != result.labels).sum())} pixels changed their class")

# 6. Keep it: one file with everything, and maps for other programs.
kept = options.folder / "portrait-classes.h5"
refined.save(kept)
for path in export(refined, options.folder / "out", ["tiff", "png", "csv"]):
    print(f"6. {path}")

# 7. Years later: the file alone says how it was made, and is made again.
again = finish(cubeseg.replay(cubeseg.load(kept), cubeseg.open_cube(scan)))
print(f"7. made again from its record: {100 * again.agreement:.2f} % of the labels are the same")

# 8. Only here there is a truth.
print(f"8. adjusted Rand index {score(refined.labels, truth)['ari']:.3f}")
