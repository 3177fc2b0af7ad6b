"""The right dock: Cube, Train, Classes, Export, from top to bottom as the work goes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QMainWindow, QScrollArea, QVBoxLayout, QWidget

from napari_cubeseg import warming
from napari_cubeseg.qt.bottom_dock import dock_of
from napari_cubeseg.qt.classes_panel import ClassesPanel
from napari_cubeseg.qt.components_panel import ComponentsPanel
from napari_cubeseg.qt.cube_panel import CubePanel
from napari_cubeseg.qt.export_panel import ExportPanel
from napari_cubeseg.qt.fitting import Refit
from napari_cubeseg.qt.help_menu import HelpMenu
from napari_cubeseg.qt.hints import HelpButton
from napari_cubeseg.qt.image_panel import ImagePanel
from napari_cubeseg.qt.jobs import run_in_thread
from napari_cubeseg.qt.lifetime import end_with_window
from napari_cubeseg.qt.timing import after
from napari_cubeseg.qt.tour_strip import TourStrip
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
        for title, page, what, panel in (
            ("1  Cube", "tutorials/painting.md#1-open", "how to open a cube", CubePanel(session, inside)),
            ("", "", "", ImagePanel(session, inside)),
            ("2  Train", "tutorials/painting.md#3-train", "how to train", TrainPanel(session, inside)),
            ("", "", "", ComponentsPanel(session, inside)),
            ("3  Classes", "workbench.md#classes", "how to work with classes", ClassesPanel(session, inside)),
            ("4  Export", "howto/export.md", "how to export", ExportPanel(session, inside)),
        ):
            if title:
                heading = QHBoxLayout()
                heading.setContentsMargins(0, 6, 0, 0)
                heading.addWidget(QLabel(f"<b>{title}</b>", inside), 1)
                if isinstance(panel, CubePanel):
                    heading.addWidget(HelpMenu(session, inside))
                heading.addWidget(HelpButton(page, what, inside))
                layout.addLayout(heading)
            layout.addWidget(panel)
        layout.addStretch()
        self.setWidget(inside)
        self.setMinimumWidth(inside.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width())
        self._placed = False
        self._refit = Refit(session.viewer, self)
        self._strip = TourStrip(session, self)
        self._strip.resized.connect(self._make_room)
        self._make_room()
        # not before the cube is seen, whose opening it would hold up
        session.cubes.overview_changed.connect(warming.begin)
        end_with_window(self, session)

    def showEvent(self, event: Any) -> None:
        """Leave most of the window to the image: Qt would share it out evenly."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            after(0, self, self._narrow)

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Stay where the work is when the button that was pressed goes grey, and the focus goes on by itself."""
        focused = self.window().focusWidget()
        place = self.verticalScrollBar().value()
        gone = super().focusNextPrevChild(forward)
        if focused is not None and not focused.isEnabled():
            self.verticalScrollBar().setValue(place)
        return gone

    def resizeEvent(self, event: Any) -> None:
        """The strip stays above the panels, whatever they are scrolled to."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        # as if the scroll bar were there: its coming and going would change the height, and that the bar again
        bar = self.verticalScrollBar()
        width = self.contentsRect().width() - (0 if bar is None else bar.sizeHint().width())
        layout = self._strip.layout()
        high = 0 if self._strip.isHidden() or layout is None else max(layout.totalHeightForWidth(width), 0)
        self._strip.setGeometry(0, 0, width, high)
        if self.viewportMargins().top() != high:
            self.setViewportMargins(0, high, 0, 0)

    def _narrow(self) -> None:
        dock = dock_of(self)
        if dock is not None and not dock.isFloating() and isinstance(dock.parent(), QMainWindow):
            dock.parent().resizeDocks([dock], [max(_WIDTH, self.minimumWidth())], Qt.Orientation.Horizontal)
            self._refit.soon()
