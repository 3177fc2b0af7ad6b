"""The table of classes: colour, name, pixels, share, confidence; and the sliders for how many and how coherent."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSignalBlocker,
    Qt,
    QTimer,
)
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QFormLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider, QLabeledSlider

from napari_cubeseg.session import Session

__all__ = ["ClassTable", "ClassesPanel"]

_COLUMNS = ("", "Name", "Pixels", "Share", "Sure")
_COLOUR, _NAME, _PIXELS, _SHARE, _SURE = range(5)
_TIPS = (
    "Double-click to choose another colour",
    "Double-click to give the class a name",
    "Number of pixels",
    "Part of all assigned pixels",
    "Mean confidence of the assignment, 0 to 1",
)


class ClassTable(QAbstractTableModel):
    """The session's classes for Qt's table view; holds nothing of its own but the rows last shown."""

    def __init__(self, session: Session, parent: Any = None) -> None:
        super().__init__(parent)
        self._session = session
        self.rows: list[dict[str, Any]] = []
        self.refresh()

    def refresh(self) -> None:
        """Take over the session's classes; keeps the selection where the classes stay the same."""
        result = self._session.result
        rows = [] if result is None else result.table()
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
            return _TIPS[column]
        if role == Qt.ItemDataRole.DecorationRole and column == _COLOUR:
            return _swatch(row["colour"])
        if role == Qt.ItemDataRole.TextAlignmentRole and column >= _PIXELS:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return None
        return {
            _COLOUR: "",
            _NAME: row["name"],
            _PIXELS: f"{row['pixels']:,}",
            _SHARE: f"{row['share']:.1%}",
            _SURE: f"{row['confidence']:.2f}",
        }[column]

    def flags(self, index: QModelIndex) -> Any:
        """For Qt."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == _NAME else flags

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """For Qt: a class was renamed in place."""
        if role != Qt.ItemDataRole.EditRole or index.column() != _NAME:
            return False
        row = self.rows[index.row()]
        if str(value).strip() and str(value) != row["name"]:
            self._session.rename(row["id"], str(value))
        return True


def _swatch(colour: str) -> QIcon:
    """A patch of a class's colour, which the selection neither covers nor tints."""
    patch = QPixmap(16, 16)
    patch.fill(QColor(colour))
    icon = QIcon(patch)
    icon.addPixmap(patch, QIcon.Mode.Selected)
    return icon


class ClassesPanel(QWidget):
    """The classes of the active segmentation; its selection is the session's."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.classes")
        self._session = session
        self.model = ClassTable(session, self)
        self.table = QTableView(self)
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(24)
        self.table.setShowGrid(False)
        self.table.setMinimumHeight(140)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(20)
        for column in range(len(_COLUMNS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(_COLOUR, QHeaderView.ResizeMode.Fixed)
        self.table.setColumnWidth(_COLOUR, 26)
        self._hint = QLabel("The classes appear here after a run.", self)
        self._hint.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._hint)
        layout.addWidget(self.table)
        self.granularity = QLabeledSlider(Qt.Orientation.Horizontal, self)
        self.granularity.setObjectName("cubeseg.classes.granularity")
        self.granularity.setToolTip("Fewer, broader classes: the most alike are merged first; nothing is trained again")
        self.coherence = QLabeledDoubleSlider(Qt.Orientation.Horizontal, self)
        self.coherence.setObjectName("cubeseg.classes.coherence")
        self.coherence.setToolTip(
            "How much a pixel's neighbours count beside its own spectrum; 0 = every pixel for itself"
        )
        self.coherence.setRange(0, 2)
        self.coherence.setSingleStep(0.05)
        self._sliders = QWidget(self)
        form = QFormLayout(self._sliders)
        form.setContentsMargins(0, 4, 0, 0)
        form.addRow("Classes", self.granularity)
        form.addRow("Coherence", self.coherence)
        layout.addWidget(self._sliders)
        self._bar = QProgressBar(self)
        self._bar.setRange(0, 100)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(4)
        keep = self._bar.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self._bar.setSizePolicy(keep)
        self._bar.hide()
        layout.addWidget(self._bar)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(150)
        self._settle.timeout.connect(self._cohere)
        self.granularity.valueChanged.connect(self._coarsen)
        self.coherence.valueChanged.connect(lambda _: self._settle.start())
        self.table.selectionModel().selectionChanged.connect(self._selected)
        self.table.doubleClicked.connect(self._double_clicked)
        session.classes_changed.connect(self._refresh)
        session.selection_changed.connect(self._show_selection)
        session.adjusting.connect(self._progress)
        self._refresh()

    def _refresh(self) -> None:
        self.model.refresh()
        has_classes = bool(self.model.rows)
        self.table.setVisible(has_classes)
        self._show_adjustments()
        self._hint.setText(
            "Double-click a name or a colour to change it. Choose a class and paint with napari's brush to "
            "correct the map."
            if has_classes
            else "The classes appear here after a run."
        )
        self.table.setFixedHeight(min(30 + 24 * max(len(self.model.rows), 3), 330))
        self._show_selection()

    def _show_adjustments(self) -> None:
        adjustments = self._session.adjustments
        self._sliders.setVisible(adjustments is not None)
        if adjustments is None:
            return
        least, most = adjustments.range
        with QSignalBlocker(self.granularity), QSignalBlocker(self.coherence):
            self.granularity.setRange(max(least, 1), most)
            self.granularity.setValue(len(adjustments.result.classes))
            self.coherence.setValue(adjustments.result.coherence)
        self.granularity.setEnabled(least < most)
        self.coherence.setEnabled(bool(adjustments.result.evidence.size))

    def _progress(self, part: float | None) -> None:
        self._bar.setVisible(part is not None)
        self._bar.setValue(round(100 * (part or 0)))

    def _coarsen(self, n: int) -> None:
        if self._session.adjustments is not None:
            self._session.adjustments.coarsen(n)

    def _cohere(self) -> None:
        adjustments = self._session.adjustments
        if adjustments is not None and abs(adjustments.result.coherence - self.coherence.value()) > 1e-3:
            adjustments.cohere(self.coherence.value())

    def _show_selection(self) -> None:
        chosen = [n for n, row in enumerate(self.model.rows) if row["id"] in self._session.selected]
        model = self.table.selectionModel()
        if sorted({i.row() for i in model.selectedRows()}) == chosen:
            return
        selection = QItemSelection()
        for n in chosen:
            selection.select(self.model.index(n, 0), self.model.index(n, len(_COLUMNS) - 1))
        model.blockSignals(True)
        model.select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        model.blockSignals(False)
        self.table.viewport().update()
        if chosen:
            self.table.scrollTo(self.model.index(chosen[0], 0))

    def _selected(self, *_: Any) -> None:
        rows = sorted({i.row() for i in self.table.selectionModel().selectedRows()})
        self._session.select([self.model.rows[n]["id"] for n in rows])

    def _double_clicked(self, index: QModelIndex) -> None:
        if index.column() != _COLOUR:
            return
        row = self.model.rows[index.row()]
        chosen = QColorDialog.getColor(QColor(row["colour"]), self, f"Colour of {row['name']}")
        if chosen.isValid():
            self._session.recolour(row["id"], chosen.name())
