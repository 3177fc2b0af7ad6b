"""The way from a panel to its page of the docs: a "?" and sentences with links."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QSize
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QWidget

from napari_cubeseg.qt.help_window import open_help
from napari_cubeseg.qt.page_view import link_colour

__all__ = ["HelpButton", "Hint", "link"]


def link(page: str, words: str) -> str:
    """Words that lead to a page, for a :class:`Hint`."""
    return f"<a href='{page}'>{words}</a>"


class HelpButton(QPushButton):
    """A small "?" that opens a page.

    Parameters
    ----------
    page : str
    what : str
        What is explained there: "How to ...".
    """

    def __init__(self, page: str, what: str, parent: QWidget | None = None) -> None:
        super().__init__("?", parent)
        self.setObjectName(f"cubeseg.help:{page}")
        self.page = page
        self.setFixedSize(22, 22)
        # napari's own padding would leave no room for the sign
        self.setStyleSheet("padding: 0px;")
        self.setToolTip(f"Help: {what}")
        self.clicked.connect(self._open)

    def sizeHint(self) -> QSize:
        """Its fixed size, by which the corner of a row of tabs goes."""
        return self.minimumSize()

    def _open(self) -> None:
        open_help(self, self.page)


class Hint(QLabel):
    """Text in which links open pages, readable in every theme."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        # a text takes no more room than it needs
        policy = self.sizePolicy()
        policy.setVerticalPolicy(QSizePolicy.Policy.Maximum)
        self.setSizePolicy(policy)
        self._plain = ""
        self.linkActivated.connect(self._follow)

    def setText(self, text: str | None) -> None:
        """Show a text, with links by :func:`link`."""
        self._plain = text or ""
        self._colour()

    def changeEvent(self, event: QEvent | None) -> None:
        """Take over other colours."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self._colour()

    def _colour(self) -> None:
        text = self._plain.replace("<a ", f"<a style='color: {link_colour(self)}' ")
        if text != self.text():
            super().setText(text)

    def _follow(self, page: Any) -> None:
        open_help(self, page)
