"""Training again from the record, with every operation by hand: exact here, told where it cannot be."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest

import cubeseg
from cubeseg import FitConfig, editing, load, open_cube, segment
from cubeseg.cli import main
from cubeseg.editing.edits import counted
from cubeseg.editing.hierarchy import coarser
from cubeseg.editing.reclustering import reclustered, regrouped
from cubeseg.editing.relabel import recohered
from cubeseg.errors import DataError
from cubeseg.record.content import known_digest, whole_digest
from cubeseg.record.logbook import entry
from cubeseg.samples import write_leaf, write_sample
from cubeseg.steps import finish
from cubeseg.training.refining import RefineConfig, refine
from cubeseg.training.replaying import replay

METHODS = ("pca", "deep", "unmix")


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module", autouse=True)
def short_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cubeseg.training.lessons._STEPS", 5)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("replay")
    write_sample("painting", made / "cube.h5", size=32, counts=300, seed=1)
    return made


@pytest.fixture(scope="module")
def cube(folder):
    return open_cube(folder / "cube.h5")


@pytest.fixture(scope="module")
def fresh(cube):
    return segment(cube, FitConfig(method="pca", clusters=(5, 5), seed=3))


def do(edit, cube):
    edit.do()
    for part in edit.pixels:
        if part.sums is None:
            edit.count(part, finish(counted(part, cube, edit.result.labels.shape[1])))
    return edit


def everything(result, cube, seed=0):
    """Every operation there is, in a row, as the viewer does them."""
    rng = np.random.default_rng(seed)
    size = result.labels.size
    stroke = do(editing.paint(result, np.arange(40, 60), np.full(20, 2)), cube)
    stroke.extend(do(editing.paint(result, np.arange(50, 70), np.full(20, 9)), cube))
    stroke.extend(do(editing.paint(result, np.arange(50, 70), np.full(20, 3)), cube))
    do(editing.rename(result, 1, "lead white"), cube)
    do(editing.recolour(result, 1, "#123456"), cube)
    do(editing.annotate(result, 2, "see the X-ray"), cube)
    do(editing.merge(result, [4, 5]), cube)
    do(editing.lock(result, [3]), cube)
    do(editing.split(result, 1, 2), cube)
    do(editing.show(result, [1, 2]), cube)
    do(editing.reorder(result, [4, 2, 1]), cube)
    result = finish(recohered(result, cube, 0.4))
    result = finish(reclustered(result, cube, regrouped(result, 6)))
    where = rng.choice(size, 60, replace=False)
    do(editing.paint(result, where, rng.integers(1, 4, 60)), cube)
    result = finish(refine(result, cube, config=RefineConfig(threads=1)))
    result = coarser(result, len(result.classes) - 1)
    do(editing.delete(result, [result.classes[-1].id]) if not result.classes[-1].locked else
       editing.delete(result, [next(c.id for c in result.classes if not c.locked)]), cube)  # fmt: skip
    result.log.append(entry("calibrate", axis="0.5,0.04 keV", before=""))
    return result


def test_every_operation_is_done_again(tmp_path, fresh, cube):
    result = everything(fresh.copy(), cube)
    operations = {said["operation"] for said in result.log}
    assert len(operations) == 15
    result.save(tmp_path / "r.h5")
    found = finish(replay(load(tmp_path / "r.h5"), cube))
    assert (found.missed, found.other, found.content, found.agreement, found.agrees) == ([], [], "", 1.0, True)
    assert found.result.classes == result.classes
    assert [said["operation"] for said in found.result.log] == [said["operation"] for said in result.log]
    assert found.result.axis.values[1] == pytest.approx(0.54)
    np.testing.assert_allclose(found.result.spectra.total, result.spectra.total, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_training_comes_out_the_same(tmp_path, capsys, folder, method):
    out, toml = tmp_path / "r.h5", tmp_path / "c.toml"
    toml.write_text("patch = 16\n")
    given = ["--method", method, "--clusters", "3:5", "--epochs", 2, "--seed", 7, "--config", toml]
    assert run(capsys, "segment", folder / "cube.h5", "-o", out, *given)[0] == 0
    code, said, err = run(capsys, "replay", out, folder / "cube.h5", "-o", tmp_path / "again.h5")
    assert (code, err) == (0, "")
    assert said.startswith("1024 of 1024 pixels")
    assert (load(tmp_path / "again.h5").labels == load(out).labels).all()


def test_corrections_of_the_command_line_are_replayed(tmp_path, capsys, folder, fresh):
    painted = np.zeros((32, 32), np.uint8)
    painted[4:9, 4:9], painted[20, 20:25] = 9, 2
    np.save(tmp_path / "p.npy", painted)
    fresh.save(tmp_path / "r.h5")
    new = tmp_path / "new.h5"
    assert run(capsys, "refine", tmp_path / "r.h5", "--corrections", tmp_path / "p.npy", "-o", new)[0] == 0
    code, out, _ = run(capsys, "replay", new, folder / "cube.h5", "--json")
    facts = json.loads(out)
    assert (code, facts["agrees"], facts["agreement"], facts["operations"]) == (0, True, 1.0, 2)


def test_other_labels_are_exit_1_and_say_what_differs(tmp_path, capsys, folder, fresh):
    fresh.save(tmp_path / "r.h5")
    other = tmp_path / "other.h5"
    write_sample("painting", other, size=32, counts=300, seed=2)
    code, out, err = run(capsys, "replay", tmp_path / "r.h5", other)
    assert code == 1
    assert "the cube (SHA-256" in err
    assert err.count("\n") == 1
    assert "content of cube SHA-256" in out


def test_another_version_may_change_one_pixel_in_a_hundred(tmp_path, capsys, folder, fresh):
    result = fresh.copy()
    result.run = json.loads(json.dumps(result.run))
    result.run["versions"]["torch"] = "1.0"
    result.labels[0, :9] = result.labels[0, :9] % 5 + 1
    result.save(tmp_path / "r.h5")
    code, out, _ = run(capsys, "replay", tmp_path / "r.h5", folder / "cube.h5")
    assert code == 0
    assert "torch 1.0, now" in out
    result.labels[1, :9] = result.labels[1, :9] % 5 + 1
    result.save(tmp_path / "s.h5")
    code, _, err = run(capsys, "replay", tmp_path / "s.h5", folder / "cube.h5")
    assert code == 1
    assert "99 % must; what differs: torch 1.0" in err


def test_one_wrong_pixel_is_seen_on_the_same_machine(tmp_path, capsys, folder, fresh):
    result = fresh.copy()
    result.labels[0, 0] = result.labels[0, 0] % 5 + 1
    result.save(tmp_path / "r.h5")
    code, _, err = run(capsys, "replay", tmp_path / "r.h5", folder / "cube.h5")
    assert code == 1
    assert "100 % must" in err


def test_a_file_of_before_tells_that_nothing_is_known(fresh, cube):
    result = fresh.copy()
    result.run = {}
    found = finish(replay(result, cube))
    assert found.other == ["versions, machine and device were not recorded"]
    assert (found.wanted, found.agreement) == (0.99, 1.0)


def test_an_operation_that_cannot_be_done_again_is_named(fresh, cube):
    result = fresh.copy()
    editing.rename(result, 1, "x").do()
    result.log[-1]["class"] = 99
    found = finish(replay(result, cube))
    assert found.missed == ["rename: there is no class 99; the classes are [1, 2, 3, 4, 5]"]


@pytest.mark.slow
def test_a_series_is_learned_again_from_all_its_cubes(tmp_path, capsys):
    for name, day in (("a", 2), ("b", 6)):
        write_leaf(tmp_path / f"{name}.h5", size=48, day=day, seed=1, n_bands=16)
    (tmp_path / "c.toml").write_text("patch = 16\nmethod = 'global'\nclusters = 3\nepochs = 2\n")
    files = [tmp_path / "a.h5", tmp_path / "b.h5"]
    assert run(capsys, "segment", *files, "-o", tmp_path / "out", "--config", tmp_path / "c.toml")[0] == 0
    code, out, _ = run(capsys, "replay", tmp_path / "out" / "b.h5", tmp_path / "b.h5")
    assert code == 0
    assert out.startswith("2304 of 2304")
    # the cube that is named may lie elsewhere; the others must be where they were
    shutil.move(tmp_path / "b.h5", tmp_path / "moved.h5")
    assert run(capsys, "replay", tmp_path / "out" / "b.h5", tmp_path / "moved.h5")[0] == 0
    (tmp_path / "a.h5").unlink()
    code, _, err = run(capsys, "replay", tmp_path / "out" / "b.h5", tmp_path / "moved.h5")
    assert code == 2
    assert "a.h5 can no longer be found" in err


@pytest.mark.parametrize("case", ["applied", "size", "old"])
def test_what_cannot_be_replayed_says_why(tmp_path, fresh, cube, case):
    result = fresh.copy()
    if case == "applied":
        result, said = finish(cubeseg.apply(fresh, cube)), "was labelled by the model"
    elif case == "size":
        cube, said = replace(cube, data=cube.data[:, :-1], mask=None), "is another cube"
    else:
        editing.paint(result, np.arange(3), np.full(3, 2)).do()
        result.save(tmp_path / "r.h5")
        with h5py.File(tmp_path / "r.h5", "a") as file:
            # as layout 2 was
            file.attrs["version"] = 2
            del file["changes"]
            record = json.loads(file["record"][()])
            del record["run"]
            record["log"] = [{"operation": "paint", "pixels": 3, "labels": [2]}]
            del file["record"]
            file["record"] = json.dumps(record)
        result, said = load(tmp_path / "r.h5"), "older than the record"
        assert (result.run, result.log[0]["pixels"]) == ({}, 3)
    with pytest.raises(DataError, match=said):
        finish(replay(result, cube))


def test_what_the_record_tells(tmp_path, capsys, folder):
    out = tmp_path / "r.h5"
    assert run(capsys, "segment", folder / "cube.h5", "-o", out, "--method", "pca", "--seed", 5)[0] == 0
    told = load(out).run
    assert {"python", "cubeseg", "torch", "numpy", "scikit-learn", "scipy", "h5py"} <= told["versions"].keys()
    assert (told["seed"], told["device"], told["source"]["path"]) == (5, "cpu", str(folder / "cube.h5"))
    assert told["threads"] >= 1
    assert told["begun"].endswith("+00:00")
    assert told["seconds"] >= 0
    import hashlib

    assert told["sha256"] == hashlib.sha256((folder / "cube.h5").read_bytes()).hexdigest()


def test_a_large_file_is_hashed_only_when_asked_and_only_once(tmp_path, capsys, folder, monkeypatch):
    monkeypatch.setenv("CUBESEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("cubeseg.record.content.QUICK", 1000)
    path, out = tmp_path / "cube.h5", tmp_path / "r.h5"
    shutil.copy(folder / "cube.h5", path)
    assert run(capsys, "segment", path, "-o", out, "--method", "pca")[0] == 0
    assert load(out).run["sha256"] == ""
    out.unlink()
    assert run(capsys, "segment", path, "-o", out, "--method", "pca", "--hash")[0] == 0
    assert len(load(out).run["sha256"]) == 64
    assert known_digest(path) == load(out).run["sha256"]
    assert list(whole_digest(path)) == []
    with path.open("ab") as file:
        file.write(b"x")
    assert known_digest(path) == ""
    assert list(whole_digest(path)) != []


def test_entries_tell_when_and_what_there_was_before(fresh):
    result = fresh.copy()
    editing.rename(result, 1, "new").do()
    editing.lock(result, [2]).do()
    editing.merge(result, [1, 3]).do()
    first, second, third = result.log
    assert (first["before"], first["name"], second["before"]) == ("class 1", "new", [])
    assert third["before"] == {"1": fresh.pixels(1), "3": fresh.pixels(3)}
    assert all(said["when"].endswith("+00:00") for said in result.log)
