"""Everything that a user can do in the window, each with what is at hand at random; says what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QLineEdit, QWidget

from napari_cubeseg import layers as our
from tests.soak.user import DIST, DOCKS, User

_LEFT, _NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton


class Actions(User):
    """A user whose ``do_...`` are what can be done.

    Parameters
    ----------
    viewer : napari.Viewer
    cubes : list of Path
        Files that it opens.
    seed : int
    """

    def __init__(self, viewer: object, cubes: list[Path], seed: int) -> None:
        super().__init__(viewer, seed)
        self.cubes = cubes

    def do_open_cube(self) -> str:
        path = self.random.choice(self.cubes)
        if len(our.cube_layers(self.viewer)) < 3:
            self.viewer.open(str(path), plugin=DIST)
        return path.name

    def do_click_pixel(self) -> str:
        point = self._place()
        self._mouse(self.canvas, [point])
        return f"{point.x()} {point.y()}"

    def do_paint(self) -> str:
        labels = [item for item in self.viewer.layers if isinstance(item, Labels)]
        if not labels:
            return "nothing to paint on"
        layer = self.random.choice(labels)
        self.viewer.layers.selection.active = layer
        if not layer.editable or not layer.visible:
            return "not editable"
        layer.mode = mode = self.random.choice(["paint", "paint", "paint", "fill", "erase", "pick", "pan_zoom"])
        layer.brush_size = self.random.choice([1, 3, 7, 15])
        layer.selected_label = self.random.choice([0, 1, 2, 3, 4, 5, 6, 7, 12, 300])
        points = [self._place() for _ in range(1 if mode == "fill" else self.random.randint(1, 5))]
        self._mouse(self.canvas, points, self.random.choice([_LEFT, _LEFT, _LEFT, Qt.MouseButton.RightButton]))
        return f"{layer.name} {mode} {layer.selected_label}"

    def do_key(self) -> str:
        plain = ["1", "2", "3", "4", "5", "6", "7", "E", "P", "F", "L", "M", "X", "B", "BracketLeft", "BracketRight",
                 "V", "Escape", "Up", "Down", "Left", "Right", "Space", "Home"]  # fmt: skip
        shifted = ["M", "S", "D", "L", "H", "O", "A"]
        if self.random.random() < 0.5:
            return self._key(self.random.choice(plain))
        if self.random.random() < 0.8:
            return self._key(self.random.choice(shifted), "Shift")
        return self._key(self.random.choice(["Up", "Down"]), "Control", "Shift")

    def do_undo_redo(self) -> str:
        return self._key("Z", "Control", *(["Shift"] if self.random.random() < 0.4 else []))

    def do_select_rows(self) -> str:
        result = self.session.result
        panel = self._find(QWidget, "cubeseg.classes")
        if result is None or panel is None or not result.classes:
            return "no classes"
        table = panel.table
        for n in range(self.random.randint(1, 3)):
            row = self.random.randrange(table.model().rowCount())
            at = table.visualRect(table.model().index(row, self.random.choice([1, 2, 5, 6]))).center()
            held = Qt.KeyboardModifier.ControlModifier if n else Qt.KeyboardModifier.NoModifier
            QTest.mouseClick(table.viewport(), _LEFT, held, at)
        return f"{self.session.selected}"

    def do_operate(self) -> str:
        names = ["merge", "split", "delete", "lock", "hide", "solo", "up", "down", "undo", "redo", "recolour"]
        name = self.random.choice(names)
        if name == "recolour":
            return self._key("C", "Shift")
        return self._press_action(name)

    def do_parts(self) -> str:
        parts = self._find(QWidget, "cubeseg.classes.parts")
        if parts is not None and parts.isEnabled():
            parts.setValue(self.random.randint(2, 12))
        return "parts"

    def do_rename(self) -> str:
        self._key("F2")
        panel = self._find(QWidget, "cubeseg.classes")
        editor = None if panel is None else panel.table.findChild(QLineEdit)
        if editor is None:
            return "no editor"
        QTest.keyClicks(editor, self.random.choice(["azurite", "<b>", "Grün & Gold", " ", "x" * 60, "?"]))
        QTest.keyClick(editor, self.random.choice([Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_Tab]))
        return editor.text() if not _deleted(editor) else ""

    def do_slide(self) -> str:
        name = self.random.choice(["number", "granularity", "coherence"])
        slider = self._find(QWidget, f"cubeseg.classes.{name}")
        if slider is None or not slider.isVisible() or not slider.isEnabled():
            return "no slider"
        held = self.random.random() < 0.7
        if held:
            slider.setSliderDown(True)
        for _ in range(self.random.randint(1, 4)):
            low, high = slider.minimum(), min(slider.maximum(), 12)
            slider.setValue(
                self.random.uniform(low, high) if name == "coherence" else self.random.randint(low, max(low, high))
            )
            QTest.qWait(self.random.choice([1, 10, 80]))
        if held:
            slider.setSliderDown(False)
        return f"{name} to {slider.value()}"

    def do_wheel(self) -> None:
        at = QPointF(self._place())
        none = Qt.KeyboardModifier.NoModifier
        held = self.random.choice([none, Qt.KeyboardModifier.ControlModifier])
        turned = QPoint(0, self.random.choice([-120, 120]))
        event = QWheelEvent(
            at, self.canvas.mapToGlobal(at), QPoint(), turned, _NONE, held, Qt.ScrollPhase.NoScrollPhase, False
        )
        QApplication.sendEvent(self.canvas, event)

    def do_reset_view(self) -> str:
        self.viewer.window._qt_viewer.viewerButtons.resetViewButton.click()
        return ""

    def do_run(self) -> str:
        panel = self._find(QWidget, "cubeseg.train")
        if panel is None or self.session.running:
            return "not now"
        methods = [value for value in panel.method.choices if value != "global"]
        panel.method.value = self.random.choice(methods)
        panel.epochs.value = self.random.choice([1, 2, 30])
        panel.most.value = self.random.randint(3, 8)
        panel.least.value = self.random.choice([1, 2, 3, 4])
        self._press("cubeseg.train.run")
        return f"{panel.method.value} {panel.epochs.value} {panel.least.value}-{panel.most.value}"

    def do_pause(self) -> str:
        return self._press("cubeseg.train.pause")

    def do_cancel(self) -> str:
        return self._press("cubeseg.train.cancel")

    def do_wait_for_run(self) -> str:
        if self.session.paused:
            self.session.resume()
        self.wait(lambda: not self.session.running, 6)
        return "still running" if self.session.running else ""

    def do_refine(self) -> str:
        return self._press("cubeseg.refine")

    def do_apply(self) -> str:
        cubes = [item for item in our.cube_layers(self.viewer) if item is not self.session.cube_layer]
        if cubes:
            self.session.learning.apply_to(self.random.choice(cubes))
        return f"{len(cubes)} others"

    def do_delete_layer(self) -> str:
        layers = self.viewer.layers
        if not layers:
            return "none"
        layer = self.random.choice(list(layers))
        layers.selection = {layer}
        self.viewer.window._qt_viewer.layerButtons.deleteButton.click()
        return layer.name

    def do_bring_back(self) -> str:
        return self._press("cubeseg.classes.back")

    def do_kept(self) -> str:
        return self._press(self.random.choice(["cubeseg.cube.kept", "cubeseg.cube.discard"]))

    def do_answer(self) -> str:
        return self._press("cubeseg.cube.open")

    def do_rename_layer(self) -> str:
        if self.viewer.layers:
            self.random.choice(list(self.viewer.layers)).name = self.random.choice(["a", "b", "Ω x", "classes"])
        return ""

    def do_move_layer(self) -> str:
        n = len(self.viewer.layers)
        if n > 1:
            self.viewer.layers.move(self.random.randrange(n), self.random.randrange(n))
        return ""

    def do_select_layers(self) -> str:
        layers = list(self.viewer.layers)
        chosen = self.random.sample(layers, min(len(layers), self.random.choice([0, 1, 1, 1, 2])))
        self.viewer.layers.selection = set(chosen)
        return ", ".join(layer.name for layer in chosen)

    def do_foreign_layer(self) -> str:
        if len(self.viewer.layers) < 14:
            self.viewer.add_labels(np.zeros((7, 9), np.int32), name="from elsewhere")
        return ""

    def do_visibility(self) -> str:
        if self.viewer.layers:
            layer = self.random.choice(list(self.viewer.layers))
            layer.visible = not layer.visible
        return ""

    def do_theme(self) -> str:
        self.viewer.theme = self.random.choice(["dark", "light"])
        return self.viewer.theme

    def do_close_dock(self) -> str:
        from napari_cubeseg.qt.bottom_dock import dock_of

        there = self._widgets()
        if not there:
            return "none"
        name = self.random.choice(list(there))
        dock = dock_of(there[name])
        if isinstance(dock, QDockWidget):
            if self.random.random() < 0.3:
                dock.title.float_button.click()
            else:
                dock.title.close_button.click()
        return name

    def do_open_dock(self) -> str:
        name = self.random.choice(list(DOCKS))
        if name not in self._widgets():
            self.viewer.window.add_plugin_dock_widget(DIST, name)
        return name

    def do_band(self) -> str:
        if self.viewer.dims.ndim > 2:
            at = self.random.randrange(self.viewer.dims.nsteps[0])
            self.viewer.dims.set_current_step(0, at)
            return str(at)
        return "no bands"

    def do_cursor(self) -> str:
        spectra = self._widgets().get("Spectra")
        if spectra is not None and self.session.cube is not None:
            cursor = spectra.plot.cursor
            cursor.setValue(float(self.random.choice(self.session.cube.axis.values)))
            cursor.sigDragged.emit(cursor)
        return ""

    def do_dimensions(self) -> str:
        """Into 3D and back; without a graphics card every picture in 3D takes long."""
        button = self.viewer.window._qt_viewer.viewerButtons.ndisplayButton
        button.click()
        QApplication.processEvents()
        said = self.random.choice([self.do_click_pixel, self.do_paint, self.do_key, self.do_undo_redo])()
        if self.viewer.dims.ndisplay == 3:
            button.click()
        return f"in 3D: {said}"

    def do_lasso(self) -> str:
        latent = self._widgets().get("Latent space")
        if latent is None or not latent.isVisible() or not latent.lasso.isEnabled():
            return "no latent view"
        if not latent.lasso.isChecked():
            latent.lasso.click()
        rect = latent.box.sceneBoundingRect()
        corners = [(self.random.random(), self.random.random()) for _ in range(self.random.randint(2, 6))]
        points = [QPointF(rect.x() + x * rect.width(), rect.y() + y * rect.height()) for x, y in corners]
        self._mouse(latent.plot.viewport(), points)
        return self._press(self.random.choice(["cubeseg.latent.new", "cubeseg.latent.assign", "cubeseg.latent.lasso"]))

    def do_tick(self) -> str:
        name = self.random.choice(["cubeseg.classes.fade", "cubeseg.classes.corrections"])
        return self._press(name)

    def do_calibrate(self) -> str:
        if self.session.cube is not None and self.random.random() < 0.5:
            self.session.cubes.calibrate(self.random.choice(["0,0.01 keV", "nonsense", "500,2 nm"]))
        return ""

    def do_map(self) -> str:
        return self._press("cubeseg.image.make")

    def do_nothing(self) -> None:
        QTest.qWait(150)


def _deleted(widget: QWidget) -> bool:
    try:
        widget.objectName()
    except RuntimeError:
        return True
    return False
