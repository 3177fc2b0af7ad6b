"""The real napari, as a user drives it: menus, buttons, mouse. Needs a display (make test brings a virtual one)."""

from __future__ import annotations

import time

import numpy as np
import pytest
from napari import layers
from npe2 import PluginManifest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QPushButton, QWidget
from superqt.utils import WorkerBase

import cubeseg
from cubeseg.errors import DataError
from napari_cubeseg import layers as our
from napari_cubeseg.session import session_of

DIST = "napari-cubeseg"


@pytest.fixture(autouse=True)
def no_worker_left():
    """A test must not leave threads behind."""
    yield
    WorkerBase.await_workers(5000)


@pytest.fixture
def viewer(make_napari_viewer, painting_file):
    made = make_napari_viewer(show=True)
    made.window.resize(1280, 800)
    made.open(str(painting_file), plugin=DIST)
    return made


@pytest.fixture
def docks(viewer):
    _, segment = viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
    _, spectra = viewer.window.add_plugin_dock_widget(DIST, "Spectra")
    wait(lambda: spectra.isVisible())
    return segment, spectra


def wait(until, seconds=240):
    """Let Qt work until something is true."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        QApplication.processEvents()
        time.sleep(0.002)


def button(dock, name):
    found = dock.findChild(QPushButton, name)
    assert found is not None, name
    return found


def curves(spectra):
    return [curve.name for curve in spectra.plot.curves]


def options(dock, method="pca", clusters=(6, 6), epochs=3):
    from napari_cubeseg.qt.train_panel import TrainPanel

    panel = dock.findChild(TrainPanel, "cubeseg.train")
    panel.method.value, panel.epochs.value = method, epochs
    panel.most.value, panel.least.value = clusters[1], clusters[0]


def run(viewer, dock, **chosen):
    options(dock, **chosen)
    button(dock, "cubeseg.train.run").click()
    wait(lambda: not session_of(viewer).running)
    wait(lambda: session_of(viewer).result is not None, 5)


def on_canvas(viewer, layer, row, column):
    """Where the centre of a pixel is on the canvas widget (vispy counts from the pixel's corner)."""
    canvas = viewer.window._qt_viewer.canvas
    node = canvas.layer_to_visual[layer].node
    x, y = node.transforms.get_transform("visual", "canvas").map([column + 0.5, row + 0.5, 0, 1])[:2]
    return QPoint(round(x), round(y))


def mouse(viewer, points):
    """Press at the first point, move along the others, release: real Qt mouse events."""
    native = viewer.window._qt_viewer.canvas.native
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

    def send(kind, point, button, buttons):
        at = QPointF(point)
        event = QMouseEvent(kind, at, native.mapToGlobal(at), button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(native, event)
        QApplication.processEvents()

    send(QEvent.Type.MouseMove, points[0], none, none)
    send(QEvent.Type.MouseButtonPress, points[0], left, left)
    for point in points[1:]:
        send(QEvent.Type.MouseMove, point, none, left)
    send(QEvent.Type.MouseButtonRelease, points[-1], left, none)


def test_manifest_names_what_exists():
    manifest = PluginManifest.from_distribution(DIST)
    assert [w.display_name for w in manifest.contributions.widgets] == [
        "Segment datacube",
        "Spectra",
        "Latent space",
    ]
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert hasattr(__import__(module, fromlist=[name]), name)


def test_manifest_offers_every_ending_that_can_be_saved():
    from napari_cubeseg.writer import LABEL_ENDINGS

    first, _ = PluginManifest.from_distribution(DIST).contributions.writers
    assert first.filename_extensions == list(LABEL_ENDINGS)


def test_layers_are_saved_from_the_file_menu(viewer, docks, tmp_path):
    from astropy.io import fits

    segment, _ = docks
    run(viewer, segment)
    layer = session_of(viewer).labels_layer
    viewer.layers.selection = {layer}
    for ending in (".fits", ".geojson", ".h5"):
        assert viewer.layers.save(str(tmp_path / f"a{ending}"), selected=True) == [str(tmp_path / f"a{ending}")]
    assert (fits.getdata(tmp_path / "a.fits", "LABELS") == layer.data).all()
    assert (cubeseg.load(tmp_path / "a.h5").labels == layer.data).all()
    confidence = next(item for item in viewer.layers if our.role(item) == "confidence")
    viewer.layers.selection = {confidence}
    # the dialog names the plugin; without it napari takes its own writer for every image
    (path,) = viewer.layers.save(str(tmp_path / "b.fits"), selected=True, plugin=DIST)
    assert np.allclose(fits.getdata(path), confidence.data)
    assert fits.getheader(path)["CDELT1"] == confidence.scale[-1]
    foreign = viewer.add_labels(np.ones((4, 4), np.int32))
    viewer.layers.selection = {foreign}
    with pytest.raises(DataError, match="not made by"):
        viewer.layers.save(str(tmp_path / "c.fits"), selected=True, plugin=DIST)


def test_manifest_offers_every_format():
    from cubeseg.io import formats

    offered = PluginManifest.from_distribution(DIST).contributions.readers[0].filename_patterns
    # endings that mean something else to most people, or that cannot be opened as cubes
    left_out = {".xml", ".zip", ".map", ".asw", ".spx", ".bin", ".cube", ".sli", ".spd", ".ser"}
    known = {suffix for known in formats() for suffix in known.suffixes}
    assert known - {pattern.removeprefix("*") for pattern in offered} == left_out


def test_opening_and_the_docks_places(viewer, docks):
    segment, spectra = docks
    assert session_of(viewer).cube is not None
    for name in ("cubeseg.cube", "cubeseg.train", "cubeseg.train.run", "cubeseg.train.cancel", "cubeseg.classes",
                 "cubeseg.export"):  # fmt: skip
        assert segment.findChild(QWidget, name) is not None, name
    assert spectra.objectName() == "cubeseg.spectra"
    dock = spectra.parent()
    while not isinstance(dock, QDockWidget):
        dock = dock.parent()
    window = dock.parent()
    assert isinstance(window, QMainWindow)
    assert window.dockWidgetArea(dock) == Qt.DockWidgetArea.BottomDockWidgetArea
    assert button(segment, "cubeseg.train.run").isEnabled()
    assert not button(segment, "cubeseg.train.cancel").isEnabled()


def test_every_control_has_a_tooltip(docks):
    from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QLineEdit

    for dock in docks:
        for kind in (QAbstractSpinBox, QComboBox, QPushButton, QCheckBox, QLineEdit):
            for widget in dock.findChildren(kind):
                outer = widget.parent()
                # the text field inside a spin box or a combo box speaks through the box
                told = widget.toolTip() or (outer.toolTip() if outer is not None else "")
                assert told or widget.objectName().startswith("qt_"), (kind.__name__, widget.objectName())


def test_deep_run_in_the_background(viewer, docks):
    segment, _ = docks
    session, previews, beats = session_of(viewer), [], []
    session.progressed.connect(lambda e: previews.append(e) if e.labels is not None else None)
    options(segment, "deep", (4, 6), 6)
    button(segment, "cubeseg.train.run").click()
    assert session.running
    assert not button(segment, "cubeseg.train.run").isEnabled()
    assert button(segment, "cubeseg.train.cancel").isEnabled()

    def moving():
        # the window is used while it trains: the slider moves and the view follows
        beats.append(viewer.dims.current_step[0])
        viewer.dims.set_current_step(0, (beats[-1] + 7) % 1024)
        return not session.running

    wait(moving)
    assert len(set(beats)) > 5
    assert previews
    assert session.result is not None
    assert (session.labels_layer.data > 0).all()
    assert button(segment, "cubeseg.train.run").isEnabled()


def test_patches_from_the_panel_can_be_made_coarser(viewer, docks):
    segment, _ = docks
    session, previews = session_of(viewer), []
    session.progressed.connect(lambda e: previews.append(e) if e.labels is not None else None)
    run(viewer, segment, method="global", clusters=(8, 8), epochs=2)
    assert session.result.config.method == "global"
    assert previews
    assert (session.labels_layer.data > 0).all()
    slider = segment.findChild(QWidget, "cubeseg.classes.granularity")
    assert slider.isEnabled()
    most = len(session.result.classes)
    assert (slider.minimum(), slider.maximum()) == (1, most)
    slider.setValue(4)
    wait(lambda: len(session.result.classes) == 4, 20)
    assert np.unique(session.labels_layer.data).size == 4


def test_cancel_and_pause(viewer, docks):
    segment, _ = docks
    session, events = session_of(viewer), []
    session.progressed.connect(events.append)
    options(segment, "deep", (4, 4), 5000)
    button(segment, "cubeseg.train.run").click()
    wait(lambda: any(e.labels is not None for e in events))
    button(segment, "cubeseg.train.pause").click()
    wait(lambda: session.paused)
    # the step that is under way ends first, on a busy machine after a while
    count = -1
    for _ in range(40):
        if count == len(events):
            break
        count = len(events)
        QTest.qWait(500)
    assert len(events) == count
    button(segment, "cubeseg.train.pause").click()
    wait(lambda: len(events) > count + 3)
    button(segment, "cubeseg.train.cancel").click()
    assert not session.running
    assert button(segment, "cubeseg.train.run").isEnabled()
    assert {our.role(layer) for layer in viewer.layers} - {"sum"} == {"cube"}
    wait(lambda: not any(w.is_running for w in WorkerBase._worker_set), 5)


def test_a_click_shows_the_pixel_and_its_class(viewer, docks):
    segment, spectra = docks
    run(viewer, segment)
    session = session_of(viewer)
    layer = session.labels_layer
    viewer.layers.selection.active = layer
    layer.mode = "pan_zoom"
    mouse(viewer, [on_canvas(viewer, layer, 20, 11)])
    wait(lambda: session.pixel is not None)
    assert (session.pixel.row, session.pixel.column) == (20, 11)
    label = int(layer.data[20, 11])
    assert session.selected == (label,)
    table = segment.findChild(QWidget, "cubeseg.classes").table
    assert [i.row() for i in table.selectionModel().selectedRows()] == [label - 1]
    wait(lambda: any("pixel y 20, x 11" in name for name in curves(spectra)))


def test_a_drag_is_no_click(viewer, docks):
    run(viewer, docks[0])
    session = session_of(viewer)
    start = on_canvas(viewer, session.labels_layer, 20, 11)
    mouse(viewer, [start, start + QPoint(30, 5), start + QPoint(60, 10)])
    QTest.qWait(100)
    assert session.pixel is None


def test_the_brush_corrects_and_undo_is_followed(viewer, docks):
    segment, _ = docks
    run(viewer, segment)
    session = session_of(viewer)
    layer, result = session.labels_layer, session.result
    before = layer.data.copy()
    session.select([2])
    assert layer.selected_label == 2
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size = "paint", 5
    mouse(viewer, [on_canvas(viewer, layer, r, r) for r in (4, 8, 12, 20, 27)])
    assert (layer.data != before).any()
    wait(lambda: (result.labels == layer.data).all(), 10)
    data = session.cube.block(slice(None), slice(None)).data
    wait(lambda: session.workbench.settled, 10)
    np.testing.assert_allclose(result.spectra.mean(2), data[:, layer.data == 2].astype(float).mean(axis=1), atol=1e-9)
    layer.undo()
    wait(lambda: (result.labels == before).all(), 10)
    assert session.pixel is None


def test_names_in_the_table_reach_the_plot(viewer, docks):
    segment, spectra = docks
    run(viewer, segment)
    table = segment.findChild(QWidget, "cubeseg.classes").table
    model = table.model()
    assert model.setData(model.index(0, 1), "lead white")
    assert session_of(viewer).result.info(1).name == "lead white"
    wait(lambda: any("lead white" in name for name in curves(spectra)))


def test_export_from_the_panel(viewer, docks, tmp_path):
    segment, _ = docks
    run(viewer, segment)
    panel = segment.findChild(QWidget, "cubeseg.export")
    panel.folder.setText(str(tmp_path / "out"))
    done = []
    session_of(viewer).exports.written.connect(done.append)
    button(segment, "cubeseg.export.run").click()
    wait(lambda: done)
    assert len(done[0]) == len(panel.chosen) == 6
    assert (cubeseg.load(tmp_path / "out" / "painting-result.h5").labels == session_of(viewer).labels_layer.data).all()


def test_the_dock_stays_where_a_button_that_goes_grey_was_pressed(viewer, docks, tmp_path):
    segment, _ = docks
    run(viewer, segment)
    segment.findChild(QWidget, "cubeseg.export").folder.setText(str(tmp_path / "out"))
    export, bar, done = button(segment, "cubeseg.export.run"), segment.verticalScrollBar(), []
    session_of(viewer).exports.written.connect(done.append)
    QTest.qWait(100)
    bar.setValue(bar.maximum())
    viewer.window._qt_window.activateWindow()
    export.setFocus()
    place = bar.value()
    assert place > 0
    QTest.mouseClick(export, Qt.MouseButton.LeftButton)
    assert not export.isEnabled()
    assert bar.value() == place
    wait(lambda: done)


def test_the_wheel_zooms_along_the_spectrum(viewer, docks):
    _, spectra = docks
    box = spectra.plot.plotItem.vb
    wait(lambda: curves(spectra))
    QTest.qWait(200)  # the axes find their range when they are painted
    (left, right), heights = box.viewRange()
    at, angle = QPointF(spectra.plot.viewport().rect().center()), QPoint(0, 240)
    none = Qt.MouseButton.NoButton
    QApplication.sendEvent(spectra.plot.viewport(), QWheelEvent(
        at, spectra.plot.viewport().mapToGlobal(at), QPoint(), angle, none, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    ))  # fmt: skip
    nearer = box.viewRange()
    assert nearer[0][1] - nearer[0][0] < right - left
    assert nearer[1] == pytest.approx(heights)
    box.setYRange(-7, 7)
    whole = next(b for b in spectra.findChildren(QPushButton) if b.text() == "Whole range")
    QTest.mouseClick(whole, Qt.MouseButton.LeftButton)
    wait(lambda: box.viewRange()[1] == pytest.approx(heights), 10)
    assert box.viewRange()[0] == pytest.approx([left, right])


def test_names_of_lines_do_not_lie_on_each_other(viewer, docks):
    from cubeseg.spectroscopy.lines import lines_for

    _, spectra = docks
    plot = spectra.plot
    plot.show_lines(lines_for(session_of(viewer).cube.axis, ["Pb-L", "Hg-L", "Cu-K", "Fe-K"]))
    plot.setXRange(5, 16)

    def overlapping():
        # the letters; the boxes about them are higher
        boxes = [label.mapRectToScene(label.boundingRect()).adjusted(4, 6, -4, -6) for label in named()]
        return [1 for n, one in enumerate(boxes) for other in boxes[:n] if one.intersects(other)]

    def named():
        return [mark.label for mark in plot._marks if mark.label.isVisible()]

    # they are where they belong once they have been painted
    wait(lambda: not overlapping(), 20)
    assert {"Pb Lα", "Pb Lβ", "Hg Lα"} <= {label.format for label in named()}


def test_band_line_and_slider(viewer, docks):
    _, spectra = docks
    viewer.dims.set_current_step(0, 400)
    axis = session_of(viewer).cube.axis
    cursor = spectra.plot.cursor
    assert cursor.value() == pytest.approx(axis.values[400])
    assert axis.format(400) in spectra.readout.text()
    cursor.setValue(axis.values[77])
    cursor.sigDragged.emit(cursor)
    assert viewer.dims.current_step[0] == 77


def test_hovering_reads_values(viewer, docks):
    segment, spectra = docks
    run(viewer, segment)
    wait(lambda: len(curves(spectra)) == 6)
    QTest.qWait(200)  # the axes find their range when they are painted
    result = session_of(viewer).result
    band = int(result.spectra.mean(1).argmax())
    value = float(result.spectra.mean(1)[band])
    at = spectra.plot.plotItem.vb.mapViewToScene(QPointF(result.axis.values[band], value))
    spectra._hovered((at,))
    assert spectra.readout.text().startswith(f"{result.axis.format(band)}: class 1 {value:.4g}")


def test_a_bad_file_is_one_clear_notification(viewer, tmp_path):
    from napari.utils.notifications import notification_manager

    (tmp_path / "empty.h5").write_bytes(b"")
    before = len(viewer.layers)
    viewer.open(str(tmp_path / "empty.h5"), plugin=DIST)
    assert len(viewer.layers) == before
    assert notification_manager.records[-1].message == f"{tmp_path / 'empty.h5'}: is empty (0 bytes)"


def test_themes_and_logarithm(viewer, docks):
    run(viewer, docks[0])
    for theme in ("light", "dark"):
        viewer.theme = theme
        QApplication.processEvents()
    docks[1].options.log.setChecked(True)
    docks[1].options.only.setChecked(True)
    QTest.qWait(100)
    assert len(curves(docks[1])) == 6


def test_docks_can_be_closed_and_opened_again(viewer, docks):
    segment, _ = docks
    run(viewer, segment)
    viewer.window.remove_dock_widget(segment)
    _, again = viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
    table = again.findChild(QWidget, "cubeseg.classes").table
    assert table.model().rowCount() == 6


def test_a_run_goes_on_while_its_dock_is_closed(viewer, docks):
    session = session_of(viewer)
    options(docks[0], "deep", (4, 4), 5000)
    button(docks[0], "cubeseg.train.run").click()
    wait(lambda: sum(bool(event.losses) for event in session.told) > 2)
    viewer.window.remove_dock_widget(docks[0])
    QTest.qWait(50)
    assert session.running
    epoch = session.told[-1].epoch
    wait(lambda: session.told[-1].epoch > epoch)
    _, again = viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
    from napari_cubeseg.qt.train_panel import TrainPanel

    panel = again.findChild(TrainPanel)
    assert panel.losses.isVisibleTo(panel)
    assert panel.findChild(QWidget, "cubeseg.train.status").text().startswith("Training")
    assert not button(again, "cubeseg.train.run").isEnabled()
    button(again, "cubeseg.train.cancel").click()
    assert not session.running
    assert {our.role(layer) for layer in viewer.layers} - {"sum"} == {"cube"}


def test_a_file_with_several_cubes_asks_in_the_panel(viewer, docks, tmp_path):
    import h5py

    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        for name in ("left", "right"):
            file[name] = np.random.default_rng(0).random((12, 13, 40))
    viewer.open(str(path), plugin=DIST)
    session = session_of(viewer)
    assert session.cubes.question is not None
    segment, _ = docks
    wait(lambda: button(segment, "cubeseg.cube.open").isVisible(), 5)
    segment.findChild(QWidget, "cubeseg.cube.dataset").setCurrentIndex(1)
    button(segment, "cubeseg.cube.open").click()
    wait(lambda: session.cubes.question is None, 5)
    assert session.cube.data.shape == (40, 12, 13)
    assert not button(segment, "cubeseg.cube.open").isVisible()


def test_large_files_open_in_the_background(viewer, docks, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cubeseg.reader._LARGE", 1000)
    np.save(tmp_path / "large.npy", np.random.default_rng(0).random((30, 12, 13)))
    session, seen = session_of(viewer), []
    session.cubes.working.connect(seen.append)
    viewer.open(str(tmp_path / "large.npy"), plugin=DIST)
    assert session.cube.source.name != "large"
    wait(lambda: session.cube.source.name == "large", 10)
    assert seen[0] == ("Opening large.npy", None)


def test_calibration_by_two_peaks_in_the_panel(viewer, docks):
    segment, spectra = docks
    session = session_of(viewer)
    for n, (channel, value) in enumerate(((10, "Fe"), (90, "17.44")), start=1):
        segment.findChild(QWidget, f"cubeseg.cube.channel{n}").setValue(channel)
        segment.findChild(QWidget, f"cubeseg.cube.value{n}").setText(value)
    button(segment, "cubeseg.cube.calibrate").click()
    assert session.cube.axis.values[90] == pytest.approx(17.44)
    QTest.qWait(100)
    assert spectra.plot.getAxis("bottom").labelText == "Energy (keV)"
    box = segment.findChild(QWidget, "cubeseg.cube.convert")
    box.setCurrentIndex(box.findText("nm vacuum"))
    box.activated.emit(box.currentIndex())
    assert session.cube.axis.unit == "nm"


@pytest.mark.parametrize("name", ["galaxy", "leaf"])
def test_samples(make_napari_viewer, name):
    made = make_napari_viewer()
    made.open_sample(DIST, name)
    cube_layer, truth = made.layers
    assert our.role(cube_layer) == "cube"
    assert isinstance(truth, layers.Labels)
    assert not truth.visible
    cube = cube_layer.metadata["cubeseg"]["cube"]
    assert cube.axis.unit in ("Angstrom", "nm")
    assert (cube.noise.variance is not None) == (name == "galaxy")


def test_names_of_classes_are_no_markup(viewer, docks):
    segment, spectra = docks
    run(viewer, segment)
    session_of(viewer).workbench.rename(2, "lead <b>white & co")
    wait(lambda: any("lead <b>white & co" in name for name in curves(spectra)))
    # what names the curves takes HTML
    assert "lead&nbsp;&lt;b&gt;white&nbsp;&amp;&nbsp;co" in spectra.plot.key.text()


def test_napari_asks_before_closing_and_says_what_would_be_lost(viewer, docks):
    options(docks[0], "deep", (4, 4), 5000)
    button(docks[0], "cubeseg.train.run").click()
    session = session_of(viewer)
    wait(lambda: viewer.window._task_status_manager.is_busy(), 20)
    (said,) = viewer.window._task_status_manager.get_status()
    assert "Segmenting painting" in said
    assert "0x" not in said
    session.cancel()


def test_closing_the_window_stops_the_run(make_napari_viewer, painting_file):
    made = make_napari_viewer(show=True)
    made.open(str(painting_file), plugin=DIST)
    _, segment = made.window.add_plugin_dock_widget(DIST, "Segment datacube")
    options(segment, "deep", (4, 4), 5000)
    button(segment, "cubeseg.train.run").click()
    QTest.qWait(200)
    made.close()
    wait(lambda: not any(w.is_running for w in WorkerBase._worker_set), 10)


def test_docks_leave_the_whole_image_in_view(viewer):
    camera = viewer.scene.camera
    QTest.qWait(100)
    viewer.reset_view()
    for name in ("Segment datacube", "Spectra"):
        _, dock = viewer.window.add_plugin_dock_widget(DIST, name)
        wait(dock.isVisible)
        QTest.qWait(400)
        seen = camera.zoom
        viewer.reset_view()
        assert seen == pytest.approx(camera.zoom, rel=0.02), name
    # who has zoomed in is left alone
    camera.zoom *= 3
    seen = camera.zoom
    _, dock = viewer.window.add_plugin_dock_widget(DIST, "Latent space")
    wait(dock.isVisible)
    QTest.qWait(400)
    assert camera.zoom == seen


def test_maps_do_not_shine_through_new_labels(viewer, docks):
    session, made = session_of(viewer), []
    session.maps.made.connect(made.append)
    session.maps.window(6.2, 6.6)
    wait(lambda: made)
    (layer,) = (item for item in viewer.layers if our.role(item) == "map")
    assert layer.visible
    run(viewer, docks[0])
    assert not layer.visible


def test_warnings_go_their_usual_way_after_jobs_that_overlapped(viewer, docks):
    import warnings

    before = warnings.showwarning
    ended = []
    for seconds in (0.2, 0.5, 0.1):

        def work(seconds=seconds):
            yield None
            time.sleep(seconds)
            return seconds

        from napari_cubeseg.jobs import Control, ignore
        from napari_cubeseg.qt.jobs import run_in_thread

        run_in_thread(work, Control(), ignore, ended.append, ignore, ignore)
    wait(lambda: len(ended) == 3)
    wait(lambda: not any(w.is_running for w in WorkerBase._worker_set), 10)
    QTest.qWait(100)
    assert warnings.showwarning is before


def test_names_of_curves_stand_beside_the_plot(viewer, docks):
    segment, spectra = docks
    run(viewer, segment)
    session_of(viewer).select([2])
    key = spectra.findChild(QWidget, "cubeseg.spectra.key")
    wait(lambda: "class" in key.text() and key.isVisible())
    assert not spectra.plot.findChildren(type(key))
