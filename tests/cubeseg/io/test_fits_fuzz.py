"""Damaged FITS headers give a cube or a DataError of one line; and so does damage anywhere in the file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cubeseg import open_cube
from cubeseg.errors import CubeSegError
from tests.cubeseg.io.written import BANDS, CUBE

SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRVAL1": 10.0, "CRVAL2": 20.0,
       "CDELT1": -1e-4, "CDELT2": 1e-4}  # fmt: skip
KEYS = ["BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "NAXIS4", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "BLANK",
        "CTYPE1", "CTYPE2", "CTYPE3", "CTYPE4", "CUNIT3", "CRVAL3", "CRPIX3", "CDELT3", "CD1_1", "CD3_3", "PC3_3",
        "PV2_1", "PS3_0", "PS3_1", "PS3_2", "PV3_1", "RESTFRQ", "WCSAXES", "EXTNAME", "EXTVER", "SCIDATA", "XTENSION",
        "TFIELDS", "TFORM1", "TDIM1", "HDUCLAS2", "HDUCLAS3", "A_ORDER", "CPDIS1", "LONPOLE", "MJD-OBS"]  # fmt: skip
VALUES = ["T", "F", "0", "-1", "1", "2", "3", "4", "20", "99", "2147483647", "-2147483648", "99999999999", "1E308",
          "-1E-308", "NaN", "''", "'WAVE-TAB'", "'AWAV-LOG'", "'VOPT-F2W'", "'FREQ'", "'STOKES'", "'RA---TAN-SIP'",
          "'WAVE-GRI'", "'DEC--ZPN'", "'WCS-TABLE'", "'wavelength'", "'DATA'", "'Angstroms'", "'m/s'", "'10**x'",
          "'ERROR'", "'MASKONE'", "'1D'", "'(1,20)'", "'99999999D'", "'\xe9'", "junk"]  # fmt: skip


def content():
    def image(name, data, **header):
        hdu = fits.ImageHDU(data, name=name)
        hdu.header.update(SKY | {"CTYPE3": "WAVE-TAB", "CUNIT3": "um", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0})
        hdu.header.update(header)
        return hdu

    column = fits.Column("wavelength", f"{BANDS}D", unit="um", dim=f"(1,{BANDS})",
                         array=np.geomspace(1, 5, BANDS).reshape(1, -1, 1))  # fmt: skip
    hdus = [fits.PrimaryHDU(), image("SCI", CUBE.astype("f4"), PS3_0="WCS-TABLE", PS3_1="wavelength"),
            image("ERR", CUBE.astype("f4")), image("DQ", CUBE.astype("u4")),
            fits.BinTableHDU.from_columns([column], name="WCS-TABLE")]  # fmt: skip
    file = io.BytesIO()
    fits.HDUList(hdus).writeto(file)
    return file.getvalue()


WHOLE = content()
CARDS = [at for at in range(0, len(WHOLE), 80) if WHOLE[at : at + 8].strip() and WHOLE[at + 8 : at + 10] == b"= "]


def damaged(draw):
    """A header with other values and keywords, or bytes that are turned or missing."""
    file = bytearray(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.integers(0, 3)):
            at = draw(st.sampled_from(CARDS))
            if draw(st.booleans()):
                file[at : at + 8] = draw(st.sampled_from(KEYS)).ljust(8).encode()
            file[at + 10 : at + 80] = draw(st.sampled_from(VALUES)).rjust(20).ljust(70).encode("latin-1")
        else:
            at = draw(st.integers(0, len(file) - 1))
            if draw(st.booleans()):
                file[at] = draw(st.integers(0, 255))
            else:
                del file[at : at + draw(st.sampled_from([1, 80, 2880, 20000]))]
    return bytes(file) or b" "


def check(path):
    """Open, and read a few corners: damage may show only there."""
    try:
        cube = open_cube(path)
        cube.block(slice(0, 1), slice(0, 2)), np.asarray(cube.data[-1, -1, -2:]), cube.noise.variance_of((0, 0, 0))
    except CubeSegError as error:
        return str(error)
    return ""


@settings(max_examples=150, derandomize=True, deadline=10_000, phases=[Phase.generate],
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_damaged_headers(tmp_path, data):
    path = tmp_path / "a.fits"
    path.write_bytes(damaged(data.draw))
    assert "\n" not in check(path)


@pytest.mark.parametrize("step", [1, 7, 80, 2880])
def test_every_length_of_a_truncated_file(tmp_path, step):
    path = tmp_path / "a.fits"
    for end in range(len(WHOLE) - 1, 0, -step * max(1, len(WHOLE) // step // 25)):
        path.write_bytes(WHOLE[:end])
        assert "\n" not in check(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("GCOUNT", "'text'"), ("BITPIX", "2147483647"), ("NAXIS", "2147483647"), ("NAXIS3", "-20"), ("PCOUNT", "-1"),
     ("NAXIS2", "99999999999999999999999"), ("TFIELDS", "2147483647")],
)  # fmt: skip
def test_numbers_that_libraries_would_loop_or_multiply_by(tmp_path, key, value):
    at = WHOLE.rindex(f"{key:<8}= ".encode())
    path = tmp_path / "a.fits"
    path.write_bytes(WHOLE[: at + 10] + value.rjust(20).ljust(70).encode() + WHOLE[at + 80 :])
    assert f"for {key}" in check(path)
    # once right and once wrong: libraries disagree about which of them holds
    spare = WHOLE.index(b"CUNIT2")
    path.write_bytes(WHOLE[:spare] + f"{key:<8}= {value:>20}".ljust(80).encode() + WHOLE[spare + 80 :])
    assert key in check(path)


@pytest.mark.parametrize("key", ["A_ORDER", "B_ORDER", "WCSAXES", "AP_ORDER"])
def test_numbers_that_the_sky_would_loop_by(tmp_path, key):
    spare = WHOLE.index(b"CUNIT2")
    path = tmp_path / "a.fits"
    path.write_bytes(WHOLE[:spare] + f"{key:<8}= {99999999999:>20}".ljust(80).encode() + WHOLE[spare + 80 :])
    assert check(path) == ""


def test_padding_is_no_damage_and_a_header_without_its_name_is(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(WHOLE + b"\0" * 28800)
    assert check(path) == ""
    path.write_bytes(WHOLE + b"\0" * 100)
    assert check(path) == ""
    path.write_bytes(WHOLE.replace(b"XTENSION= 'BINTABLE'", b"EXTENSIO= 'BINTABLE'"))
    assert "no XTENSION" in check(path)
