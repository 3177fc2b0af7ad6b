"""A plot in which a loop can be drawn around points."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal

import pyqtgraph as pg  # isort: skip

__all__ = ["LassoBox"]


class LassoBox(pg.ViewBox):  # type: ignore[misc]
    """A view box in which, while :attr:`lasso` is set, the left button draws a loop instead of moving the view."""

    drawn = Signal(object)

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.lasso = False
        self._corners: list[tuple[float, float]] = []
        self._line = pg.PlotDataItem(pen=pg.mkPen("#ffcc00", width=2))
        self.addItem(self._line, ignoreBounds=True)

    def mouseDragEvent(self, event: Any, axis: Any = None) -> None:
        """For pyqtgraph."""
        if not self.lasso or event.button() != Qt.MouseButton.LeftButton:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        if event.isStart():
            self._corners = [self._at(event.buttonDownPos())]
        self._corners.append(self._at(event.pos()))
        loop = np.array([*self._corners, self._corners[0]])
        self._line.setData(loop[:, 0], loop[:, 1])
        if event.isFinish():
            self.drawn.emit(self._corners)

    def clear_lasso(self) -> None:
        """Take the loop away."""
        self._corners = []
        self._line.setData([], [])

    def _at(self, position: Any) -> tuple[float, float]:
        point = self.mapToView(position)
        return float(point.x()), float(point.y())
