"""Completion in a field that holds several words, parted by commas."""

from __future__ import annotations

import re

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCompleter, QLineEdit

__all__ = ["ListCompleter", "words_in"]


class ListCompleter(QCompleter):
    """Completes the last of several words that commas part."""

    def __init__(self, words: list[str], field: QLineEdit) -> None:
        # not the field's: PySide6 would delete the list twice when the dock is collected
        super().__init__(words)
        self._field = field
        self.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def set_theme(self, theme_id: str) -> None:
        """Take over the colours of the window, which the list, being a window of its own, does not inherit."""
        theme, list_ = get_theme(theme_id), self.popup()
        assert list_ is not None
        list_.setStyleSheet(
            f"QListView {{ background: {theme.foreground.as_hex()}; color: {theme.text.as_hex()};"
            f" selection-background-color: {theme.current.as_hex()}; }}"
        )

    def splitPath(self, path: str | None) -> list[str]:
        """What is to be completed."""
        return [words_in(path or "", keep_empty=True)[-1]]

    def pathFromIndex(self, index: object) -> str:
        """The text with the last word completed."""
        before = re.match(r"(.*[,;]\s*)?", self._field.text())
        return (before[0] if before else "") + super().pathFromIndex(index)


def words_in(text: str, keep_empty: bool = False) -> list[str]:
    """Words that commas or semicolons part, without those that are empty unless these are kept."""
    parts = [part.strip() for part in re.split(r"[,;]", text)]
    return parts if keep_empty else [part for part in parts if part]
