"""What is set in napari's preferences has an effect; what is not set has none."""

from __future__ import annotations

import os

import pytest
from napari import settings
from napari.settings import get_plugin_settings

from cubeseg.config import FitConfig
from napari_cubeseg import autosave
from napari_cubeseg.preferences import Preferences, preferences
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.helpers import QUICK

DIST = "napari-cubeseg"


def test_the_defaults_of_the_manifest_are_those_of_the_program(settings_folder):
    assert preferences() == Preferences()
    assert preferences().memory == FitConfig().memory
    assert not (settings_folder / f"{DIST}.yaml").exists()


def test_what_is_set_is_kept(settings_folder):
    found = get_plugin_settings(DIST)
    found.run.method, found.run.memory, found.run.spare_cores = "pca", 2.5, 3
    found.work.keep, found.work.folder = False, str(settings_folder)
    settings._clear_plugin_settings_cache()
    assert preferences() == Preferences("pca", round(2.5 * 2**30), 3, False, settings_folder, True)
    with pytest.raises(ValueError, match="allowed"):
        get_plugin_settings(DIST).run.method = "magic"


def test_a_damaged_file_is_as_good_as_none(settings_folder):
    for damage in ("run: [1", "- a\n", "run: 3\n", "run:\n  memory: -4\n"):
        (settings_folder / f"{DIST}.yaml").write_text(damage)
        settings._clear_plugin_settings_cache()
        assert preferences() == Preferences(), damage


def test_cores_are_spared(session, monkeypatch):
    asked = []
    monkeypatch.setattr("napari_cubeseg.run._steps", lambda cubes, config: asked.append(config.threads) or iter(()))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    session.runner = lambda make, *_, **__: make()
    for spare, threads in ((1, 7), (3, 5), (20, 1)):
        get_plugin_settings(DIST).run.spare_cores = spare
        session.start(QUICK)
        session.cancel()
        assert asked[-1] == threads


def test_a_folder_that_is_not_there_is_left_alone(settings_folder, tmp_path):
    get_plugin_settings(DIST).work.folder = str(tmp_path / "hal")
    assert autosave._folders() == [settings_folder / "kept"]
    (tmp_path / "hal").mkdir()
    assert autosave._folders() == [tmp_path / "hal" / "napari-cubeseg-kept", settings_folder / "kept"]


def test_nothing_is_kept_where_that_is_not_wanted(done):
    waiting = []
    done.runner = lambda *arguments, **_: waiting.append(arguments)
    get_plugin_settings(DIST).work.keep = False
    done.workbench.rename(2, "azurite")
    assert not waiting
    get_plugin_settings(DIST).work.keep = True
    done.workbench.rename(2, "malachite")
    assert waiting
    assert session_of(done.viewer) is done
