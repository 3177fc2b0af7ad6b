"""The docs in a window of their own, without the internet."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSignalBlocker, Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QMainWindow, QPushButton, QVBoxLayout, QWidget

from cubeseg.errors import DataError
from napari_cubeseg import manual
from napari_cubeseg.qt.bottom_dock import dock_of
from napari_cubeseg.qt.page_view import PageView

__all__ = ["HelpWindow", "open_help"]


def open_help(widget: QWidget, name: str = "index.md") -> HelpWindow:
    """Show a page, "workbench.md#classes" for instance, in the window that goes with a widget's main window."""
    dock = dock_of(widget)
    above = widget.window() if dock is None else dock.parent()
    owner = above if isinstance(above, QWidget) else widget
    while not isinstance(owner, QMainWindow) and isinstance(owner.parent(), QWidget):
        owner = owner.parent()
    found = owner.findChild(HelpWindow) or HelpWindow(owner)
    found.go(name)
    found.show()
    found.raise_()
    found.activateWindow()
    return found


class HelpWindow(QWidget):
    """Pages, a list of them, and the way back.

    Parameters
    ----------
    parent : QWidget
        napari's window: it gives its colours, and takes the help along when it is closed.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setObjectName("cubeseg.help")
        self.setWindowTitle("napari-cubeseg: help")
        self.resize(720, 760)
        self._history: list[tuple[str, int]] = []
        self.name = ""
        self.back = QPushButton("Back", self)
        self.back.setObjectName("cubeseg.help.back")
        self.back.setToolTip("The page before (Alt+Left)")
        self.back.setShortcut("Alt+Left")
        self.back.clicked.connect(self._go_back)
        self.pages = QComboBox(self)
        self.pages.setObjectName("cubeseg.help.pages")
        self.pages.setToolTip("All pages")
        for known in manual.CONTENTS:
            self.pages.addItem(manual.title(known) if known != "index.md" else "Start", known)
        self.pages.activated.connect(lambda at: self.go(self.pages.itemData(at)))
        self.text = PageView(self)
        self.text.setObjectName("cubeseg.help.text")
        self.text.anchorClicked.connect(self._follow)
        row = QHBoxLayout()
        row.addWidget(self.back)
        row.addWidget(self.pages, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(row)
        layout.addWidget(self.text, 1)

    def go(self, name: str) -> None:
        """Show a page, or a place on it, after a "#"."""
        page, _, anchor = name.partition("#")
        if self.name:
            self._history.append((self.name, self.text.verticalScrollBar().value()))
        self._show(page)
        if anchor:
            self.text.scroll_to(anchor)

    def changeEvent(self, event: QEvent) -> None:
        """Take over other colours."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self.text.redraw_soon()

    def _show(self, page: str) -> None:
        try:
            text, self.name = manual.page(page), page
        except DataError as error:
            text, self.name = f"# Not here\n\n{error}.", page
        base = QUrl.fromLocalFile(str(manual.folder() / page))
        self.text.show_page(text, base)
        with QSignalBlocker(self.pages):
            self.pages.setCurrentIndex(self.pages.findData(page))
        self.back.setEnabled(bool(self._history))

    def _go_back(self) -> None:
        if self._history:
            page, at = self._history.pop()
            self._show(page)
            self.text.verticalScrollBar().setValue(at)

    def _follow(self, url: QUrl) -> None:
        page, anchor = manual.resolve(url.toString(), self.name)
        if page:
            self.go(f"{page}#{anchor}" if anchor else page)
        else:
            QDesktopServices.openUrl(url)
