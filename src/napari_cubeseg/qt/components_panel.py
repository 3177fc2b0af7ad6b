"""After unmixing: abundances shown at a click, and components that stay in the next run."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cubeseg.qt.hints import HelpButton
from napari_cubeseg.session import Session

__all__ = ["ComponentsPanel"]


class ComponentsPanel(QWidget):
    """Buttons, and what is known; hidden until something was unmixed or kept as known."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.components")
        self._session = session
        self.abundances = _button(
            "Show abundances", "show", "Abundances in the classes' colours instead of the classes"
        )
        self.abundances.setCheckable(True)
        self.abundances.toggled.connect(session.components.show)
        self.classes = _button("Freeze chosen", "classes", "Their components stay as they are in the next unmixing")
        self.classes.clicked.connect(session.components.freeze_classes)
        self.kept = _button(
            "Freeze kept spectra", "kept", "Kept pixels and regions stay as components in the next unmixing"
        )
        self.kept.clicked.connect(session.components.freeze_kept)
        self.release = _button("Freeze none", "release", "All components are learned in the next unmixing")
        self.release.clicked.connect(session.components.release)
        self._said = QLabel(self)
        self._said.setWordWrap(True)
        grid = QGridLayout()
        for place, button in enumerate((self.abundances, self.classes, self.kept, self.release)):
            grid.addWidget(button, place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addLayout(grid, 1)
        row.addWidget(HelpButton("howto/unmix.md", "how to unmix", self), 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(row)
        layout.addWidget(self._said)
        for signal in (session.components.changed, session.result_changed, session.run_changed):
            # a bound method, not a lambda: signals let go of those of widgets that are gone
            signal.connect(self._refresh)
        self._refresh()

    def _refresh(self) -> None:
        result, known = self._session.result, self._session.components.known
        unmixed = result is not None and result.unmixed is not None
        self.setVisible(unmixed or bool(known))
        self.abundances.setEnabled(unmixed)
        if not unmixed and self.abundances.isChecked():
            self.abundances.setChecked(False)
        self.release.setEnabled(bool(known))
        names = ", ".join(one.name for one in known)
        self._said.setText(f"Frozen in the next unmixing: {names}" if known else "")


def _button(text: str, name: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(f"cubeseg.components.{name}")
    button.setToolTip(tip)
    return button
