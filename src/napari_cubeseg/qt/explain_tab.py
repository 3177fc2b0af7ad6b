"""What sets the chosen class apart, and what it could be."""

from __future__ import annotations

import html
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QTextBrowser, QVBoxLayout, QWidget

from cubeseg.errors import CubeSegError
from cubeseg.explain import Basis, Explanation, explain, prepare
from napari_cubeseg.jobs import Control, Steps, ignore
from napari_cubeseg.session import Session

__all__ = ["ExplainTab"]


class ExplainTab(QWidget):
    """Explains the chosen class when the button is pressed; what it takes for all classes is made once."""

    lines_asked = Signal(list)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._basis: tuple[Any, Basis] | None = None
        self._control = Control()
        self._names: list[str] = []
        self.ask = QPushButton("Explain", self)
        self.ask.setObjectName("cubeseg.spectra.explain")
        self.ask.setToolTip("Which ranges of the spectrum set it apart, and which elements or lines it could hold")
        self.ask.clicked.connect(self._explain)
        self.mark = QPushButton("Mark lines", self)
        self.mark.setObjectName("cubeseg.spectra.mark")
        self.mark.setToolTip("Mark the lines of what is suggested in the plot")
        self.mark.clicked.connect(lambda: self.lines_asked.emit(self._names))
        self.text = QTextBrowser(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        row = QHBoxLayout()
        row.addWidget(self.ask, 1)
        row.addWidget(self.mark)
        layout.addLayout(row)
        layout.addWidget(self.text, 1)
        session.selection_changed.connect(self._refresh)
        session.result_changed.connect(self._refresh)
        self._refresh()

    def _refresh(self) -> None:
        one = len(self._session.selected) == 1
        self.ask.setEnabled(one)
        # a placeholder is not wrapped
        self.text.setPlaceholderText("Press Explain." if one else "Choose one class first.")
        self.mark.setVisible(bool(self._names))

    def _explain(self) -> None:
        result, selected = self._session.result, self._session.selected
        if result is None or len(selected) != 1:
            return
        self._control.cancel()
        control = self._control = Control()
        state = (id(result), len(result.log))
        snapshot, known = result.copy(), self._basis
        self.text.setPlainText("Looking at the spectra of all classes…")
        self.ask.setEnabled(False)

        def work() -> Steps:
            yield None
            basis = known[1] if known is not None and known[0] == state else prepare(snapshot)
            yield None
            return basis, explain(snapshot, selected[0], basis=basis)

        def done(both: tuple[Basis, Explanation]) -> None:
            if not control.cancelled:
                self._basis = state, both[0]
                self._show(both[1])

        def failed(error: CubeSegError) -> None:
            self.text.setPlainText(str(error))
            self._refresh()

        self._session.runner(work, control, ignore, done, failed, ignore)

    def _show(self, found: Explanation) -> None:
        self._names = [c.name for c in found.candidates[:4]]
        first, *rest = found.text or ("Nothing sets this class apart.",)
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in rest)
        # Qt's own indent would leave half of a narrow tab empty
        points = f"<ul style='margin-left: 14px; -qt-list-indent: 0'>{lines}</ul>"
        self.text.setHtml(f"<b>{html.escape(found.name)}</b><p>{html.escape(first)}</p>{points}")
        self._refresh()
