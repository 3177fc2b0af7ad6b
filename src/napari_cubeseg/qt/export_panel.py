"""Where the result goes, in which formats."""

from __future__ import annotations

import tempfile
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from cubeseg.exporting import FORMATS, planned
from napari_cubeseg.qt.hints import Hint, link
from napari_cubeseg.session import Session

__all__ = ["ExportPanel"]

_NAME = Qt.ItemDataRole.UserRole
_LINES = 6


class ExportPanel(QWidget):
    """Formats, folder, what will be written, and the button."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.export")
        self._session = session
        self._suggested = ""
        self.formats = QListWidget(self)
        self.formats.setObjectName("cubeseg.export.formats")
        self.formats.setToolTip("Tick what is to be written")
        for known in FORMATS.values():
            item = QListWidgetItem(known.title)
            item.setData(_NAME, known.name)
            item.setToolTip(known.tip)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if known.usual else Qt.CheckState.Unchecked)
            self.formats.addItem(item)
        self.formats.setFixedHeight(_LINES * self.formats.sizeHintForRow(0) + 4)
        # nothing here takes what room is left below
        self.formats.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.formats.itemChanged.connect(self._preview)
        self.folder = QLineEdit(self)
        self.folder.setObjectName("cubeseg.export.folder")
        self.folder.setToolTip("The folder to write to; it is made if it is missing")
        self.folder.setPlaceholderText("folder")
        self.folder.textChanged.connect(self._preview)
        browse = QPushButton("…", self)
        browse.setToolTip("Choose the folder")
        browse.setFixedWidth(32)
        browse.clicked.connect(self._browse)
        self.preview = Hint(self)
        self.button = QPushButton("Export", self)
        self.button.setObjectName("cubeseg.export.run")
        self.button.setToolTip("Write the chosen formats")
        self.button.clicked.connect(self._export)
        row = QHBoxLayout()
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.formats)
        layout.addLayout(row)
        layout.addWidget(self.preview)
        layout.addWidget(self.button)
        session.result_changed.connect(self._refresh)
        session.exports.written.connect(self._written)
        self._refresh()

    def choose(self, *names: str) -> None:
        """Tick these formats and no others."""
        with QSignalBlocker(self.formats):
            for item in self._items():
                wanted = item.data(_NAME) in names
                item.setCheckState(Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked)
        self._preview()

    @property
    def chosen(self) -> list[str]:
        """The formats that are ticked."""
        result = self._session.result
        unmixed = result is not None and result.components is not None
        ticked = [item.data(_NAME) for item in self._items() if item.checkState() == Qt.CheckState.Checked]
        return [name for name in ticked if unmixed or not FORMATS[name].unmixed]

    def _items(self) -> list[QListWidgetItem]:
        return [self.formats.item(n) for n in range(self.formats.count())]

    def _refresh(self) -> None:
        result = self._session.result
        unmixed = result is not None and result.components is not None
        for item in self._items():
            item.setHidden(FORMATS[item.data(_NAME)].unmixed and not unmixed)
        # what the user typed stays
        if result is not None and self.folder.text() in ("", self._suggested):
            base = Path(result.source.path).parent if result.source.path else Path.home()
            if base.is_relative_to(tempfile.gettempdir()):
                # samples lie in a folder that goes when napari does; what is exported shall not
                base = Path.home()
            self._suggested = str(base / f"{result.source.name}-cubeseg")
            self.folder.setText(self._suggested)
        self._preview()

    def _preview(self, *_: object) -> None:
        """Tell what would be written."""
        result, folder = self._session.result, self.folder.text().strip()
        self.button.setEnabled(bool(result is not None and self.chosen and folder))
        if result is None or not self.chosen or not folder:
            how = "What a run has found is written from here. " + link("howto/export.md", "How to export")
            self.preview.setText(how if result is None else "Tick a format" if folder else "Choose a folder")
            return
        plan = planned(result, folder, self.chosen)
        size, there = sum(item.size for item in plan), sum(item.exists for item in plan)
        known = f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
        text = f"{len(plan)} {'file' if len(plan) == 1 else 'files'}, about {known}"
        self.preview.setText(f"{text}; replaces {there}" if there else text)
        self.preview.setToolTip("\n".join(item.path.name for item in plan))

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the export", self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    def _export(self) -> None:
        self.button.setEnabled(False)
        self.preview.setText("Writing…")
        self._session.exports.write(self.folder.text().strip(), self.chosen)

    def _written(self, paths: list[Path]) -> None:
        self._preview()
