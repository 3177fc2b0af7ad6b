"""What is to be done a little later, unless the widget that asked for it is gone by then."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

__all__ = ["after"]


def after(milliseconds: int, owner: QObject, call: Callable[[], object]) -> None:
    """Call once, unless the owner is gone; with PySide6 ``QTimer.singleShot`` calls all the same."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.timeout.connect(call)
    # what it holds on to would be kept for as long as the owner
    timer.timeout.connect(timer.deleteLater)
    timer.start(milliseconds)
