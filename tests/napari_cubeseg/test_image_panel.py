"""The Image section in the real viewer. Needs a display (make test brings a virtual one)."""

from __future__ import annotations

import gc
import weakref

import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication, QDockWidget, QLineEdit, QMainWindow, QWidget
from superqt import QCollapsible

from napari_cubeseg import layers as our
from napari_cubeseg.qt.image_panel import ImagePanel
from napari_cubeseg.qt.segment_dock import SegmentDock
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.test_viewer import (  # noqa: F401 - fixtures
    DIST,
    button,
    docks,
    no_worker_left,
    viewer,
    wait,
)


def choose(panel, kind):
    panel.kind.setCurrentIndex(panel.kind.findData(kind))
    panel.kind.activated.emit(panel.kind.currentIndex())


def shown(panel):
    return {name for name, field in panel._fields.items() if field.isVisible()}


def test_elements_windows_and_colours_from_the_panel(viewer, docks, tmp_path):  # noqa: F811
    segment, _ = docks
    session, panel = session_of(viewer), segment.findChild(ImagePanel, "cubeseg.image")
    segment.findChild(QCollapsible, "cubeseg.image.fold").expand(False)
    wait(lambda: session.overview is not None)
    make = button(segment, "cubeseg.image.make")
    assert panel.minimumSizeHint().width() < 340

    # elements: checked while one writes, made in the background, told apart
    assert panel.kind.currentData() == "elements"
    QApplication.processEvents()
    assert shown(panel) == {"elements", "background", "picture"}
    elements = segment.findChild(QWidget, "cubeseg.image.elements")
    note = segment.findChild(QWidget, "cubeseg.image.note")
    elements.setText("Pb, Xx")
    assert "no element Xx" in note.text()
    assert not make.isEnabled()
    elements.setText("Pb, Cu, Fe")
    assert make.isEnabled()
    active = viewer.layers.selection.active
    make.click()
    wait(lambda: not session.maps.busy)
    made = [layer.name for layer in viewer.layers if our.role(layer) == "map"]
    assert made == [f"painting {name}" for name in ("Fe Kα", "Cu Kα", "Pb Lα", "Pb Lα, Cu Kα, Fe Kα (RGB)")]
    assert viewer.layers.selection.active is active
    assert "Pb Lα and As Kα" in note.text().replace("\u00a0", " ")
    completer = elements.completer()
    elements.setText("Pb, z")
    completer.setCompletionPrefix(elements.text())
    assert completer.currentCompletion() == "Pb, Zn"
    assert completer.completionCount() == 2

    # false colour begins with the three strongest peaks
    choose(panel, "false")
    QApplication.processEvents()
    assert shown(panel) == {"red", "green", "blue"}
    make.click()
    wait(lambda: not session.maps.busy)
    assert viewer.layers[-1].rgb
    panel._fields["red"].setText("red")
    assert not make.isEnabled()
    panel._fields["red"].setText("6.2–6.6")
    assert make.isEnabled()

    # another kind of cube: other choices, and true colour where it can be had
    path = tmp_path / "visible.npy"
    np.save(path, np.random.default_rng(0).random((20, 25, 60)).astype(np.float32))
    viewer.open(str(path), plugin=DIST)
    wait(lambda: session.cube.source.name == "visible")
    true = panel.kind.model().item(panel.kind.findData("true"))
    assert not true.isEnabled()
    assert panel.kind.findData("elements") == -1
    assert session.cubes.calibrate("400,8 nm")
    assert panel.kind.model().item(panel.kind.findData("true")).isEnabled()
    choose(panel, "true")
    for theme in ("light", "dark"):
        viewer.theme = theme
        QApplication.processEvents()
    make.click()
    wait(lambda: not session.maps.busy)
    assert viewer.layers[-1].name == "visible true colour"


def test_a_closed_dock_can_be_collected(qapp):
    """Also while somebody holds its lists, which are windows of their own."""
    for _ in range(3):
        window = QMainWindow()
        dock, inside = QDockWidget(window), SegmentDock(ViewerModel())
        dock.setWidget(inside)
        window.show()
        qapp.processEvents()
        held = QApplication.topLevelWidgets()
        assert inside.findChild(QLineEdit, "cubeseg.image.elements").completer().popup() in held
        # as napari closes a dock
        inside.setParent(None)
        window.removeDockWidget(dock)
        dock.deleteLater()
        gone = weakref.ref(inside)
        del inside, dock, window
        gc.collect()
        qapp.processEvents()
        gc.collect()
        assert gone() is None
    del held
