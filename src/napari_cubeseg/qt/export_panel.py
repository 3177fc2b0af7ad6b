"""Where the result goes, in which formats."""

from __future__ import annotations

import tempfile
from pathlib import Path

from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cubeseg.session import Session

__all__ = ["ExportPanel"]

_FORMATS = (
    ("tiff", "Labels, TIFF", "One number per pixel: the class; 0 = not assigned"),
    ("png", "Picture, PNG", "The map in the classes' colours, with a legend"),
    ("fits", "Labels, FITS", "Labels and confidence with the sky position, classes and their spectra as tables"),
    (
        "csv",
        "Spectra, CSV",
        "Mean, standard deviation and pixel count of every class, with axis values and unit",
    ),
    ("abundances", "Abundances, TIFF", "A stack, one image per component; after unmixing"),
    ("components", "Components, CSV", "Component spectra with their spread; after unmixing"),
    ("hdf5", "Everything, HDF5", "The result file: open it again with File > Open, or with cubeseg.load"),
)

# only what was unmixed has them
_UNMIXED = ("abundances", "components")


class ExportPanel(QWidget):
    """Formats, folder, and the button."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.export")
        self._session = session
        self._suggested = ""
        self.boxes: dict[str, QCheckBox] = {}
        grid = QGridLayout()
        for n, (name, text, tip) in enumerate(_FORMATS):
            box = self.boxes[name] = QCheckBox(text, self)
            box.setToolTip(tip)
            box.setChecked(True)
            grid.addWidget(box, n // 2, n % 2)
        self.folder = QLineEdit(self)
        self.folder.setObjectName("cubeseg.export.folder")
        self.folder.setToolTip("The folder to write to; it is made if it is missing")
        self.folder.setPlaceholderText("folder")
        browse = QPushButton("…", self)
        browse.setToolTip("Choose the folder")
        browse.setFixedWidth(32)
        browse.clicked.connect(self._browse)
        self.button = QPushButton("Export", self)
        self.button.setObjectName("cubeseg.export.run")
        self.button.setToolTip("Write the chosen formats")
        self.button.clicked.connect(self._export)
        row = QHBoxLayout()
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addLayout(row)
        layout.addWidget(self.button)
        session.result_changed.connect(self._refresh)
        session.exports.written.connect(self._written)
        self._refresh()

    def _refresh(self) -> None:
        result = self._session.result
        self.button.setEnabled(result is not None)
        for name in _UNMIXED:
            self.boxes[name].setEnabled(result is not None and result.unmixed is not None)
        # what the user typed stays
        if result is not None and self.folder.text() in ("", self._suggested):
            base = Path(result.source.path).parent if result.source.path else Path.home()
            if base.is_relative_to(tempfile.gettempdir()):
                # samples lie in a folder that goes when napari does; what is exported shall not
                base = Path.home()
            self._suggested = str(base / f"{result.source.name}-cubeseg")
            self.folder.setText(self._suggested)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the export", self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    def _export(self) -> None:
        formats = [name for name, box in self.boxes.items() if box.isChecked() and box.isEnabled()]
        if formats and self.folder.text().strip():
            self.button.setEnabled(False)
            self._session.exports.write(self.folder.text().strip(), formats)

    def _written(self, paths: list[Path]) -> None:
        self.button.setEnabled(self._session.result is not None)
