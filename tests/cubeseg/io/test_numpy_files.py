"""NumPy: mapped where it can be, never unpickled."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.cubeseg.io.written import AXIS, CUBE, HEIGHT, WIDTH, same


def test_npy_is_mapped(tmp_path):
    np.save(tmp_path / "a.npy", CUBE.transpose(1, 2, 0))
    cube = open_cube(tmp_path / "a.npy")
    same(cube)
    assert isinstance(cube.data, np.memmap)


def test_npz_with_axis(tmp_path):
    np.savez(tmp_path / "a.npz", cube=CUBE.transpose(1, 2, 0), wavelength_nm=AXIS, labels=np.zeros((HEIGHT, WIDTH)))
    cube = open_cube(tmp_path / "a.npz")
    same(cube)
    assert cube.axis.unit == "nm"


def test_npy_with_pickle_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        open_cube(tmp_path / "a.npy")


def test_npy_truncated(tmp_path):
    np.save(tmp_path / "a.npy", CUBE)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-1])
    with pytest.raises(DataError, match="promises"):
        open_cube(tmp_path / "a.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_that_is_stored_as_it_is_is_mapped(tmp_path, save, order):
    save(tmp_path / "a.npz", first=np.arange(3), cube=np.asarray(CUBE, order=order))
    cube = open_cube(tmp_path / "a.npz")
    same(cube)
    assert isinstance(cube.data, np.memmap) == (save is np.savez)


@pytest.mark.parametrize("order", ["C", "F"])
def test_axes_of_length_one_are_left_out(tmp_path, order):
    for axis in range(4):
        array = np.asarray(np.expand_dims(CUBE, axis), order=order)
        np.save(tmp_path / "a.npy", array)
        np.savez(tmp_path / "a.npz", cube=array)
        for name in ("a.npy", "a.npz"):
            cube = open_cube(tmp_path / name)
            same(cube)
            assert isinstance(cube.data, np.memmap)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 4, 5), (4, 5), (6,)])
def test_other_numbers_of_axes_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(DataError, match="a cube has 3"):
        open_cube(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", cube=np.zeros(shape))
    with pytest.raises(DataError, match="no 3-D array"):
        open_cube(tmp_path / "a.npz")


def test_npz_with_pickle_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", cube=np.array([[[{"a": 1}]]], dtype=object))
    with pytest.raises(DataError):
        open_cube(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", cube=CUBE, notes=np.array([{"a": 1}], dtype=object))
    same(open_cube(tmp_path / "b.npz"))
