"""How quickly the window answers, on a cube of 1024 x 1024 pixels and 1024 bands on disk.

    python benchmarks/viewer.py FOLDER [--size 1024] [--repeats 20]

Needs a display (a virtual one will do). Writes FOLDER/view.h5 (tiles of the synthetic painting, 16-bit, chunked), opens
it in the real napari, segments it with the quick method, and measures: a click until its spectrum is known, a stroke of
10,000 pixels until the class means follow, the slider of the number of classes, merging, undo; and, by a timer that
should fire every 5 ms, for how long the window stood still during each and during a training run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def make(path: Path, size: int) -> None:
    """Write the cube: one painting of 256 x 256 pixels, tiled."""
    import h5py

    from cubeseg.samples import painting

    cube = painting(256, 100, 0).cube
    lines = np.ascontiguousarray(np.moveaxis(cube.data.astype(np.uint16), 0, -1))
    lines = np.tile(lines, (1, size // 256, 1))
    with h5py.File(path, "w") as file:
        data = file.create_dataset("img", (size, size, cube.n_bands), "u2", chunks=(32, 32, 256))
        for top in range(0, size, 256):
            data[top : top + 256] = lines


class Heartbeat:
    """The longest times between two beats of a timer in the window's thread."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(5)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now

    def reset(self) -> None:
        """Forget what was."""
        self.gaps, self._last = [], time.perf_counter()

    @property
    def said(self) -> dict[str, float]:
        """In milliseconds."""
        gaps = 1e3 * np.array(self.gaps or [0.0])
        return {"longest_ms": round(float(gaps.max())), "over_100_ms": int((gaps > 100).sum())}


def main() -> None:
    """Make, open, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"view-{options.size}.h5"
    if not path.exists():
        make(path, options.size)

    import napari
    from qtpy.QtWidgets import QApplication

    from cubeseg.config import FitConfig
    from napari_cubeseg.session import session_of

    viewer = napari.Viewer()
    for dock in ("Segment datacube", "Spectra", "Latent space"):
        viewer.window.add_plugin_dock_widget("napari-cubeseg", dock)
    beat = Heartbeat()

    def wait(until: Callable[[], Any], seconds: float = 1800) -> None:
        end = time.perf_counter() + seconds
        while not until() and time.perf_counter() < end:
            QApplication.processEvents()
            time.sleep(0.0005)

    def settle(seconds: float = 0.5) -> None:
        end = time.perf_counter() + seconds
        wait(lambda: time.perf_counter() > end)

    def tell(what: str, times: list[float], goal: float) -> None:
        ms = 1e3 * np.array(times)
        print(json.dumps({
            "what": what, "median_ms": round(float(np.median(ms)), 1), "p95_ms": round(float(np.percentile(ms, 95)), 1),
            "goal_ms": goal, "n": len(ms), "window": beat.said,
        }), flush=True)  # fmt: skip

    start = time.perf_counter()
    viewer.open(str(path), plugin="napari-cubeseg")
    session = session_of(viewer)
    wait(lambda: session.cube is not None)
    tell("open", [time.perf_counter() - start], 2000)
    wait(lambda: session.overview is not None, 300)
    settle(2)
    beat.reset()
    start = time.perf_counter()
    session.start(FitConfig(epochs=2, clusters=(12, 12)))
    wait(lambda: not session.running)
    tell("training run of 2 epochs", [time.perf_counter() - start], float("nan"))
    wait(lambda: session.result is not None, 10)
    settle(8)
    bench, layer = session.workbench, session.labels_layer
    assert bench is not None
    assert layer is not None
    rng = np.random.default_rng(0)
    seen: list[float] = []
    session.pixel_changed.connect(lambda: seen.append(time.perf_counter()))

    beat.reset()
    clicks, whole = [], []
    for row, column in rng.integers(0, options.size, (options.repeats, 2)):
        seen.clear()
        start = time.perf_counter()
        session.inspect(int(row), int(column))
        own = time.perf_counter() - start
        wait(lambda: seen)
        clicks.append(seen[0] - start)
        settle(0.2)
        whole.append(own)
    tell("click until its spectrum is known", clicks, 50)
    tell("... of which the window's thread", whole, 50)

    beat.reset()
    strokes = []
    for number in range(options.repeats):
        top, left = rng.integers(0, options.size - 100, 2)
        rows, columns = (a.ravel() for a in np.meshgrid(range(top, top + 100), range(left, left + 100), indexing="ij"))
        start = time.perf_counter()
        layer.data_setitem((rows, columns), 1 + number % 12)
        wait(lambda: bench.settled)
        strokes.append(time.perf_counter() - start)
        settle(0.3)
    tell("stroke of 10,000 pixels until the means follow", strokes, 100)

    beat.reset()
    undone = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        layer.undo()
        undone.append(time.perf_counter() - start)
        settle(0.3)
    tell("undo of such a stroke", undone, 100)

    beat.reset()
    merges = []
    for _ in range(options.repeats // 2):
        ids = rng.choice([c.id for c in bench.result.classes], 2, replace=False)
        start = time.perf_counter()
        bench.merge([int(i) for i in ids])
        merges.append(time.perf_counter() - start)
        settle(0.3)
        bench.undo()
        settle(0.3)
    tell("merge two classes", merges, 100)

    adjustments = session.adjustments
    assert adjustments is not None
    beat.reset()
    slides = []
    for n in (8, 14, 10, 20, 6):
        adjustments.begin()
        before = layer.data.copy()
        start = time.perf_counter()
        adjustments.recluster(n)
        wait(lambda old=before: (layer.data != old).any(), 60)
        slides.append(time.perf_counter() - start)
        adjustments.stop()
        bench.preview(None)
        settle(0.3)
    tell("number of classes: slider until other labels are seen", slides, 1000)
    viewer.close()


if __name__ == "__main__":
    main()
