"""What a user of the real napari has: eyes for widgets, a mouse, keys, and answers to dialogs."""

from __future__ import annotations

import random
import time

from napari.layers import Labels
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QColor, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QColorDialog, QWidget

from napari_cubeseg import layers as our
from napari_cubeseg.session import session_of

DIST = "napari-cubeseg"
DOCKS = ("Segment datacube", "Spectra", "Latent space")
_LEFT, _NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton


class User:
    """Sits before a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    seed : int
    """

    def __init__(self, viewer: object, seed: int) -> None:
        self.viewer, self.session = viewer, session_of(viewer)
        self.random = random.Random(seed)
        self._answers = QTimer()
        self._answers.setInterval(60)
        self._answers.timeout.connect(self._answer)
        self._answers.start()

    def wait(self, until: object, seconds: float) -> bool:
        """Let Qt work until something is true, or for so long."""
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            QTest.qWait(5)
        return bool(until())

    @property
    def canvas(self) -> QWidget:
        return self.viewer.window._qt_viewer.canvas.native

    def _labels(self) -> list[Labels]:
        return [layer for layer in self.viewer.layers if our.role(layer) == "labels"]

    def _find(self, kind: type, name: str) -> QWidget | None:
        found = self.viewer.window._qt_window.findChildren(kind, name)
        return found[-1] if found else None

    def _press(self, name: str) -> str:
        button = self._find(QAbstractButton, name)
        if button is not None and button.isEnabled() and button.isVisible():
            QTest.mouseClick(button, _LEFT)
            return name
        return f"{name} cannot be pressed"

    def _widgets(self) -> dict[str, QWidget]:
        from napari_cubeseg.qt.latent_dock import LatentDock
        from napari_cubeseg.qt.segment_dock import SegmentDock
        from napari_cubeseg.qt.spectra_dock import SpectraDock

        kinds = {"Segment datacube": SegmentDock, "Spectra": SpectraDock, "Latent space": LatentDock}
        window = self.viewer.window._qt_window
        return {name: found[-1] for name, kind in kinds.items() if (found := window.findChildren(kind))}

    def _answer(self) -> None:
        """Dialogs and menus that block are answered."""
        modal, popup = QApplication.activeModalWidget(), QApplication.activePopupWidget()
        if isinstance(modal, QColorDialog):
            modal.setCurrentColor(QColor(f"#{self.random.randrange(1 << 24):06x}"))
            modal.accept() if self.random.random() < 0.8 else modal.reject()
        elif modal is not None:
            modal.close()
        elif popup is not None:
            popup.close()

    def _place(self) -> QPoint:
        return QPoint(
            self.random.randrange(5, self.canvas.width() - 5), self.random.randrange(5, self.canvas.height() - 5)
        )

    def _mouse(self, widget: QWidget, points: list[QPoint | QPointF], button: Qt.MouseButton = _LEFT) -> None:
        def send(kind: QEvent.Type, point: QPoint | QPointF, pressed: Qt.MouseButton, held: Qt.MouseButton) -> None:
            at = QPointF(point)
            event = QMouseEvent(kind, at, widget.mapToGlobal(at), pressed, held, Qt.KeyboardModifier.NoModifier)
            QApplication.sendEvent(widget, event)
            QApplication.processEvents()

        send(QEvent.Type.MouseMove, points[0], _NONE, _NONE)
        send(QEvent.Type.MouseButtonPress, points[0], button, button)
        for point in points[1:]:
            send(QEvent.Type.MouseMove, point, _NONE, button)
        send(QEvent.Type.MouseButtonRelease, points[-1], button, _NONE)

    def _key(self, key: str, *modifiers: str) -> str:
        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= getattr(Qt.KeyboardModifier, f"{modifier}Modifier")
        QTest.keyClick(self.canvas, getattr(Qt.Key, f"Key_{key}"), held)
        return "+".join((*modifiers, key))

    def _press_action(self, name: str) -> str:
        panel = self._find(QWidget, "cubeseg.classes")
        action = None if panel is None else panel.actions_row.actions_by_name[name]
        if action is not None and action.isEnabled():
            action.trigger()
        return name
