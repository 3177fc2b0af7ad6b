"""A user who tries everything at random in the real napari: mouse, keys, buttons, sliders, docks, layers.

    python -m tests.soak.monkey [--actions 1000] [--seed 0] [--seconds 600]

After every action the state is checked (see :func:`tests.soak.watch.faults`); now and then everything is undone and
done again. The same seed gives the same intentions; what comes of them also hangs on what the threads do meanwhile.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QLineEdit, QWidget

from cubeseg.samples import write_sample
from napari_cubeseg import layers as our
from tests.soak.user import User
from tests.soak.watch import Watch, faults

DIST = "napari-cubeseg"
DOCKS = ("Segment datacube", "Spectra", "Latent space")
_LEFT, _NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton


def write_cubes(folder: Path) -> list[Path]:
    """Small cubes to play with: counts, flux with gaps, a cube of few bands."""
    painting, galaxy, few = folder / "painting.h5", folder / "galaxy.fits", folder / "few bands.npy"
    write_sample("painting", painting, size=24, counts=300, seed=1)
    write_sample("galaxy", galaxy, size=20, seed=2)
    rows, columns = np.mgrid[:22, :30]
    parts = np.random.default_rng(3).random((3, 36))[(rows // 8 + columns // 11) % 3].transpose(2, 0, 1)
    np.save(few, (parts + np.random.default_rng(4).normal(0, 0.05, parts.shape)).astype(np.float32))
    return [painting, galaxy, few]


class Monkey(User):
    """The user.

    Parameters
    ----------
    viewer : napari.Viewer
    cubes : list of Path
        Files that it opens.
    seed : int
    watch : Watch
    """

    def __init__(self, viewer: object, cubes: list[Path], seed: int, watch: Watch) -> None:
        super().__init__(viewer, seed)
        self.cubes, self.watch = cubes, watch
        self.done: Counter[str] = Counter()
        self.last: list[str] = []
        self._starts: dict[object, tuple[object, np.ndarray]] = {}
        self.actions = [(name.removeprefix("do_"), getattr(self, name)) for name in dir(self) if name.startswith("do_")]
        often = {"click_pixel": 6, "paint": 8, "key": 10, "undo_redo": 6, "select_rows": 6, "operate": 10, "slide": 6,
                 "band": 4, "run": 3, "pause": 2, "cancel": 2, "delete_layer": 2}  # fmt: skip
        self._weights = [often.get(name, 1) for name, _ in self.actions]

    def play(self, actions: int, seconds: float = float("inf")) -> int:
        """Do so many actions, at most for so long; returns how many were done. Raises at what is wrong."""
        end = time.monotonic() + seconds
        for count in range(actions):
            if time.monotonic() > end:
                return count
            self.step(*self._choose())
            if count % 4 == 3:
                self.check(spectra=True)
            if count % 100 == 99:
                self.step("undo everything", self.undo_everything)
        return actions

    def _choose(self) -> tuple[str, object]:
        """Anything; where there is nothing to play with, rather what brings it."""
        wanted = ""
        if self.session.cube is None:
            wanted = "open_cube"
        elif self.session.result is None:
            wanted = "wait_for_run" if self.session.running else "run"
        elif "Segment datacube" not in self._widgets():
            wanted = "open_dock"
        if wanted and self.random.random() < 0.5:
            return wanted, getattr(self, f"do_{wanted}")
        return self.random.choices(self.actions, self._weights)[0]

    def step(self, name: str, do: object) -> None:
        """One action, and the check after it."""
        self.watch.doing = name
        self.done[name] += 1
        self.watch.resume()
        said = do()
        self.last = [*self.last[-60:], f"{name} {said or ''}"]
        QApplication.processEvents()
        if self.random.random() < 0.3:
            QTest.qWait(self.random.choice([1, 5, 20, 60]))
        self.watch.rest()
        self.check()

    def check(self, spectra: bool = False) -> None:
        """Everything must agree.

        Raises
        ------
        AssertionError
            With the last actions.
        """
        found = self.watch.wrong + faults(self.session, spectra)
        for layer in self.viewer.layers:
            if our.role(layer) == "labels":
                bench = self.session.desks.at(layer)[0]
                if bench not in self._starts and bench.history.last is None and bench._stroke is None:
                    self._starts[bench] = bench.result, bench.result.labels.copy()
        assert not found, "\n".join([*found, "after:", *self.last])

    def finish(self) -> None:
        """Stop what runs and wait until everything is counted."""
        self.watch.doing = "finish"
        self._answers.stop()
        self.session.cancel()
        self.wait(lambda: all(self.session.desks.at(item)[0].settled for item in self._labels()), 30)
        self.check(spectra=True)

    # actions

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

    # the way back

    def undo_everything(self) -> str:
        """Undo of everything gives what there was at first, to the pixel; redo of everything gives the last."""
        self._key("Escape")
        bench = self.session.workbench
        if bench is None or bench not in self._starts:
            return "nothing"
        self.wait(lambda: bench.settled and self.session.adjustments._pending is None, 5)
        steps = 0
        while bench.history.last is not None:
            bench.undo()
            steps += 1
        first, labels = self._starts[bench]
        assert bench.result is first, "undo of everything ends with another segmentation"
        assert (bench.result.labels == labels).all(), "undo of everything gives other labels"
        assert (bench.layer.data == labels).all(), "undo of everything: the layer holds other labels"
        self.check()
        while bench.history.next is not None:
            bench.redo()
        return f"{steps} steps"


def _deleted(widget: QWidget) -> bool:
    try:
        widget.objectName()
    except RuntimeError:
        return True
    return False


def main() -> int:
    """Play in a napari of its own, and tell what came of it."""
    import argparse
    import resource
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        import os

        os.environ["CUBESEG_SETTINGS"] = folder
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "napari.yaml")
        import napari

        viewer = napari.Viewer()
        viewer.window.resize(1100, 800)
        with Watch() as watch:
            monkey = Monkey(viewer, write_cubes(Path(folder)), options.seed, watch)
            for dock in DOCKS:
                viewer.window.add_plugin_dock_widget(DIST, dock)
            try:
                count = monkey.play(options.actions, options.seconds)
                monkey.finish()
            except AssertionError as error:
                print(f"seed {options.seed}, action {sum(monkey.done.values())}: {error}", flush=True)
                os._exit(1)
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(f"seed {options.seed}: {count} actions, {len(watch.stalls)} stalls, at most {most} MiB")
            for doing, took, worked in sorted(watch.stalls, key=lambda s: -s[2])[:12]:
                print(f"    {doing}: {took:.2f} s, of which the window worked {worked:.2f} s")
            for text, times in watch.told.most_common(40):
                print(f"    told {times} times: {text}")
            viewer.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
