"""Spectral axes of FITS against values computed by hand; sky positions against astropy on the original header."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from cubeseg import open_cube
from tests.conftest import real
from tests.cubeseg.io.written import BANDS, CUBE, same

N = np.arange(BANDS)
LIGHT = 299792458.0


def written(path, data=CUBE, **header):
    hdu = fits.PrimaryHDU(data.astype("f4"))
    hdu.header.update(header)
    hdu.writeto(path)
    return path


@pytest.mark.parametrize(
    ("header", "values", "unit", "kind", "medium"),
    [
        # the third row of the matrix is missing; only CDELT3 says the step
        ({"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4750.0, "CRPIX3": 1.0, "CDELT3": 1.25, "CD1_1": -5e-5,
          "CD2_2": 5e-5}, 4750 + 1.25 * N, "Angstrom", "wavelength", "air"),
        # CDELT with PC
        ({"CTYPE3": "WAVE", "CUNIT3": "nm", "CRVAL3": 500.0, "CRPIX3": 3.0, "CDELT3": 2.0, "PC3_3": 0.5},
         500 + (N - 2) * 1.0, "nm", "wavelength", "vacuum"),
        # CROTA turns the image, not the spectrum
        ({"CTYPE3": "VRAD", "CUNIT3": "m/s", "CRVAL3": 5000.0, "CRPIX3": 1.0, "CDELT3": -250.0, "CTYPE1": "RA---SIN",
          "CTYPE2": "DEC--SIN", "CDELT1": -1e-4, "CDELT2": 1e-4, "CROTA2": 30.0}, 5 - 0.25 * N, "km/s", "velocity", ""),
        # -LOG as the standard defines it, and as MaNGA uses it
        ({"CTYPE3": "WAVE-LOG", "CUNIT3": "Angstrom", "CRVAL3": 3621.59598486, "CRPIX3": 1.0,
          "CD3_3": 3621.59598486 * np.log(10) * 1e-4, "CD1_1": 1e-4, "CD2_2": 1e-4},
         3621.59598486 * 10 ** (1e-4 * N), "Angstrom", "wavelength", "vacuum"),
        # IRAF's and SDSS's log10
        ({"CTYPE3": "LINEAR", "CRVAL3": 3.5589, "CRPIX3": 1.0, "CD3_3": 1e-4, "DC-FLAG": 1},
         10 ** (3.5589 + 1e-4 * N), "Angstrom", "wavelength", ""),
        # equal steps of frequency on an axis of optical velocity
        ({"CTYPE3": "VOPT-F2W", "CUNIT3": "m/s", "CRVAL3": 0.0, "CRPIX3": 1.0, "CDELT3": 2e4, "RESTFRQ": 1.42040575e9},
         None, "km/s", "velocity", ""),
        # AIPS names
        ({"CTYPE3": "VELO-LSR", "CRVAL3": 3000.0, "CRPIX3": 1.0, "CDELT3": -1000.0, "VELREF": 257,
          "RESTFREQ": 1.15271202e11}, 3 - 1.0 * N, "km/s", "velocity", ""),
        ({"CTYPE3": "FREQ-LSR", "CRVAL3": 1.1e11, "CRPIX3": 1.0, "CDELT3": 1e6}, 110 + 1e-3 * N, "GHz",
          "frequency", ""),
        # units as people spell them
        ({"CTYPE3": "WAVELENGTH", "CUNIT3": "Ang", "CRVAL3": 5000.0, "CRPIX3": 1.0, "CDELT3": 2.0}, 5000 + 2.0 * N,
         "Angstrom", "wavelength", ""),
        ({"CTYPE3": "WAVE", "CUNIT3": "micron", "CRVAL3": 2.0, "CRPIX3": 1.0, "CDELT3": 0.01}, 2 + 0.01 * N, "um",
         "wavelength", "vacuum"),
        ({"CTYPE3": "AWAV", "CUNIT3": "ANGSTROM", "CRVAL3": 5000.0, "CRPIX3": 1.0, "CDELT3": 2.0}, 5000 + 2.0 * N,
         "Angstrom", "wavelength", "air"),
        # no unit at all
        ({"CTYPE3": "AWAV", "CRVAL3": 4750.0, "CRPIX3": 1.0, "CDELT3": 1.25}, 4750 + 1.25 * N, "Angstrom",
         "wavelength", "air"),
        ({"CTYPE3": "LAMBDA", "CRVAL3": 900.0, "CRPIX3": 1.0, "CDELT3": 1.25}, 900 + 1.25 * N, "nm",
         "wavelength", ""),
        ({"CTYPE3": "WAVE", "CRVAL3": 5e-7, "CRPIX3": 1.0, "CDELT3": 1e-10}, 500 + 0.1 * N, "nm",
         "wavelength", "vacuum"),
        ({"CTYPE3": "ENER", "CUNIT3": "keV", "CRVAL3": 1.0, "CRPIX3": 0.5, "CDELT3": 0.1}, 1.05 + 0.1 * N, "keV",
         "energy", ""),
        ({"CTYPE3": "LINEAR", "CUNIT3": "Angstrom", "CRVAL3": 5000.0, "CRPIX3": 1.0, "CDELT3": 1.0, "AIRORVAC": "vac"},
         5000 + 1.0 * N, "Angstrom", "wavelength", "vacuum"),
    ],
)  # fmt: skip
def test_values_by_hand(tmp_path, header, values, unit, kind, medium):
    axis = open_cube(written(tmp_path / "a.fits", **header)).axis
    if values is None:
        # by hand: equal steps in frequency, v = c (f0 / f - 1); at v = 0 the step is df = -f0 dv / c
        rest = header["RESTFRQ"]
        values = LIGHT * (rest / (rest - rest * header["CDELT3"] / LIGHT * N) - 1) / 1000
        assert not axis.is_uniform or np.ptp(np.diff(values)) > 0
    np.testing.assert_allclose(axis.values, values, rtol=1e-9)
    assert (axis.unit, axis.kind, axis.medium) == (unit, kind, medium)


@pytest.mark.parametrize(
    ("header", "rest"),
    [({"RESTFRQ": 1.1e11}, 1.1e11), ({"RESTFREQ": 1.2e11}, 1.2e11), ({"RESTFRQ": 0.0}, 0), ({}, 0),
     ({"RESTWAV": 6.5628e-7}, LIGHT / 6.5628e-7), ({"RESTFRQ": "unknown"}, 0)],
)  # fmt: skip
def test_rest_frequency(tmp_path, header, rest):
    given = {"CTYPE3": "FREQ", "CUNIT3": "GHz", "CRVAL3": 110.0, "CRPIX3": 1.0, "CDELT3": 0.1}
    axis = open_cube(written(tmp_path / "a.fits", **given, **header)).axis
    assert axis.rest == pytest.approx(rest)
    assert (axis.unit, axis.values[1]) == ("GHz", pytest.approx(110.1))


def test_a_broken_sky_does_not_cost_the_spectral_axis(tmp_path):
    given = {"CTYPE3": "AWAV", "CUNIT3": "nm", "CRVAL3": 475.0, "CRPIX3": 2.0, "CDELT3": 0.5, "CTYPE1": "RA---TAN"}
    cube = open_cube(written(tmp_path / "a.fits", **given, CTYPE2="GLAT-ZPN", CDELT2=0.0))
    np.testing.assert_allclose(cube.axis.values, 475 + 0.5 * (N - 1))
    assert cube.spatial.wcs == ""


def test_guesses_are_said_and_what_the_header_says_is_none(tmp_path):
    given = {"CTYPE3": "AWAV", "CRVAL3": 4750.0, "CRPIX3": 1.0, "CDELT3": 1.25}
    assert "no unit" in open_cube(written(tmp_path / "a.fits", **given)).metadata["axis_guessed"]
    said = open_cube(written(tmp_path / "b.fits", **given, CUNIT3="Angstrom"))
    assert "axis_guessed" not in said.metadata


SKY = {"RA": ("RA---TAN", 53.1, -5e-5), "DEC": ("DEC--TAN", -27.8, 6e-5)}


@pytest.mark.parametrize(("spectral", "order"), [(1, (2, 3)), (2, (1, 3)), (3, (1, 2)), (3, (2, 1)), (1, (3, 2))])
def test_the_spectral_axis_may_be_any_and_the_sky_stays_right(tmp_path, spectral, order):
    """`order` is the FITS axes of RA and DEC; the image has the higher FITS axis as its rows."""
    header = {f"CTYPE{spectral}": "AWAV", f"CUNIT{spectral}": "Angstrom", f"CRVAL{spectral}": 5000.0,
              f"CRPIX{spectral}": 1.0, f"CDELT{spectral}": 2.0}  # fmt: skip
    for (kind, value, step), n in zip(SKY.values(), order, strict=True):
        header |= {f"CTYPE{n}": kind, f"CRVAL{n}": value, f"CDELT{n}": step, f"CRPIX{n}": 2.0, f"CUNIT{n}": "deg"}
    numpy_axis = 3 - spectral
    path = written(tmp_path / "a.fits", np.moveaxis(CUBE, 0, numpy_axis), **header)
    cube = open_cube(path)
    same(cube)
    np.testing.assert_allclose(cube.axis.values, 5000 + 2.0 * N)
    x, y = sorted(order)
    pixel = [0.0, 0.0, 0.0]
    pixel[x - 1], pixel[y - 1] = 5.0, 3.0
    expected = WCS(fits.getheader(path)).wcs_pix2world([pixel], 0)[0]
    found = WCS(fits.Header.fromstring(cube.spatial.wcs)).wcs_pix2world([[5.0, 3.0]], 0)[0]
    np.testing.assert_allclose(found, [expected[x - 1], expected[y - 1]], rtol=1e-12)
    sizes = {order[0]: 5e-5 * 3600, order[1]: 6e-5 * 3600}
    assert cube.spatial.pixel_size == pytest.approx((sizes[y], sizes[x]))


REAL = ["mpdaf_cubes/CUBE.fits", "mpdaf_cubes/subcub_mosaic.fits", "mpdaf_cubes/Central_Datacube_bkg.fits",
        "l1448_13co/l1448_13co.fits", "radio_small/example_cube.fits", "_derived_robustness/l1448_int16_bscale.fits",
        "_derived_robustness/l1448_stokes4d_nan.fits"]  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_files_against_astropy_and_against_arithmetic(name):
    path = real(name)
    cube = open_cube(path)
    with fits.open(path) as hdus:
        hdu = hdus[1] if len(hdus) > 1 else hdus[0]
        header, data = hdu.header, np.asarray(hdu.data)
    data = data[0] if data.ndim == 4 else data
    np.testing.assert_array_equal(np.asarray(cube.data[::7, :5, :9]), data[::7, :5, :9])
    step = header.get("CD3_3", header.get("CDELT3"))
    by_hand = header["CRVAL3"] + (np.arange(data.shape[0]) + 1 - header["CRPIX3"]) * step
    by_hand = by_hand / 1000 if cube.axis.unit == "km/s" else by_hand
    np.testing.assert_allclose(cube.axis.values, by_hand, rtol=1e-7)
    pixel = np.array([[2.0, 1.0], [0.0, 3.0]])
    full = np.zeros((2, header["NAXIS"]))
    full[:, :2] = pixel
    expected = WCS(header, naxis=[1, 2]).wcs_pix2world(pixel, 0)
    found = WCS(fits.Header.fromstring(cube.spatial.wcs)).wcs_pix2world(pixel, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert cube.axis.rest == pytest.approx(header.get("RESTFRQ") or header.get("RESTFREQ") or 0)


def test_real_velocities_against_astropy():
    path = real("l1448_13co/l1448_13co.fits")
    values = WCS(fits.getheader(path)).sub(["spectral"]).wcs_pix2world(np.arange(53)[:, None], 0)[:, 0]
    np.testing.assert_allclose(open_cube(path).axis.values, values / 1000)


def test_tables_of_coordinates_are_read_or_refused(tmp_path):
    wave = 5000 + np.cumsum(np.linspace(1, 3, BANDS))
    hdu = fits.ImageHDU(CUBE.astype("f4"), name="SCI")
    hdu.header.update(CTYPE3="AWAV-TAB", CUNIT3="Angstrom", CRVAL3=1.0, CRPIX3=1.0, CDELT3=1.0, PS3_0="COORDS",
                      PS3_1="lam", PS3_2="place", CTYPE1="RA---TAN", CTYPE2="DEC--TAN")  # fmt: skip
    columns = [
        fits.Column("lam", f"{BANDS}D", dim=f"(1,{BANDS})", unit="Angstrom", array=wave.reshape(1, BANDS, 1)),
        fits.Column("place", f"{BANDS}D", dim=f"({BANDS})", array=np.arange(1.0, BANDS + 1)[None]),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="COORDS")
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), hdu, table]).writeto(path)
    cube = open_cube(path)
    np.testing.assert_allclose(cube.axis.values, wave, rtol=1e-9)
    assert (cube.axis.unit, cube.axis.medium) == ("Angstrom", "air")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "b.fits")
    without = open_cube(tmp_path / "b.fits")
    assert not without.axis.calibrated
    assert "AWAV-TAB" in without.metadata["axis_rejected"]
