"""Work that was not exported comes back."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from cubeseg import load, open_cube
from napari_cubeseg import autosave
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import run_now
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.helpers import QUICK, check_spectra, paint


def at_once(*arguments, **_):
    """Like the runner without a window, but not the same."""
    run_now(*arguments)


@pytest.fixture(autouse=True)
def no_delay(monkeypatch):
    monkeypatch.setattr(autosave, "_DELAY", 0.0)


@pytest.fixture
def worked(session):
    """A segmentation with some work on it, kept."""
    session.runner = at_once
    session.start(QUICK)
    paint(session.labels_layer, (0, 4), (0, 4), 9)
    session.workbench.merge([1, 2])
    session.workbench.rename(3, "azurite")
    return session


def again(path):
    """Another viewer opens the cube."""
    viewer = ViewerModel()
    other = session_of(viewer)
    other.its_viewer = viewer
    other.runner = at_once
    other.add(our.cube_layer(open_cube(path)))
    return other


def files(folder):
    return sorted(p.name for p in (folder / "kept").glob("*"))


def test_work_comes_back_after_a_crash(worked, painting_file, settings_folder):
    assert len(files(settings_folder)) == 2
    other = again(painting_file)
    assert other.autosave.offer is not None
    other.autosave.bring_back()
    assert other.autosave.offer is None
    assert (other.result.labels == worked.result.labels).all()
    assert other.result.info(3).name == "azurite"
    assert (other.result.painted == worked.result.painted).all()
    assert other.result.evidence.shape == worked.result.evidence.shape
    check_spectra(other)
    paint(other.labels_layer, (10, 12), (0, 4), 5)
    assert len(files(settings_folder)) == 2
    assert (load(next(p for p in (settings_folder / "kept").glob("*.h5") if ".base" not in p.name)).labels
            == other.result.labels).all()  # fmt: skip


def test_the_large_maps_are_written_once(worked, settings_folder):
    base = next((settings_folder / "kept").glob("*.base.h5"))
    written = base.stat().st_mtime_ns
    paint(worked.labels_layer, (6, 8), (0, 4), 9)
    assert base.stat().st_mtime_ns == written
    worked.workbench.split(3, 2)
    assert not base.exists()
    assert len(files(settings_folder)) == 2


def test_discarding(worked, painting_file, settings_folder):
    other = again(painting_file)
    other.autosave.discard()
    assert other.autosave.offer is None
    assert files(settings_folder) == []
    assert again(painting_file).autosave.offer is None


def test_what_was_exported_is_not_kept(worked, painting_file, settings_folder, tmp_path):
    worked.exports.write(tmp_path / "out", ["csv"])
    assert len(files(settings_folder)) == 2
    worked.exports.write(tmp_path / "out", ["hdf5"])
    assert files(settings_folder) == []
    worked.workbench.rename(3, "smalt")
    assert again(painting_file).autosave.offer is not None


def test_another_cube_is_not_offered_it(worked, tmp_path):
    from cubeseg.samples import write_sample

    write_sample("painting", tmp_path / "other.h5", size=32, counts=300, seed=2)
    assert again(tmp_path / "other.h5").autosave.offer is None


def test_a_damaged_file_is_told_and_no_longer_offered(worked, painting_file, settings_folder, notified, monkeypatch):
    monkeypatch.setattr("napari_cubeseg.autosave.show_error", notified.append)
    next((settings_folder / "kept").glob("*.base.h5")).unlink()
    other = again(painting_file)
    other.autosave.bring_back()
    assert "no longer beside it" in notified[-1]
    assert other.autosave.offer is None
    assert other.result is None


def test_a_folder_that_cannot_be_written_is_told_once(session, settings_folder, notified, monkeypatch):
    monkeypatch.setattr("napari_cubeseg.autosave.show_error", notified.append)
    (settings_folder / "kept").write_text("in the way")
    session.runner = at_once
    session.start(QUICK)
    paint(session.labels_layer, (0, 4), (0, 4), 9)
    session.workbench.rename(3, "azurite")
    told = [text for text in notified if "not kept" in text]
    assert len(told) == 1
    assert session.result.info(3).name == "azurite"


def test_only_the_newest_are_kept(worked, settings_folder, monkeypatch):
    monkeypatch.setattr(autosave, "_MOST", 1)
    worked.start(QUICK)
    assert len(files(settings_folder)) == 2
    assert np.all([f.endswith(".h5") for f in files(settings_folder)])


def test_closing_writes_what_is_pending(worked, painting_file, monkeypatch):
    monkeypatch.setattr(autosave, "_DELAY", 1000.0)
    jobs = []
    worked.runner = lambda *arguments, **_: jobs.append(arguments)
    worked.workbench.rename(3, "smalt")
    worked.stop_work()
    other = again(painting_file)
    other.autosave.bring_back()
    assert other.result.info(3).name == "smalt"
