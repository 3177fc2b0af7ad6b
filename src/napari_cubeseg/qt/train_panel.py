"""Method, number of classes, epochs; Run, Pause, Cancel; progress, losses."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox, Container, FloatSpinBox, SpinBox
from napari.utils.notifications import show_error
from qtpy.compat import isalive
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from cubeseg.config import FitConfig, Ramp
from cubeseg.errors import ConfigError
from cubeseg.training.fitting import FitEvent
from napari_cubeseg import layers as our
from napari_cubeseg.preferences import Preferences, preferences, with_preferences
from napari_cubeseg.qt.hints import Hint, link
from napari_cubeseg.qt.plots import LossPlot
from napari_cubeseg.qt.settings_menu import SettingsMenu
from napari_cubeseg.session import Session

__all__ = ["TrainPanel"]

_METHODS = (
    ("Deep clustering (learns from the spectra)", "deep"),
    ("Patches (spectra with their surroundings)", "global"),
    ("Unmixing (components, and how much of each)", "unmix"),
    ("Quick look (seconds, less fine)", "pca"),
)


class TrainPanel(QWidget):
    """The options that matter, and the run."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.train")
        self._session = session
        defaults = FitConfig()
        self.method = ComboBox(
            name="method", choices=_METHODS, value=Preferences.method,
            tooltip="Deep clustering learns what the spectra have in common; patches also what lies beside them, for "
            "very large cubes and where texture tells materials apart; unmixing finds component spectra and how much "
            "of each a pixel holds; the quick look takes seconds",
        )  # fmt: skip
        self.least = SpinBox(
            label="Classes", min=1, max=255, value=defaults.clusters[0],
            tooltip="Smallest number of classes to try; make both numbers equal to fix it",
        )  # fmt: skip
        self.most = SpinBox(
            label="to", min=1, max=255, value=defaults.clusters[1],
            tooltip="Largest number of classes to try; the number that fits best is chosen",
        )  # fmt: skip
        self.epochs = SpinBox(
            label="Rounds (epochs)", min=1, max=10000, value=defaults.epochs,
            tooltip="How often the training goes through its spectra: one round is an epoch. More takes longer and may "
            "separate better",
        )  # fmt: skip
        self.method.changed.connect(self._range)
        numbers = Container(widgets=[self.least, self.most], layout="horizontal", labels=True)
        self._main = Container(widgets=[self.method, numbers], labels=False)
        for container in (self._main, numbers):
            container.margins = (0, 0, 0, 0)
        self._options = self._make_options(defaults)
        folded = QCollapsible("More options", self)
        folded.setToolTip("Options that rarely need a change")
        folded.setContent(self._options.native)
        folded.collapse(animate=False)
        folded.layout().setContentsMargins(0, 0, 0, 0)

        self.run = _button("Run", "cubeseg.train.run", "Train and cluster the cube in the background")
        self.pause = _button("Pause", "cubeseg.train.pause", "Let the run wait, to go on later")
        self.cancel = _button("Cancel", "cubeseg.train.cancel", "Stop the run; earlier results stay")
        buttons = QHBoxLayout()
        for button, slot in ((self.run, self._run), (self.pause, self._pause), (self.cancel, session.cancel)):
            button.clicked.connect(slot)
            buttons.addWidget(button)
        self.settings = SettingsMenu(session, self.config, self)
        buttons.addWidget(self.settings)
        self.together = QCheckBox("All open cubes together", self)
        self.together.setObjectName("cubeseg.train.together")
        self.together.setToolTip(
            "Learn the classes from all open cubes, so that a class means the same in each; it may be absent in some"
        )
        self._bar = QProgressBar(self)
        self._bar.setObjectName("cubeseg.train.progress")
        self._bar.setRange(0, 1000)
        self._bar.setTextVisible(False)
        self._status = Hint(self)
        self._status.setObjectName("cubeseg.train.status")
        self._status.setToolTip("An epoch is one round of the training through its spectra")
        self.losses = LossPlot(session.viewer.theme, self)
        self.losses.setToolTip(
            "What the training makes smaller (its loss), after every epoch: it should fall and level off. Spectra: how "
            "far the learned ones are from the measured; classes: how far spectra are from the middle of their class; "
            "cloud: how far all are from one compact cloud; total: all of it"
        )

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._main.native)
        layout.addWidget(folded)
        layout.addWidget(self.together)
        layout.addLayout(buttons)
        layout.addWidget(self._bar)
        layout.addWidget(self._status)
        layout.addWidget(self.losses.key)
        layout.addWidget(self.losses)
        session.run_changed.connect(self._refresh)
        session.cube_changed.connect(self._refresh)
        for event in (session.viewer.layers.events.inserted, session.viewer.layers.events.removed):
            event.connect(self._offer)
        self.method.changed.connect(self._offer)
        session.progressed.connect(self._show)
        session.result_changed.connect(self._summarise)
        session.viewer.events.theme.connect(self._theme)
        with_preferences(session.runner, self._prefer)
        self._refresh()
        self._offer()
        self.losses.hide()
        # a run goes on while the dock is closed
        for event in session.told:
            self._show(event)

    def _prefer(self, found: Preferences) -> None:
        """Begin with the method that is set, unless another one was chosen by now."""
        if isalive(self) and self.method.value == Preferences.method:
            self.method.value = found.method

    def config(self) -> FitConfig:
        """The options as they stand.

        Raises
        ------
        ConfigError
            If they make no sense together.
        """
        chosen = {name: widget.value for name, widget in self._more.items()}
        beta, gamma = FitConfig().beta, FitConfig().gamma
        return FitConfig(
            method=self.method.value,
            clusters=(self.least.value, self.most.value),
            epochs=self.epochs.value,
            memory=preferences().memory,
            mixing=self._session.components.mixing(),
            beta=Ramp(beta.low, chosen.pop("beta"), beta.start, beta.end),
            gamma=Ramp(gamma.low, chosen.pop("gamma"), gamma.start, gamma.end),
            **chosen,
        )

    def _range(self, method: str) -> None:
        """Unmixing finds the number by itself; the others look for it among a few."""
        self.least.value, self.most.value = (1, 255) if method == "unmix" else FitConfig().clusters

    def _make_options(self, defaults: FitConfig) -> Container[Any]:
        self._more: dict[str, Any] = {
            "noise": ComboBox(
                label="Noise", choices=[("find out", "auto"), ("counts", "poisson"), ("Gaussian", "gaussian")],
                tooltip="How the values scatter; found from the file and the data unless you know better",
            ),
            "coherence": ComboBox(
                label="Coherence", choices=[("from the image", "auto"), ("off", 0.0), ("weak", 0.3), ("strong", 1.0)],
                tooltip="How much a pixel's neighbours count beside its own spectrum; a slider changes it afterwards",
            ),
            "network": ComboBox(
                label="Network", choices=[("variational (InfoVAE)", "infovae"), ("plain autoencoder", "ae")],
                value=defaults.network,
                tooltip="How spectra become codes, a few numbers each, and spectra again (an autoencoder); the "
                "variational way keeps all codes in one compact cloud",
            ),
            "latent": SpinBox(
                label="Code size", min=1, max=64, value=defaults.latent,
                tooltip="How many numbers stand for a spectrum (its latent code); more keep finer differences, and "
                "more noise",
            ),
            "beta": FloatSpinBox(
                label="Weight of prior", min=0, max=100, step=0.01, value=defaults.beta.high,
                tooltip="How strongly all spectra are held together in one cloud while they are learned (beta)",
            ),
            "gamma": FloatSpinBox(
                label="Weight of clusters", min=0, max=100, step=0.01, value=defaults.gamma.high,
                tooltip="How strongly spectra are drawn to the middle of their class while they are learned (gamma)",
            ),
            "seed": SpinBox(
                label="Seed", min=0, max=2**31 - 1, value=defaults.seed,
                tooltip="The same seed gives the same result on the same machine",
            ),
        }  # fmt: skip
        return Container(widgets=[self.epochs, *self._more.values()], labels=True)

    def _run(self) -> None:
        try:
            config = self.config()
        except ConfigError as error:
            show_error(str(error))
            return
        self.losses.restart()
        self._bar.setValue(0)
        self._session.start(config, together=not self.together.isHidden() and self.together.isChecked())

    def _offer(self, *_: Any) -> None:
        """Several cubes share their classes where a method learns from patches."""
        several = len(our.cube_layers(self._session.viewer)) > 1
        self.together.setVisible(several and self.method.value == "global")

    def _pause(self) -> None:
        if self._session.paused:
            self._session.resume()
        else:
            self._session.pause()

    def _refresh(self) -> None:
        running = self._session.running
        self.run.setEnabled(not running)
        self.pause.setEnabled(running)
        self.cancel.setEnabled(running)
        self.pause.setText("Resume" if self._session.paused else "Pause")
        self._main.enabled = self._options.enabled = not running
        self.together.setEnabled(not running)
        self._bar.setVisible(running)
        if self._session.paused:
            self._status.setText("Paused")
        elif not running:
            self._summarise()

    def _show(self, event: FitEvent) -> None:
        self._bar.setValue(round(1000 * event.done))
        if not self._session.paused:
            self._status.setText(event.message)
        if event.losses:
            self.losses.show()
            self.losses.add(event.epoch, dict(event.losses))

    def _summarise(self) -> None:
        if self._session.running:
            return
        result = self._session.result
        if result is not None:
            self._status.setText(f"{len(result.classes)} classes found. Click the image, or paint to correct.")
        elif self._session.cube is not None:
            self._status.setText(
                "Press Run; the first labels appear while it trains. " + link("how-it-works.md", "How it works")
            )
        else:
            self._status.setText("Open a cube first. " + link("tutorials/painting.md#3-train", "How to train"))

    def _theme(self, event: Any = None) -> None:
        self.losses.set_theme(self._session.viewer.theme)


def _button(text: str, name: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    return button
