"""MATLAB: variables, structs, flattened tables, and HDF5 in disguise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.cubeseg.io.written import AXIS, BANDS, CUBE, HEIGHT, WIDTH, matlab_v73, same


def test_matlab_v5_with_wavelengths_and_bad_bands(tmp_path):
    path = tmp_path / "a.mat"
    bbl = np.ones(BANDS)
    bbl[4] = 0
    savemat(path, {"cube": CUBE.transpose(1, 2, 0), "wl": AXIS[None], "bbl": bbl, "rgb": np.zeros((HEIGHT, WIDTH, 3))})
    cube = open_cube(path)
    same(cube)
    assert (cube.axis.unit, cube.axis.values[0]) == ("nm", 400)
    assert cube.metadata["bad_bands"] == [4]


def test_matlab_v73_has_reversed_axes(tmp_path):
    cube = open_cube(matlab_v73(tmp_path / "a.mat"))
    same(cube)
    assert cube.axis.unit == "nm"
    assert cube.metadata["bad_bands"] == [4]
    assert isinstance(cube.data.base, np.memmap)


def test_matlab_struct_is_looked_into(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"scan": {"cube": CUBE.transpose(1, 2, 0), "wl": AXIS}, "note": "text"})
    cube = open_cube(path)
    same(cube)
    assert (cube.source.dataset, cube.axis.unit) == ("scan.cube", "nm")
    same(open_cube(path, dataset="scan.cube"))


def test_matlab_table_of_unknown_height_and_width(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"Y": CUBE.reshape(BANDS, -1, order="F")})
    with pytest.raises(DataError, match="nRow and nCol"):
        open_cube(path)


def test_matlab_truncated(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"cube": CUBE})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="promises"):
        open_cube(path)


def test_matlab_flattened_unmixing_set(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"Y": CUBE.reshape(BANDS, -1, order="F"), "lines": HEIGHT, "cols": WIDTH})
    same(open_cube(path))
