"""The bottom dock: mean spectra of the classes, the clicked pixel, the band that the slider shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel

import pyqtgraph as pg  # isort: skip

from cubeseg.segmentation import Segmentation
from napari_cubeseg.qt.bottom_dock import BottomDock
from napari_cubeseg.qt.jobs import run_in_thread
from napari_cubeseg.qt.plots import Band, ThemedPlot
from napari_cubeseg.session import session_of

__all__ = ["SpectraDock"]


class SpectraDock(BottomDock):
    """Spectra of the active segmentation; clicking a curve selects its class."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.setObjectName("cubeseg.spectra")
        self._session = session_of(napari_viewer)
        self._session.use_threads(run_in_thread)
        viewer = self._session.viewer
        self.plot = ThemedPlot(viewer.theme, self)
        self.plot.setMinimumHeight(150)
        self.log = _box("Logarithmic", "Show intensities on a logarithmic scale, so that weak lines are seen")
        self.spread = _box("± std", "Show how far the pixels of a class scatter about its mean")
        self.spread.setChecked(True)
        self.only = _box("Selected only", "Show only the classes that are selected")
        self.highest = _box("Highest pixel", "Show the largest value of every band: lines that only a few pixels have")
        self.readout = QLabel(self)
        self.readout.setToolTip("The value under the mouse, and the band that the image shows")
        bar = QHBoxLayout()
        for box in (self.log, self.spread, self.only, self.highest):
            bar.addWidget(box)
            box.toggled.connect(self._draw_soon)
        bar.addStretch()
        bar.addWidget(self.readout)
        self.rows.addLayout(bar)
        self.rows.addWidget(self.plot, 1)

        # one click changes class, selection and pixel, a stroke the classes at every move: draw once for all of them
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(30)
        self._soon.timeout.connect(self._draw)
        self._curves: dict[int, Any] = {}
        self._items: list[Any] = []
        self._cursor = pg.InfiniteLine(angle=90, movable=True)
        self._cursor.sigDragged.connect(self._cursor_dragged)
        self.plot.addItem(self._cursor, ignoreBounds=True)
        self._hover = ""
        self._proxy = pg.SignalProxy(self.plot.scene().sigMouseMoved, rateLimit=30, slot=self._hovered)

        session = self._session
        for signal in (session.cube_changed, session.classes_changed, session.selection_changed, session.pixel_changed):
            signal.connect(self._draw_soon)
        session.cubes.overview_changed.connect(self._draw_soon)
        session.band_changed.connect(self._show_band)
        viewer.events.theme.connect(self._theme)
        self._draw()

    def _theme(self, event: Any = None) -> None:
        self.plot.set_theme(self._session.viewer.theme)
        self._draw()

    def _draw_soon(self, *_: Any) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _draw(self) -> None:
        for item in self._items:
            self.plot.removeItem(item)
        self._items.clear()
        self._curves.clear()
        self.plot.setLogMode(y=self.log.isChecked())
        result, cube = self._session.result, self._session.cube
        axis = result.axis if result is not None else cube.axis if cube is not None else None
        if axis is None:
            self.readout.setText("Open a cube to see spectra")
            return
        self.plot.setLabel("bottom", axis.label)
        unit = result.unit if result is not None else cube.unit if cube is not None else ""
        self.plot.setLabel("left", f"Mean ({unit})" if unit else "Mean intensity")
        if result is not None:
            self._draw_classes(result, axis.values)
        elif self._session.typical is not None:
            seen = self._session.overview
            name = "mean of some pixels" if seen is None else "mean"
            self._draw_curve(axis.values, self._session.typical, name, "#8c96a0")
        if self.highest.isChecked() and self._session.overview is not None:
            self._draw_curve(axis.values, self._session.overview.highest, "highest pixel of every band", "#b3722d")
        self._draw_pixel(axis.values)
        self.plot.legend.setColumnCount(max(1, -(-len(self.plot.legend.items) // 6)))
        self._show_band(self._session.band)

    def _draw_classes(self, result: Segmentation, x: np.ndarray) -> None:
        selected = self._session.selected
        for info in result.classes:
            pixels = result.pixels(info.id)
            if not pixels or (self.only.isChecked() and selected and info.id not in selected):
                continue
            mean, std = result.spectra.mean(info.id), result.spectra.std(info.id)
            chosen = info.id in selected
            if self.spread.isChecked() and (chosen or not selected):
                band = Band(info.colour)
                band.set_curves(x, self._scaled(mean - std), self._scaled(mean + std))
                self.plot.addItem(band, ignoreBounds=True)
                self._items.append(band)
            colour = pg.mkColor(info.colour)
            colour.setAlpha(255 if chosen or not selected else 90)
            name = f"{info.name}  ({pixels:,} px)"
            curve = self.plot.plot(x, self._positive(mean), pen=pg.mkPen(colour, width=3 if chosen else 1.5), name=name)
            curve.setDownsampling(auto=True, method="peak")
            curve.setClipToView(True)
            curve.setZValue(5 if chosen else 1)
            curve.curve.setClickable(True, width=8)
            curve.sigClicked.connect(self._curve_clicked)
            self._curves[info.id] = curve
            self._items.append(curve)

    def _draw_pixel(self, x: np.ndarray) -> None:
        pixel = self._session.pixel
        if pixel is None or len(pixel.spectrum) != len(x):
            return
        self._draw_curve(x, pixel.spectrum, f"pixel y {pixel.row}, x {pixel.column}", self.plot.colours.text)

    def _draw_curve(self, x: np.ndarray, y: np.ndarray, name: str, colour: str) -> None:
        curve = self.plot.plot(x, self._positive(y), pen=pg.mkPen(colour, width=1), name=name)
        curve.setDownsampling(auto=True, method="peak")
        curve.setZValue(4)
        self._items.append(curve)

    def _positive(self, values: np.ndarray) -> np.ndarray:
        """Values for a curve: on a logarithmic scale zero and below have no place."""
        values = np.asarray(values, dtype=np.float64)
        return np.where(values > 0, values, np.nan) if self.log.isChecked() else values

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        """Values for an item that pyqtgraph does not take the logarithm of."""
        if not self.log.isChecked():
            return values
        positive = values[np.isfinite(values) & (values > 0)]
        floor = float(positive.min()) if positive.size else 1e-6
        return np.log10(np.maximum(np.nan_to_num(values, nan=floor), floor))

    def _show_band(self, band: int) -> None:
        cube = self._session.cube
        if cube is None:
            self._cursor.hide()
            return
        self._cursor.setPen(pg.mkPen(self.plot.colours.accent, width=1.5))
        self._cursor.setHoverPen(pg.mkPen(self.plot.colours.accent, width=3))
        self._cursor.show()
        self._cursor.blockSignals(True)
        self._cursor.setValue(cube.axis.values[band])
        self._cursor.blockSignals(False)
        self._update_readout()

    def _cursor_dragged(self, line: Any) -> None:
        cube = self._session.cube
        if cube is not None:
            self._session.show_band(cube.axis.index_of(line.value()))

    def _curve_clicked(self, clicked: Any, *_: Any) -> None:
        for class_id, curve in self._curves.items():
            if curve is clicked:
                self._session.select([class_id])
                return

    def _hovered(self, event: Any) -> None:
        position = event[0]
        box = self.plot.plotItem.vb
        result, cube = self._session.result, self._session.cube
        axis = result.axis if result is not None else cube.axis if cube is not None else None
        self._hover = ""
        if axis is not None and self.plot.sceneBoundingRect().contains(position):
            point = box.mapSceneToView(position)
            band = axis.index_of(point.x())
            self._hover = f"{axis.format(band)}: {self._nearest(band, point.y())}"
        self._update_readout()

    def _nearest(self, band: int, height: float) -> str:
        """The curve nearest to the mouse at a band, with its value there."""
        result = self._session.result
        if result is None:
            pixel = self._session.pixel
            return f"{pixel.spectrum[band]:.4g}" if pixel is not None else f"{height:.4g}"
        best, text = np.inf, ""
        for class_id in self._curves:
            value = float(result.spectra.mean(class_id)[band])
            shown = np.log10(value) if self.log.isChecked() and value > 0 else value
            if abs(shown - height) < best:
                best, text = abs(shown - height), f"{result.info(class_id).name} {value:.4g}"
        pixel = self._session.pixel
        return text + (f", pixel {pixel.spectrum[band]:.4g}" if pixel is not None else "")

    def _update_readout(self) -> None:
        cube = self._session.cube
        shown = "" if cube is None else f"image shows {cube.axis.format(self._session.band)}"
        self.readout.setText("    ".join(part for part in (self._hover, shown) if part))


def _box(text: str, tip: str) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(tip)
    return box
