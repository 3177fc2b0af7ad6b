"""Docks that belong below the image: napari puts every plugin's dock to the right."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

__all__ = ["BottomDock", "dock_of"]


class BottomDock(QWidget):
    """A widget whose dock moves to the bottom of the window, as a tab where another one of ours is there."""

    def __init__(self) -> None:
        super().__init__()
        self._placed = False

    def showEvent(self, event: Any) -> None:
        """Move after the first showing."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            # not now: Qt is still laying out the place that the dock would leave
            QTimer.singleShot(0, self._move_to_bottom)

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
        window.resizeDocks([dock], [260], Qt.Orientation.Vertical)


def dock_of(widget: QWidget) -> QDockWidget | None:
    """The dock that a widget is in."""
    dock = widget.parent()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    return dock
