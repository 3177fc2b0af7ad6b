"""The layouts of pipelines: which extension is the cube, what its noise and its flags are; Stokes; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from cubeseg import open_cube
from cubeseg.errors import ConfigError, DataError
from cubeseg.io import ChoiceNeeded
from cubeseg.io.fits_sides import Flagged
from tests.conftest import SHARED, real
from tests.cubeseg.io.written import BANDS, CUBE, HEIGHT, WIDTH, same

WAVE = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4750.0, "CRPIX3": 1.0, "CDELT3": 1.25}
RADIO = {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1e11, "CRPIX3": 1.0, "CDELT3": 1e6, "BUNIT": "Jy/beam"}


def write(path, *hdus, **primary):
    first = hdus[0] if isinstance(hdus[0], fits.PrimaryHDU) else fits.PrimaryHDU()
    first.header.update(primary)
    fits.HDUList([first, *(hdu for hdu in hdus if hdu is not first)]).writeto(path)
    return path


def image(name="DATA", data=CUBE, dtype="f4", **header):
    hdu = fits.ImageHDU(np.asarray(data).astype(dtype), name=name)
    hdu.header.update(header)
    return hdu


def flagged(*places, dtype="i4"):
    flags = np.zeros(CUBE.shape, dtype)
    for (band, y, x), value in places:
        flags[band, y, x] = value
    return flags


def missing(cube):
    """Places that read as NaN, by whole blocks and by single values alike."""
    block = cube.block(slice(None), slice(None))
    where = np.argwhere(np.isnan(block.data))
    for band, y, x in where:
        assert np.isnan(cube.data[band, y, x])
        assert np.isnan(cube.spectrum(y, x)[band])
    good = ~np.isnan(block.data)
    np.testing.assert_allclose(block.data[good], CUBE[good])
    return {tuple(int(n) for n in place) for place in where}


def test_muse(tmp_path):
    flags = flagged(((3, 2, 5), 1), ((4, 0, 0), 64), dtype="i4")
    white = image("WHITE_LIGHT", CUBE.sum(axis=0))
    esorex = {"HDUCLAS1": "IMAGE", "HDUCLAS2": "ERROR", "HDUCLAS3": "MSE", "SCIDATA": "DATA"}
    path = write(
        tmp_path / "a.fits", image(**WAVE, BUNIT="10**(-20)*erg/s/cm**2/Angstrom"), image("STAT", CUBE + 1, **esorex),
        image("DQ", flags, "i4"), white, INSTRUME="MUSE",
    )  # fmt: skip
    cube = open_cube(path)
    assert missing(cube) == {(3, 2, 5), (4, 0, 0)}
    np.testing.assert_allclose(cube.block(slice(1, 2), slice(0, 3)).variance, CUBE[:, 1:2, :3] + 1)
    assert cube.metadata["white_light"] == "WHITE_LIGHT"
    assert cube.white is not None
    np.testing.assert_allclose(cube.white(), CUBE.sum(axis=0), rtol=1e-6)
    assert (cube.metadata["INSTRUME"], cube.unit) == ("MUSE", "10**(-20)*erg/s/cm**2/Angstrom")
    assert "DQ" in cube.metadata["flags"]


def test_manga(tmp_path):
    """Low coverage (bit 1) and foreground star (bit 3) are information; bits 0, 2 and 10 are not."""
    flags = flagged(((0, 0, 1), 1), ((0, 0, 2), 2), ((0, 0, 3), 4), ((0, 0, 4), 8), ((0, 0, 5), 1024 + 8))
    wave = 10 ** np.linspace(3.55, 3.6, BANDS)
    hdus = [
        image("FLUX", CTYPE3="WAVE-LOG", CUNIT3="Angstrom", CRVAL3=3000.0, CRPIX3=1.0, CD3_3=1.0, CD1_1=1.0, CD2_2=1.0,
              BUNIT="1E-17 erg/s/cm^2/Ang/spaxel"),
        image("IVAR", np.full(CUBE.shape, 4.0)), image("MASK", flags, "i4"), image("LSFPOST"), image("LSFPRE"),
        image("WAVE", wave, "f8"), image("GIMG", CUBE[0]),
    ]  # fmt: skip
    cube = open_cube(write(tmp_path / "a.fits", *hdus, MASKNAME="MANGA_DRP3PIXMASK"))
    assert missing(cube) == {(0, 0, 1), (0, 0, 3), (0, 0, 5)}
    np.testing.assert_allclose(cube.axis.values, wave)
    assert (cube.axis.medium, cube.metadata["axis_from"]) == ("vacuum", "WAVE")
    np.testing.assert_allclose(cube.block(slice(0, 1), slice(0, 1)).variance, 0.25)
    unknown = open_cube(write(tmp_path / "b.fits", *hdus))
    assert len(missing(unknown)) == 5


def test_kcwi(tmp_path):
    primary = fits.PrimaryHDU(CUBE.astype("f4"))
    primary.header.update(WAVE, BUNIT="FLAM16", INSTRUME="KCWI")
    hdus = [image("UNCERT", np.full(CUBE.shape, 3.0)), image("MASK", flagged(((1, 1, 1), 1)), "u1"),
            image("FLAGS", flagged(((2, 2, 2), 4)), "u1"), image("NOSKYSUB")]  # fmt: skip
    cube = open_cube(write(tmp_path / "a.fits", primary, *hdus))
    # MASK is what is bad, FLAGS say what was done
    assert missing(cube) == {(1, 1, 1)}
    np.testing.assert_allclose(cube.block(slice(0, 1), slice(0, 1)).variance, 9)
    hdus[0].header["UTYPE"] = "VarianceUncertainty"
    again = open_cube(write(tmp_path / "b.fits", primary, *hdus[:1]))
    np.testing.assert_allclose(again.block(slice(0, 1), slice(0, 1)).variance, 3)


def test_jwst(tmp_path):
    wave = np.geomspace(4.9, 7.6, BANDS)
    column = fits.Column("wavelength", f"{BANDS}D", unit="um", dim=f"(1,{BANDS})", array=wave.reshape(1, -1, 1))
    table = fits.BinTableHDU.from_columns([column], name="WCS-TABLE")
    flags = flagged(((0, 0, 0), 513), ((1, 1, 1), 4), ((2, 2, 2), 1), dtype="u4")
    science = image("SCI", CTYPE3="WAVE-TAB", CUNIT3="um", CRVAL3=1.0, CRPIX3=1.0, CDELT3=1.0, PS3_0="WCS-TABLE",
                    PS3_1="wavelength", BUNIT="MJy/sr")  # fmt: skip
    hdus = [science, image("ERR", np.full(CUBE.shape, 2.0)), image("DQ", flags, "u4"), image("WMAP"), table]
    cube = open_cube(write(tmp_path / "a.fits", *hdus, TELESCOP="JWST", INSTRUME="MIRI"))
    # a jump that was corrected (bit 2) is information; DO_NOT_USE is bit 0
    assert missing(cube) == {(0, 0, 0), (2, 2, 2)}
    np.testing.assert_allclose(cube.axis.values, wave)
    assert (cube.axis.unit, cube.axis.medium, cube.unit) == ("um", "vacuum", "MJy/sr")
    np.testing.assert_allclose(cube.block(slice(0, 1), slice(0, 1)).variance, 4)


def test_califa(tmp_path):
    primary = fits.PrimaryHDU(CUBE.astype("f4"))
    primary.header.update(WAVE)
    path = write(
        tmp_path / "a.fits", primary, image("ERROR", np.full(CUBE.shape, 2.0)), image("ERRWEIGHT"),
        image("BADPIX", flagged(((5, 4, 3), 1)), "u1"), image("FIBCOVER", CUBE[0]),
    )  # fmt: skip
    cube = open_cube(path)
    assert missing(cube) == {(5, 4, 3)}
    np.testing.assert_allclose(cube.block(slice(0, 1), slice(0, 1)).variance, 4)


def test_eso_keywords_go_before_names(tmp_path):
    flags = np.ones(CUBE.shape)
    flags[7, 3, 3] = 0
    path = write(
        tmp_path / "a.fits", image("SPEC", **WAVE),
        image("STAT", np.full(CUBE.shape, 5.0), HDUCLAS2="ERROR", HDUCLAS3="INVRMSE"),
        image("GOOD", flags, "u1", HDUCLAS2="QUALITY", HDUCLAS3="MASKONE"),
    )  # fmt: skip
    cube = open_cube(path)
    assert missing(cube) == {(7, 3, 3)}
    assert (cube.noise.inverse, cube.noise.squared) == (True, False)


def test_several_cubes_each_with_its_own_noise(tmp_path):
    hdus = []
    for n in (1, 2):
        hdus += [image(f"IFU.{n}.DATA", n * CUBE, **WAVE), image(f"IFU.{n}.NOISE", np.full(CUBE.shape, float(n)))]
    path = write(tmp_path / "a.fits", *hdus)
    with pytest.raises(ChoiceNeeded):
        open_cube(path)
    cube = open_cube(path, dataset="IFU.2.DATA")
    same(cube, 2 * CUBE)
    np.testing.assert_allclose(cube.block(slice(0, 1), slice(0, 1)).variance, 4)
    versions = [image("SCI", n * CUBE, **WAVE, EXTVER=n) for n in (1, 2)]
    errors = [image("ERR", np.full(CUBE.shape, float(n)), EXTVER=n) for n in (1, 2)]
    path = write(tmp_path / "b.fits", *versions, *errors)
    with pytest.raises(ChoiceNeeded) as asked:
        open_cube(path)
    assert [c.dataset for c in asked.value.candidates] == ["SCI,1", "SCI,2"]
    cube = open_cube(path, dataset="SCI,2")
    same(cube, 2 * CUBE)
    np.testing.assert_allclose(cube.block(slice(0, 1), slice(0, 1)).variance, 4)


@pytest.mark.parametrize("packed", [False, True])
def test_stokes_planes_are_chosen_by_name(tmp_path, packed):
    planes = np.stack([3 * CUBE, CUBE, 2 * CUBE]).astype("i2" if packed else "f4")
    header = RADIO | {"CTYPE4": "STOKES", "CRVAL4": 2.0, "CRPIX4": 2.0, "CDELT4": 1.0}
    hdu = fits.CompImageHDU(planes) if packed else image("", planes)
    hdu.header.update(header)
    path = write(tmp_path / "a.fits", hdu)
    same(open_cube(path), 3 * CUBE)
    same(open_cube(path, stokes="Q"))
    same(open_cube(path, stokes="u"), 2 * CUBE)
    same(open_cube(path, stokes="1"))
    assert "I, Q, U" in open_cube(path).metadata["plane"]
    with pytest.raises(ConfigError, match="there is I, Q, U"):
        open_cube(path, stokes="XX")
    header["CRVAL4"], header["CDELT4"] = -6.0, -1.0
    hdu.header.update(header)
    linear = write(tmp_path / "b.fits", hdu)
    with pytest.raises(ChoiceNeeded, match="XX, YY, XY") as asked:
        open_cube(linear)
    assert [value for value, _ in asked.value.settings[0].values] == ["XX", "YY", "XY"]
    same(open_cube(linear, stokes="YY"))


def test_stokes_before_frequency(tmp_path):
    header = {"CTYPE3": "STOKES", "CRVAL3": 1.0, "CDELT3": 1.0, "CRPIX3": 1.0}
    header |= {key.replace("3", "4"): value for key, value in RADIO.items()}
    path = write(tmp_path / "a.fits", image("", np.stack([CUBE, 2 * CUBE], axis=1), **header))
    same(open_cube(path))
    same(open_cube(path, stokes="Q"), 2 * CUBE)
    assert open_cube(path).axis.unit == "GHz"
    five = write(tmp_path / "b.fits", image("", CUBE[None, None], **RADIO, CTYPE4="STOKES", CTYPE5="BEAM"))
    same(open_cube(five))


def test_flags_are_read_where_the_data_are_and_not_before(tmp_path, monkeypatch):
    path = write(tmp_path / "a.fits", image(**WAVE), image("DQ", flagged(((3, 2, 5), 1)), "u4"))
    read = []
    whole = Flagged.__getitem__
    monkeypatch.setattr(Flagged, "__getitem__", lambda self, key: read.append(key) or whole(self, key))
    cube = open_cube(path)
    assert read == []
    assert cube.data.dtype == np.float32
    assert cube.data.shape == CUBE.shape
    expected = CUBE[1:8:2, 1:4, ::-2].astype(float)
    expected[1, 1, 1] = np.nan
    np.testing.assert_array_equal(cube.data[1:8:2, 1:4, ::-2], expected)


def test_flags_on_counts_leave_their_noise_known(tmp_path):
    path = write(tmp_path / "a.fits", image("DATA", CUBE, "i4", **WAVE, BUNIT="counts"), image("DQ", flagged(), "i2"))
    assert open_cube(path).noise.kind == "poisson"


def test_a_mask_of_a_cube_whose_spectra_lie_first(tmp_path):
    """NAXIS1 is the spectral axis; the mask is an image."""
    flags = np.zeros((HEIGHT, WIDTH), "u1")
    flags[2, 5] = 1
    given = {"CTYPE1": "WAVE", "CUNIT1": "nm", "CRVAL1": 500.0, "CDELT1": 1.0, "CRPIX1": 1.0}
    cube = open_cube(write(tmp_path / "a.fits", image("SCI", CUBE.transpose(1, 2, 0), **given), image("MASK", flags)))
    same(cube)
    assert np.argwhere(~cube.mask).tolist() == [[2, 5]]


def test_other_programs_images_say_how_to_export_them(tmp_path):
    with pytest.raises(DataError, match="GILDAS; export it there as FITS"):
        open_cube(real("radio_small/example_cube.lmv"))
    folder = SHARED / "radio_small" / "basic_bigendian.image"
    if not folder.is_dir():
        folder = tmp_path / "basic.image"
        folder.mkdir()
        (folder / "table.dat").write_bytes(b"\xbe\xbe\xbe\xbe\x00\x00")
    with pytest.raises(DataError, match=r"CASA; export it there as FITS .exportfits"):
        open_cube(folder)
    (tmp_path / "plain").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        open_cube(tmp_path / "plain")


def test_truncated_files_say_how_much_is_there():
    with pytest.raises(DataError, match=r"promises 2\.2\d* MiB, but the file holds 1\.3\d* MiB"):
        open_cube(real("_derived_robustness/truncated.fits"))
