"""Many cubes into one folder: a model each or one for all, the table, going on, taking up again; and ``--force``."""

from __future__ import annotations

import csv
import os
import re
import shutil

import numpy as np
import pytest

from cubeseg import load
from cubeseg.cli import main
from cubeseg.errors import JobError
from cubeseg.samples import write_leaf, write_sample

PCA = ("--method", "pca", "--clusters", 4)


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def table(folder):
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    for seed, name in enumerate("abc"):
        write_leaf(folder / f"{name}.h5", size=32, seed=seed, n_bands=16)
    (folder / "bad.h5").write_bytes(b"no cube")
    return folder


def paths(cubes, names):
    return [cubes / f"{name}.h5" for name in names]


def test_a_model_each(cubes, tmp_path, capsys):
    (tmp_path / "run.toml").write_text('method = "pca"\nclusters = 4\nseed = 3\n')
    out = tmp_path / "out"
    code, said, err = run(
        capsys, "segment", *paths(cubes, ["a", "bad", "c"]), "-o", out, "--config", tmp_path / "run.toml"
    )
    assert code == 2
    assert "2 of 3 cubes were segmented; not: " in err
    assert "bad.h5" in err
    assert len(said.splitlines()) == 2
    rows = table(out)
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert rows[1]["message"]
    assert not rows[1]["result"]
    first, third = load(out / "a.h5"), load(out / "c.h5")
    assert not np.array_equal(first.centroids, third.centroids)
    assert first.config == third.config
    assert int(rows[0]["pixels"]) == (first.labels > 0).sum()
    assert int(rows[0]["classes"]) == first.n_clusters
    same = (first.labels[1:] == first.labels[:-1]).sum() + (first.labels[:, 1:] == first.labels[:, :-1]).sum()
    assert float(rows[0]["agreement"]) == pytest.approx(same / (2 * 31 * 32), abs=1e-4)
    assert float(rows[0]["seconds"]) >= 0


def test_one_model_for_all(cubes, tmp_path, capsys):
    out, again = tmp_path / "out", tmp_path / "again"
    assert run(capsys, "segment", *paths(cubes, "abc"), "-o", out, "--first", *PCA)[0] == 0
    results = [load(out / f"{name}.h5") for name in "abc"]
    assert [len(r.log) for r in results] == [0, 1, 1]
    assert results[1].log[0]["operation"] == "apply"
    assert all(np.array_equal(r.centroids, results[0].centroids) for r in results)
    assert run(capsys, "segment", *paths(cubes, "bc"), "-o", again, "--model", out / "a.h5")[0] == 0
    assert all((load(again / f"{n}.h5").labels == load(out / f"{n}.h5").labels).all() for n in "bc")


@pytest.mark.slow
def test_each_with_patches_learns_a_dictionary_each(cubes, tmp_path, capsys):
    (tmp_path / "c.toml").write_text("patch = 16\nepochs = 1\nclusters = 3\n")
    given = ["--method", "global", "--config", tmp_path / "c.toml"]
    assert run(capsys, "segment", *paths(cubes, "ab"), "-o", tmp_path / "out", "--each", *given)[0] == 0
    first, second = (load(tmp_path / "out" / f"{name}.h5") for name in "ab")
    assert not np.array_equal(first.centroids, second.centroids)
    assert "series" not in first.run


@pytest.mark.parametrize("how", [[], ["--first"]])
def test_resume_makes_only_what_is_not_whole(cubes, tmp_path, capsys, how):
    out, files = tmp_path / "out", tmp_path / "cubes"
    shutil.copytree(cubes, files)
    command = ["segment", *paths(files, "abc"), "-o", out, *how, "--resume"]
    assert run(capsys, *command, *PCA)[0] == 0
    times = {name: os.stat(out / f"{name}.h5").st_mtime_ns for name in "abc"}
    (out / "b.h5").write_bytes((out / "b.h5").read_bytes()[:-3000])
    write_leaf(files / "c.h5", size=32, seed=9, n_bands=16)
    assert run(capsys, *command, *PCA)[0] == 0
    assert [row["status"] for row in table(out)] == ["kept", "done", "done"]
    assert os.stat(out / "a.h5").st_mtime_ns == times["a"]
    assert load(out / "b.h5").n_clusters == 4
    if how:
        # those that were labelled with the model of the first were not trained themselves
        assert run(capsys, "segment", *paths(files, "abc"), "-o", out, "--each", "--resume", *PCA)[0] == 0
        assert [row["status"] for row in table(out)] == ["kept", "done", "done"]
    # with other options everything is made anew
    assert run(capsys, *command, "--method", "pca", "--clusters", 3)[0] == 0
    assert [row["status"] for row in table(out)] == ["done"] * 3


@pytest.mark.slow
def test_resume_of_a_series_under_one_dictionary(cubes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cubeseg.training.lessons._STEPS", 3)
    (tmp_path / "c.toml").write_text('method = "global"\npatch = 16\nepochs = 1\nclusters = 3\n')
    out = tmp_path / "out"
    command = ["segment", *paths(cubes, ["a", "bad", "c"]), "-o", out, "--config", tmp_path / "c.toml", "--resume"]
    assert run(capsys, *command)[0] == 2
    assert [row["status"] for row in table(out)] == ["done", "failed", "done"]
    assert run(capsys, *command)[0] == 2
    assert [row["status"] for row in table(out)] == ["kept", "failed", "kept"]
    # one is missing: the dictionary is that of all, so all are made anew
    (out / "c.h5").unlink()
    assert run(capsys, *command)[0] == 2
    assert [row["status"] for row in table(out)] == ["done", "failed", "done"]


def test_failures_alone_are_exit_1_and_the_rest_goes_on(cubes, tmp_path, capsys, monkeypatch):
    import cubeseg.training.fitting as fitting

    real = fitting._fit

    def fails(cube, *rest):
        if cube.source.name == "a":
            raise JobError("a.h5: the computation failed")
        if cube.source.name == "b":
            raise ZeroDivisionError("odd\nmore")
        return (yield from real(cube, *rest))

    monkeypatch.setattr(fitting, "_fit", fails)
    code, _, err = run(capsys, "segment", *paths(cubes, "abc"), "-o", tmp_path / "out", *PCA)
    assert code == 1
    assert "b.h5: ZeroDivisionError: odd" in err
    assert err.count("\n") == 1
    assert [row["status"] for row in table(tmp_path / "out")] == ["failed", "failed", "done"]


def test_results_that_are_there_are_not_replaced_unless_forced(tmp_path, capsys):
    cube, result, out = tmp_path / "p.h5", tmp_path / "r.h5", tmp_path / "out"
    np.save(tmp_path / "painted.npy", np.pad(np.full((3, 3), 2, np.uint8), (0, 13)))
    commands = [
        ["sample", "painting", "-o", cube, "--size", 16, "--counts", 300],
        ["segment", cube, "-o", result, *PCA],
        ["segment", result, "-o", tmp_path / "fewer.h5", "--clusters", 2],
        ["refine", result, "--corrections", tmp_path / "painted.npy", "-o", tmp_path / "refined.h5"],
        ["apply", result, cube, "-o", tmp_path / "applied.h5"],
        ["report", result, "-o", tmp_path / "report.html"],
        ["replay", result, cube, "-o", tmp_path / "replayed.h5"],
        ["segment", cube, cube, "-o", out, *PCA],
    ]
    for command in commands:
        assert run(capsys, *command)[0] == 0, command
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for command in commands:
        code, said, err = run(capsys, *command)
        assert (code, said, err.count("\n")) == (2, "", 1)
        assert re.search("(is|are) there already; add --force", err), err
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    for command in [commands[1], commands[5], commands[7]]:
        assert run(capsys, *command, "--force")[0] == 0, command


def test_the_truth_of_a_sample_is_not_replaced_either(tmp_path, capsys):
    (tmp_path / "p.truth.npy").write_bytes(b"mine")
    code, _, err = run(capsys, "sample", "painting", "-o", tmp_path / "p.h5", "--size", 16)
    assert code == 2
    assert "p.truth.npy: is there already" in err
    write_sample("painting", tmp_path / "q.h5", size=16)
    write_sample("painting", tmp_path / "q.h5", size=16)
