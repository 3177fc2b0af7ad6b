"""Pages in Markdown, made fit to read in Qt: pictures no wider than the room, tables, code, the colour of links."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import (
    QColor,
    QImage,
    QPalette,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextFormat,
    QTextLength,
    QTextTable,
)
from qtpy.QtWidgets import QTextBrowser, QWidget

from napari_cubeseg import manual

__all__ = ["PageView", "link_colour"]

_MARGIN = 14


def link_colour(widget: QWidget) -> str:
    """A colour in which links can be read on a widget's background."""
    return "#6cb6ff" if _is_dark(widget) else "#0b5fb0"


def _is_dark(widget: QWidget) -> bool:
    # a style sheet tells the palette of its texts, not of every background
    return widget.palette().color(QPalette.ColorRole.Text).lightness() > 128


class PageView(QTextBrowser):
    """Markdown whose pictures are as wide as it is, at most."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setOpenLinks(False)
        # pictures are made to fit beside it
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.document().setDocumentMargin(_MARGIN)
        self._markdown, self._base = "", QUrl()
        self._width = 0
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(150)
        self._soon.timeout.connect(self._redraw)

    def show_page(self, text: str, base: QUrl) -> None:
        """Show a text; pictures are looked for from `base` on."""
        self._markdown, self._base = text, base
        self._soon.stop()
        self._redraw()
        self.verticalScrollBar().setValue(0)

    def redraw_soon(self) -> None:
        """Draw again once nothing changes any more."""
        self._soon.start()

    def scroll_to(self, anchor: str) -> None:
        """Bring a heading to the top."""
        block = self.document().begin()
        while block.isValid():
            if block.blockFormat().headingLevel() and manual.heading(block.text()) == anchor:
                top = self.document().documentLayout().blockBoundingRect(block).top()
                self.verticalScrollBar().setValue(round(top) - _MARGIN)
                return
            block = block.next()

    def resizeEvent(self, event: Any) -> None:
        """Pictures follow the width."""
        super().resizeEvent(event)
        if self.viewport().width() != self._width:
            self.redraw_soon()

    def loadResource(self, kind: int, name: QUrl) -> Any:
        """A picture from the folder of the page, no wider than there is room."""
        if kind != 2:
            return super().loadResource(kind, name)
        image = QImage(self._base.resolved(name).toLocalFile())
        room = self.viewport().width() - 2 * _MARGIN - 2
        if image.isNull() or room < 40 or image.width() <= room:
            return image
        return image.scaledToWidth(room, Qt.TransformationMode.SmoothTransformation)

    def _redraw(self) -> None:
        bar = self.verticalScrollBar()
        at = bar.value() / bar.maximum() if bar.maximum() else 0.0
        self._width = self.viewport().width()
        self.document().clear()
        self.document().setMarkdown(self._markdown)
        self._space()
        self._colour_links()
        # Qt scrolls to the cursor, which writing has left at the end
        self.moveCursor(QTextCursor.MoveOperation.Start)
        bar.setValue(round(at * bar.maximum()))

    def _space(self) -> None:
        """Room between paragraphs, code on a ground of its own."""
        ground = QColor("#ffffff" if _is_dark(self) else "#000000")
        ground.setAlpha(18)
        cursor = QTextCursor(self.document())
        block = self.document().begin()
        while block.isValid():
            form = QTextBlockFormat(block.blockFormat())
            code = form.hasProperty(QTextFormat.Property.BlockCodeLanguage) or form.hasProperty(
                QTextFormat.Property.BlockCodeFence
            )
            if code:
                form.setBackground(ground)
                form.setLeftMargin(10)
                form.setNonBreakableLines(False)
            elif form.headingLevel():
                form.setTopMargin(16 if block.blockNumber() else 0)
                form.setBottomMargin(6)
            cursor.setPosition(block.position())
            cursor.setBlockFormat(form)
            block = block.next()
        for frame in self.document().rootFrame().childFrames():
            if isinstance(frame, QTextTable):
                form = frame.format()
                form.setCellPadding(4)
                form.setCellSpacing(0)
                form.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
                form.setColumnWidthConstraints(_widths(frame))
                frame.setFormat(form)

    def _colour_links(self) -> None:
        """Qt takes the application's colour for them, which napari's themes do not set."""
        colour, cursor = QColor(link_colour(self)), QTextCursor(self.document())
        places = []
        block = self.document().begin()
        while block.isValid():
            there = block.begin()
            while not there.atEnd():
                fragment = there.fragment()
                if fragment.charFormat().isAnchor():
                    places.append((fragment.position(), fragment.length()))
                there += 1
            block = block.next()
        form = QTextCharFormat()
        form.setForeground(colour)
        for position, length in places:
            cursor.setPosition(position)
            cursor.setPosition(position + length, QTextCursor.MoveMode.KeepAnchor)
            cursor.mergeCharFormat(form)


def _widths(table: QTextTable) -> list[QTextLength]:
    """Columns as wide as what is mostly in them."""
    wanted = []
    for column in range(table.columns()):
        cells = [table.cellAt(row, column) for row in range(table.rows())]
        lengths = [cell.lastCursorPosition().position() - cell.firstCursorPosition().position() for cell in cells]
        wanted.append(min(max(sum(lengths) / len(lengths), 0.7 * max(lengths[0], 6), 6), 60))
    return [QTextLength(QTextLength.Type.PercentageLength, 100 * one / sum(wanted)) for one in wanted]
