"""Two small integral-field cubes as an observatory hands them out: DATA, STAT (variance), DQ, a place in the sky.

Written into the folder in which it is started: galaxy-1.fits and galaxy-2.fits.
"""

import numpy as np
from astropy.io import fits

from cubeseg.samples import galaxy


def header_of(cube, right_ascension):
    """Spectral axis and position: pixels of 0.2 arcseconds, north up, east to the left."""
    step = float(cube.axis.values[1] - cube.axis.values[0])
    cards = {
        "CTYPE1": "RA---TAN", "CUNIT1": "deg", "CRPIX1": 32.5, "CRVAL1": right_ascension, "CDELT1": -0.2 / 3600,
        "CTYPE2": "DEC--TAN", "CUNIT2": "deg", "CRPIX2": 32.5, "CRVAL2": -27.7842, "CDELT2": 0.2 / 3600,
        "CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRPIX3": 1.0, "CRVAL3": float(cube.axis.values[0]), "CDELT3": step,
        "RADESYS": "ICRS", "BUNIT": "10**-20 erg s-1 cm-2 Angstrom-1",
    }  # fmt: skip
    return fits.Header(cards)


for number, seed in ((1, 0), (2, 7)):
    cube = galaxy(size=64, seed=seed).cube
    header = header_of(cube, 53.1625 + 0.01 * number)
    flags = np.zeros(cube.image_shape, np.int16)
    flags[:6, :] = 1  # rows that the instrument did not cover
    cube.data[:, flags > 0] = np.nan
    fits.HDUList([
        fits.PrimaryHDU(),
        fits.ImageHDU(cube.data, header, name="DATA"),
        fits.ImageHDU(cube.noise.variance, header, name="STAT"),
        fits.ImageHDU(flags, name="DQ"),
    ]).writeto(f"galaxy-{number}.fits", overwrite=True)  # fmt: skip
