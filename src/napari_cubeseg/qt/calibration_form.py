"""The form in which people say what the channels of a cube mean: two known peaks, a formula or file, another unit."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from cubeseg.axis import SpectralAxis
from napari_cubeseg.session import Session

__all__ = ["CalibrationForm"]

_UNITS = ("keV", "eV", "nm", "Angstrom", "um", "1/cm", "GHz", "km/s")


class CalibrationForm(QWidget):
    """Calibrates the session's active cube."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.cube.calibration")
        self._session = session
        self._hint = QLabel(
            "Two peaks that you know: move the slider to each, press <i>take</i>, and write an element (Fe, Pb-La1) "
            "or a value.",
            self,
        )
        self._hint.setWordWrap(True)
        self.peaks = [self._peak(n) for n in (1, 2)]
        self.unit = QComboBox(self)
        self.unit.addItems(_UNITS)
        self.unit.setToolTip("Unit of the values; elements are always in keV")
        self.formula = QLineEdit(self)
        self.formula.setObjectName("cubeseg.cube.formula")
        self.formula.setPlaceholderText("or: -0.96,0.01 keV · axis.csv nm")
        self.formula.setToolTip(
            "In place of peaks: a,b for a + b × channel, or a,b,c; a text file with one value per band; or just a unit "
            "where the numbers are right. The unit comes last."
        )
        apply = QPushButton("Calibrate", self)
        apply.setObjectName("cubeseg.cube.calibrate")
        apply.setToolTip("Give the bands these values; segmentations of this cube follow")
        apply.clicked.connect(self._apply)
        self.target = QComboBox(self)
        self.target.setObjectName("cubeseg.cube.convert")
        self.target.setToolTip("Show the same bands in another unit")
        self.target.activated.connect(self._convert)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._hint)
        for channel, value, take in self.peaks:
            row = QHBoxLayout()
            for widget, stretch in (
                (QLabel("Channel", self), 0),
                (channel, 1),
                (take, 0),
                (QLabel("is", self), 0),
                (value, 1),
            ):
                row.addWidget(widget, stretch)
            layout.addLayout(row)
        form = QFormLayout()
        form.addRow("Unit", self.unit)
        form.addRow(self.formula)
        form.addRow(apply)
        form.addRow("Show in", self.target)
        layout.addLayout(form)
        session.cube_changed.connect(self._refresh)
        self._refresh()

    def text(self) -> str:
        """What the form says, as :mod:`cubeseg.spectroscopy.calibration` reads it; empty where nothing was entered."""
        if self.formula.text().strip():
            return self.formula.text().strip()
        if not all(value.text().strip() for _, value, _ in self.peaks):
            return ""
        pairs = [f"{channel.value():g}={value.text().strip().replace(',', '.')}" for channel, value, _ in self.peaks]
        numbers = all(_is_number(value.text()) for _, value, _ in self.peaks)
        return ",".join(pairs) + (f" {self.unit.currentText()}" if numbers else "")

    def _peak(self, number: int) -> tuple[QDoubleSpinBox, QLineEdit, QPushButton]:
        channel = QDoubleSpinBox(self)
        channel.setObjectName(f"cubeseg.cube.channel{number}")
        channel.setDecimals(1)
        channel.setMaximum(1e6)
        channel.setToolTip("Channel of the peak, counted from 0; a tenth of a channel may matter")
        value = QLineEdit(self)
        value.setObjectName(f"cubeseg.cube.value{number}")
        value.setPlaceholderText("Fe" if number == 1 else "Mo")
        value.setToolTip("An element (its K-alpha line), a line (Pb-La1), or a number")
        take = QPushButton("take", self)
        take.setToolTip("Take the channel that the slider shows")
        take.clicked.connect(lambda: channel.setValue(self._session.band))
        return channel, value, take

    def _refresh(self) -> None:
        cube = self._session.cube
        self.setEnabled(cube is not None)
        self.target.clear()
        reachable = [] if cube is None else _reachable(cube.axis)
        self.target.addItem("…")
        self.target.addItems(reachable)
        self.target.setEnabled(bool(reachable))

    def _apply(self) -> None:
        text = self.text()
        if not text:
            self._hint.setText("Say what both peaks are, or write a formula.")
            return
        if self._session.cubes.calibrate(text):
            self.formula.clear()

    def _convert(self, index: int) -> None:
        if index > 0:
            self._session.cubes.calibrate(f"to {self.target.itemText(index)}")


def _reachable(axis: SpectralAxis) -> list[str]:
    """What an axis can be converted to without knowing more."""
    if not axis.calibrated or axis.kind == "raman_shift":
        return []
    waves = ["keV", "eV", "nm air", "nm vacuum", "Angstrom air", "Angstrom vacuum", "um vacuum", "1/cm", "GHz"]
    if axis.kind == "velocity":
        return ["km/s", "m/s", *(["GHz"] if axis.rest else [])]
    if axis.kind == "wavelength" and not axis.medium:
        # neither air nor vacuum is known, so nothing may be said of them
        return ["nm", "Angstrom", "um", "keV", "eV", "1/cm", "GHz"]
    return [*waves, *(["km/s"] if axis.rest else [])]


def _is_number(text: str) -> bool:
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return True
