"""FITS: the layout of MUSE, variances in three forms, scaled values."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.cubeseg.io.written import BANDS, CUBE, fits_cube, same


def test_fits_muse_layout(tmp_path):
    path = tmp_path / "a.fits"
    fits_cube(path, CUBE, BUNIT="10**(-20)*erg/s/cm**2/Angstrom")
    cube = open_cube(path)
    same(cube)
    assert (cube.axis.unit, cube.axis.medium) == ("Angstrom", "air")
    np.testing.assert_allclose(cube.axis.values, 4750 + 1.25 * np.arange(BANDS), rtol=1e-9)
    assert cube.spatial.pixel_size == pytest.approx((0.2, 0.2))
    np.testing.assert_allclose(cube.block(slice(1, 2), slice(0, 3)).variance, CUBE[:, 1:2, :3] + 1)
    from astropy.wcs import WCS

    there = WCS(fits.Header.fromstring(cube.spatial.wcs)).pixel_to_world_values(3, 2)
    assert np.allclose(there, (10, 20))


@pytest.mark.parametrize(("name", "given", "variance"), [("IVAR", 4.0, 0.25), ("ERR", 3.0, 9.0)])
def test_fits_inverse_variance_and_errors(tmp_path, name, given, variance):
    path = tmp_path / "a.fits"
    flux = fits.ImageHDU(CUBE.astype(np.float32), name="FLUX")
    side = fits.ImageHDU(np.full(CUBE.shape, given, np.float32), name=name)
    fits.HDUList([fits.PrimaryHDU(), flux, side]).writeto(path)
    block = open_cube(path).block(slice(0, 2), slice(0, 2))
    np.testing.assert_allclose(block.variance, variance)


def test_fits_scaled_integers_and_stokes(tmp_path):
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(CUBE[None].astype(np.int16))
    hdu.header.update(CTYPE3="VRAD", CUNIT3="m/s", CRVAL3=1000.0, CDELT3=500.0, CRPIX3=1.0, CTYPE4="STOKES")
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 10.0
    # the pixels are written as they are, so that the header's scale applies to them when read
    hdu.writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as file:
        file[0].header["BSCALE"], file[0].header["BZERO"] = 0.5, 10.0
    cube = open_cube(path)
    with fits.open(path) as file:
        same(cube, file[0].data[0].astype(np.float32))
    assert (cube.axis.kind, cube.axis.unit, cube.axis.values[1]) == ("velocity", "km/s", pytest.approx(1.5))


def test_fits_without_a_cube(tmp_path):
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((5, 5))).writeto(path)
    with pytest.raises(DataError, match="no extension holds a cube"):
        open_cube(path)
