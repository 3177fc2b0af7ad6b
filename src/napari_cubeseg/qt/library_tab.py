"""Reference spectra from a file: the ones nearest to the chosen class or pixel, drawn over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from cubeseg.errors import CubeSegError
from cubeseg.references.library import Library
from cubeseg.references.library_files import load_library
from cubeseg.references.matching import match
from napari_cubeseg.curves import Curve
from napari_cubeseg.jobs import Control, ignore, one
from napari_cubeseg.session import Session

__all__ = ["LibraryTab"]

_COLOURS = ("#ff8a65", "#4dd0e1", "#dce775", "#ba68c8", "#ffd54f")
_REMOVALS = (("Shape as it is", "none"), ("Without offset", "offset"), ("Without continuum", "continuum"))


class LibraryTab(QWidget):
    """Load, match, overlay."""

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._library: Library | None = None
        self._drawn: dict[int, str] = {}
        self.load = QPushButton("Load a library…", self)
        self.load.setObjectName("cubeseg.spectra.library")
        self.load.setToolTip("Reference spectra: a CSV or text table, or an ENVI spectral library (.sli)")
        self.load.clicked.connect(self._choose)
        self.freeze = QPushButton("Keep ticked as known components", self)
        self.freeze.setObjectName("cubeseg.spectra.library.freeze")
        self.freeze.setToolTip("The ticked reference spectra stay as they are when the cube is unmixed next")
        self.freeze.clicked.connect(self._freeze)
        self._remove = QComboBox(self)
        self._remove.setToolTip("What is taken from both spectra before their angle is measured")
        for text, value in _REMOVALS:
            self._remove.addItem(text, value)
        self.best = QListWidget(self)
        self.best.setToolTip("The nearest spectra by spectral angle (radians, 0 = same shape); tick to draw")
        self._said = QLabel("Choose a class or click a pixel, then load a library", self)
        self._said.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        for widget in (self.load, self._remove, self._said):
            layout.addWidget(widget)
        layout.addWidget(self.best, 1)
        layout.addWidget(self.freeze)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(120)
        self._soon.timeout.connect(self._match)
        self._remove.currentIndexChanged.connect(self._match_soon)
        self.best.itemChanged.connect(self._ticked)
        for signal in (session.selection_changed, session.pixel_changed, session.cube_changed, session.result_changed):
            # a bound method, not a lambda: signals let go of those of widgets that are gone
            signal.connect(self._match_soon)

    def use(self, path: str | Path) -> None:
        """Load a library in the background."""

        def loaded(library: Library) -> None:
            self._library = library
            self._drawn.clear()
            self.load.setText(f"{Path(path).name}: {len(library)} spectra")
            self._match()

        def failed(error: CubeSegError) -> None:
            show_error(str(error))

        self._session.runner(lambda: one(lambda: load_library(path)), Control(), ignore, loaded, failed, ignore)

    def curves(self) -> list[Curve]:
        """The ticked ones, as high as what they are compared with."""
        found = self._target()
        if self._library is None or found is None or not self._drawn:
            return []
        cube = self._session.cube
        assert cube is not None
        try:
            placed = self._library.on(cube.axis)
        except CubeSegError:
            return []
        made = []
        for number, index in enumerate(self._drawn):
            values = np.asarray(placed.values[index], np.float64)
            both = np.isfinite(values) & np.isfinite(found[1])
            scale = float(found[1][both] @ values[both]) / max(float(values[both] @ values[both]), 1e-30)
            colour = _COLOURS[number % len(_COLOURS)]
            made.append(Curve(("reference", index), self._drawn[index], colour, values * scale, chosen=True))
        return made

    def _choose(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self,
            "A library of reference spectra",
            "",
            "Libraries (*.csv *.txt *.tsv *.dat *.sli *.hdr *.esl *.spx);;All files (*)",
        )
        if path:
            self.use(path)

    def _target(self) -> tuple[str, np.ndarray] | None:
        """Name and spectrum of what is compared: the chosen class, otherwise the clicked pixel."""
        result, selected, pixel = self._session.result, self._session.selected, self._session.pixel
        component = self._session.components.spectrum(selected[0]) if selected else None
        if result is not None and component is not None:
            return f"{result.info(selected[0]).name} (component)", component[0]
        if result is not None and selected:
            return result.info(selected[0]).name, result.spectra.mean(selected[0])
        return None if pixel is None else ("the clicked pixel", np.asarray(pixel.spectrum, np.float64))

    def _match_soon(self, *_: Any) -> None:
        self._soon.start()

    def _match(self) -> None:
        cube, target = self._session.cube, self._target()
        self.best.blockSignals(True)
        self.best.clear()
        if self._library is not None and cube is not None and target is not None:
            try:
                matches = match(target[1], self._library, 12, axis=cube.axis, remove=self._remove.currentData())
                self._said.setText(f"Nearest to {target[0]}:" if matches else "No spectrum covers this axis")
                for found in matches:
                    item = QListWidgetItem(f"{found.angle:.3f}  {found.name}", self.best)
                    item.setToolTip(f"{found.bands} bands, {found.low:.4g} to {found.high:.4g} {cube.axis.unit}")
                    item.setData(Qt.ItemDataRole.UserRole, (found.index, found.name))
                    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                    ticked = found.index in self._drawn
                    item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
            except CubeSegError as error:
                self._said.setText(str(error))
        self.best.blockSignals(False)
        self.changed.emit()

    def _freeze(self) -> None:
        for index in list(self._drawn) if self._library is not None else []:
            try:
                self._session.components.freeze_reference(self._library, index)
            except CubeSegError as error:
                show_error(str(error))

    def _ticked(self, item: QListWidgetItem) -> None:
        index, name = item.data(Qt.ItemDataRole.UserRole)
        if item.checkState() == Qt.CheckState.Checked:
            self._drawn[index] = name
        else:
            self._drawn.pop(index, None)
        self.changed.emit()
