"""Which cube is worked on, what is known of it, and the question which dataset of a file is meant."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from cubeseg.axis import SpectralAxis
from cubeseg.describe import notes
from cubeseg.io import Setting
from napari_cubeseg import layers as our
from napari_cubeseg.layers import cube_layers
from napari_cubeseg.qt.calibration_form import CalibrationForm
from napari_cubeseg.qt.hints import HelpButton, Hint, link
from napari_cubeseg.qt.kept_work import KeptWork
from napari_cubeseg.qt.work_bar import WorkBar
from napari_cubeseg.session import Session

__all__ = ["CubePanel"]

_NOISE = {"poisson": "counts (Poisson)", "gaussian": "Gaussian"}


class CubePanel(QWidget):
    """The active cube and its facts."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.cube")
        self._session = session
        self._choice = QComboBox(self)
        self._choice.setToolTip("The cube that is segmented; every open cube is listed")
        self._choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._choice.activated.connect(self._chosen)
        self._facts = Hint(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._choice)
        layout.addWidget(self._facts)
        layout.addWidget(KeptWork(session, self))
        layout.addWidget(self._make_question())
        stop = session.cubes.stop
        work = WorkBar("cubeseg.cube.stop", "Give up what is under way; the cube stays open", stop, self)
        layout.addWidget(work)
        self._copy = QPushButton(self)
        self._copy.setObjectName("cubeseg.cube.copy")
        self._copy.setToolTip(
            "In this file the values of one band lie far apart, so the slider is slow. A copy with the bands one after "
            "the other makes it quick; the file itself stays as it is."
        )
        self._copy.clicked.connect(self._copy_where)
        layout.addWidget(self._copy)
        self._other = QPushButton("Read the file differently…", self)
        self._other.setObjectName("cubeseg.cube.reconsider")
        self._other.setToolTip("Choose another dataset of the file, another spectral axis, or settings of its format")
        self._other.clicked.connect(session.cubes.reconsider)
        layout.addWidget(self._other)
        folded = QCollapsible("Calibrate the spectral axis")
        folded.setObjectName("cubeseg.cube.fold")
        folded.setDuration(0)
        folded.layout().setContentsMargins(0, 0, 0, 0)
        folded.toggleButton().setToolTip("Say what the channels mean, or show them in another unit")
        self.calibration = CalibrationForm(session)
        folded.addWidget(self.calibration)
        row = QHBoxLayout()
        row.addWidget(folded, 1)
        row.addWidget(HelpButton("howto/calibrate.md", "how to calibrate", self), 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(row)
        session.cube_changed.connect(self._refresh)
        session.cubes.question_changed.connect(self._ask)
        session.cubes.working.connect(work.follow)
        session.cubes.overview_changed.connect(self._refresh)
        session.viewer.layers.events.inserted.connect(self._refresh)
        session.viewer.layers.events.removed.connect(self._refresh)
        self._refresh()
        self._ask()

    def _make_question(self) -> QFrame:
        self._question = QFrame(self)
        self._question.setFrameShape(QFrame.Shape.StyledPanel)
        self._text = QLabel(self._question)
        self._text.setWordWrap(True)
        self._dataset = QComboBox(self._question)
        self._dataset.setObjectName("cubeseg.cube.dataset")
        self._dataset.setToolTip("The dataset of the file that holds the spectra")
        self._dataset.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._dataset.currentIndexChanged.connect(self._list_axes)
        self._axis = QComboBox(self._question)
        self._axis.setObjectName("cubeseg.cube.axis")
        self._axis.setToolTip("The axis along which a spectrum runs; the other two are the image")
        self._open = QPushButton("Open", self._question)
        self._open.setObjectName("cubeseg.cube.open")
        self._open.setToolTip("Open the file with this dataset and axis")
        self._open.clicked.connect(self._answered)
        skip = QPushButton("Not now", self._question)
        skip.setToolTip("Leave the file closed")
        skip.clicked.connect(self._skipped)
        self._values = QLineEdit(self._question)
        self._values.setObjectName("cubeseg.cube.values")
        self._values.setPlaceholderText("as the file says")
        self._values.setToolTip("What the bands are: -0.96,0.01 keV, or dataset:NAME keV for a list in the file")
        self._keep = QCheckBox("Open such files like this from now on", self._question)
        self._keep.setToolTip("For files with the same datasets the question is not asked again")
        self._settings: dict[str, QComboBox | QLineEdit] = {}
        self._labels: list[QLabel] = []
        self._form = QFormLayout(self._question)
        self._form.addRow(self._text)
        self._form.addRow("Dataset", self._dataset)
        self._form.addRow("Spectral axis", self._axis)
        self._form.addRow("Values", self._values)
        self._form.addRow(self._keep)
        buttons = QHBoxLayout()
        buttons.addWidget(self._open)
        buttons.addWidget(skip)
        self._form.addRow(buttons)
        return self._question

    def _copy_where(self) -> None:
        cube = self._session.cube
        if cube is None:
            return
        near = str(Path(cube.source.path).with_suffix("")) + "-bands.h5"
        path, _ = QFileDialog.getSaveFileName(self, "Write a copy that follows the slider", near, "HDF5 (*.h5)")
        if path:
            self._session.cubes.copy(path)

    def _refresh(self, *_: Any) -> None:
        layers = cube_layers(self._session.viewer)
        self._choice.clear()
        for layer in layers:
            self._choice.addItem(layer.name, layer.unique_id)
        self._choice.setVisible(len(layers) > 1)
        active = self._session.cube_layer
        if active in layers:
            self._choice.setCurrentIndex(layers.index(active))
        self._facts.setText(self._describe(active))
        cube = self._session.cube
        self._other.setVisible(cube is not None and bool(cube.source.path))
        size = self._session.cubes.copy_size()
        self._copy.setVisible(size > 0)
        self._copy.setText(f"Make a copy that is quick to look through ({size / 2**30:.1f} GiB)…")

    def _describe(self, layer: Image | None) -> str:
        cube = self._session.cube
        if cube is None or layer is None:
            return (
                "Drop a datacube on the window, or try <i>File › Open Sample › napari-cubeseg</i>. "
                "Read are HDF5, FITS, ENVI, Ripple, MATLAB, TIFF, Zarr, NumPy files and those of many instruments. "
                + link("tutorials/painting.md", "How to begin")
                + " · "
                + link("formats.md", "Which files")
            )
        axis, (height, width) = cube.axis, cube.image_shape
        found = layer.metadata[our.KEY]["probe"]
        noise = _NOISE[found.noise] + (", with a variance cube" if cube.noise.variance is not None else "")
        first, last = axis.values[0], axis.values[-1]
        span = f"{first:.4g} to {last:.4g} {axis.display_unit}" if axis.calibrated else "channels, not calibrated"
        return (
            f"<b>{layer.name}</b> ({cube.source.format})<br>{height} × {width} pixels, {cube.n_bands} bands<br>"
            f"{axis.name}: {span}{_medium(axis)}<br>Noise: {noise}"
            + "".join(f"<br><i>{html.escape(note)}</i>" for note in notes(cube))
        )

    def _chosen(self, index: int) -> None:
        self._session.use_cube(cube_layers(self._session.viewer)[index])

    def _ask(self) -> None:
        question = self._session.cubes.question
        self._question.setVisible(question is not None)
        self._other.setEnabled(question is None)
        if question is None:
            return
        self._text.setText(str(question))
        self._values.clear()
        self._keep.setChecked(False)
        self._list_settings(question.settings)
        for row in (self._dataset, self._axis, self._keep):
            self._form.setRowVisible(row, bool(question.candidates))
        self._dataset.clear()
        for candidate in question.candidates:
            shape = " × ".join(map(str, candidate.shape))
            self._dataset.addItem(f"{candidate.dataset}   {shape}  {candidate.dtype}", candidate)

    def _list_settings(self, settings: tuple[Setting, ...]) -> None:
        for row in (*self._settings.values(), *self._labels):
            self._form.removeRow(row)
        self._settings.clear()
        self._labels.clear()
        for setting in settings:
            if setting.values:
                box = QComboBox(self._question)
                for value, text in setting.values:
                    box.addItem(text, value)
                box.setCurrentIndex(max(0, box.findData(setting.default)))
                widget: QComboBox | QLineEdit = box
            else:
                widget = QLineEdit(setting.default, self._question)
            widget.setObjectName(f"cubeseg.cube.{setting.name}")
            widget.setToolTip(setting.text)
            label = QLabel(setting.text, self._question)
            label.setWordWrap(True)
            for row in (label, widget):
                self._form.insertRow(self._form.rowCount() - 2, row)
            self._settings[setting.name] = widget
            self._labels.append(label)

    def _list_axes(self, index: int) -> None:
        self._axis.clear()
        candidate = self._dataset.itemData(index)
        if candidate is None:
            return
        for number, length in enumerate(candidate.shape):
            self._axis.addItem(f"axis {number}, {length} values", number)
        if candidate.spectral_axis is not None:
            self._axis.setCurrentIndex(candidate.spectral_axis)

    def _answered(self) -> None:
        candidate = self._dataset.currentData()
        said = {
            name: str(w.currentData()) if isinstance(w, QComboBox) else w.text().strip()
            for name, w in self._settings.items()
        }
        self._session.cubes.answer(
            "" if candidate is None else candidate.dataset, self._axis.currentData(), self._values.text().strip(), said,
            self._keep.isChecked(),
        )  # fmt: skip

    def _skipped(self) -> None:
        self._session.cubes.ask(None)


def _medium(axis: SpectralAxis) -> str:
    return f" ({axis.medium})" if axis.medium else ""
