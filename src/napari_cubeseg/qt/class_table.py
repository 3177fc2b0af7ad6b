"""The table of classes: colour, name, pixels, area, confidence, whether locked and shown, a note."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QItemSelection, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from cubeseg.source import Spatial
from napari_cubeseg.session import Session

__all__ = ["ClassTable", "ClassView"]

_COLOUR, _NAME, _PIXELS, _AREA, _SURE, _LOCKED, _SHOWN, _NOTE = range(8)
_COLUMNS = ("", "Name", "Pixels", "Area", "Sure", "Lock", "Show", "Note")
_TIPS = (
    "Double-click to choose another colour",
    "Double-click to give the class a name",
    "Number of pixels",
    "Area in the unit of the cube's pixel size",
    "Mean confidence of the assignment, 0 to 1",
    "A locked class is left as it is by brush, sliders and Refine",
    "Whether the class is shown over the image",
    "Double-click to write a note",
)


# of the names, in pixels
_NARROW, _WIDE = 84, 170


class ClassTable(QAbstractTableModel):
    """The session's classes for Qt's table view; holds nothing of its own but the rows last shown."""

    def __init__(self, session: Session, parent: Any = None) -> None:
        super().__init__(parent)
        self._session = session
        self.rows: list[dict[str, Any]] = []
        self.spatial = Spatial()
        self.refresh()

    def refresh(self) -> None:
        """Take over the session's classes; keeps the selection where the classes stay the same."""
        result = self._session.result
        rows = [] if result is None else result.table()
        self.spatial = Spatial() if result is None else result.spatial
        if [r["id"] for r in rows] == [r["id"] for r in self.rows]:
            self.rows = rows
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(_COLUMNS) - 1))
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """For Qt."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """For Qt."""
        return len(_COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """For Qt."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _COLUMNS[section]
        return _TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """For Qt."""
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.ToolTipRole:
            if column == _PIXELS:
                return f"{row['share']:.2%} of all assigned pixels"
            if column == _NAME:
                return "\n".join(text for text in (row["name"], row["note"], _TIPS[column]) if text)
            return row["note"] if column == _NOTE and row["note"] else _TIPS[column]
        if role == Qt.ItemDataRole.DecorationRole and column == _COLOUR:
            return _swatch(row["colour"])
        if role == Qt.ItemDataRole.CheckStateRole and column in (_LOCKED, _SHOWN):
            on = row["locked"] if column == _LOCKED else row["visible"]
            return Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.TextAlignmentRole and _PIXELS <= column <= _SURE:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return None
        return {
            _COLOUR: "",
            _NAME: row["name"],
            _PIXELS: f"{row['pixels']:,}",
            _AREA: self.spatial.area_text(row["area"]),
            _SURE: f"{row['confidence']:.2f}",
            _NOTE: row["note"],
        }.get(column, "")

    def flags(self, index: QModelIndex) -> Any:
        """For Qt."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() in (_NAME, _NOTE):
            return flags | Qt.ItemFlag.ItemIsEditable
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() in (_LOCKED, _SHOWN) else flags

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """For Qt: something was changed in place."""
        workbench, row, column = self._session.workbench, self.rows[index.row()], index.column()
        if workbench is None:
            return False
        if role == Qt.ItemDataRole.CheckStateRole and column in (_LOCKED, _SHOWN):
            return (workbench.lock if column == _LOCKED else workbench.hide)([row["id"]])
        if role != Qt.ItemDataRole.EditRole or column not in (_NAME, _NOTE):
            return False
        text = str(value).strip()
        if column == _NOTE and text != row["note"]:
            workbench.annotate(row["id"], text)
        elif column == _NAME and text and text != row["name"]:
            workbench.rename(row["id"], text)
        return True


class ClassView(QTableView):
    """The table itself; its selection is the session's."""

    colour_asked = Signal(int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.classes.table")
        self._session = session
        self.classes = ClassTable(session, self)
        self.setModel(self.classes)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        self.setShowGrid(False)
        self.setMinimumHeight(140)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(20)
        for column in range(len(_COLUMNS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Fixed)
        header.setStretchLastSection(True)
        for column, width in ((_COLOUR, 26), (_LOCKED, 40), (_SHOWN, 42)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, width)
        # what is clicked stays in view beside long names; the numbers can be scrolled to
        for place, column in enumerate((_SHOWN, _LOCKED)):
            header.moveSection(header.visualIndex(column), place)
        self.selectionModel().selectionChanged.connect(self._selected)
        self.doubleClicked.connect(self._double_clicked)
        session.selection_changed.connect(self._show_selection)

    def refresh(self) -> None:
        """Show the session's classes as they are now."""
        self.classes.refresh()
        # without a pixel size there is no area
        self.setColumnHidden(_AREA, not any(self.classes.spatial.area_text(row["area"]) for row in self.classes.rows))
        self.setFixedHeight(min(44 + 24 * max(len(self.classes.rows), 3), 330))
        self.setColumnWidth(_NAME, min(max(self.sizeHintForColumn(_NAME) + 6, _NARROW), _WIDE))
        self._show_selection()

    def edit_name(self, class_id: int) -> None:
        """Let the user type a class's name."""
        for n, row in enumerate(self.classes.rows):
            if row["id"] == class_id:
                self.scrollTo(self.classes.index(n, _NAME))
                self.setFocus()
                self.edit(self.classes.index(n, _NAME))

    def _show_selection(self) -> None:
        chosen = [n for n, row in enumerate(self.classes.rows) if row["id"] in self._session.selected]
        model = self.selectionModel()
        if sorted({i.row() for i in model.selectedRows()}) == chosen:
            return
        selection = QItemSelection()
        for n in chosen:
            selection.select(self.classes.index(n, 0), self.classes.index(n, len(_COLUMNS) - 1))
        model.blockSignals(True)
        model.select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        model.blockSignals(False)
        self.viewport().update()
        if chosen:
            self.scrollTo(self.classes.index(chosen[0], 0))

    def _selected(self, *_: Any) -> None:
        rows = sorted({i.row() for i in self.selectionModel().selectedRows()})
        ids = [self.classes.rows[n]["id"] for n in rows]
        # who was chosen first stays first: the others are merged into it
        kept = [i for i in self._session.selected if i in ids]
        self._session.select([*kept, *(i for i in ids if i not in kept)])

    def _double_clicked(self, index: QModelIndex) -> None:
        if index.column() == _COLOUR:
            self.colour_asked.emit(self.classes.rows[index.row()]["id"])


def _swatch(colour: str) -> QIcon:
    """A patch of a class's colour, which the selection neither covers nor tints."""
    patch = QPixmap(16, 16)
    patch.fill(QColor(colour))
    icon = QIcon(patch)
    icon.addPixmap(patch, QIcon.Mode.Selected)
    return icon
