"""The classes of the active segmentation: table, operations, sliders."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QColorDialog, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_cubeseg.qt.class_actions import ClassActions
from napari_cubeseg.qt.class_table import ClassView
from napari_cubeseg.qt.sliders import Sliders
from napari_cubeseg.session import Session

__all__ = ["ClassesPanel"]


class ClassesPanel(QWidget):
    """Everything that is done with classes by hand."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.classes")
        self._session = session
        self.table = ClassView(session, self)
        self.actions_row = ClassActions(session, self.table.edit_name, self._choose_colour, self)
        self.sliders = Sliders(session, self)
        self.corrections = QCheckBox("Show what was painted by hand", self)
        self.corrections.setObjectName("cubeseg.classes.corrections")
        self.corrections.setToolTip("A layer with the corrections alone: they hold, and Refine learns from them")
        self.corrections.toggled.connect(session.overlays.show_corrections)
        self.back = QPushButton("Bring back the deleted segmentation", self)
        self.back.setObjectName("cubeseg.classes.back")
        self.back.setToolTip("Its layer was removed from the layer list")
        self.back.clicked.connect(session.bring_back)
        self._hint = QLabel(self)
        self._hint.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self._hint, self.table, self.actions_row, self.sliders, self.corrections, self.back):
            layout.addWidget(widget)
        self.table.colour_asked.connect(self._choose_colour)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._menu)
        session.classes_changed.connect(self._refresh)
        session.deleted_changed.connect(self._refresh)
        self._refresh()

    def _refresh(self) -> None:
        self.table.refresh()
        result = self._session.result
        for widget in (self.table, self.actions_row):
            widget.setVisible(result is not None)
        painted = result is not None and result.painted is not None and bool(result.painted.any())
        self.corrections.setVisible(painted)
        self.back.setVisible(bool(self._session.deleted))
        self._hint.setText(
            "The classes appear here after a run."
            if result is None
            else "Choose classes here, in the plot or by a click on the image. Paint with napari's brush to correct "
            "the map."
        )

    def _menu(self, position: Any) -> None:
        menu = QMenu(self)
        menu.addActions(list(self.actions_row.actions_by_name.values()))
        menu.exec(self.table.viewport().mapToGlobal(position))

    def _choose_colour(self, class_id: int) -> None:
        result, workbench = self._session.result, self._session.workbench
        if result is None or workbench is None:
            return
        info = result.info(class_id)
        chosen = QColorDialog.getColor(QColor(info.colour), self, f"Colour of {info.name}")
        if chosen.isValid():
            workbench.recolour(class_id, chosen.name())
