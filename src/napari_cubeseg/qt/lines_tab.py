"""Emission lines to be marked: elements on an X-ray axis, species with a redshift elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout, QLabel, QLineEdit, QWidget
from superqt import QDoubleSlider

from cubeseg.errors import CubeSegError
from cubeseg.spectroscopy.lines import Line, holds_xrays, lines_for
from napari_cubeseg.session import Session

__all__ = ["LinesTab"]

_ANODES = ("none", "Rh", "Ag", "Mo", "W", "Cr", "Pd", "Cu")


class LinesTab(QWidget):
    """Which lines; the plot marks them."""

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.lines: tuple[Line, ...] = ()
        self.names = QLineEdit(self)
        self.names.setObjectName("cubeseg.spectra.lines")
        self._anode = QComboBox(self)
        self._anode.addItems(_ANODES)
        self._anode.setToolTip("The X-ray tube's anode: its scattered (Rayleigh and Compton) lines are marked")
        self._escape = QCheckBox("Escape peaks (Si detector)", self)
        self._escape.setToolTip("Peaks 1.74 keV below strong lines, from photons that leave the detector")
        self._sums = QCheckBox("Sum peaks", self)
        self._sums.setToolTip("Peaks of two photons that were counted as one")
        self.redshift = QDoubleSpinBox(self)
        self.redshift.setObjectName("cubeseg.spectra.redshift")
        self.redshift.setDecimals(6)
        self.redshift.setRange(-0.1, 20)
        self.redshift.setSingleStep(0.0005)
        self.redshift.setToolTip("z: lines are moved to (1 + z) times their wavelength")
        self._slide = QDoubleSlider(self)
        self._slide.setOrientation(Qt.Orientation.Horizontal)
        self._slide.setRange(-0.01, 0.5)
        self._slide.setToolTip("Drag until the lines lie on the peaks")
        self._said = QLabel(self)
        self._said.setWordWrap(True)
        self._form = QFormLayout(self)
        self._form.setContentsMargins(4, 4, 4, 4)
        self._form.addRow(self.names)
        for label, widget in (("Tube", self._anode), ("z", self.redshift)):
            self._form.addRow(label, widget)
        for widget in (self._slide, self._escape, self._sums, self._said):
            self._form.addRow(widget)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(150)
        self._soon.timeout.connect(self._find)
        self.names.textChanged.connect(lambda *_: self._soon.start())
        self._anode.currentIndexChanged.connect(lambda *_: self._soon.start())
        for box in (self._escape, self._sums):
            box.toggled.connect(lambda *_: self._soon.start())
        self.redshift.valueChanged.connect(self._moved)
        self._slide.valueChanged.connect(self.redshift.setValue)
        session.cube_changed.connect(self._other_cube)
        self._other_cube()

    def show_names(self, names: Sequence[str]) -> None:
        """Mark the lines of these."""
        self.names.setText(", ".join(names))

    def _other_cube(self) -> None:
        cube = self._session.cube
        xrays = cube is not None and holds_xrays(cube.axis)
        for widget in (self._anode, self._escape, self._sums):
            self._form_row(widget, xrays)
        for widget in (self.redshift, self._slide):
            self._form_row(widget, not xrays)
        self.names.setPlaceholderText("Pb, Cu, Fe-K" if xrays else "Hα, [O III], CO; * = all strong lines")
        self.names.setToolTip(
            "Elements, with commas between; a shell after a hyphen: Pb-L" if xrays
            else "Lines, species or groups (Hα, [O III], nebular), with commas between; * for all strong lines"
        )  # fmt: skip
        self._find()

    def _form_row(self, widget: QWidget, visible: bool) -> None:
        widget.setVisible(visible)
        label = self._form.labelForField(widget)
        if label is not None:
            label.setVisible(visible)

    def _moved(self, z: float) -> None:
        with QSignalBlocker(self._slide):
            self._slide.setValue(z)
        self._soon.start()

    def _find(self) -> None:
        cube, text = self._session.cube, self.names.text().strip()
        names = [name.strip() for name in text.replace(";", ",").split(",") if name.strip()]
        self.lines, said = (), ""
        if cube is not None and (names or self._anode.currentText() != "none"):
            options: dict[str, Any] = {"redshift": self.redshift.value()}
            if holds_xrays(cube.axis):
                anode = self._anode.currentText()
                options = {
                    "escape": "Si" if self._escape.isChecked() else "",
                    "sums": self._sums.isChecked(),
                    "anode": "" if anode == "none" else anode,
                }
            try:
                self.lines = lines_for(cube.axis, None if names == ["*"] else names, **options)
                said = f"{len(self.lines)} lines" if self.lines else "No line of these lies on this axis"
            except CubeSegError as error:
                said = str(error)
        self._said.setText(said)
        self.changed.emit()
