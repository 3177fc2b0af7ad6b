"""The sample painting in napari with training under way.

On a real display the window is yours. On a virtual one (no display, CI) the same window works by itself and leaves in
build/demo: screenshot.png, training.png, the exports and the result file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication, QPushButton

from napari_cubeseg.session import session_of

BUILD = Path("build") / "demo"


def wait(until: Callable[[], object], seconds: float, what: str) -> None:
    """Let Qt work until something is true."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            sys.exit(f"The demo waited {seconds:g} s for {what}, in vain")
        QApplication.processEvents()
        time.sleep(0.005)


def main() -> None:
    """Open the painting, open the docks, press Run."""
    viewer = napari.Viewer(title="napari-cubeseg")
    viewer.window.resize(1500, 940)
    viewer.open_sample("napari-cubeseg", "painting")
    _, panel = viewer.window.add_plugin_dock_widget("napari-cubeseg", "Segment datacube")
    viewer.window.add_plugin_dock_widget("napari-cubeseg", "Spectra")
    QApplication.processEvents()
    viewer.reset_view()
    session = session_of(viewer)
    panel.findChild(QPushButton, "cubeseg.train.run").click()
    if "CUBESEG_VIRTUAL_DISPLAY" not in os.environ:
        napari.run()
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    previews: list[object] = []
    session.progressed.connect(lambda event: previews.append(event) if event.labels is not None else None)
    wait(lambda: len(previews) > 1, 300, "previews of the labels")
    # the docks have taken their places by now
    viewer.reset_view()
    viewer.screenshot(str(BUILD / "training.png"), canvas_only=False, flash=False)
    wait(lambda: not session.running, 600, "the end of the training")
    wait(lambda: session.result is not None, 5, "the result")
    session.inspect(30, 38)
    wait(lambda: session.pixel is not None, 10, "the clicked pixel")
    written: list[object] = []
    session.exports.written.connect(written.append)
    session.exports.write(BUILD, ["tiff", "png", "figure", "csv", "hdf5", "report"])
    wait(lambda: written, 60, "the exports")
    if not written[0]:
        sys.exit("The exports could not be written")
    start = time.monotonic()
    wait(lambda: time.monotonic() - start > 9, 20, "the notifications to fade")
    viewer.reset_view()
    viewer.screenshot(str(BUILD / "screenshot.png"), canvas_only=False, flash=False)
    result = session.result
    assert result is not None
    print(f"{len(result.classes)} classes; see {BUILD}:")
    for path in sorted(BUILD.iterdir()):
        print(f"  {path.name}")
    viewer.close()


if __name__ == "__main__":
    main()
