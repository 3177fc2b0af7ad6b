"""Beside the spectra: emission lines, reference spectra, what sets a class apart, the kept spectra."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QTabWidget, QWidget

from cubeseg.spectroscopy.lines import Line
from napari_cubeseg.curves import Curve
from napari_cubeseg.qt.explain_tab import ExplainTab
from napari_cubeseg.qt.hints import HelpButton
from napari_cubeseg.qt.kept_tab import KeptTab
from napari_cubeseg.qt.library_tab import LibraryTab
from napari_cubeseg.qt.lines_tab import LinesTab
from napari_cubeseg.session import Session

__all__ = ["SpectraTools"]


class SpectraTools(QTabWidget):
    """The tabs; what they add to the plot is told by signals."""

    lines_changed = Signal()
    references_changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.spectra.side")
        self.setMinimumWidth(180)
        self.setCornerWidget(HelpButton("workbench.md#spectra", "what the tabs are for", self))
        self._lines = LinesTab(session, self)
        self._library = LibraryTab(session, self)
        self._explain = ExplainTab(session, self)
        for title, tab, tip in (
            ("Lines", self._lines, "Where elements, atoms and molecules have their lines"),
            ("Explain", self._explain, "What sets the chosen class apart, and what it could be"),
            ("Library", self._library, "Compare with reference spectra from a file"),
            ("Kept", KeptTab(session, self), "The spectra that were kept"),
        ):
            self.setTabToolTip(self.addTab(tab, title), tip)
        self._lines.changed.connect(self.lines_changed)
        self._library.changed.connect(self.references_changed)
        self._explain.lines_asked.connect(self._lines.show_names)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines to be marked."""
        return self._lines.lines

    def references(self) -> list[Curve]:
        """The reference spectra to be drawn."""
        return self._library.curves()
