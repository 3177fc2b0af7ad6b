"""How far something in the background is, and the button that stops it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QGridLayout, QLabel, QProgressBar, QPushButton, QWidget

__all__ = ["WorkBar"]


class WorkBar(QWidget):
    """Seen only while something is under way.

    Parameters
    ----------
    name : str
        Of the button, for tests.
    tip : str
        What the button does.
    stop : callable
    parent : QWidget
    """

    def __init__(self, name: str, tip: str, stop: Callable[[], None], parent: QWidget) -> None:
        super().__init__(parent)
        self._text = QLabel(self)
        self._bar = QProgressBar(self)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(6)
        button = QPushButton("Stop", self)
        button.setObjectName(name)
        button.setToolTip(tip)
        button.clicked.connect(lambda: stop())
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._text, 0, 0)
        layout.addWidget(self._bar, 1, 0)
        layout.addWidget(button, 0, 1, 2, 1)
        self.hide()

    def follow(self, work: tuple[str, float | None] | None) -> None:
        """Show what is done and its part so far (None: not known), or nothing."""
        self.setVisible(work is not None)
        if work is not None:
            text, part = work
            self._text.setText(text if part is None else f"{text}: {part:.0%}")
            self._bar.setRange(0, 0 if part is None else 100)
            self._bar.setValue(round(100 * (part or 0)))
