"""Help: pages, the keys, the tour."""

from __future__ import annotations

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QPushButton, QWidget

from napari_cubeseg.qt.help_window import open_help
from napari_cubeseg.session import Session

__all__ = ["HelpMenu"]

_PAGES = (
    ("A painting, step by step", "tutorials/painting.md", ""),
    ("A galaxy, step by step", "tutorials/galaxy.md", ""),
    ("Keyboard shortcuts", "shortcuts.md", "keys"),
    ("Words", "words.md", "words"),
    ("When something goes wrong", "troubleshooting.md", ""),
    ("All pages", "index.md", "all"),
)


class HelpMenu(QPushButton):
    """A button with a menu.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Help", parent)
        self._session = session
        self.setObjectName("cubeseg.help.menu")
        self.setToolTip("Read how things are done, see the keys, or take the tour")
        menu = QMenu(self)
        for text, page, name in _PAGES:
            action = menu.addAction(text)
            action.setObjectName(f"cubeseg.help.{name or page}")
            action.setData(page)
        menu.addSeparator()
        self.tour = menu.addAction("Take the tour")
        self.tour.setObjectName("cubeseg.help.tour")
        menu.triggered.connect(self._chosen)
        self.setMenu(menu)

    def _chosen(self, action: QAction) -> None:
        if action is self.tour:
            self._session.tour.start()
        else:
            open_help(self, action.data())
