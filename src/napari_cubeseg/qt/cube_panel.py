"""Which cube is worked on, what is known of it, and the question which dataset of a file is meant."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from qtpy.QtWidgets import QComboBox, QFormLayout, QFrame, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cubeseg import layers as our
from napari_cubeseg.layers import cube_layers
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
        self._facts = QLabel(self)
        self._facts.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._choice)
        layout.addWidget(self._facts)
        layout.addWidget(self._make_question())
        session.cube_changed.connect(self._refresh)
        session.question_changed.connect(self._ask)
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
        form = QFormLayout(self._question)
        form.addRow(self._text)
        form.addRow("Dataset", self._dataset)
        form.addRow("Spectral axis", self._axis)
        form.addRow(self._open, skip)
        return self._question

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

    def _describe(self, layer: Image | None) -> str:
        cube = self._session.cube
        if cube is None or layer is None:
            return (
                "Drop a datacube on the window, or try <i>File › Open Sample › napari-cubeseg</i>. "
                "Read are HDF5, FITS, ENVI, MATLAB and NumPy files."
            )
        axis, (height, width) = cube.axis, cube.image_shape
        found = layer.metadata[our.KEY]["probe"]
        noise = _NOISE[found.noise] + (", with a variance cube" if cube.noise.variance is not None else "")
        first, last = axis.values[0], axis.values[-1]
        span = f"{first:.4g} to {last:.4g} {axis.display_unit}" if axis.calibrated else "channels, not calibrated"
        return (
            f"<b>{layer.name}</b> ({cube.source.format})<br>{height} × {width} pixels, {cube.n_bands} bands<br>"
            f"{axis.name}: {span}<br>Noise: {noise}"
        )

    def _chosen(self, index: int) -> None:
        self._session.use_cube(cube_layers(self._session.viewer)[index])

    def _ask(self) -> None:
        question = self._session.question
        self._question.setVisible(question is not None)
        if question is None:
            return
        self._text.setText(str(question))
        self._dataset.clear()
        for candidate in question.candidates:
            shape = " × ".join(map(str, candidate.shape))
            self._dataset.addItem(f"{candidate.dataset}   {shape}  {candidate.dtype}", candidate)

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
        if candidate is not None:
            self._session.answer(candidate.dataset, self._axis.currentData())

    def _skipped(self) -> None:
        self._session.ask(None)
