"""What goes wrong while a cube is worked on: memory, devices, losses, files. One line, and the work so far is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cubeseg import FitConfig, fit, open_cube
from cubeseg.errors import CubeSegError, DataError, JobError
from cubeseg.io import ChoiceNeeded, remember
from cubeseg.models.deep import DeepModel
from cubeseg.steps import finish

DEEP = FitConfig(clusters=(3, 3), epochs=4, threads=1, refine=False, settled=1.0)


def blocks_cube(shape=(16, 12, 14)):
    rng = np.random.default_rng(0)
    spectra = rng.random((3, shape[0])) * 50
    rows = np.arange(shape[1])[:, None] * 3 // shape[1] + np.zeros(shape[2], int)
    return rng.poisson(spectra[rows].transpose(2, 0, 1)).astype(np.float32)


@pytest.fixture
def cube(tmp_path):
    np.save(tmp_path / "Gemälde 画.npy", blocks_cube())
    return open_cube(tmp_path / "Gemälde 画.npy", spectral_axis=0)


def failing(monkeypatch, error, after):
    """Losses that fail in the epoch `after` (0 = the first)."""
    good = DeepModel.loss

    def loss(self, spectra, variance, progress):
        if progress * DEEP.epochs >= after:
            raise error
        return good(self, spectra, variance, progress)

    monkeypatch.setattr(DeepModel, "loss", loss)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "not enough memory"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
            "not enough m",
        ),
        (RuntimeError("CUDA error: device-side assert triggered\nmore lines"), "device-side assert triggered; if"),
        (RuntimeError(), "the computation failed: RuntimeError"),
    ],
)
def test_a_failure_in_the_first_epoch_is_one_line(cube, monkeypatch, error, said):
    failing(monkeypatch, error, 0)
    with pytest.raises(JobError, match=said) as caught:
        finish(fit(cube, DEEP))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error: unspecified launch failure")])
def test_a_failure_later_keeps_the_model_so_far(cube, monkeypatch, error):
    failing(monkeypatch, error, 2)
    result = finish(fit(cube, DEEP))
    assert len(result.history) == 2
    assert result.notes[0].startswith("the training stopped in epoch 3")
    assert (result.labels > 0).all()


class Failing:
    """A cube's data that fail after some reads."""

    def __init__(self, whole, reads, error):
        self.whole, self.left, self.error = whole, reads, error
        self.shape, self.dtype, self.ndim = whole.shape, whole.dtype, 3

    def __getitem__(self, key):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return self.whole[key]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), PermissionError(13, "Permission denied")])
@pytest.mark.parametrize("reads", [1, 4])
def test_a_file_that_can_no_longer_be_read(cube, error, reads):
    broken = replace(cube, data=Failing(np.asarray(cube.data), reads, error))
    with pytest.raises(CubeSegError, match=error.strerror) as caught:
        finish(fit(broken, FitConfig(method="pca", clusters=(3, 3), threads=1)))
    assert "\n" not in str(caught.value)
    assert cube.source.path in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".h5", ".tif", ".fits"])
def test_a_file_that_is_cut_short_while_it_is_open(tmp_path, suffix):
    # in a process of its own: a read beyond the end of a mapped file would end it
    code = f"""
import os, sys
import numpy as np
from cubeseg import open_cube, fit, FitConfig
from cubeseg.errors import CubeSegError
from tests.cubeseg.test_failures import written
path = {os.fspath(tmp_path / ("cube" + suffix))!r}
cube = open_cube(written(path), spectral_axis=0)
steps = fit(cube, FitConfig(method="pca", clusters=(3, 3), threads=1))
next(steps)
os.truncate(path, 3000)
try:
    for _ in steps:
        pass
except CubeSegError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-500:]
    assert said.stdout.count("\n") == 1
    assert "cube" + suffix in said.stdout


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
@pytest.mark.parametrize("what", ["deleted", "replaced", "forbidden"])
def test_a_file_that_goes_while_it_is_worked_on(tmp_path, monkeypatch, suffix, what):
    path = tmp_path / ("cube" + suffix)
    cube = open_cube(written(os.fspath(path)), spectral_axis=0)
    digest = cube.source.fingerprint()
    steps = fit(cube, FitConfig(method="pca", clusters=(3, 3), threads=1))
    next(steps)
    next(steps)
    if what == "deleted":
        path.unlink()
    elif what == "replaced":
        (tmp_path / "other").write_bytes(b"another file")
        os.replace(tmp_path / "other", path)
    else:
        opened = Path.open

        def forbidden(self, *arguments, **keywords):
            if self == path:
                raise PermissionError(13, "Permission denied")
            return opened(self, *arguments, **keywords)

        monkeypatch.setattr(Path, "open", forbidden)
    result = finish(steps)
    # what was opened is still there for the one who has opened it
    assert (result.labels > 0).all()
    assert result.fingerprint == digest
    assert result.notes[-1] == f"{path} was changed or taken away meanwhile: open the cube and run again"


def test_the_answers_that_were_kept_are_broken(tmp_path, monkeypatch):
    monkeypatch.setenv("CUBESEG_SETTINGS", str(tmp_path))
    np.save(tmp_path / "c.npy", blocks_cube())
    for broken in (b"", b"{", b"[" * 100_000, b"[1, 2]", b"\xff\xfe", b'{"NumPy;  3": {"spectral_axis": "x"}}'):
        (tmp_path / "layouts.json").write_bytes(broken)
        with pytest.raises(ChoiceNeeded) as question:
            open_cube(tmp_path / "c.npy")
        remember(question.value, spectral_axis=0)
        assert open_cube(tmp_path / "c.npy").n_bands == 16


def written(path):
    """A cube of 900 KiB in the format of the path's ending."""
    data = blocks_cube((90, 50, 50))
    if path.endswith(".npy"):
        np.save(path, data)
    elif path.endswith(".h5"):
        import h5py

        with h5py.File(path, "w") as file:
            file["cube"] = data
    elif path.endswith(".tif"):
        import tifffile

        tifffile.imwrite(path, data)
    else:
        from astropy.io import fits

        fits.writeto(path, data)
    return path


def test_reading_a_cube_that_was_cut_short(cube):
    os.truncate(cube.source.path, 500)
    for read in (lambda: cube.spectrum(5, 5), lambda: cube.block(slice(0, 3), slice(None)),
                 lambda: cube.spectra(np.array([3]), np.array([4]))):  # fmt: skip
        with pytest.raises(DataError, match="cut short or written anew"):
            read()
