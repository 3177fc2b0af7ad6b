"""The options of the Train panel, taken along, in the real window."""

from __future__ import annotations

import shlex

import pytest
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton
from superqt.utils import WorkerBase

from cubeseg import FitConfig, load
from cubeseg.cli import main
from napari_cubeseg.qt.train_panel import TrainPanel
from tests.napari_cubeseg.test_viewer import DIST, docks, viewer, wait  # noqa: F401


@pytest.fixture(autouse=True)
def no_worker_left():
    yield
    WorkerBase.await_workers(5000)


@pytest.fixture
def clipboard(monkeypatch):
    """One of our own: that of the display belongs to whichever program took it last."""

    class Clipboard:
        held = ""

        def setText(self, text):
            self.held = text

        def text(self):
            return self.held

    made = Clipboard()
    monkeypatch.setattr(QApplication, "clipboard", staticmethod(lambda: made))
    return made


def test_the_command_does_what_the_panel_says(docks, painting_file, tmp_path, monkeypatch, clipboard):  # noqa: F811
    panel = docks[0].findChild(TrainPanel)
    wait(lambda: panel.run.isEnabled())
    tool = docks[0].findChild(QPushButton, "cubeseg.train.settings")
    assert tool.isVisible()
    assert tool.sizeHint().width() <= tool.width()
    panel.method.value = "pca"
    panel.least.value = panel.most.value = 3
    panel._more["seed"].value = 5
    panel._more["latent"].value = 4
    tool.copy.trigger()
    words = shlex.split(clipboard.text())
    assert words[:3] == ["cubeseg", "segment", str(painting_file)]
    assert main(words[1:]) == 0
    result = load(painting_file.with_name("painting-classes.h5"))
    assert result.config == panel.config()
    target = tmp_path / "run.toml"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    tool.save.trigger()
    assert FitConfig.from_toml(target) == panel.config()


def test_without_a_cube_it_says_so(make_napari_viewer, monkeypatch, clipboard):
    notified = []
    monkeypatch.setattr("napari_cubeseg.qt.settings_menu.show_error", notified.append)
    viewer = make_napari_viewer(show=False)  # noqa: F811
    _, dock = viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
    clipboard.setText("before")
    dock.findChild(QPushButton, "cubeseg.train.settings").copy.trigger()
    assert "Open a cube first" in notified[-1]
    assert clipboard.text() == "before"
