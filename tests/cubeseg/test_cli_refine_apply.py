"""``cubeseg refine`` and ``cubeseg apply`` as programs use them: kinds of files, errors, nothing half-written."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from cubeseg import editing, load
from cubeseg.cli import main
from cubeseg.samples import write_sample


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("refine")
    write_sample("painting", made / "cube.h5", size=32, counts=300, seed=1)
    assert main(["segment", str(made / "cube.h5"), "-o", str(made / "r.h5"), "--method", "pca", "--clusters", "5"]) == 0
    return made


def corrections():
    painted = np.zeros((32, 32), np.uint8)
    painted[4:9, 4:9] = 9
    painted[20, 20:25] = 2
    return painted


WRITERS = {
    "p.npy": lambda path, p: np.save(path, p),
    "p.tif": lambda path, p: tifffile.imwrite(path, p),
    "p.png": lambda path, p: Image.fromarray(p).save(path),
    "p.mat": lambda path, p: savemat(path, {"painted": p}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_corrections_of_every_kind(folder, tmp_path, capsys, name):
    WRITERS[name](tmp_path / name, corrections())
    out = tmp_path / "new.h5"
    code, said, err = run(capsys, "refine", folder / "r.h5", "--corrections", tmp_path / name, "-o", out)
    assert (code, err) == (0, "")
    assert said.startswith(f"{out}: 6 classes")
    made = load(out)
    painted = corrections()
    assert (made.labels[painted > 0] == painted[painted > 0]).all()
    assert made.painted.sum() == (painted > 0).sum()
    assert [entry["operation"] for entry in made.log] == ["paint", "refine"]
    code, out_text, _ = run(capsys, "score", out, folder / "cube.truth.npy")
    assert code == 0
    assert "ari" in out_text


def test_what_was_painted_in_the_result_counts(folder, tmp_path, capsys):
    base = load(folder / "r.h5")
    painted = corrections().ravel()
    where = np.flatnonzero(painted)
    editing.paint(base, where, painted[where].astype(int)).do()
    base.save(tmp_path / "painted.h5")
    assert run(capsys, "refine", tmp_path / "painted.h5", "-o", tmp_path / "new.h5")[0] == 0
    assert (load(tmp_path / "new.h5").labels.flat[where] == painted[where]).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["refine", "r.h5"], "-o/--output"),
        (["refine", "r.h5", "-o", "x.h5"], "nothing was painted"),
        (["refine", "cube.h5", "-o", "x.h5"], "no result of cubeseg"),
        (["refine", "none.h5", "-o", "x.h5"], "no such file"),
        (["refine", "r.h5", "--corrections", "none.npy", "-o", "x.h5"], "none.npy"),
        (["refine", "r.h5", "--corrections", "small.npy", "-o", "x.h5"], "small.npy"),
        (["refine", "r.h5", "--corrections", "empty.npy", "-o", "x.h5"], "nothing was painted"),
        (["refine", "r.h5", "--corrections", "p.npy", "-o", "nowhere/x.h5"], "does not exist"),
        (["refine", "r.h5", "--corrections", "p.npy", "-o", "r.h5"], "one of the inputs"),
        (["refine", "r.h5", "--corrections", "p.npy", "-o", "x.h5", "--epochs", "-1"], "epochs"),
        (["refine", "gone.h5", "--corrections", "p.npy", "-o", "x.h5"], "--cube"),
        (["apply", "r.h5", "-o", "x.h5"], "cube"),
        (["apply", "r.h5", "none.h5", "-o", "x.h5"], "none.h5"),
        (["apply", "cube.h5", "cube.h5", "-o", "x.h5"], "no result of cubeseg"),
        (["apply", "r.h5", "cube.h5", "-o", "r.h5"], "one of the inputs"),
        (["apply", "r.h5", "cube.h5", "-o", "x.h5", "--axis", "100,0.01 keV"], "at least half"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(folder, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(folder)
    np.save("p.npy", corrections())
    np.save("small.npy", corrections()[:5, :5])
    np.save("empty.npy", np.zeros((32, 32), np.uint8))
    base = load("r.h5")
    object.__setattr__(base.source, "path", str(folder / "moved.h5"))
    base.save("gone.h5")
    before = sorted(p.name for p in folder.iterdir())
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(p.name for p in folder.iterdir()) == before


def test_a_refined_result_is_applied_with_its_new_class(folder, tmp_path, capsys):
    np.save(tmp_path / "p.npy", corrections())
    refined, other = tmp_path / "refined.h5", tmp_path / "other.h5"
    assert run(capsys, "refine", folder / "r.h5", "--corrections", tmp_path / "p.npy", "-o", refined)[0] == 0
    assert run(capsys, "apply", refined, folder / "cube.h5", "-o", other)[0] == 0
    first, second = load(refined), load(other)
    assert second.classes == first.classes
    free = ~first.painted
    assert (first.labels[free] == second.labels[free]).mean() > 0.98
    assert (second.labels == 9).sum() > 0.5 * (first.labels == 9).sum()
    assert second.painted is None
