"""A series of cubes: one dictionary, one result each; what does not fit is named and the rest goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cubeseg import FitConfig, load
from cubeseg.cli import main
from cubeseg.cube import Source
from cubeseg.samples import leaf, write_leaf, write_sample
from cubeseg.steps import finish
from cubeseg.training.series import segment_series
from tests.cubeseg.cubes import counts_cube

FAST = ("--method", "global", "--clusters", "4", "--epochs", "3", "--config")


@pytest.fixture(scope="module", autouse=True)
def short_epochs():
    """Few steps are enough for small cubes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cubeseg.training.lessons._STEPS", 5)
        yield


@pytest.fixture
def quick(tmp_path):
    path = tmp_path / "quick.toml"
    path.write_text("patch = 16\nthreads = 1\n")
    return path


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_class_means_the_same_in_each_and_may_be_absent(tmp_path, capsys, quick):
    days = [0, 3, 6]
    for day in days:
        write_leaf(tmp_path / f"day{day}.h5", size=96, day=day, seed=3, n_bands=61)
    code, out, err = run(
        capsys, "segment", *(tmp_path / f"day{d}.h5" for d in days), "-o", tmp_path / "out", *FAST, quick
    )
    assert code == 0
    assert len(out.splitlines()) == 3
    results = [load(tmp_path / "out" / f"day{d}.h5") for d in days]
    truths = [np.load(tmp_path / f"day{d}.truth.npy") for d in days]
    assert all(np.array_equal(r.centroids, results[0].centroids) for r in results)
    assert all(r.tree == results[0].tree for r in results)
    board = [np.bincount(r.labels[t == 1]).argmax() for r, t in zip(results, truths, strict=True)]
    dead = int(np.bincount(results[2].labels[truths[2] == 4]).argmax())
    assert len(set(board)) == 1
    assert dead not in board
    # the lesion is there on the last day and hardly on the first
    assert results[2].pixels(dead) > 100
    assert results[0].pixels(dead) < 0.2 * results[2].pixels(dead)
    assert [c.id for c in results[0].classes] == [c.id for c in results[2].classes]
    assert "Traceback" not in err


def test_one_unreadable_cube_is_named_and_the_rest_goes_on(tmp_path, capsys, quick):
    write_leaf(tmp_path / "a.h5", size=64, day=5, seed=1, n_bands=31)
    write_leaf(tmp_path / "c.h5", size=64, day=5, seed=2, n_bands=31)
    (tmp_path / "b.h5").write_bytes(b"not a cube")
    files = [tmp_path / f"{n}.h5" for n in "abc"]
    code, out, err = run(capsys, "segment", *files, "-o", tmp_path / "out", *FAST, quick)
    assert code == 2
    assert "b.h5" in err
    assert "2 of 3 cubes were segmented" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.h5", "c.h5", "summary.csv"]
    assert len(out.splitlines()) == 2


def test_another_axis_is_resampled_an_uncalibrated_one_refused_with_its_name(tmp_path, capsys, quick):
    write_leaf(tmp_path / "a.h5", size=64, day=5, seed=1, n_bands=61)
    write_leaf(tmp_path / "b.h5", size=64, day=5, seed=1, n_bands=31)
    write_sample("painting", tmp_path / "c.h5", size=32)
    files = [tmp_path / n for n in ("a.h5", "b.h5", "c.h5")]
    code, _, err = run(capsys, "segment", *files, "-o", tmp_path / "out", *FAST, quick)
    assert code == 2
    assert "c.h5" in err
    assert "Wavelength" in err
    assert "Energy" in err
    first, second = (load(tmp_path / "out" / f"{n}.h5") for n in "ab")
    assert (len(first.axis), len(second.axis)) == (61, 31)
    assert second.spectra.total.shape[1] == 31
    truth = np.load(tmp_path / "b.truth.npy")
    assert np.bincount(first.labels[truth == 1]).argmax() == np.bincount(second.labels[truth == 1]).argmax()


def test_a_cube_that_breaks_while_it_is_read_is_named():
    good = leaf(64, 5, 1, n_bands=31).cube

    class Broken:
        shape, dtype, ndim = good.data.shape, good.data.dtype, 3

        def __getitem__(self, key):
            raise OSError("Input/output error")

    bad = replace(good, data=Broken(), source=Source("/scans/broken.h5"))
    config, kept = FitConfig(method="global", patch=16, clusters=(3, 3), epochs=2), []
    done = finish(segment_series([lambda: bad, lambda: good], config, lambda index, _: kept.append(index)))
    assert kept == [1]
    assert "broken.h5" in str(done.failed[0])


def test_counts_and_reflectance_do_not_mix():
    cubes = [leaf(48, 5, 1, n_bands=64).cube, counts_cube()[0]]
    config = FitConfig(method="global", patch=16, clusters=(3, 3), epochs=2)
    done = finish(segment_series([lambda c=c: c for c in cubes], config, lambda *_: None))
    assert list(done.failed) == [1]
    assert "Wavelength" in str(done.failed[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["A", "B", "-o", "out.h5", "--method", "deep"], "is the name of a file"),
        (["A", "B", "-o", "out", "--each", "--first"], "not allowed with"),
        (["A", "B", "-o", "out", "--model", "none.h5"], "no such file"),
        (["A", "B", "-o", "out", "--model", "none.h5", "--epochs", "2"], "leave the others out"),
        (["A", "B", "-o", "none/out", "--method", "global"], "does not exist"),
        (["A", "B", "-o", "A", "--method", "global"], "is a file"),
        (["none.h5", "gone.h5", "-o", "out", "--method", "global"], "no cube of the series can be used"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    for name in "AB":
        write_leaf(tmp_path / f"{name}.h5", size=48, n_bands=16)
    arguments = [f"{a}.h5" if a in ("A", "B") else a for a in arguments]
    before = sorted(p.name for p in tmp_path.iterdir())
    code, out, err = run(capsys, "segment", *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_names_that_are_the_same_get_a_number(tmp_path, capsys, quick):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write_leaf(tmp_path / name / "leaf.h5", size=48, seed=1, n_bands=16)
    files = [tmp_path / n / "leaf.h5" for n in "xy"]
    assert run(capsys, "segment", *files, "-o", tmp_path / "out", *FAST, quick)[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["leaf-2.h5", "leaf.h5", "summary.csv"]
