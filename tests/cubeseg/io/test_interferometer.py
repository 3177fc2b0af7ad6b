"""Hypercubes of interferometers: real or complex, as they are or squeezed into whole numbers."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.cubeseg.io.written import AXIS, BANDS, CUBE, HEIGHT, WIDTH, same

THZ = 299792.458 / AXIS
PAIRS = np.concatenate([CUBE * 0.6, CUBE * -0.8])


def hypercube(path, planes=CUBE, column=True, **others):
    """As MATLAB writes it; a value of None leaves a dataset out."""
    beside = {"fr_real": THZ, "f": np.linspace(1, 2, BANDS), "saturationMap": np.ones((HEIGHT, WIDTH))} | others
    with h5py.File(path, "w") as file:
        group = file.create_group("SpectralHypercube")
        group["Hyperspectrum_cube"] = planes
        for name, given in beside.items():
            if given is not None:
                values = np.asarray(given)
                group[name] = values if values.ndim != 1 else values[:, None] if column else values[None]
        file["file_totCal"] = "calibration.txt"
    return path


@pytest.mark.parametrize("column", [True, False])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_magnitudes(tmp_path, column, dtype):
    usable = np.ones((HEIGHT, WIDTH))
    usable[2, 3] = 0
    cube = open_cube(hypercube(tmp_path / "a.h5", CUBE.astype(dtype), column, saturationMap=usable))
    same(cube)
    assert (cube.axis.kind, cube.axis.unit) == ("frequency", "THz")
    np.testing.assert_allclose(cube.axis.values, THZ)
    np.testing.assert_array_equal(cube.mask, usable == 1)
    assert "THz" in cube.metadata["axis_guessed"]
    assert isinstance(cube.data, np.ndarray)


@pytest.mark.parametrize("frequencies", ["fr_real", "f"])
@pytest.mark.parametrize("chunks", [None, (7, 3, 3)])
def test_complex_numbers(tmp_path, frequencies, chunks):
    path = hypercube(tmp_path / "a.h5", PAIRS.astype("f4"), **{{"fr_real": "f", "f": "fr_real"}[frequencies]: None})
    if chunks:
        with h5py.File(path, "a") as file:
            del file["SpectralHypercube/Hyperspectrum_cube"]
            file["SpectralHypercube"].create_dataset("Hyperspectrum_cube", data=PAIRS.astype("f4"), chunks=chunks)
    cube = open_cube(path)
    same(cube)
    assert cube.mask is None
    assert cube.axis.calibrated == (frequencies == "fr_real")
    assert "magnitude" in cube.metadata["complex"]
    for key in (slice(None, None, -1), slice(4, 17, 3), slice(17, 4, -3), slice(5, 5), slice(-3, None), 7, -1):
        np.testing.assert_allclose(cube.data[key], CUBE[key], rtol=1e-6)
        np.testing.assert_allclose(cube.data[key, 1:3, 4], CUBE[key][..., 1:3, 4], rtol=1e-6)
    with pytest.raises(IndexError):
        cube.data[BANDS]


def squeezed(planes):
    low, span = planes.min(), np.ptp(planes)
    return np.rint((planes - low) / span * 65535).astype(np.uint16), {"minimum": [low], "maximum": [span]}


@pytest.mark.parametrize("planes", [CUBE - 30.0, PAIRS])
def test_whole_numbers_are_what_they_were(tmp_path, planes):
    stored, scale = squeezed(planes)
    cube = open_cube(hypercube(tmp_path / "a.h5", stored, **scale))
    expected = CUBE - 30.0 if len(planes) == BANDS else CUBE
    np.testing.assert_allclose(cube.block(slice(None), slice(None)).data, expected, atol=2 * np.ptp(planes) / 65535)


def test_what_is_refused(tmp_path):
    stored, scale = squeezed(PAIRS)
    with pytest.raises(DataError, match="and no minimum and maximum"):
        open_cube(hypercube(tmp_path / "a.h5", stored, minimum=scale["minimum"]))
    with pytest.raises(DataError, match="the spectral axis of such a file is 0"):
        open_cube(hypercube(tmp_path / "b.h5"), spectral_axis=1)
    with pytest.raises(DataError, match="no cube named 'other'"):
        open_cube(hypercube(tmp_path / "c.h5"), dataset="other")


def test_what_does_not_fit_is_left_alone(tmp_path):
    one = np.array([1.0])
    cube = open_cube(hypercube(tmp_path / "a.h5", fr_real=THZ[1:], f=None, saturationMap=one, minimum=one, maximum=one))
    same(cube)
    assert not cube.axis.calibrated
    assert cube.mask is None
