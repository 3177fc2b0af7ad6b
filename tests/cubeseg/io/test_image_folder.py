"""A folder with one image per band."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.cubeseg.io.written import AXIS, BANDS, CUBE, same

NAMES = [f"scan_{value:.1f}nm" for value in AXIS]


def fill(folder, names, kind="tif", dtype=np.uint16, **options):
    for name, page in zip(names, CUBE.astype(dtype), strict=True):
        if kind == "tif":
            tifffile.imwrite(folder / f"{name}.tif", page, photometric="minisblack", **options)
        else:
            Image.fromarray(page).save(folder / f"{name}.{kind}", **options)
    return folder


@pytest.mark.parametrize(
    ("kind", "dtype", "options"),
    [
        ("tif", np.uint16, {}),
        ("tif", ">f4", {}),
        ("tif", np.float64, {"compression": "zlib"}),
        ("png", np.uint8, {}),
        ("png", np.uint16, {}),
        ("bmp", np.uint8, {}),
    ],
)
def test_wavelengths_in_the_names(tmp_path, kind, dtype, options):
    cube = open_cube(fill(tmp_path, NAMES, kind, dtype, **options))
    same(cube)
    np.testing.assert_allclose(cube.axis.values, AXIS)
    assert (cube.axis.unit, cube.source.format) == ("nm", "Folder of images")
    assert cube.data.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(cube.data[5:1:-2, 4:0:-1, 3]), CUBE[5:1:-2, 4:0:-1, 3])


def test_lzw_is_read_by_pillow(tmp_path):
    for name, page in zip(NAMES, CUBE.astype(np.uint16), strict=True):
        Image.fromarray(page).save(tmp_path / f"{name}.tif", compression="tiff_lzw")
    same(open_cube(tmp_path))


@pytest.mark.parametrize(
    ("names", "values", "unit"),
    [
        ([f"{n / 2:g}keV" for n in range(1, BANDS + 1)], (0.5, 10), "keV"),
        ([f"exp20ms_{400 + 10 * n}_nm_gain2" for n in range(BANDS)], (400, 590), "nm"),
        ([f"ex365nm_em{9000 - 10 * n}nm" for n in range(BANDS)][::-1], (8810, 9000), "nm"),
        ([f"{1000 + n} cm-1" for n in range(BANDS)], (1000, 1019), "1/cm"),
    ],
)
def test_values_are_sorted_as_numbers(tmp_path, names, values, unit):
    cube = open_cube(fill(tmp_path, names))
    same(cube)
    assert (cube.axis.values[0], cube.axis.values[-1], cube.axis.unit) == (*values, unit)


def test_elements_are_names(tmp_path):
    elements = sorted(["Fe", "Ca", "Pb", "Hg", "Cu", "Zn", "Ti", "Mn", "K", "S"])
    names = [f"portrait_{e}-{s}a_map" for e in elements for s in "KL"]
    cube = open_cube(fill(tmp_path, names))
    assert not cube.axis.calibrated
    assert cube.metadata["band_names"] == [f"{e}-{s}a" for e in elements for s in "KL"]


def test_numbers_without_a_unit_are_sorted_naturally_and_mean_nothing(tmp_path):
    cube = open_cube(fill(tmp_path, [f"band{n}" for n in range(BANDS)]))
    same(cube)
    assert not cube.axis.calibrated


def test_only_the_images_that_are_needed_are_opened(tmp_path):
    cube = open_cube(fill(tmp_path, NAMES, "png", np.uint8))
    for n, name in enumerate(NAMES):
        if n != 7:
            (tmp_path / f"{name}.png").write_bytes(b"gone")
    np.testing.assert_array_equal(cube.data[7], CUBE[7])
    with pytest.raises(DataError, match="cannot be read"):
        np.asarray(cube.data[8])


def test_strays_are_left_out_and_two_stacks_are_not_mixed(tmp_path):
    fill(tmp_path, NAMES)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "._scan.tif").write_bytes(b"x")
    Image.new("RGB", (4, 4)).save(tmp_path / "preview.png")
    same(open_cube(tmp_path))
    for n in range(3):
        Image.new("L", (8, 6)).save(tmp_path / f"{n}.png")
    with pytest.raises(DataError, match="4 PNG and 20 TIFF"):
        open_cube(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: tifffile.imwrite(f, np.zeros((5, 5), np.uint16)), r"scan_400\.0nm\.tif is 5 x 5"),
        (lambda f: tifffile.imwrite(f, np.zeros((6, 8), np.float32)), "is 6 x 8 float32"),
        (lambda f: tifffile.imwrite(f, np.zeros((6, 8, 3), np.uint8), photometric="rgb"), "no image of one band"),
        (lambda f: tifffile.imwrite(f, np.zeros((3, 6, 8), np.uint16), photometric="minisblack"), "3 pages"),
        (lambda f: f.write_bytes(f.read_bytes()[:-20]), "truncated"),
        (lambda f: f.write_bytes(b"II*\x00"), "damaged"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, said):
    fill(tmp_path, NAMES)
    change(tmp_path / f"{NAMES[0]}.tif")
    with pytest.raises(DataError, match=said):
        open_cube(tmp_path)


def test_colour_pictures_are_no_bands(tmp_path):
    for n in range(4):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{n}.png")
    with pytest.raises(DataError, match="no image of one band"):
        open_cube(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_two_images_and_pipes_are_no_cube(tmp_path):
    for n in range(2):
        Image.new("L", (8, 6)).save(tmp_path / f"{n}.png")
    os.mkfifo(tmp_path / "3.png")
    with pytest.raises(DataError, match="is a folder"):
        open_cube(tmp_path)


@pytest.mark.parametrize("kind", ["tif", "png"])
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 300), length=st.integers(0, 60), put=st.binary(max_size=8))
def test_mutated_images(tmp_path, kind, at, length, put):
    fill(tmp_path, NAMES, kind, np.uint8)
    path = tmp_path / f"{NAMES[0]}.{kind}"
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + put + whole[at + length :])
    said = ""
    try:
        np.asarray(open_cube(tmp_path).data[:2, -1, -1:])
    except DataError as error:
        said = str(error)
    assert "\n" not in said
