"""Work belongs to the window: it goes on when a dock is closed, and ends when the window is."""

from __future__ import annotations

from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_cubeseg import warming
from napari_cubeseg.qt.bottom_dock import dock_of
from napari_cubeseg.qt.timing import after
from napari_cubeseg.session import Session

__all__ = ["end_with_window"]

_KNOWN = "cubeseg.ends"


def end_with_window(widget: QWidget, session: Session) -> None:
    """Let the session's work end with the window that a widget is about to be docked in."""

    def settle() -> None:
        dock = dock_of(widget)
        window = None if dock is None else dock.parent()
        if not isinstance(window, QMainWindow) or window.property(_KNOWN):
            return
        window.setProperty(_KNOWN, True)
        # a cancelled generator lets go of the cube within a step
        window.destroyed.connect(session.stop_work)
        window.destroyed.connect(warming.stop)
        application = QApplication.instance()
        if application is not None:
            # what is not written yet is, while everything is still there
            application.aboutToQuit.connect(session.autosave.stop)

    # napari makes the widget first, and its dock afterwards
    after(0, widget, settle)
