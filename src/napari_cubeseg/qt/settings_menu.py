"""The options of a run, taken along: as a command for the terminal, or as a file of settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QPushButton, QWidget

from cubeseg.config import FitConfig
from cubeseg.errors import CubeSegError
from cubeseg.files import written
from cubeseg.record.recipe import as_command, as_toml
from napari_cubeseg.session import Session

__all__ = ["SettingsMenu"]


class SettingsMenu(QPushButton):
    """A button with a menu.

    Parameters
    ----------
    session : Session
    config : callable
        Gives the options as they stand.
    """

    def __init__(self, session: Session, config: Callable[[], FitConfig], parent: QWidget | None = None) -> None:
        super().__init__("Settings", parent)
        self._session, self._config = session, config
        self.setObjectName("cubeseg.train.settings")
        self.setToolTip("Take these options along: to a terminal, a server, many cubes")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.copy = menu.addAction("Copy as command")
        self.copy.setObjectName("cubeseg.train.copy")
        self.copy.setToolTip("The same run without a window: paste it into a terminal")
        self.save = menu.addAction("Save settings...")
        self.save.setObjectName("cubeseg.train.save")
        self.save.setToolTip("A file for cubeseg segment --config, for one cube or many")
        self.copy.triggered.connect(self._copy)
        self.save.triggered.connect(self._save)
        self.setMenu(menu)

    def _copy(self) -> None:
        cube = self._session.cube
        if cube is None:
            show_error("Open a cube first; the command names it")
            return
        try:
            text = as_command(self._config(), cube.source)
        except CubeSegError as error:
            show_error(str(error))
            return
        QApplication.clipboard().setText(text)
        show_info("Copied: paste it into a terminal")

    def _save(self) -> None:
        try:
            text = as_toml(self._config())
        except CubeSegError as error:
            show_error(str(error))
            return
        cube = self._session.cube
        near = "" if cube is None or not cube.source.path else str(Path(cube.source.path).with_suffix(".toml"))
        path, _ = QFileDialog.getSaveFileName(self, "Save the settings of the run", near, "TOML (*.toml)")
        if not path:
            return
        try:
            with written(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except CubeSegError as error:
            show_error(str(error))
            return
        show_info(f"Saved: cubeseg segment CUBE -o RESULT.h5 --config {Path(path).name}")
