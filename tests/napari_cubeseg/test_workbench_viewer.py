"""Working on a segmentation in the real napari: keys, real strokes, sliders, lasso, docks that come and go."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QLineEdit, QWidget

from napari_cubeseg.session import session_of
from tests.napari_cubeseg.test_viewer import (  # noqa: F401
    DIST,
    button,
    docks,
    mouse,
    no_worker_left,
    on_canvas,
    run,
    viewer,
    wait,
)


@pytest.fixture
def bench(viewer, docks):  # noqa: F811
    """A finished run; keys go to the window."""
    run(viewer, docks[0])
    QApplication.setActiveWindow(viewer.window._qt_window)
    return session_of(viewer).workbench


def press(viewer, key, *modifiers):  # noqa: F811
    """A key for this window, whichever the display gives the keyboard to: there is no window manager."""
    QApplication.setActiveWindow(viewer.window._qt_window)
    held = Qt.KeyboardModifier.NoModifier
    for modifier in modifiers:
        held |= getattr(Qt.KeyboardModifier, f"{modifier}Modifier")
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, getattr(Qt.Key, f"Key_{key}"), held)
    QApplication.processEvents()


def stroke(viewer, label, places):  # noqa: F811
    layer = session_of(viewer).labels_layer
    session_of(viewer).select([label])
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size = "paint", 3
    mouse(viewer, [on_canvas(viewer, layer, *place) for place in places])
    wait(lambda: session_of(viewer).workbench.settled, 20)


def test_one_stroke_is_one_step_beside_other_steps(viewer, bench):  # noqa: F811
    layer, before = bench.layer, bench.layer.data.copy()
    bench.merge([1, 2])
    merged = layer.data.copy()
    stroke(viewer, 3, [(4, 4), (8, 8), (12, 14), (20, 20)])
    painted = layer.data.copy()
    assert (painted != merged).any()
    press(viewer, "Z", "Control")
    assert (layer.data == merged).all()
    press(viewer, "Z", "Control")
    assert (layer.data == before).all()
    press(viewer, "Z", "Control", "Shift")
    press(viewer, "Z", "Control", "Shift")
    assert (layer.data == painted).all()
    assert (bench.result.labels == painted).all()


def test_every_operation_has_a_key(viewer, bench):  # noqa: F811
    session = session_of(viewer)
    session.select([3, 1])
    press(viewer, "M", "Shift")
    assert [c.id for c in bench.result.classes] == [2, 3, 4, 5, 6]
    session.select([4])
    press(viewer, "S", "Shift")
    assert len(bench.result.classes) == 6
    session.select([5])
    press(viewer, "L", "Shift")
    assert bench.result.info(5).locked
    press(viewer, "H", "Shift")
    assert not bench.result.info(5).visible
    press(viewer, "O", "Shift")
    assert [c.id for c in bench.result.classes if c.visible] == [5]
    press(viewer, "Up", "Control", "Shift")
    press(viewer, "Up", "Control", "Shift")
    assert session.selected == (5,)
    assert [c.id for c in bench.result.classes].index(5) == 2
    session.select([6])
    press(viewer, "D", "Shift")
    assert 6 not in [c.id for c in bench.result.classes]
    for _ in range(8):
        press(viewer, "Z", "Control")
    assert [c.id for c in bench.result.classes] == [1, 2, 3, 4, 5, 6]
    assert bench.history.last is None


def test_keys_do_nothing_while_a_name_is_typed(viewer, docks, bench):  # noqa: F811
    table = docks[0].findChild(QWidget, "cubeseg.classes").table
    session_of(viewer).select([2])
    press(viewer, "F2")
    editor = table.findChild(QLineEdit)
    assert editor is not None
    editor.selectAll()
    QTest.keyClicks(editor, "Mosaic gold")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    wait(lambda: bench.result.info(2).name == "Mosaic gold", 5)
    assert len(bench.result.classes) == 6
    assert table.classes.rows[1]["name"] == "Mosaic gold"


def test_the_slider_of_classes_by_mouse_is_one_step(viewer, docks, bench):  # noqa: F811
    session, before = session_of(viewer), bench.result
    slider = docks[0].findChild(QWidget, "cubeseg.classes.number")
    docks[0].ensureWidgetVisible(slider)
    slider.setSliderDown(True)
    slider.setValue(9)
    wait(lambda: bench.layer.data.max() > 6, 30)
    assert bench.result is before
    slider.setValue(4)
    wait(lambda: len(np.unique(bench.layer.data)) == 4, 30)
    slider.setSliderDown(False)
    wait(lambda: bench.result is not before, 30)
    assert len(bench.result.classes) == 4
    bench.undo()
    assert bench.result is before
    wait(lambda: slider.value() == 6, 5)
    assert session.adjustments.numbers[1] >= 30


def test_the_slider_from_the_keyboard(docks, bench):  # noqa: F811
    slider = docks[0].findChild(QWidget, "cubeseg.classes.granularity")
    slider.setValue(3)
    wait(lambda: len(bench.result.classes) == 3, 30)
    slider.setValue(6)
    wait(lambda: len(bench.result.classes) == 6, 30)


def test_the_lasso_marks_pixels_and_makes_a_class(viewer, bench):  # noqa: F811
    _, latent = viewer.window.add_plugin_dock_widget(DIST, "Latent space")
    wait(lambda: latent.isVisible() and latent._scatter is not None)
    QTest.qWait(200)
    button(latent, "cubeseg.latent.lasso").click()
    canvas = latent.plot.viewport()
    rect = latent.box.sceneBoundingRect()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)]
    points = [QPointF(rect.x() + x * rect.width(), rect.y() + y * rect.height()) for x, y in corners]
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

    def send(kind, point, button, buttons):
        event = QMouseEvent(kind, point, canvas.mapToGlobal(point), button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(canvas, event)
        QApplication.processEvents()

    send(QEvent.Type.MouseMove, points[0], none, none)
    send(QEvent.Type.MouseButtonPress, points[0], left, left)
    for point in points[1:]:
        send(QEvent.Type.MouseMove, point, none, left)
    send(QEvent.Type.MouseButtonRelease, points[-1], left, none)
    marked = session_of(viewer).overlays.marked
    assert marked is not None
    assert marked.mean() > 0.7
    button(latent, "cubeseg.latent.new").click()
    assert bench.result.info(7)
    assert bench.result.pixels(7) == marked.sum()
    wait(lambda: bench.settled, 20)


def test_docks_can_be_closed_and_opened_again(viewer, docks, bench):  # noqa: F811
    bench.rename(2, "azurite")
    for widget in docks:
        dock = widget.parent()
        while not isinstance(dock, QDockWidget):
            dock = dock.parent()
        viewer.window.remove_dock_widget(dock)
    QTest.qWait(50)
    bench.merge([3, 4])
    _, segment = viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
    _, spectra = viewer.window.add_plugin_dock_widget(DIST, "Spectra")
    wait(lambda: spectra.isVisible())
    rows = segment.findChild(QWidget, "cubeseg.classes").table.classes.rows
    assert [r["name"] for r in rows] == ["class 1", "azurite", "class 3", "class 5", "class 6"]
    session_of(viewer).select([2])
    press(viewer, "Z", "Control")
    assert len(bench.result.classes) == 6


def test_renaming_layers_changes_nothing(viewer, bench):  # noqa: F811
    for layer in viewer.layers:
        layer.name = f"x {layer.name}"
    stroke(viewer, 3, [(4, 4), (8, 8)])
    assert (bench.result.labels == bench.layer.data).all()
    assert session_of(viewer).cube is not None


def test_painting_during_training_holds(viewer, docks, bench):  # noqa: F811
    button(docks[0], "cubeseg.train.run").click()
    stroke(viewer, 3, [(4, 4), (8, 8), (10, 10)])
    painted = bench.layer.data.copy()
    wait(lambda: not session_of(viewer).running)
    assert bench.layer in viewer.layers
    assert (bench.layer.data == painted).all()
    assert (bench.result.labels == painted).all()


def test_deleting_layers_in_use_loses_nothing(viewer, docks, bench):  # noqa: F811
    session = session_of(viewer)
    stroke(viewer, 3, [(4, 4), (8, 8)])
    painted = bench.result.labels.copy()
    # the labels, with the key that napari has for it
    viewer.layers.selection = {bench.layer}
    viewer.layers.remove_selected()
    QApplication.processEvents()
    assert session.result is None
    assert button(docks[0], "cubeseg.train.run").isEnabled()
    back = button(docks[0], "cubeseg.classes.back")
    assert back.isVisible()
    back.click()
    assert (session.result.labels == painted).all()
    assert (session.labels_layer.data == painted).all()
    # the cube, while a run reads it
    button(docks[0], "cubeseg.train.run").click()
    assert session.running
    mine = session.labels_layer
    viewer.layers.remove(session.cube_layer)
    wait(lambda: not session.running, 60)
    assert mine in viewer.layers
    assert (mine.data == painted).all()
    stroke(viewer, 2, [(20, 20), (24, 24)])
    assert (session.result.labels == session.labels_layer.data).all()


def test_labels_of_another_shape_beside_ours(viewer, docks, bench):  # noqa: F811
    other = viewer.add_labels(np.ones((7, 9), np.int32), name="from elsewhere")
    viewer.layers.selection.active = other
    other.mode, other.brush_size = "paint", 3
    mouse(viewer, [on_canvas(viewer, other, 3, 3), on_canvas(viewer, other, 4, 4)])
    viewer.layers.selection.active = bench.layer
    stroke(viewer, 3, [(4, 4), (8, 8)])
    assert (bench.result.labels == bench.layer.data).all()
    before = bench.result.labels.copy()
    bench.layer.data = np.ones((7, 9), np.int32)
    QApplication.processEvents()
    assert (bench.result.labels == before).all()
    assert (session_of(viewer).labels_layer.data == before).all()


def test_two_runs_at_once_are_one(viewer, docks, bench):  # noqa: F811
    session = session_of(viewer)
    labels = [layer for layer in viewer.layers if layer.name.endswith("classes")]
    start = button(docks[0], "cubeseg.train.run")
    start.click()
    assert not start.isEnabled()
    start.click()
    session.start(session.result.config)
    session.learning.refine()
    wait(lambda: not session.running, 120)
    assert start.isEnabled()
    assert len([layer for layer in viewer.layers if layer.name.split(" [")[0].endswith("classes")]) == len(labels) + 1


def test_everything_can_be_undone(viewer, docks, bench):  # noqa: F811
    first = bench.result.labels.copy()
    names = [c.name for c in bench.result.classes]
    stroke(viewer, 3, [(4, 4), (8, 8)])
    bench.rename(2, "azurite")
    bench.split(1, 3)
    bench.merge([4, 5])
    session_of(viewer).adjustments.begin()
    session_of(viewer).adjustments.recluster(4)
    session_of(viewer).adjustments.release()
    wait(lambda: bench.history.last.title == "4 classes", 20)
    bench.delete([bench.result.classes[0].id])
    stroke(viewer, 9, [(12, 4), (16, 8)])
    button(docks[0], "cubeseg.refine").click()
    wait(lambda: not session_of(viewer).running, 120)
    last = bench.result.labels.copy()
    while bench.history.last is not None:
        press(viewer, "Z", "Control")
    assert (bench.result.labels == first).all()
    assert (bench.layer.data == first).all()
    assert [c.name for c in bench.result.classes] == names
    while bench.history.next is not None:
        press(viewer, "Z", "Control", "Shift")
    assert (bench.result.labels == last).all()
    assert (bench.layer.data == last).all()


def test_refine_from_the_panel(viewer, docks, bench):  # noqa: F811
    refine = button(docks[0], "cubeseg.refine")
    assert not refine.isEnabled()
    stroke(viewer, 3, [(4, 4), (8, 8)])
    mine = bench.result.painted.copy()
    labels = bench.result.labels.copy()
    assert refine.isEnabled()
    before = bench.result
    refine.click()
    assert session_of(viewer).running
    assert not button(docks[0], "cubeseg.train.run").isEnabled()
    wait(lambda: not session_of(viewer).running, 120)
    assert bench.result is not before
    assert (bench.result.labels[mine] == labels[mine]).all()
    press(viewer, "Z", "Control")
    assert bench.result is before


def test_a_click_in_the_plot_of_many_bands_is_quick_to_draw(docks, bench):  # noqa: F811
    spectra = docks[1]
    assert len(spectra.plot.curves) == 6
    item = spectra.plot._shown["class", 2]
    bench.rename(2, "azurite")
    wait(lambda: any("azurite" in c.name for c in spectra.plot.curves))
    assert spectra.plot._shown["class", 2] is item


def test_a_stroke_that_napari_takes_back_when_the_layer_is_hidden(viewer, docks):  # noqa: F811
    run(viewer, docks[0])
    session = session_of(viewer)
    layer, before = session.labels_layer, session.result.labels.copy()
    viewer.layers.selection.active = layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 12, 1
    native, right, none = viewer.window._qt_viewer.canvas.native, Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
    at = QPointF(on_canvas(viewer, layer, 10, 10))
    for kind, button_, held in (
        (QEvent.Type.MouseMove, none, none),
        (QEvent.Type.MouseButtonPress, right, right),
    ):
        event = QMouseEvent(kind, at, native.mapToGlobal(at), button_, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(native, event)
        QApplication.processEvents()
    assert (session.result.labels == 12).any()
    # as a run does when its first preview comes
    layer.visible = False
    layer.mode = "pan_zoom"
    assert (layer.data == session.result.labels).all()
    assert (session.result.labels == before).all()
