"""Plot items: spectra with their spread, and the losses of a run. pyqtgraph, after Qt has been chosen by qtpy."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QPainterPath
from qtpy.QtWidgets import QLabel, QWidget

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
    """A plot in the viewer's colours; :attr:`key`, which names its curves, is to be placed beside it."""

    def __init__(self, theme: str, parent: QWidget | None = None, below: int = 38, **options: Any) -> None:
        super().__init__(parent, **options)
        self.below = below
        self.plotItem.setMenuEnabled(False)
        self.plotItem.hideButtons()
        # the name of an axis hangs out of it by some pixels, and letters that reach below the line would be cut off
        self.plotItem.layout.setContentsMargins(1, 1, 1, 5)
        # 0.3 keV is not 300 m(keV)
        for side in ("left", "bottom"):
            self.plotItem.getAxis(side).enableAutoSIPrefix(False)
        # in a line of its own, where it covers neither curves nor what is written in the plot
        self.key = QLabel()
        self.key.setWordWrap(True)
        self.key.hide()
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

    def name_curves(self, named: Sequence[tuple[str, str]]) -> None:
        """Say in :attr:`key` which curve is which: colours ("" for that of texts) and names."""
        parts = []
        for colour, name in named:
            # a name stays on one line
            words = html.escape(name).replace(" ", "&nbsp;")
            parts.append(f"<span style='color:{colour or self.colours.text}'>▬</span>&nbsp;{words}")
        self.key.setText("&nbsp;&nbsp; ".join(parts))
        self.key.setVisible(bool(named))


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
        self.plotItem.vb.setDefaultPadding(0.08)
        left = self.plotItem.getAxis("left")
        left.setTicks([[(power, f"{10.0**power:g}") for power in range(-9, 10)]])
        left.setWidth(44)
        self._curves: dict[str, Any] = {}
        self._values: dict[str, tuple[list[int], list[float]]] = {}

    def restart(self) -> None:
        """Forget everything."""
        for curve in self._curves.values():
            self.removeItem(curve)
        self._curves.clear()
        self._values.clear()
        self.name_curves(())

    def add(self, epoch: int, losses: dict[str, float]) -> None:
        """Add the mean losses of an epoch."""
        for name, colour, _ in self._PENS:
            if name not in losses:
                continue
            if name not in self._curves:
                pen = pg.mkPen(colour, width=2)
                self._curves[name] = self.plot([], [], pen=pen, symbol="o", symbolSize=4, symbolPen=None)
                self._curves[name].setSymbolBrush(colour)
                self._values[name] = ([], [])
            epochs, values = self._values[name]
            epochs.append(epoch)
            values.append(max(losses[name], 1e-9))
            self._curves[name].setData(epochs, values)
        self.name_curves([(colour, words) for name, colour, words in self._PENS if name in self._curves])


def _transparent(colour: str, alpha: int) -> QColor:
    made = QColor(colour)
    made.setAlpha(alpha)
    return made
