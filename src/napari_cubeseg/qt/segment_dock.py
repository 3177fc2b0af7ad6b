"""The right dock: Cube, Train, Classes, Export, from top to bottom as the work goes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QLabel, QMainWindow, QScrollArea, QVBoxLayout, QWidget

from napari_cubeseg import warming
from napari_cubeseg.qt.bottom_dock import dock_of
from napari_cubeseg.qt.classes_panel import ClassesPanel
from napari_cubeseg.qt.components_panel import ComponentsPanel
from napari_cubeseg.qt.cube_panel import CubePanel
from napari_cubeseg.qt.export_panel import ExportPanel
from napari_cubeseg.qt.image_panel import ImagePanel
from napari_cubeseg.qt.jobs import run_in_thread
from napari_cubeseg.qt.lifetime import end_with_window
from napari_cubeseg.qt.train_panel import TrainPanel
from napari_cubeseg.session import session_of

__all__ = ["SegmentDock"]

_WIDTH = 390


class SegmentDock(QScrollArea):
    """All panels of the work on one cube, one below the other."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        session = session_of(napari_viewer)
        session.use_threads(run_in_thread)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget(self)
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(8, 4, 8, 8)
        layout.setSpacing(4)
        for title, panel in (
            ("1  Cube", CubePanel(session, inside)),
            ("", ImagePanel(session, inside)),
            ("2  Train", TrainPanel(session, inside)),
            ("", ComponentsPanel(session, inside)),
            ("3  Classes", ClassesPanel(session, inside)),
            ("4  Export", ExportPanel(session, inside)),
        ):
            if title:
                heading = QLabel(f"<b>{title}</b>", inside)
                heading.setContentsMargins(0, 6, 0, 0)
                layout.addWidget(heading)
            layout.addWidget(panel)
        layout.addStretch()
        self.setWidget(inside)
        self.setMinimumWidth(inside.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width())
        self._placed = False
        # not before the cube is seen, whose opening it would hold up
        session.cubes.overview_changed.connect(warming.begin)
        end_with_window(self, session)

    def showEvent(self, event: Any) -> None:
        """Leave most of the window to the image: Qt would share it out evenly."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            QTimer.singleShot(0, self._narrow)

    def _narrow(self) -> None:
        dock = dock_of(self)
        if dock is not None and not dock.isFloating() and isinstance(dock.parent(), QMainWindow):
            dock.parent().resizeDocks([dock], [max(_WIDTH, self.minimumWidth())], Qt.Orientation.Horizontal)
