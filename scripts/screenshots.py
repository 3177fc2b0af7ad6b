"""The pictures of the docs, from the real napari as a user works in it: make screenshots [SHOTS="painting galaxy"].

Every picture is of the whole window, 1440 x 900, and below 250 kB, in docs/images.
"""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = Path(tempfile.mkdtemp(prefix="cubeseg-screenshots-"))
os.environ["CUBESEG_SETTINGS"] = str(HOME / "settings")
os.environ["NAPARI_CONFIG"] = str(HOME / "napari.yaml")

import napari  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt  # noqa: E402
from qtpy.QtGui import QMouseEvent  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import (  # noqa: E402
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QPushButton,
    QTabWidget,
    QWidget,
)
from superqt import QCollapsible  # noqa: E402

from napari_cubeseg import tour  # noqa: E402
from napari_cubeseg.session import session_of  # noqa: E402

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
SIZE = (1440, 900)
LARGEST = 250_000
DIST = "napari-cubeseg"


def rest(seconds: float = 0.4) -> None:
    """Let Qt draw."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def wait(until: Callable[[], object], what: str, seconds: float = 1800) -> None:
    """Let Qt work until something is true."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            sys.exit(f"Waited {seconds:g} s for {what}, in vain")
        QApplication.processEvents()
        time.sleep(0.005)


class Desk:
    """A napari window with our docks, and hands to work in it."""

    def __init__(self) -> None:
        tour.remember()
        self.viewer = napari.Viewer(title="napari", show=True)
        self.viewer.window.resize(*SIZE)
        self.window = self.viewer.window._qt_window
        _, self.segment = self.viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
        _, self.spectra = self.viewer.window.add_plugin_dock_widget(DIST, "Spectra")
        self.session = session_of(self.viewer)
        rest(1)
        # more layers in the list
        docks = [self.viewer.window._qt_viewer.dockLayerControls, self.viewer.window._qt_viewer.dockLayerList]
        self.window.resizeDocks(docks, [200, 500], Qt.Orientation.Vertical)

    def find(self, kind: type, name: str) -> Any:
        """A widget by its name."""
        found = self.window.findChild(kind, name)
        assert found is not None, name
        return found

    def press(self, name: str) -> None:
        """Press a button."""
        button = self.find(QPushButton, name)
        assert button.isEnabled(), name
        button.click()
        rest(0.2)

    def see(self, name: str) -> None:
        """Scroll the right dock until a panel's end, then its beginning, is in view."""
        panel = self.find(QWidget, name)
        self.segment.ensureWidgetVisible(panel, 0, 0)
        bar, top = self.segment.verticalScrollBar(), panel.mapTo(self.segment.widget(), QPoint(0, 0)).y()
        bar.setValue(max(0, top - 30))
        rest(0.3)

    def at(self, row: int, column: int) -> QPointF:
        """Where the centre of a pixel is on the canvas."""
        canvas = self.viewer.window._qt_viewer.canvas
        node = canvas.layer_to_visual[self.session.labels_layer or self.session.cube_layer].node
        x, y = node.transforms.get_transform("visual", "canvas").map([column + 0.5, row + 0.5, 0, 1])[:2]
        return QPointF(round(x), round(y))

    def mouse(self, *places: tuple[int, int]) -> None:
        """Press at the first pixel, move along the others, release."""
        native = self.viewer.window._qt_viewer.canvas.native
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

        def send(kind: QEvent.Type, at: QPointF, button: Any, buttons: Any) -> None:
            event = QMouseEvent(kind, at, native.mapToGlobal(at), button, buttons, Qt.KeyboardModifier.NoModifier)
            QApplication.sendEvent(native, event)
            QApplication.processEvents()

        points = [self.at(*place) for place in places]
        send(QEvent.Type.MouseMove, points[0], none, none)
        send(QEvent.Type.MouseButtonPress, points[0], left, left)
        for point in points[1:]:
            send(QEvent.Type.MouseMove, point, none, left)
        send(QEvent.Type.MouseButtonRelease, points[-1], left, none)
        rest()

    def click(self, row: int, column: int) -> None:
        """Look at a pixel."""
        self.mouse((row, column))
        wait(lambda: self.session.pixel is not None, "the pixel", 60)

    def layers(self, *shown: str) -> None:
        """Show the layers whose names end like this, and hide the others."""
        for layer in self.viewer.layers:
            layer.visible = any(layer.name.endswith(end) for end in shown)

    def fit(self) -> None:
        """Show the whole image."""
        rest()
        self.viewer.reset_view()
        rest()

    def take(self, name: str) -> None:
        """Write the picture."""
        self.hush()
        IMAGES.mkdir(parents=True, exist_ok=True)
        path = IMAGES / f"{name}.png"
        shot = Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)[..., :3])
        if shot.size != SIZE:
            sys.exit(f"{name}: the window is {shot.size[0]} x {shot.size[1]}, not {SIZE[0]} x {SIZE[1]}")
        shot.save(path, optimize=True)
        if path.stat().st_size > LARGEST:
            # not the median cut, which drops colours of few pixels: those of the class table
            shot.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
        size = path.stat().st_size
        if size > LARGEST:
            sys.exit(f"{path}: {size} bytes are more than {LARGEST}")
        print(f"{path.relative_to(ROOT)}: {size / 1000:.0f} kB", flush=True)

    def hush(self) -> None:
        """Close napari's notifications, which lie over the image, and take the mouse out of it."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        native = self.viewer.window._qt_viewer.canvas.native
        away, none = QPointF(2, 2), Qt.MouseButton.NoButton
        QApplication.sendEvent(
            native,
            QMouseEvent(
                QEvent.Type.MouseMove, away, native.mapToGlobal(away), none, none, Qt.KeyboardModifier.NoModifier
            ),
        )

        rest(0.6)
        for note in self.window.findChildren(NapariQtNotification):
            note.close()
        rest(0.6)

    def name_classes(self) -> None:
        """Give the classes the names that they have in the truth of the sample."""
        truth = next(layer for layer in self.viewer.layers if layer.name == "truth")
        names = dict(zip(truth.features["index"], truth.features["class"], strict=True))
        result = self.session.result
        for info in list(result.classes):
            found = np.bincount(truth.data[result.labels == info.id])
            self.session.workbench.rename(info.id, str(names[int(found[1:].argmax()) + 1]).split(",")[0])

    def export_panel(self) -> None:
        """Show the end of the right dock, the report ticked."""
        panel = self.find(QWidget, "cubeseg.export")
        panel.choose(*panel.chosen, "report")
        bar = self.segment.verticalScrollBar()
        bar.setValue(bar.maximum())
        panel.formats.scrollToBottom()
        rest()

    def run(self, folder: str, while_training: str = "") -> None:
        """Press Run; take a picture once the labels have been shown twice; wait for the end."""
        previews: list[object] = []
        self.session.progressed.connect(lambda event: previews.append(event) if event.labels is not None else None)
        self.press("cubeseg.train.run")
        if while_training:
            wait(lambda: len(previews) > 1, "previews of the labels")
            self.see("cubeseg.train")
            self.fit()
            self.take(while_training)
        wait(lambda: not self.session.running, "the end of the training")
        wait(lambda: self.session.result is not None, "the result", 30)
        self.find(QLineEdit, "cubeseg.export.folder").setText(folder)
        self.fit()


def unfold(desk: Desk, name: str) -> None:
    """Open a folded form."""
    desk.find(QCollapsible, name).expand(animate=False)
    rest()


def maps(desk: Desk, kind: str, **fields: Any) -> None:
    """Fill in the form of maps and press Make."""
    unfold(desk, "cubeseg.image.fold")
    box = desk.find(QComboBox, "cubeseg.image.kind")
    box.setCurrentIndex(box.findData(kind))
    for name, value in fields.items():
        field = desk.find(QWidget, f"cubeseg.image.{name}")
        field.setText(value) if isinstance(field, QLineEdit) else field.setValue(value)
    made: list[object] = []
    desk.session.maps.made.connect(made.append)
    desk.press("cubeseg.image.make")
    wait(lambda: made, "the maps", 300)
    rest()


def painting() -> None:
    """The tutorial of the painting."""
    desk = Desk()
    session = desk.session
    desk.viewer.open_sample(DIST, "painting")
    wait(lambda: session.overview is not None, "a look at the cube", 300)
    desk.fit()
    unfold(desk, "cubeseg.cube.fold")
    desk.take("painting-open")
    desk.find(QCollapsible, "cubeseg.cube.fold").collapse(animate=False)
    maps(desk, "elements", elements="Pb, Cu, Hg")
    desk.see("cubeseg.cube")
    desk.fit()
    desk.take("painting-elements")
    desk.find(QCollapsible, "cubeseg.image.fold").collapse(animate=False)
    desk.run("painting-cubeseg", "painting-training")
    desk.see("cubeseg.classes")
    desk.click(30, 38)
    desk.take("painting-classes")

    desk.press("cubeseg.spectra.tools")
    tabs = desk.spectra.findChild(QTabWidget)
    desk.find(QLineEdit, "cubeseg.spectra.lines").setText("Pb-L, Hg-L, Cu-K, Fe-K")
    desk.spectra.plot.setXRange(5, 16)
    rest(1)
    desk.take("painting-lines")
    tabs.setCurrentIndex(1)
    explain = desk.find(QPushButton, "cubeseg.spectra.explain")
    explain.click()
    wait(explain.isEnabled, "the explanation", 300)
    desk.take("painting-explain")
    desk.press("cubeseg.spectra.tools")
    layer = session.labels_layer
    desk.viewer.layers.selection.active = layer
    # the halo shares a class with the parapet: some of it as a new class
    QTest.keyClick(desk.viewer.window._qt_viewer.canvas.native, Qt.Key.Key_M)
    layer.mode, layer.brush_size = "paint", 2
    desk.mouse((24, 16), (28, 16), (34, 16))
    desk.mouse((18, 60), (27, 60), (36, 61))
    wait(lambda: session.workbench.settled, "the spectra", 60)
    desk.find(QWidget, "cubeseg.classes.corrections").click()
    session.select([layer.selected_label])
    desk.see("cubeseg.classes")
    desk.take("painting-correct")
    layer.mode = "pan_zoom"
    desk.press("cubeseg.refine")
    wait(lambda: not session.running, "Refine")
    desk.find(QWidget, "cubeseg.classes.corrections").click()
    desk.name_classes()
    desk.see("cubeseg.classes")
    desk.click(24, 16)
    desk.take("painting-done")
    desk.export_panel()
    desk.take("painting-export")
    _, latent = desk.viewer.window.add_plugin_dock_widget(DIST, "Latent space")
    wait(lambda: latent.isVisible() and latent._scatter is not None, "the latent space", 60)
    desk.see("cubeseg.classes")
    desk.take("painting-latent")
    desk.viewer.close()


def galaxy() -> None:
    """The tutorial of the galaxy."""
    os.chdir(HOME)
    runpy.run_path(str(ROOT / "docs" / "examples" / "galaxy_fits.py"))
    desk = Desk()
    session = desk.session
    desk.viewer.open(str(HOME / "galaxy-1.fits"), plugin=DIST)
    wait(lambda: session.overview is not None, "a look at the cube", 300)
    desk.layers(session.cube_layer.name, "sum")
    desk.see("cubeseg.cube")
    desk.fit()
    desk.take("galaxy-open")
    desk.run("galaxy-cubeseg")
    desk.layers(session.cube_layer.name, "sum", session.labels_layer.name)
    desk.press("cubeseg.spectra.tools")
    desk.find(QLineEdit, "cubeseg.spectra.lines").setText("Hα, Hβ, [O III], [N II], [S II]")
    desk.find(QDoubleSpinBox, "cubeseg.spectra.redshift").setValue(0.006)
    desk.see("cubeseg.classes")
    desk.click(32, 32)
    desk.spectra.plot.setXRange(6480, 6960)
    desk.take("galaxy-lines")
    desk.press("cubeseg.spectra.tools")
    first = session.cube_layer
    desk.viewer.open(str(HOME / "galaxy-2.fits"), plugin=DIST)
    wait(lambda: session.cube_layer is not first and session.overview is not None, "the second cube", 300)
    second = session.cube_layer
    session.use_cube(first)
    rest()
    before = session.labels_layer
    session.learning.apply_to(second)
    wait(lambda: not session.running, "the second cube's labels")
    wait(lambda: session.labels_layer is not before, "the second cube's labels", 60)
    desk.layers(second.name, f"{second.name} sum", session.labels_layer.name)
    desk.find(QLineEdit, "cubeseg.export.folder").setText("galaxy-2-cubeseg")
    desk.see("cubeseg.classes")
    desk.click(32, 32)
    desk.take("galaxy-apply")
    desk.viewer.close()


def main() -> None:
    """Take all pictures, or those of the scenes that are named."""
    scenes = {"painting": painting, "galaxy": galaxy}
    for name in sys.argv[1:] or scenes:
        scenes[name]()


if __name__ == "__main__":
    main()
