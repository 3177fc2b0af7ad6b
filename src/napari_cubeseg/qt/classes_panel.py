"""The classes of the active segmentation: table, operations, sliders."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QColorDialog, QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_cubeseg import layers as our
from napari_cubeseg.qt.class_actions import ClassActions
from napari_cubeseg.qt.class_table import ClassView
from napari_cubeseg.qt.hints import Hint, link
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
        self.fade = QCheckBox("Darken the classes that are not chosen", self)
        self.fade.setObjectName("cubeseg.classes.fade")
        self.fade.setToolTip("Show in the image where the chosen classes are")
        self.fade.toggled.connect(session.overlays.fade_others)
        self.refine = QPushButton("Refine", self)
        self.refine.setObjectName("cubeseg.refine")
        self.refine.setToolTip(
            "Learn from what you painted: it holds, locked classes stay, and pixels that look alike follow"
        )
        self.refine.clicked.connect(session.learning.refine)
        self.apply = QPushButton("Apply to another cube", self)
        self.apply.setObjectName("cubeseg.classes.apply")
        self.apply.setToolTip("Label another open cube with these classes: they keep their names and colours")
        self.apply.setMenu(QMenu(self.apply))
        self.apply.menu().aboutToShow.connect(self._list_cubes)
        row = QHBoxLayout()
        row.addWidget(self.refine)
        row.addWidget(self.apply)
        self._busy = QLabel("At work: how far it is, and Cancel, are above in 2 Train", self)
        self._busy.setWordWrap(True)
        self.back = QPushButton("Bring back the deleted segmentation", self)
        self.back.setObjectName("cubeseg.classes.back")
        self.back.setToolTip("Its layer was removed from the layer list")
        self.back.clicked.connect(session.autosave.bring_back_layer)
        self._hint = Hint(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self._hint, self.table, self.actions_row, self.sliders):
            layout.addWidget(widget)
        layout.addLayout(row)
        layout.addWidget(self._busy)
        layout.addWidget(self.fade)
        layout.addWidget(self.corrections)
        layout.addWidget(self.back)
        self.table.colour_asked.connect(self._choose_colour)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._menu)
        session.classes_changed.connect(self._refresh)
        session.autosave.deleted_changed.connect(self._refresh)
        session.run_changed.connect(self._refresh)
        self._refresh()

    def _refresh(self) -> None:
        self.table.refresh()
        result = self._session.result
        for widget in (self.table, self.actions_row, self.fade):
            widget.setVisible(result is not None)
        painted = result is not None and result.painted is not None and bool(result.painted.any())
        self.corrections.setVisible(painted)
        idle = not self._session.running
        self.refine.setVisible(result is not None)
        self.refine.setEnabled(painted and idle)
        self._busy.setVisible(result is not None and not idle)
        self.apply.setVisible(result is not None)
        self.apply.setEnabled(result is not None and result.model is not None and idle)
        self.back.setVisible(bool(self._session.autosave.deleted))
        self._hint.setText(
            "The classes appear here after a run. " + link("workbench.md#classes", "How to work with them")
            if result is None
            else "Choose classes here, in the plot or by a click on the image. Paint with napari's brush to correct "
            "the map: " + link("howto/correct.md", "how to correct") + ", " + link("howto/refine.md", "to refine") + "."
        )

    def _menu(self, position: Any) -> None:
        menu = QMenu(self)
        menu.addActions(list(self.actions_row.actions_by_name.values()))
        menu.exec(self.table.viewport().mapToGlobal(position))

    def _list_cubes(self) -> None:
        menu, session = self.apply.menu(), self._session
        menu.clear()
        others = [item for item in our.cube_layers(session.viewer) if item is not session.cube_layer]
        for layer in others:
            menu.addAction(layer.name, lambda layer=layer: session.learning.apply_to(layer))
        if not others:
            menu.addAction("Open the other cube first: drop its file on the window").setEnabled(False)

    def _choose_colour(self, class_id: int) -> None:
        result, workbench = self._session.result, self._session.workbench
        if result is None or workbench is None:
            return
        info = result.info(class_id)
        chosen = QColorDialog.getColor(QColor(info.colour), self, f"Colour of {info.name}")
        if chosen.isValid():
            workbench.recolour(class_id, chosen.name())
