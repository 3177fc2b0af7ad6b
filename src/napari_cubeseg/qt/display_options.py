"""How curves are shown: the form behind the Display button."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QSpinBox, QWidget

from napari_cubeseg.curves import Look

__all__ = ["DisplayOptions"]

_CHOICES: dict[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "statistic": (
        "Classes", "What is shown of a class's pixels; median and largest are taken from some hundred of them",
        (("Mean", "mean"), ("Median", "median"), ("Largest", "largest")),
    ),
    "spread": (
        "Shading", "How far the pixels of a class scatter",
        (("None", "none"), ("± standard deviation", "std"), ("16th to 84th percentile", "percentiles")),
    ),
    "normalise": (
        "Heights", "To compare shapes: every curve by its own highest point, or by its mean",
        (("As measured", "none"), ("Highest point = 1", "largest"), ("Mean = 1", "area")),
    ),
    "compare": (
        "Compare", "The first two chosen curves (classes, kept spectra, the clicked pixel) as one",
        (("No", "none"), ("Difference", "difference"), ("Ratio", "ratio")),
    ),
}  # fmt: skip


class DisplayOptions(QWidget):
    """Only the display follows: nothing here changes what is exported."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.spectra.display")
        form = QFormLayout(self)
        self.log = QCheckBox("Logarithmic", self)
        self.log.setToolTip("Show intensities on a logarithmic scale, so that weak lines are seen")
        self.only = QCheckBox("Chosen classes only", self)
        self.only.setToolTip("Leave out the classes that are not chosen")
        self.highest = QCheckBox("Highest pixel of the cube", self)
        self.highest.setToolTip("Show the largest value of every band: lines that only a few pixels have")
        self.boxes: dict[str, QComboBox] = {}
        for name, (label, tip, choices) in _CHOICES.items():
            box = self.boxes[name] = QComboBox(self)
            box.setToolTip(tip)
            for text, value in choices:
                box.addItem(text, value)
            box.setCurrentIndex(box.findData(getattr(Look(), name)))
            box.currentIndexChanged.connect(lambda *_: self.changed.emit())
            form.addRow(label, box)
        self.smooth = QSpinBox(self)
        self.smooth.setRange(0, 99)
        self.smooth.setSuffix(" bands")
        self.smooth.setSpecialValueText("Off")
        self.smooth.setToolTip("Smooth the curves with a Gaussian of this width; the data stay as they are")
        self.smooth.valueChanged.connect(lambda *_: self.changed.emit())
        form.addRow("Smooth", self.smooth)
        for check in (self.log, self.only, self.highest):
            check.toggled.connect(lambda *_: self.changed.emit())
            form.addRow(check)

    @property
    def look(self) -> Look:
        """What is chosen."""
        chosen: dict[str, Any] = {name: box.currentData() for name, box in self.boxes.items()}
        return Look(**chosen, smooth=self.smooth.value(), only=self.only.isChecked(), highest=self.highest.isChecked())
