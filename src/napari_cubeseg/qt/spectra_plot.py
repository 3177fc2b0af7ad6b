"""The plot of spectra: curves that are kept and only updated, lines, a window to choose, the band that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

import pyqtgraph as pg  # isort: skip

from cubeseg.axis import SpectralAxis
from cubeseg.spectroscopy.lines import Line
from napari_cubeseg.curves import Curve
from napari_cubeseg.qt.plots import Band, ThemedPlot

__all__ = ["SpectraPlot"]

# with more curves than this, only the chosen ones are named above the plot: the table has all colours
_LEGEND = 6
# pixels that the name of a line is high
_HIGH = 15
_ABSORBED = "#7aa6ff"
_KINDS = {"escape": "#b39ddb", "sum": "#b39ddb", "rayleigh": "#90a4ae", "compton": "#90a4ae", "absorption": _ABSORBED}


class SpectraPlot(ThemedPlot):
    """Curves over a spectral axis."""

    curve_clicked = Signal(object)
    band_moved = Signal(float)
    window_changed = Signal(float, float)

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent, viewBox=_AlongTheSpectrum())
        self.setMinimumHeight(110)
        self.key.setObjectName("cubeseg.spectra.key")
        self.key.setToolTip("The chosen curves; with few classes, all")
        self.log = False
        self._shown: dict[tuple[str, int], Any] = {}
        self._data: dict[tuple[str, int], Curve] = {}
        self._bands: dict[tuple[str, int], Band] = {}
        self._axis: SpectralAxis | None = None
        self._marks: list[Any] = []
        self._lines: Sequence[Line] = ()
        self.cursor = pg.InfiniteLine(angle=90, movable=True)
        self.cursor.sigDragged.connect(lambda line: self.band_moved.emit(float(line.value())))
        self.addItem(self.cursor, ignoreBounds=True)
        self.window = pg.LinearRegionItem(brush=(255, 204, 0, 40), hoverBrush=(255, 204, 0, 70), pen="#ffcc00")
        self.window.setZValue(20)
        self.window.hide()
        self.window.sigRegionChanged.connect(lambda item: self.window_changed.emit(*map(float, item.getRegion())))
        self.addItem(self.window, ignoreBounds=True)
        self.plotItem.vb.sigXRangeChanged.connect(lambda *_: self._label_lines())
        self.plotItem.vb.sigResized.connect(lambda *_: self._label_lines())

    @property
    def curves(self) -> list[Curve]:
        """What is shown."""
        return list(self._data.values())

    def show_curves(self, axis: SpectralAxis, found: Sequence[Curve], log: bool) -> None:
        """Show these curves in place of those before."""
        other_axis = self._axis is None or not np.array_equal(self._axis.values, axis.values)
        self._axis = axis
        if other_axis or log != self.log:
            self.log = log
            self._clear()
            self.setLogMode(y=log)
        self.setLabel("bottom", axis.label)
        keys = [c.key for c in found]
        for key in [k for k in self._shown if k not in keys]:
            self._remove(key)
        for curve in found:
            self._show(axis, curve)
        self._list(found)
        if other_axis:
            self.enableAutoRange()
            self.show_lines(self._lines)

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Mark emission lines, as tall as they are strong within their family."""
        for item in self._marks:
            self.removeItem(item)
        self._marks.clear()
        self._lines = lines
        for line in lines:
            colour = pg.mkColor(_KINDS.get(line.kind, "#ffb74d"))
            if pg.mkColor(self.colours.background).lightness() > 128:
                colour = colour.darker(180)
            pen = pg.mkPen(
                colour, width=1, style=Qt.PenStyle.DashLine if line.kind in _KINDS else Qt.PenStyle.SolidLine
            )
            height = 0.15 + 0.75 * float(np.clip(line.height, 0, 1))
            mark = pg.InfiniteLine(
                line.position, angle=90, pen=pen, span=(0, height),
                label=line.label, labelOpts={"position": 1, "color": colour, "anchors": [(0, 1), (0, 1)]},
            )  # fmt: skip
            mark.setZValue(-5)
            self.addItem(mark, ignoreBounds=True)
            self._marks.append(mark)
        self._label_lines()

    def _label_lines(self) -> None:
        """Name as many lines as there is room for along them, the strongest first and highest."""
        left, right = self.plotItem.vb.viewRange()[0]
        width, high = max(self.plotItem.vb.width(), 1), _HIGH / max(self.plotItem.vb.height(), 1)
        taken: list[tuple[float, float, float]] = []
        for line, mark in sorted(zip(self._lines, self._marks, strict=True), key=lambda both: -both[0].height):
            x, top = (line.position - left) / max(right - left, 1e-30), mark.span[1]
            # the name stands to the right of its line
            end = x + mark.label.boundingRect().width() / width
            beside = [at for start, to, at in taken if x < to and start < end]
            y = min(top, 1 - high)
            while y > high and any(abs(y - at) < high for at in beside):
                y -= high
            free = 0 <= x <= 1 and not any(abs(y - at) < high for at in beside)
            mark.label.setVisible(free)
            if free:
                # pyqtgraph counts along the mark, not along the plot
                mark.label.setPosition(y / top)
                taken.append((x, end, y))

    def set_theme(self, theme: str) -> None:
        """Take over the colours of a napari theme."""
        super().set_theme(theme)
        # not yet while the plot is being made
        if hasattr(self, "_marks"):
            self.show_lines(self._lines)

    def show_band(self, value: float | None) -> None:
        """Where the image's band is; None where there is no image."""
        self.cursor.setVisible(value is not None)
        if value is not None:
            self.cursor.setPen(pg.mkPen(self.colours.accent, width=1.5))
            self.cursor.setHoverPen(pg.mkPen(self.colours.accent, width=3))
            self.cursor.blockSignals(True)
            self.cursor.setValue(value)
            self.cursor.blockSignals(False)

    def choose_window(self, on: bool) -> None:
        """Let people choose a window; it starts in the middle of what is seen."""
        if on and not self.window.isVisible():
            low, high = self.plotItem.vb.viewRange()[0]
            self.window.setRegion((low + 0.4 * (high - low), low + 0.6 * (high - low)))
        self.window.setVisible(on)

    def nearest(self, band: int, height: float) -> tuple[str, float] | None:
        """Name and value of the curve nearest to a height at a band."""
        best, found = np.inf, None
        for curve in self._data.values():
            value = float(curve.values[band])
            shown = np.log10(value) if self.log and value > 0 else value
            if abs(shown - height) < best:
                best, found = abs(shown - height), (curve.name.split("  ")[0], value)
        return found

    def _show(self, axis: SpectralAxis, curve: Curve) -> None:
        key, before = curve.key, self._data.get(curve.key)
        item = self._shown.get(key)
        if item is None:
            item = self._shown[key] = self.plot([], [])
            item.setDownsampling(auto=True, method="peak")
            item.setClipToView(True)
            item.curve.setClickable(True, width=8)
            item.sigClicked.connect(lambda *_, k=key: self.curve_clicked.emit(k))
        colour = pg.mkColor(curve.colour or self.colours.text)
        colour.setAlpha(70 if curve.faint else 255)
        item.setPen(pg.mkPen(colour, width=2.5 if curve.chosen and key[0] == "class" else 1.3))
        item.setZValue(5 if curve.chosen else 1)
        if before is None or not np.array_equal(before.values, curve.values, equal_nan=True):
            item.setData(axis.values, np.where(curve.values > 0, curve.values, np.nan) if self.log else curve.values)
        self._data[key] = curve
        if curve.low is None or curve.high is None:
            band = self._bands.pop(key, None)
            if band is not None:
                self.removeItem(band)
            return
        if key in self._bands and (before is None or before.colour != curve.colour):
            self.removeItem(self._bands.pop(key))
        if key not in self._bands:
            self._bands[key] = Band(curve.colour)
            self.addItem(self._bands[key], ignoreBounds=True)
        self._bands[key].set_curves(axis.values, self._scaled(curve.low), self._scaled(curve.high))

    def _list(self, found: Sequence[Curve]) -> None:
        """Name the curves above the plot."""
        named = found if len(found) <= _LEGEND else [c for c in found if c.chosen][:_LEGEND]
        self.name_curves([(curve.colour, curve.name) for curve in named])

    def _remove(self, key: tuple[str, int]) -> None:
        self.removeItem(self._shown.pop(key))
        self._data.pop(key, None)
        band = self._bands.pop(key, None)
        if band is not None:
            self.removeItem(band)

    def _clear(self) -> None:
        for key in list(self._shown):
            self._remove(key)

    def _scaled(self, values: Any) -> Any:
        """Values for an item that pyqtgraph does not take the logarithm of."""
        if not self.log:
            return values
        positive = values[np.isfinite(values) & (values > 0)]
        floor = float(positive.min()) if positive.size else 1e-6
        return np.log10(np.maximum(np.nan_to_num(values, nan=floor), floor))


class _AlongTheSpectrum(pg.ViewBox):  # type: ignore[misc]
    """The wheel zooms along the spectrum and leaves the heights alone; over the numbers at an axis, that axis."""

    def wheelEvent(self, event: Any, axis: int | None = None) -> None:
        """Zoom, for pyqtgraph."""
        super().wheelEvent(event, axis=self.XAxis if axis is None else axis)
