"""Docks that belong below the image: napari puts every plugin's dock to the right."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QDockWidget, QLayout, QMainWindow, QVBoxLayout, QWidget

from napari_cubeseg.qt.fitting import Refit
from napari_cubeseg.qt.timing import after

__all__ = ["BottomDock", "dock_of"]


class BottomDock(QWidget):
    """A widget whose dock moves to the bottom of the window, as a tab where another one of ours is there.

    What it shows goes into :attr:`rows`.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._refit = Refit(viewer, self)
        self._placed = False
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(6, 4, 6, 4)
        self.rows.setSpacing(2)
        self.rows.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)

    def minimumSizeHint(self) -> QSize:
        """Small: napari adds docks to the right, and the window would grow by all that fits below the image."""
        return QSize(240, 120)

    def showEvent(self, event: Any) -> None:
        """Move after the first showing."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            # not now: Qt is still laying out the place that the dock would leave
            after(0, self, self._move_to_bottom)

    def _move_to_bottom(self) -> None:
        dock = dock_of(self)
        window = None if dock is None else dock.parent()
        if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        bottom = Qt.DockWidgetArea.BottomDockWidgetArea
        there = [dock_of(other) for other in window.findChildren(BottomDock) if other is not self]
        window.addDockWidget(bottom, dock)
        # the right dock keeps the window's full height
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        for other in there:
            if other is not None and window.dockWidgetArea(other) == bottom and not other.isFloating():
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return
        window.resizeDocks([dock], [290], Qt.Orientation.Vertical)
        self._refit.soon()


def dock_of(widget: QWidget) -> QDockWidget | None:
    """The dock that a widget is in."""
    dock = widget.parent()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    return dock
