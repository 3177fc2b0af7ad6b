"""The bottom dock: spectra of classes, pixels and regions, with lines, references and what sets a class apart."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
    QWidgetAction,
)

import pyqtgraph as pg  # isort: skip

from napari.utils.notifications import show_error

from cubeseg.errors import CubeSegError
from napari_cubeseg.curves import curves, readable_unit
from napari_cubeseg.qt.bottom_dock import BottomDock
from napari_cubeseg.qt.display_options import DisplayOptions
from napari_cubeseg.qt.hints import HelpButton, Hint, link
from napari_cubeseg.qt.jobs import run_in_thread
from napari_cubeseg.qt.lifetime import end_with_window
from napari_cubeseg.qt.spectra_plot import SpectraPlot
from napari_cubeseg.qt.spectra_tools import SpectraTools
from napari_cubeseg.session import session_of

__all__ = ["SpectraDock"]


class SpectraDock(BottomDock):
    """Spectra of the active cube and segmentation; clicking a curve selects its class."""

    def __init__(self, napari_viewer: Any) -> None:
        session = session_of(napari_viewer)
        super().__init__(session.viewer)
        self.setObjectName("cubeseg.spectra")
        self._session = session
        session.use_threads(run_in_thread)
        viewer = session.viewer
        self.plot = SpectraPlot(viewer.theme, self)
        self.options = DisplayOptions(self)
        self.tools = SpectraTools(session, self)
        self.readout = QLabel(self)
        # a long text must not push the buttons together
        self.readout.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.readout.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.readout.setToolTip("The value under the mouse, and what the image shows: a band, or a map")
        self._make_bar()
        split = QSplitter(Qt.Orientation.Horizontal, self)
        left = QWidget(self)
        rows = QVBoxLayout(left)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        self._empty = Hint(self)
        self._empty.setText(
            "Spectra are drawn here once a cube is open: its mean, the pixel that you click, the classes. "
            + link("workbench.md#spectra", "How to look at them")
        )
        rows.addWidget(self._empty)
        rows.addWidget(self.plot.key)
        rows.addWidget(self.plot, 1)
        split.addWidget(left)
        split.addWidget(self.tools)
        split.setStretchFactor(0, 1)
        split.setSizes([600, 250])
        self.rows.addLayout(self._bar)
        self.rows.addWidget(split, 1)

        # one click changes class, selection and pixel, a stroke the classes at every move: draw once for all of them
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(30)
        self._soon.timeout.connect(self._draw)
        self._hover = ""
        self._proxy = pg.SignalProxy(self.plot.scene().sigMouseMoved, rateLimit=30, slot=self._hovered)
        self.plot.curve_clicked.connect(self._curve_clicked)
        self.plot.band_moved.connect(self._band_moved)
        self.plot.window_changed.connect(self._window_moved)
        self.options.changed.connect(self._draw_soon)
        self.tools.lines_changed.connect(lambda: self.plot.show_lines(self.tools.lines))
        self.tools.references_changed.connect(self._draw_soon)
        for signal in (session.cube_changed, session.classes_changed, session.selection_changed, session.pixel_changed,
                       session.cubes.overview_changed, session.named.changed):  # fmt: skip
            signal.connect(self._draw_soon)
        session.band_changed.connect(self._show_band)
        session.caption.changed.connect(self._update_readout)
        viewer.events.theme.connect(self._theme)
        self._draw()
        end_with_window(self, session)

    def _make_bar(self) -> None:
        session = self._session
        display = QPushButton("Display", self)
        display.setToolTip("Mean, median or largest, shading, heights, smoothing, logarithm, difference of two")
        menu = QMenu(display)
        inside = QWidgetAction(menu)
        inside.setDefaultWidget(self.options)
        menu.addAction(inside)
        display.setMenu(menu)
        keep = QPushButton("Keep", self)
        keep.setObjectName("cubeseg.spectra.keep")
        keep.setToolTip("Keep a spectrum beside the classes' ones, to compare and to export")
        choices = QMenu(keep)
        for text, tip, do in (
            ("The clicked pixel", "Click the image first", session.named.keep_pixel),
            ("The drawn regions", "Draw on a Shapes layer first", session.named.keep_shapes),
            ("The marked pixels", "Use the lasso of the latent space first", session.named.keep_marked),
        ):
            choices.addAction(text, do).setToolTip(tip)
        choices.addSeparator()
        choices.addAction("Export the kept spectra…", self._export)
        choices.setToolTipsVisible(True)
        keep.setMenu(choices)
        self.box = QSpinBox(self)
        self.box.setObjectName("cubeseg.spectra.box")
        self.box.setRange(1, 51)
        self.box.setSingleStep(2)
        self.box.setPrefix("Box ")
        self.box.setSuffix(" px")
        self.box.setToolTip("A click shows the mean of a box of so many pixels along its side")
        self.box.valueChanged.connect(self._box_changed)
        self.window = QPushButton("Window", self)
        self.window.setObjectName("cubeseg.spectra.window")
        self.window.setCheckable(True)
        self.window.setToolTip("Choose a range of the spectrum: drag the yellow window or its edges")
        self.window.toggled.connect(self._window_toggled)
        self.map = QPushButton("Make map", self)
        self.map.setObjectName("cubeseg.spectra.map")
        self.map.setToolTip("Show the image in the window as a layer of its own")
        self.map.clicked.connect(self._make_map)
        self.map.hide()
        whole = QPushButton("Whole range", self)
        whole.setToolTip("Show the whole spectrum again (the mouse wheel zooms along it, dragging moves)")
        whole.clicked.connect(lambda *_: self.plot.enableAutoRange())
        self.side = QPushButton("Lines…", self)
        self.side.setObjectName("cubeseg.spectra.tools")
        self.side.setCheckable(True)
        self.side.setToolTip("Emission lines, reference spectra, what sets a class apart, the kept spectra")
        self.side.toggled.connect(self.tools.setVisible)
        self.tools.hide()
        self._bar = QHBoxLayout()
        for widget in (display, keep, self.box, self.window, self.map, whole, self.side):
            self._bar.addWidget(widget)
        self._bar.addWidget(self.readout, 1)
        self._bar.addWidget(HelpButton("workbench.md#spectra", "how to look at spectra", self))

    def _theme(self, event: Any = None) -> None:
        self.plot.set_theme(self._session.viewer.theme)
        self._draw()

    def _draw_soon(self, *_: Any) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _draw(self) -> None:
        result, cube = self._session.result, self._session.cube
        axis = result.axis if result is not None else cube.axis if cube is not None else None
        self._empty.setVisible(axis is None)
        if axis is None:
            return
        look = self.options.look
        unit = readable_unit(result.unit if result is not None else cube.unit if cube is not None else "")
        heights = {"none": f"{look.statistic.capitalize()} ({unit})" if unit else f"{look.statistic.capitalize()}"}
        self.plot.setLabel("left", heights.get(look.normalise, "Relative to its " + look.normalise))
        found = [*curves(self._session, look), *self.tools.references()]
        self.plot.show_curves(axis, found, self.options.log.isChecked())
        self._show_band(self._session.band)

    def _show_band(self, band: int) -> None:
        cube = self._session.cube
        self.plot.show_band(None if cube is None else float(cube.axis.values[band]))
        self._update_readout()

    def _band_moved(self, value: float) -> None:
        cube = self._session.cube
        if cube is not None:
            self._session.show_band(cube.axis.index_of(value))

    def _curve_clicked(self, key: tuple[str, int]) -> None:
        if key[0] == "class":
            self._session.select([key[1]])

    def _box_changed(self, size: int) -> None:
        # an even box has no middle pixel
        if size % 2 == 0:
            self.box.setValue(size + 1)
            return
        self._session.inspection.box = size
        pixel = self._session.pixel
        if pixel is not None:
            self._session.inspect(pixel.row, pixel.column)

    def _window_toggled(self, on: bool) -> None:
        self.plot.choose_window(on)
        self.map.setVisible(on)
        self._hover = ""
        if on:
            self._window_moved(*self.plot.window.getRegion())
        self._update_readout()

    def _window_moved(self, low: float, high: float) -> None:
        cube = self._session.cube
        self._hover = f"window {low:.5g} to {high:.5g} {'' if cube is None else cube.axis.unit}"
        self._update_readout()

    def _make_map(self) -> None:
        low, high = (float(v) for v in self.plot.window.getRegion())
        self._session.maps.window(low, high)

    def _export(self) -> None:
        if not self._session.named.kept:
            show_error("No spectrum is kept yet: click a pixel, then Keep > The clicked pixel")
            return
        path, _ = QFileDialog.getSaveFileName(self, "Export the kept spectra", "spectra.csv", "CSV (*.csv)")
        if path:
            try:
                self._session.named.write(path)
            except CubeSegError as error:
                show_error(str(error))

    def _hovered(self, event: Any) -> None:
        position, result, cube = event[0], self._session.result, self._session.cube
        axis = result.axis if result is not None else cube.axis if cube is not None else None
        self._hover = ""
        if axis is not None and self.plot.sceneBoundingRect().contains(position):
            point = self.plot.plotItem.vb.mapSceneToView(position)
            band = axis.index_of(point.x())
            found = self.plot.nearest(band, point.y())
            self._hover = axis.format(band) + (f": {found[0]} {found[1]:.4g}" if found else "")
        self._update_readout()

    def _update_readout(self) -> None:
        text = self._session.caption.text
        self.readout.setText(self._hover or (text and f"image shows {text}"))
