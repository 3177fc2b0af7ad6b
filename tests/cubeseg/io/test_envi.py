"""ENVI: every interleave, type and byte order, and headers that lie."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.cubeseg.io.written import BANDS, envi, same


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8", "u2", "u4"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_envi_layouts(tmp_path, interleave, dtype, order):
    cube = open_cube(envi(tmp_path, interleave, dtype, order, offset=7))
    same(cube)
    assert (cube.axis.unit, cube.axis.values[-1]) == ("nm", 780)
    assert isinstance(cube.data.base, np.memmap)


def test_envi_from_the_binary_and_with_missing_fields(tmp_path):
    envi(tmp_path, byte_order=None, header_offset=None, wavelength_units=None)
    cube = open_cube(tmp_path / "a.raw")
    same(cube)
    assert "told from their values" in cube.metadata["axis_guessed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bands": 4000}, "promises"),
        ({"bands": 10**12}, "promises"),
        ({"bands": "many"}, "not a whole number"),
        ({"bands": None}, "does not give 'bands'"),
        ({"data_type": 6}, "data type 6"),
        ({"interleave": "bxx"}, "interleave"),
        ({"wavelength": "{1, 2"}, "never closed"),
        ({"file_type": "ENVI Spectral Library"}, "spectral library"),
    ],
)
def test_envi_headers_that_lie(tmp_path, change, said):
    with pytest.raises(DataError, match=said) as caught:
        open_cube(envi(tmp_path, **change))
    assert "a.hdr" in str(caught.value) or "a.raw" in str(caught.value)


def test_envi_remembers_what_the_header_knows(tmp_path):
    bbl = "{" + ", ".join(str(int(n != 4)) for n in range(BANDS)) + "}"
    path = envi(tmp_path, bbl=bbl, data_ignore_value=-9999, fwhm="{" + ", ".join(["2.5"] * BANDS) + "}")
    metadata = open_cube(path).metadata
    assert metadata["bad_bands"] == [4]
    assert metadata["ignore_value"] == -9999
    assert metadata["fwhm"] == [2.5] * BANDS


@pytest.mark.parametrize(("said", "unit"), [("Index", ""), ("Micrometers", "um"), ("Unknown", "nm"), ("cm-1", "1/cm")])
def test_envi_units(tmp_path, said, unit):
    cube = open_cube(envi(tmp_path, wavelength_units=said))
    assert cube.axis.unit == unit
    assert ("axis_guessed" in cube.metadata) == (said == "Unknown")


def test_envi_wavelengths_of_another_number(tmp_path):
    cube = open_cube(envi(tmp_path, wavelength="{400, 500}"))
    assert not cube.axis.calibrated
    assert "2 wavelengths for 20 bands" in cube.metadata["axis_rejected"]


def test_envi_binary_without_an_ending(tmp_path):
    envi(tmp_path)
    (tmp_path / "a.raw").rename(tmp_path / "a")
    same(open_cube(tmp_path / "a"))
    same(open_cube(tmp_path / "a.hdr"))


def test_envi_without_its_data(tmp_path):
    envi(tmp_path)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(DataError, match="data file is missing"):
        open_cube(tmp_path / "a.hdr")
