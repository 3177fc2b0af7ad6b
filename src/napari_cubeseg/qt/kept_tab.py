"""The spectra that were kept: rename, remove."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from napari_cubeseg.session import Session

__all__ = ["KeptTab"]


class KeptTab(QWidget):
    """A list of them."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._hint = QLabel("Spectra of pixels and regions that you keep are listed here.", self)
        self._hint.setWordWrap(True)
        self.list = QListWidget(self)
        self.list.setToolTip("Double-click to rename")
        self.list.itemChanged.connect(self._renamed)
        away = QPushButton("Remove", self)
        away.setToolTip("Forget the chosen spectrum")
        away.clicked.connect(lambda: session.named.remove(self.list.currentRow()))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self._hint)
        layout.addWidget(self.list, 1)
        layout.addWidget(away)
        session.named.changed.connect(self._refresh)
        self._refresh()

    def _refresh(self) -> None:
        self.list.blockSignals(True)
        self.list.clear()
        for kept in self._session.named.kept:
            patch = QPixmap(12, 12)
            patch.fill(QColor(kept.colour))
            item = QListWidgetItem(QIcon(patch), kept.name, self.list)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setToolTip(f"mean of {kept.pixels:,} pixels")
        self._hint.setVisible(not self._session.named.kept)
        self.list.blockSignals(False)

    def _renamed(self, item: QListWidgetItem) -> None:
        self._session.named.rename(self.list.row(item), item.text())
