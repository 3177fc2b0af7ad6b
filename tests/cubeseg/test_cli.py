"""The command line as other programs use it: output, exit codes, one clear line, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cubeseg.cli import main
from tests.conftest import real


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_whole_line(tmp_path, capsys):
    cube, result = tmp_path / "p.h5", tmp_path / "r.h5"
    assert run(capsys, "sample", "painting", "-o", cube, "--size", 40, "--tier", 1)[0] == 0
    code, out, _ = run(capsys, "info", cube, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["shape"] == [1024, 40, 40]
    assert (facts["dtype"], facts["unit"], facts["noise"], facts["masked_pixels"]) == ("uint16", "keV", "poisson", 0)
    assert facts["spectral_axis"]["kind"] == "energy"
    assert "Energy 0.5 to 38.5 keV" in run(capsys, "info", cube)[1]
    code, out, err = run(capsys, "segment", cube, "-o", result, "--clusters", 5, "--epochs", 3, "--seed", 1)
    assert (code, err) == (0, "")
    code, out, _ = run(capsys, "score", result, tmp_path / "p.truth.npy", "--json")
    scores = json.loads(out)
    assert scores.keys() == {"ari", "nmi", "accuracy", "miou", "n_clusters"}
    assert scores["ari"] > 0.85
    code, out, _ = run(capsys, "export", result, "-o", tmp_path / "out", "--format", "tiff,png,csv,hdf5")
    assert len(out.split()) == 4
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_result_gives_fewer_classes_without_training(tmp_path, capsys, painting_file):
    fine, coarse = tmp_path / "r.h5", tmp_path / "c.h5"
    assert run(capsys, "segment", painting_file, "-o", fine, "--method", "pca", "--clusters", 6)[0] == 0
    assert run(capsys, "segment", fine, "-o", coarse, "--clusters", 3)[1].startswith(f"{coarse}: 3 classes")
    code, _, err = run(capsys, "segment", fine, "-o", tmp_path / "d.h5")
    assert code == 2
    assert "--clusters N" in err
    code, _, err = run(capsys, "segment", fine, "-o", tmp_path / "d.h5", "--clusters", 9)
    assert code == 2
    assert "cannot be had by merging 6" in err


def test_configuration_file(tmp_path, capsys, painting_file):
    (tmp_path / "c.toml").write_text('method = "pca"\nclusters = 3\n')
    assert run(capsys, "segment", painting_file, "-o", tmp_path / "r.h5", "--config", tmp_path / "c.toml")[0] == 0
    (tmp_path / "c.toml").write_text("metod = 1")
    code, _, err = run(capsys, "segment", painting_file, "-o", tmp_path / "s.h5", "--config", tmp_path / "c.toml")
    assert code == 2
    assert "unknown option 'metod'" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "none.h5"], "no such file"),
        (["segment", "CUBE"], "-o/--output"),
        (["segment", "CUBE", "-o", "none/r.h5"], "does not exist"),
        (["segment", "CUBE", "-o", "CUBE"], "is the cube itself"),
        (["segment", "CUBE", "-o", "."], "is a folder"),
        (["segment", "CUBE", "-o", "r.h5", "--clusters", "9:4"], "reversed"),
        (["segment", "CUBE", "-o", "r.h5", "--clusters", "x"], "neither a number"),
        (["segment", "CUBE", "-o", "r.h5", "--coherence", "much"], "neither a number nor auto"),
        (["segment", "CUBE", "-o", "r.h5", "--coherence", "-1"], "between 0"),
        (["segment", "CUBE", "-o", "r.h5", "--preset", "best"], "not one of"),
        (["segment", "CUBE", "-o", "r.h5", "--scheduler", "tcp://x"], "no Dask scheduler answers"),
        (["segment", "CUBE", "-o", "r.h5", "--device", "tpu"], "not one of"),
        (["segment", "CUBE", "-o", "r.h5", "--dataset", "nope"], "no cube named 'nope'"),
        (["segment", "CUBE", "-o", "r.h5", "--spectral-axis", "7"], "no axis 7"),
        (["segment", "CUBE", "-o", "r.h5", "--epochs", "many"], "invalid int"),
        (["score", "CUBE", "CUBE"], "no result of cubeseg"),
        (["export", "CUBE", "-o", "x"], "no result of cubeseg"),
        (["replay", "a", "b"], "no such file"),
        (["replay", "CUBE", "b"], "no result of cubeseg"),
        (["apply", "a", "b", "-o", "c"], "no such file"),
        (["refine", "a", "-o", "c"], "no such file"),
        (["frobnicate"], "invalid choice"),
        (["sample", "painting", "-o", "x.h5", "--size", "2"], "too few"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, capsys, painting_file, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    code, out, err = run(capsys, *(painting_file if a == "CUBE" else a for a in arguments))
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_several_datasets_name_the_option(capsys, tmp_path):
    path = real("xrf_aps_mda/2xfm_0011_2xfm3__0.h5")
    code, _, err = run(capsys, "segment", path, "-o", tmp_path / "r.h5")
    assert code == 2
    assert "--dataset" in err


def test_truth_of_another_size(tmp_path, capsys, painting_file):
    assert run(capsys, "segment", painting_file, "-o", tmp_path / "r.h5", "--method", "pca")[0] == 0
    np.save(tmp_path / "t.npy", np.ones((5, 5), int))
    code, _, err = run(capsys, "score", tmp_path / "r.h5", tmp_path / "t.npy")
    assert code == 2
    assert "t.npy" in err


def test_real_cube_with_human_labels(tmp_path, capsys):
    cube = real("houston2018_crop/houston_dataset.mat")
    assert run(capsys, "segment", cube, "-o", tmp_path / "r.h5", "--method", "pca", "--clusters", 11)[0] == 0
    truth = real("houston2018_crop/labels_128_pure_pixels.npy")
    code, out, _ = run(capsys, "score", tmp_path / "r.h5", truth, "--json")
    assert code == 0
    assert json.loads(out)["ari"] > 0.3


def test_failures_exit_1(capsys, painting_file, tmp_path, monkeypatch):
    import cubeseg.training.fitting

    def fails(*_):
        raise RuntimeError("CUDA out of memory\nmore lines")
        yield

    monkeypatch.setattr(cubeseg.training.fitting, "_fit", fails)
    code, _, err = run(capsys, "segment", painting_file, "-o", tmp_path / "r.h5")
    assert code == 1
    assert err == "cubeseg: not enough memory; set a smaller 'memory' or crop the cube\n"
    assert not (tmp_path / "r.h5").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk(tmp_path, capsys, painting_file, monkeypatch):
    """A real ENOSPC from the kernel, by way of /dev/full."""
    from pathlib import Path

    opened = Path.open

    def to_full(self, mode="r", *arguments, **keywords):
        return opened(
            Path("/dev/full") if self.suffix == ".part" and "w" in mode else self, mode, *arguments, **keywords
        )

    monkeypatch.setattr(Path, "open", to_full)
    before = sorted(tmp_path.iterdir())
    code, _, err = run(capsys, "segment", painting_file, "-o", tmp_path / "r.h5", "--method", "pca")
    assert code == 2
    assert "disk is full" in err
    assert sorted(tmp_path.iterdir()) == before


def test_importing_costs_little():
    """Torch, napari, Qt, SciPy and scikit-learn must wait until they are used."""
    code = (
        "import sys, cubeseg, cubeseg.cli, cubeseg.io, cubeseg.training.fitting, cubeseg.bundle;"
        "heavy = ('torch', 'napari', 'qtpy', 'sklearn', 'scipy', 'matplotlib', 'astropy', 'h5py');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
