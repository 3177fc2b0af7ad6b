"""Plot items: spectra with their spread, and the losses of a run. pyqtgraph, after Qt has been chosen by qtpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QPainterPath
from qtpy.QtWidgets import QWidget

import pyqtgraph as pg  # isort: skip  (takes the binding that qtpy has imported)

from napari_cubeseg.qt.theme import PlotColours, plot_colours

__all__ = ["Band", "LossPlot", "ThemedPlot"]

Values = NDArray[Any]


class Band(pg.GraphicsObject):  # type: ignore[misc]
    """A filled band between two curves, drawn from at most 1024 points.

    Faster than pyqtgraph's FillBetweenItem by a factor of two, and as good as it on every binding.
    """

    def __init__(self, colour: str) -> None:
        super().__init__()
        self._path = QPainterPath()
        self._brush = pg.mkBrush(_transparent(colour, 60))

    def set_curves(self, x: Values, low: Values, high: Values) -> None:
        """Set both edges, arrays of shape (n,)."""
        self.prepareGeometryChange()
        step = -(-len(x) // 1024)
        if step > 1:
            starts = np.arange(0, len(x), step)
            x, low, high = x[starts], np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
        edge_x, edge_y = np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]])
        keep = np.isfinite(edge_y)
        self._path = pg.arrayToQPath(edge_x[keep], edge_y[keep])
        self.informViewBoundsChanged()
        self.update()

    def boundingRect(self) -> QRectF:
        """Extent, for Qt."""
        return self._path.boundingRect()

    def paint(self, painter: Any, *_: Any) -> None:
        """Draw, for Qt."""
        painter.fillPath(self._path, self._brush)


class ThemedPlot(pg.PlotWidget):  # type: ignore[misc]
    """A plot in the viewer's colours, with a legend that keeps up with them."""

    def __init__(self, theme: str, parent: QWidget | None = None, below: int = 42, **options: Any) -> None:
        super().__init__(parent, **options)
        self.below = below
        self.plotItem.setMenuEnabled(False)
        self.plotItem.hideButtons()
        # 0.3 keV is not 300 m(keV)
        for side in ("left", "bottom"):
            self.plotItem.getAxis(side).enableAutoSIPrefix(False)
        self.legend = self.addLegend(offset=(-8, 6), labelTextSize="9pt")
        self.colours: PlotColours = plot_colours(theme)
        self.set_theme(theme)

    def set_theme(self, theme: str) -> None:
        """Take over the colours of a napari theme."""
        self.colours = plot_colours(theme)
        self.setBackground(self.colours.background)
        self.plotItem.getAxis("bottom").setHeight(self.below)
        for name in ("left", "bottom"):
            axis = self.plotItem.getAxis(name)
            axis.setPen(self.colours.grid)
            axis.setTextPen(self.colours.text)
        self.legend.setBrush(_transparent(self.colours.background, 200))
        self.legend.setLabelTextColor(self.colours.text)
        for _, label in self.legend.items:
            label.setText(label.text)


class LossPlot(ThemedPlot):
    """The terms of the loss over the epochs, logarithmic."""

    _PENS = (
        ("total", "#d55e00", "total"),
        ("reconstruction", "#0096ff", "spectra"),
        ("clustering", "#00b386", "classes"),
        ("mmd", "#cc79a7", "cloud"),
    )

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.setLabel("bottom", "epoch")
        self.setLogMode(y=True)
        self.setMouseEnabled(x=False, y=False)
        self.setMinimumHeight(120)
        self.setMaximumHeight(150)
        self.legend.setColumnCount(4)
        # room above the curves for the legend
        self.plotItem.vb.setDefaultPadding(0.3)
        left = self.plotItem.getAxis("left")
        left.setTicks([[(power, f"{10.0**power:g}") for power in range(-9, 10)]])
        left.setWidth(44)
        self._curves: dict[str, Any] = {}
        self._values: dict[str, tuple[list[int], list[float]]] = {}

    def set_theme(self, theme: str) -> None:
        """Take over the colours; the legend lets the curves shine through."""
        super().set_theme(theme)
        self.legend.setBrush(None)

    def restart(self) -> None:
        """Forget everything."""
        for curve in self._curves.values():
            self.removeItem(curve)
        self._curves.clear()
        self._values.clear()

    def add(self, epoch: int, losses: dict[str, float]) -> None:
        """Add the mean losses of an epoch."""
        for name, colour, words in self._PENS:
            if name not in losses:
                continue
            if name not in self._curves:
                pen = pg.mkPen(colour, width=2)
                self._curves[name] = self.plot([], [], pen=pen, name=words, symbol="o", symbolSize=4, symbolPen=None)
                self._curves[name].setSymbolBrush(colour)
                self._values[name] = ([], [])
            epochs, values = self._values[name]
            epochs.append(epoch)
            values.append(max(losses[name], 1e-9))
            self._curves[name].setData(epochs, values)


def _transparent(colour: str, alpha: int) -> QColor:
    made = QColor(colour)
    made.setAlpha(alpha)
    return made
