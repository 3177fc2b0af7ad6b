"""The sum image in one pass, and the copy of a cube that is quick to look through."""

from itertools import pairwise

import numpy as np
import pytest

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Noise, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io import open_cube
from cubeseg.io.cubefile import band_cost, copied
from cubeseg.maps.overview import overview
from cubeseg.steps import finish
from tests.cubeseg.cubes import counts_cube


def holey():
    rng = np.random.default_rng(0)
    data = rng.normal(5, 1, (7, 30, 40)).astype(np.float32)
    data[2, 3, 4] = np.nan
    data[:, 0, 0] = np.nan
    data[5, 20, 20] = 99
    mask = np.ones((30, 40), bool)
    mask[10:12] = False
    axis = SpectralAxis(np.linspace(400, 460, 7), "nm", medium="air")
    return Cube(data, axis, Noise("gaussian", np.ones_like(data)), mask, Spatial((2.0, 3.0), "um", "CRPIX1 = 1"))


def test_overview_is_what_numpy_says():
    cube = holey()
    found = finish(overview(cube, block_bytes=5000))
    data = np.where(cube.mask, cube.data, np.nan)
    assert np.isnan(found.image[0, 0])
    assert np.isnan(found.image[10]).all()
    expected = np.nansum(data, axis=0)
    there = np.isfinite(data).any(axis=0)
    assert found.image[there] == pytest.approx(expected[there], rel=1e-6)
    assert found.mean == pytest.approx(np.nanmean(data, axis=(1, 2)), rel=1e-6)
    assert found.highest == pytest.approx(np.nanmax(data, axis=(1, 2)))
    assert found.highest[5] == 99


def test_overview_reads_every_block_once_and_tells_how_far():
    cube = counts_cube()[0]
    done = list(overview(cube, block_bytes=20_000))
    assert done[-1] == pytest.approx(1)
    assert len(done) > 3
    assert all(a < b for a, b in pairwise(done))


def test_a_copy_is_the_same_cube(tmp_path):
    cube = holey()
    path = finish(copied(cube, tmp_path / "copy.h5"))
    copy = open_cube(path)
    assert copy.source.format == "cubeseg"
    assert np.array_equal(np.asarray(copy.data[:]), cube.data, equal_nan=True)
    assert isinstance(copy.data, np.memmap)
    assert (copy.mask == cube.mask).all()
    assert copy.axis.values == pytest.approx(cube.axis.values)
    assert (copy.axis.unit, copy.axis.medium, copy.axis.kind) == ("nm", "air", "wavelength")
    assert copy.spatial == cube.spatial
    assert copy.noise.kind == "gaussian"
    assert (copy.noise.variance_of((slice(None), 0, 0)) == 1).all()


def test_a_copy_that_is_given_up_leaves_nothing(tmp_path):
    steps = copied(counts_cube()[0], tmp_path / "copy.h5")
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_a_copy_without_room_is_refused(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(DataError, match="there is less room"):
        finish(copied(counts_cube()[0], tmp_path / "copy.h5"))


def test_the_cost_of_a_band_tells_bip_from_bsq(tmp_path):
    bsq = np.memmap(tmp_path / "a", np.uint16, "w+", shape=(500, 100, 100))
    bip = np.memmap(tmp_path / "b", np.uint16, "w+", shape=(100, 100, 500)).transpose(2, 0, 1)
    axis = SpectralAxis.channels(500)
    assert band_cost(Cube(bsq, axis)) == 20_000
    assert band_cost(Cube(bip, axis)) == 10_000_000
    assert band_cost(Cube(np.asarray(bsq).copy(), axis, source=Source())) == 0
