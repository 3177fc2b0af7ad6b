"""FITS as instruments write it: tables of wavelengths, packed and shifted integers, units, masks."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded
from cubeseg.io.lazy import AxisView
from tests.cubeseg.io.written import BANDS, CUBE, same


def write(path, *hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def image(name="DATA", dtype="f4", data=CUBE, **header):
    hdu = fits.ImageHDU(data.astype(dtype), name=name)
    hdu.header.update(header)
    return hdu


def spectral(kind, unit, first, step):
    return {"CTYPE3": kind, "CUNIT3": unit, "CRVAL3": first, "CDELT3": step, "CRPIX3": 1.0, "RESTFRQ": 1.1e11}


@pytest.mark.parametrize(
    ("given", "kind", "unit", "second", "medium"),
    [
        (spectral("AWAV", "Angstrom", 4750.0, 1.25), "wavelength", "Angstrom", 4751.25, "air"),
        (spectral("WAVE", "m", 5e-7, 1e-10), "wavelength", "nm", 500.1, "vacuum"),
        (spectral("WAVE", "m", 3e-6, 1e-9), "wavelength", "um", 3.001, "vacuum"),
        (spectral("WAVELENGTH", "Angstroms", 5000.0, 1.0), "wavelength", "Angstrom", 5001.0, ""),
        (spectral("LINEAR", "Angstrom", 5000.0, 1.0), "wavelength", "Angstrom", 5001.0, ""),
        (spectral("FREQ", "Hz", 1e11, 1e6), "frequency", "GHz", 100.001, ""),
        (spectral("VRAD", "km/s", 3.0, 1.0), "velocity", "km/s", 4.0, ""),
        (spectral("VELO-LSR", "", 3000.0, -1000.0), "velocity", "km/s", 2.0, ""),
        (spectral("ENER", "keV", 1.0, 0.1), "energy", "keV", 1.1, ""),
        (spectral("WAVN", "1/cm", 1000.0, 2.0), "wavenumber", "1/cm", 1002.0, ""),
        (spectral("LINEAR", "", 10.0, 2.0), "channel", "", 12.0, ""),
    ],
)
def test_units_as_the_header_says_them(tmp_path, given, kind, unit, second, medium):
    axis = open_cube(write(tmp_path / "a.fits", image(**given))).axis
    assert (axis.kind, axis.unit, axis.medium) == (kind, unit, medium)
    assert axis.values[1] == pytest.approx(second, rel=1e-6)


def test_a_matrix_without_its_third_row_is_completed(tmp_path):
    given = spectral("AWAV", "Angstrom", 4750.0, 1.25) | {"CD1_1": -5e-5, "CD2_2": 5e-5}
    given |= {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}
    assert open_cube(write(tmp_path / "a.fits", image(**given))).axis.values[1] == pytest.approx(4751.25)


def test_linear_axes_all_round_leave_the_third_spectral(tmp_path):
    cube = open_cube(write(tmp_path / "a.fits", image(CTYPE1="LINEAR", CTYPE2="LINEAR", CTYPE3="LINEAR")))
    same(cube)
    assert cube.source.spectral_axis == 0


def test_axis_that_is_not_there(tmp_path):
    path = write(tmp_path / "a.fits", image())
    with pytest.raises(DataError, match="no axis 5"):
        open_cube(path, spectral_axis=5)
    assert open_cube(path, spectral_axis=-1).data.shape == CUBE.transpose(2, 0, 1).shape


def test_jwst_table_overrides_the_header_and_masked_cubes_stay_mapped(tmp_path):
    wave = np.geomspace(1, 5, BANDS)
    given = spectral("WAVE-TAB", "um", 1.0, 1.0) | {"PS3_0": "WCS-TABLE", "PS3_1": "wavelength"}
    column = fits.Column("wavelength", f"{BANDS}D", unit="um", dim=f"(1,{BANDS})", array=wave.reshape(1, -1, 1))
    table = fits.BinTableHDU.from_columns([column], name="WCS-TABLE")
    path = write(tmp_path / "a.fits", image("SCI", **given), image("ERR"), image("WMAP", "u4"), table)
    cube = open_cube(path)
    same(cube)
    np.testing.assert_allclose(cube.axis.values, wave)
    assert (cube.axis.unit, cube.axis.medium) == ("um", "vacuum")
    # WMAP is shifted (BZERO), which must not cost SCI its memory map
    assert isinstance(cube.data.base, np.ndarray)
    assert not isinstance(cube.data, AxisView)


def test_manga_vector_overrides_the_header(tmp_path):
    wave = 10 ** np.linspace(3.55, 3.6, BANDS)
    given = spectral("WAVE-LOG", "Angstrom", 3000.0, 1.0)
    path = write(tmp_path / "a.fits", image("FLUX", **given), image("IVAR"), image("WAVE", "f8", wave))
    cube = open_cube(path)
    np.testing.assert_allclose(cube.axis.values, wave)
    assert cube.axis.medium == "vacuum"
    assert cube.noise.inverse


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4"])
def test_counts_of_every_integer_type_are_counts(tmp_path, dtype):
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(CUBE.astype(dtype))
    hdu.header["BUNIT"] = "counts"
    hdu.writeto(path)
    cube = open_cube(path)
    same(cube)
    assert cube.noise.kind == "poisson"
    assert cube.data.dtype == np.asarray(cube.data[0]).dtype
    assert cube.data.dtype.kind == np.dtype(dtype).kind


def test_blanks_of_integers_are_not_numbers(tmp_path):
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(CUBE.astype("i4"))
    hdu.header["BLANK"] = int(CUBE[3, 2, 5])
    hdu.writeto(path)
    cube = open_cube(path)
    assert np.isnan(cube.data[3, 2, 5])
    assert cube.data.dtype == np.asarray(cube.data[0]).dtype


@pytest.mark.parametrize("dtype", ["i2", "i4"])
def test_packed_tiles_are_unpacked_into_a_map(tmp_path, dtype):
    path = tmp_path / "a.fits"
    # well packed: larger unpacked than the file, which must not be taken for truncation
    data = np.random.default_rng(0).integers(0, 3, (300, 40, 50))
    write(path, fits.CompImageHDU(data.astype(dtype), name="DATA"))
    assert path.stat().st_size < data.size * np.dtype(dtype).itemsize
    cube = open_cube(path)
    assert isinstance(cube.data, np.memmap)
    same(cube, data)
    assert cube.data.dtype == np.asarray(cube.data[0]).dtype
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="promises"):
        open_cube(path)


def test_nothing_of_a_mapped_or_sectioned_cube_is_read_when_opening(tmp_path, monkeypatch):
    path = write(tmp_path / "a.fits", image("DATA", "u2"), image("STAT"))
    read = []
    whole = AxisView.__getitem__
    monkeypatch.setattr(AxisView, "__getitem__", lambda self, key: read.append(key) or whole(self, key))
    cube = open_cube(path)
    assert isinstance(cube.data, AxisView)
    assert read == []
    np.testing.assert_array_equal(cube.data[::2, 1, ::-3], CUBE[::2, 1, ::-3])
    assert len(read) == 1


def test_flat_mask_and_first_stokes_plane(tmp_path):
    flags = np.zeros(CUBE.shape[1:], "i4")
    flags[1, 2] = 5
    given = {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1e11, "CDELT3": 1e6, "CRPIX3": 1.0, "CTYPE4": "STOKES"}
    path = write(tmp_path / "a.fits", image(data=np.stack([CUBE, 2 * CUBE]), **given), image("DQ", "i4", flags))
    cube = open_cube(path)
    same(cube)
    assert not cube.mask[1, 2]
    assert cube.mask.sum() == cube.mask.size - 1
    assert cube.metadata["plane"].startswith("plane I of")


def test_several_cubes_are_listed_with_their_axis(tmp_path):
    path = write(tmp_path / "a.fits", image("RED"), image("BLUE"), image("STAT"))
    with pytest.raises(ChoiceNeeded) as asked:
        open_cube(path)
    assert [(c.dataset, c.dtype, c.spectral_axis) for c in asked.value.candidates] == [
        ("RED", "float32", 0),
        ("BLUE", "float32", 0),
    ]
    same(open_cube(path, dataset="blue"))


@pytest.mark.parametrize("name", ["a.fits.gz", "named_so.fits"])
def test_gzip(tmp_path, name):
    plain = write(tmp_path / "plain.fits", image()).read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(plain))
    same(open_cube(path))
    path.write_bytes(gzip.compress(plain)[:-200])
    with pytest.raises(DataError, match="ended before"):
        open_cube(path)
    path.write_bytes(gzip.compress(plain[:6000]))
    with pytest.raises(DataError, match="promises"):
        open_cube(path)


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_claims_terabytes(tmp_path, packed):
    content = write(tmp_path / "plain.fits", image()).read_bytes()
    claim = content.replace(b"NAXIS3  =                   20", b"NAXIS3  =          90000000000")
    assert claim != content
    path = tmp_path / ("a.fits.gz" if packed else "a.fits")
    path.write_bytes(gzip.compress(claim) if packed else claim)
    with pytest.raises(DataError, match=r"promises .* TiB, but the file holds .* KiB"):
        open_cube(path)


def test_warnings_of_astropy_stay_inside(tmp_path, capfd):
    path = write(tmp_path / "a.fits", image(CTYPE3="WAVE", CUNIT3="nonsense", CD3_3="text", BUNIT="?"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_cube(path)
    assert capfd.readouterr().err == ""


def test_a_negative_size_is_not_followed_for_ever(tmp_path):
    path = write(tmp_path / "a.fits", image(), image("STAT"))
    content = path.read_bytes()
    at = content.rindex(b"NAXIS3  =                   20")
    path.write_bytes(content[:at] + b"NAXIS3  =                  -20" + content[at + 30 :])
    with pytest.raises(DataError, match="the value -20 for NAXIS3"):
        open_cube(path)


def test_packed_floats_variances_and_masks(tmp_path):
    smooth = np.random.default_rng(0).normal(100, 5, (BANDS, 30, 40)).astype("f4")
    flags = np.zeros((30, 40), "i2")
    flags[4, 5] = 1
    hdus = [
        fits.CompImageHDU(smooth, name="DATA", quantize_level=64, tile_shape=(4, 10, 40)),
        fits.CompImageHDU(smooth + 1, name="STAT", quantize_level=64),
        fits.CompImageHDU(flags, name="DQ"),
    ]
    cube = open_cube(write(tmp_path / "a.fits", *hdus))
    np.testing.assert_allclose(cube.data[:, :, :], smooth, atol=0.2)
    np.testing.assert_allclose(cube.noise.variance_of((slice(2, 4), 1, slice(None))), smooth[2:4, 1] + 1, atol=0.2)
    assert np.argwhere(~cube.mask).tolist() == [[4, 5]]


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "HCOMPRESS_1", "PLIO_1"])
def test_damaged_tiles_end_no_process_but_their_own(tmp_path, kind):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 1000, (10, 20, 30)).astype("i4")
    path = write(
        tmp_path / "a.fits", fits.CompImageHDU(data, name="DATA", compression_type=kind, tile_shape=(1, 20, 30))
    )
    with fits.open(path, disable_image_compression=True) as hdus:
        start = hdus[1].fileinfo()["datLoc"]
    whole = path.read_bytes()
    for _ in range(4):
        content = bytearray(whole)
        for at in rng.integers(start, len(content), 30):
            content[at] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            shape = open_cube(path).data.shape
        except DataError:
            shape = None
        assert shape in (data.shape, None)
