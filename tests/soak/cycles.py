"""Windows that are opened, used and closed at a random moment, over and over: nothing may be left behind.

    python -m tests.soak.cycles [--cycles 200] [--seed 0] [--seconds 300]

Prints the curve of memory; ends with 0 where no worker went on, no thread was left and nothing was said by Qt.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QPushButton
from superqt.utils import WorkerBase

from cubeseg.samples import write_sample
from napari_cubeseg.session import session_of
from tests.soak.user import DIST
from tests.soak.watch import Watch

# seconds after which work must have stopped
STOPPED = 2.0


def until(done: Callable[[], bool], seconds: float) -> float:
    """Let Qt work until something is true; returns the seconds that it took, infinity where it never was."""
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > seconds:
            return float("inf")
        QTest.qWait(2)
    return time.monotonic() - start


def memory() -> float:
    """MiB that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def answer_close() -> None:
    """What napari asks on closing a window at work is answered with yes."""
    asked = QApplication.activeModalWidget()
    if isinstance(asked, QDialog):
        asked.accept()


def cycle(make: Callable[[], object], path: Path, chance: random.Random) -> str:
    """One life of a window; returns what was done.

    Raises
    ------
    AssertionError
        If work goes on after the window was closed.
    """
    viewer = make()
    viewer.window.resize(900, 700)
    viewer.open(str(path), plugin=DIST)
    _, dock = viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
    if chance.random() < 0.5:
        viewer.window.add_plugin_dock_widget(DIST, "Spectra")
    session = session_of(viewer)
    from napari_cubeseg.qt.train_panel import TrainPanel

    panel = dock.findChild(TrainPanel, "cubeseg.train")
    panel.method.value = chance.choice(["deep", "deep", "pca", "unmix"])
    panel.epochs.value = chance.choice([3, 5000])
    dock.findChild(QPushButton, "cubeseg.train.run").click()
    what = chance.choice(["close", "cancel", "pause", "finish"])
    QTest.qWait(chance.randrange(0, 900))
    if what == "cancel":
        session.cancel()
    elif what == "pause":
        session.pause()
        QTest.qWait(50)
    elif what == "finish":
        until(lambda: not session.running, 4)
    said = f"{panel.method.value} {panel.epochs.value}, {what}"
    answers = QTimer()
    answers.timeout.connect(answer_close)
    answers.start(20)
    viewer.close()
    took = until(lambda: not any(worker.is_running for worker in WorkerBase._worker_set), 20 * STOPPED)
    answers.stop()
    assert took < float("inf"), f"{said}: work goes on after the window was closed"
    return f"{said}, stopped after {took:.2f} s"


def main() -> int:
    """Live and die, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    chance, end, curve, slow = random.Random(options.seed), time.monotonic() + options.seconds, [], []
    from napari.qt import get_qapp

    application = get_qapp()
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        os.environ["CUBESEG_SETTINGS"] = folder
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "napari.yaml")
        import napari

        path = Path(folder) / "painting.h5"
        write_sample("painting", path, size=24, counts=300, seed=1)
        for count in range(options.cycles):
            if time.monotonic() > end:
                break
            watch.doing = f"cycle {count}"
            said = cycle(napari.Viewer, path, chance)
            watch.rest()
            QApplication.processEvents()
            gc.collect()
            curve.append(memory())
            if float(said.rsplit(" ", 2)[-2]) > STOPPED:
                slow.append(said)
            print(f"{count:4} {curve[-1]:7.0f} MiB  {said}", flush=True)
        ours = [t.name for t in threading.enumerate() if t.name.startswith("cubeseg")]
    # the first windows load libraries
    grown = curve[-1] - min(curve[min(20, len(curve) // 2) :][:5])
    print(f"{len(curve)} windows; {grown:+.0f} MiB since the libraries are loaded; threads left: {ours or 'none'}")
    for text in [*watch.wrong, *(f"late: {said}" for said in slow)]:
        print("   ", text)
    application.processEvents()
    return 1 if watch.wrong or ours else 0


if __name__ == "__main__":
    raise SystemExit(main())
