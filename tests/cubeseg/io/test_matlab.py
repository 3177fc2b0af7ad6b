"""MATLAB: variables, structs, flattened tables, and HDF5 in disguise."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from cubeseg import open_cube
from cubeseg.errors import ConfigError, DataError
from cubeseg.io import ChoiceNeeded
from cubeseg.io.lazy import AxisView
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


TALL = CUBE.transpose(1, 2, 0)


def v73(path, **arrays):
    """As MATLAB writes it: axes reversed, the class as an attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if isinstance(array, str):
                file[name] = np.array([[ord(c)] for c in array], "u2")
                file[name].attrs["MATLAB_class"] = np.bytes_("char")
                continue
            array = np.atleast_2d(array)
            if np.iscomplexobj(array):
                parts = np.empty(array.T.shape, [("real", "f8"), ("imag", "f8")])
                parts["real"], parts["imag"] = array.T.real, array.T.imag
                array = parts.T
            options = (
                {"chunks": tuple(min(3, n) for n in array.T.shape), "compression": "gzip"} if array.size > 9 else {}
            )
            file.create_dataset(name, data=array.T, **options)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def v5(path, **arrays):
    savemat(path, arrays)
    return path


@pytest.mark.parametrize("write", [v5, v73])
@pytest.mark.parametrize(
    ("cube", "axis", "unit"),
    [
        ("data", "WL", "nm"),
        ("data_RIFLE", "WL_RIFLE", "nm"),
        ("Hyperspectrum_cube", "fr_real", "THz"),
        ("HyperMatrix", "wavelength", "nm"),
        ("XRFdata", "ENERGY", "keV"),
    ],
)
def test_names_met_in_practice(tmp_path, write, cube, axis, unit):
    values = {"nm": AXIS, "THz": 299792.458 / AXIS, "keV": np.linspace(0.5, 20, BANDS)}[unit]
    opened = open_cube(write(tmp_path / "a.mat", **{cube: TALL.astype(float), axis: values[:, None]}))
    same(opened)
    assert (opened.axis.unit, opened.metadata["axis_from"]) == (unit, axis)
    np.testing.assert_allclose(opened.axis.values, values)
    assert "axis_guessed" in opened.metadata


@pytest.mark.parametrize("write", [v5, v73])
def test_of_two_techniques_each_has_its_own_axis(tmp_path, write):
    other = AXIS + 100
    path = write(tmp_path / "a.mat", data=TALL, WL=AXIS, data_RIFLE=TALL + 1, WL_RIFLE=other)
    np.testing.assert_allclose(open_cube(path, dataset="data").axis.values, AXIS)
    np.testing.assert_allclose(open_cube(path, dataset="data_RIFLE").axis.values, other)


@pytest.mark.parametrize("write", [v5, v73])
def test_interferometers_write_complex_numbers_and_saturated_pixels(tmp_path, write):
    usable = np.ones((HEIGHT, WIDTH))
    usable[2, 3] = 0
    path = write(
        tmp_path / "a.mat", Hyperspectrum_cube=TALL * (0.6 + 0.8j), fr_real=299792.458 / AXIS, saturationMap=usable
    )
    cube = open_cube(path)
    same(cube)
    np.testing.assert_array_equal(cube.mask, usable == 1)
    # as whole numbers, between the least value and the largest above it
    both = np.concatenate([TALL * 0.6, TALL * 0.8], axis=2) - 50
    low, span = both.min(), np.ptp(both)
    squeezed = np.rint((both - low) / span * 65535).astype(np.uint16)
    written = {"Hyperspectrum_cube": squeezed, "fr_real": 299792.458 / AXIS}
    cube = open_cube(write(tmp_path / "b.mat", minimum=low, maximum=span, **written))
    expected = np.hypot(CUBE * 0.6 - 50, CUBE * 0.8 - 50)
    np.testing.assert_allclose(cube.block(slice(None), slice(None)).data, expected, atol=span / 65535)
    with pytest.raises(DataError, match="20 real planes and then 20 imaginary ones as whole numbers"):
        open_cube(write(tmp_path / "c.mat", **written))


@pytest.mark.parametrize("write", [v5, v73])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("order", ["column-major", "row-major"])
def test_tables_of_every_order(tmp_path, write, turned, order):
    table = CUBE.reshape(BANDS, -1, order="F" if order == "column-major" else "C")
    path = write(tmp_path / "a.mat", Y=table.T if turned else table)
    with pytest.raises(ChoiceNeeded, match="height and width") as asked:
        open_cube(path)
    assert {setting.name for setting in asked.value.settings} == {"height", "width", "order"}
    for said in ({"height": "6", "width": "8"}, {"height": "6"}, {"width": "8"}):
        cube = open_cube(path, order=order, **said)
        same(cube)
        np.testing.assert_array_equal(cube.data[3:18:2, 1:4, 5], CUBE[3:18:2, 1:4, 5])
        np.testing.assert_array_equal(cube.data[:, 4, ::-3], CUBE[:, 4, ::-3])
        assert cube.metadata["pixel_order"] == order
    with pytest.raises(ConfigError, match="does not fit"):
        open_cube(path, height="7", width="8")
    with pytest.raises(ConfigError, match="not 'six'"):
        open_cube(path, height="six")


def test_table_with_more_bands_than_pixels_is_told_by_its_axis(tmp_path):
    table = np.arange(12 * 40).reshape(12, 40)
    cube = open_cube(v5(tmp_path / "a.mat", spectra=table, wl=np.linspace(400, 700, 40)), height="3", width="4")
    np.testing.assert_array_equal(cube.data[:, 1, 2], table[2 * 3 + 1])
    assert cube.axis.unit == "nm"
    by_hand = open_cube(v5(tmp_path / "b.mat", spectra=table), height="3", width="4", spectral_axis=1)
    np.testing.assert_array_equal(by_hand.data, cube.data)


def test_guessed_sizes_are_said(tmp_path):
    table = CUBE.reshape(BANDS, -1, order="F")
    cube = open_cube(v5(tmp_path / "a.mat", Y=table, labels=np.zeros((HEIGHT, WIDTH))))
    same(cube)
    assert "'labels'" in cube.metadata["image_size_guessed"]
    assert "assumed" in cube.metadata["pixel_order"]


@pytest.mark.parametrize("write", [v5, v73])
def test_units_are_taken_from_texts(tmp_path, write):
    cube = open_cube(write(tmp_path / "a.mat", cube=TALL, wavelength=AXIS / 1000, wavelength_units="Micrometers"))
    assert (cube.axis.unit, cube.axis.values[0]) == ("um", pytest.approx(0.4))
    assert "axis_guessed" not in cube.metadata
    assert cube.metadata["wavelength_units"] == "Micrometers"


def test_compressed_hdf5_stays_in_the_file(tmp_path):
    cube = open_cube(v73(tmp_path / "a.mat", cube=TALL, WL=AXIS))
    assert isinstance(cube.data, AxisView)
    assert cube.data.chunks == (3, 3, 3)


def test_a_vector_that_turns_back_is_said_and_bands_are_numbered(tmp_path):
    turning = AXIS.copy()
    turning[7] = turning[5]
    cube = open_cube(v5(tmp_path / "a.mat", cube=TALL, wl=turning))
    assert not cube.axis.calibrated
    assert "'wl' neither rises nor falls" in cube.metadata["axis_rejected"]
