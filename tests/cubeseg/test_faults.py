"""Killed, full, forbidden, at once, gone: a file is there whole or not at all; hundreds of kills: make faults."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from benchmarks.faults import fault_of, kill_many, result_file

from cubeseg import load
from cubeseg.cli import main
from cubeseg.errors import DataError
from cubeseg.exporting import export
from cubeseg.files import written, written_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("faults")
    result_file(made)
    return made


def test_killed_while_saving(folder, tmp_path):
    counts = kill_many("save", 5, 0, tmp_path, folder / "cube.h5", folder / "first.h5")
    assert counts["FAULTS"] == 0
    assert counts["files looked at"] >= 1
    assert counts["most leftovers at a time"] <= 1
    load(folder / "first.h5").save(tmp_path / "save" / "saved.h5")
    assert [p.name for p in (tmp_path / "save").iterdir()] == ["saved.h5"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["save", "export", "zarr", "segment"])
def test_killed_a_hundred_times(folder, tmp_path, what):
    counts = kill_many(what, 100, 1, tmp_path, folder / "cube.h5", folder / "first.h5")
    assert counts["FAULTS"] == 0
    assert counts["kills amid writing"] > 0


def test_killed_while_a_folder_is_written(folder, tmp_path):
    counts = kill_many("zarr", 5, 0, tmp_path, folder / "cube.h5", folder / "first.h5")
    assert counts["FAULTS"] == 0
    assert counts["files looked at"] >= 5
    export(load(folder / "first.h5"), tmp_path / "zarr", ["zarr"], "e")
    assert [p.name for p in (tmp_path / "zarr").iterdir()] == ["e-labels.zarr"]


@pytest.mark.parametrize("swaps", [True, False])
def test_a_folder_takes_the_place_of_another_whole(tmp_path, monkeypatch, swaps):
    if not swaps:
        monkeypatch.setattr("cubeseg.files._exchanged", lambda one, other: False)
    target = tmp_path / "f"
    for text in ("old", "new"):
        with written_folder(target) as temporary:
            (temporary / "deep").mkdir()
            (temporary / "deep" / text).write_text(text)
    assert [p.name for p in target.rglob("*")] == ["deep", "new"]

    def stopped():
        with written_folder(target) as temporary:
            (temporary / "newest").write_text("x")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        stopped()
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert [p.name for p in target.rglob("*")] == ["deep", "new"]
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "file").write_text("x")
    for name in ("link", "file"):
        with pytest.raises(DataError, match="no folder"), written_folder(tmp_path / name):
            pass


def test_leftovers_of_the_living_and_of_others_stay(tmp_path):
    target = tmp_path / "r.h5"
    with written(target) as other:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        mine = str(os.getpid())
        stale = other.with_name(other.name.replace(f"-{mine}.", f"-{dead.pid}."))
        elsewhere = other.with_name(f".r.h5.ffffff-{dead.pid}.abc.part")
        unlike = other.with_name(".r.h5.mine.part")
        for path in (stale, elsewhere, unlike):
            path.write_bytes(b"x")
        with written(target) as temporary:
            temporary.write_bytes(b"new")
        assert other.exists()
        assert not stale.exists()
        assert elsewhere.exists()
        assert unlike.exists()
        other.write_bytes(b"newest")
    assert target.read_bytes() == b"newest"


def test_a_full_disk_leaves_the_old_file(folder, tmp_path, monkeypatch):
    result, path = load(folder / "first.h5"), tmp_path / "r.h5"
    result.save(path)
    before = path.read_bytes()
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:

            def full(*_):
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(*((os, name) if name == "fsync" else (Path, name)), full)
            with pytest.raises(DataError, match="disk is full"):
                result.save(path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_only_be_read(folder, tmp_path, capsys, monkeypatch, code):
    def forbidden(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "mkstemp", forbidden)
    for command in (
        ["segment", folder / "cube.h5", "-o", tmp_path / "r.h5", "--method", "pca"],
        ["report", folder / "first.h5", "-o", tmp_path / "r.html"],
        ["sample", "painting", "-o", tmp_path / "p.h5", "--size", "16"],
    ):
        assert main([str(a) for a in command]) == 2
        err = capsys.readouterr().err
        assert "writing there is not permitted" in err
        assert err.splitlines()[-1].startswith("cubeseg: ")
    assert not list(tmp_path.iterdir())


def test_a_result_whose_cube_is_gone(folder, tmp_path, capsys):
    from cubeseg.samples import write_sample

    cube, result = tmp_path / "c.h5", tmp_path / "r.h5"
    write_sample("painting", cube, size=16, counts=300)
    assert main(["segment", str(cube), "-o", str(result), "--method", "pca", "--clusters", "3"]) == 0
    cube.unlink()
    assert load(result).n_clusters == 3
    assert main(["export", str(result), "-o", str(tmp_path / "out")]) == 0
    assert main(["report", str(result), "-o", str(tmp_path / "r.html")]) == 0
    capsys.readouterr()
    for command, said in (
        (["refine", result, "--corrections", tmp_path / "c.truth.npy", "-o", tmp_path / "n.h5"], "name it with --cube"),
        (["export", result, "-o", tmp_path / "o", "--format", "overlay"], "give --cube"),
        (["replay", result, cube], "no such file"),
    ):
        assert main([str(a) for a in command]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_two_write_and_one_reads_the_same_file(folder, tmp_path):
    path = tmp_path / "r.h5"
    first = load(folder / "first.h5")
    first.labels[...] = 1
    first.save(path)
    ended, faults = threading.Event(), []

    def write(label):
        result = load(folder / "first.h5")
        result.labels[...] = label
        for _ in range(8):
            result.save(path)

    def read():
        while not ended.is_set():
            fault = fault_of(path)
            if fault:
                faults.append(fault)

    reader = threading.Thread(target=read)
    reader.start()
    code = (
        "import sys; from cubeseg import load; r = load(sys.argv[1]); r.labels[...] = 2\n"
        "for _ in range(8): r.save(sys.argv[2])"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(folder / "first.h5"), str(path)])
    write(3)
    assert other.wait(120) == 0
    ended.set()
    reader.join()
    assert faults == []
    assert set(load(path).labels.ravel().tolist()) <= {2, 3}
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]
