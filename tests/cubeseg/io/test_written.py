"""Every format on files written here: the right cube, the right axis, nothing read that is not asked for."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from astropy.io import fits
from scipy.io import savemat

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded

BANDS, HEIGHT, WIDTH = 20, 6, 8
CUBE = np.random.default_rng(0).integers(0, 200, (BANDS, HEIGHT, WIDTH))
AXIS = np.linspace(400, 780, BANDS)


def same(cube, data=CUBE):
    assert cube.data.shape == data.shape
    np.testing.assert_allclose(cube.block(slice(None), slice(None)).data, data)
    np.testing.assert_allclose(cube.data[3], data[3])
    np.testing.assert_allclose(cube.spectrum(2, 5), data[:, 2, 5])
    np.testing.assert_allclose(cube.data[2:5, 1:3, 4], data[2:5, 1:3, 4])


# HDF5


@pytest.mark.parametrize("chunks", [None, (3, 4, 5)])
def test_hdf5_authors_layout(tmp_path, chunks):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("img", data=CUBE.transpose(1, 2, 0), chunks=chunks, compression="gzip" if chunks else None)
    cube = open_cube(path)
    same(cube)
    assert not cube.axis.calibrated
    assert cube.source.dataset == "img"


def test_contiguous_hdf5_is_mapped_and_chunked_is_read_on_demand(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("img", data=CUBE.transpose(1, 2, 0))
        file.create_dataset("packed", data=CUBE.transpose(1, 2, 0), chunks=(3, 4, 5))
    assert isinstance(open_cube(path, dataset="img").data.base, np.memmap)
    assert open_cube(path, dataset="packed").data.chunks == (5, 3, 4)


def test_hdf5_axis_from_a_sibling_vector_and_attributes(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("scan")
        group["spectra"] = CUBE.transpose(1, 2, 0)
        group["energies"] = np.linspace(0, 20, BANDS)
        group["energies"].attrs["unit"] = "keV"
        file["other/wavelength"] = np.arange(5.0)
        file.attrs.update(pixel_size=(50.0, 50.0), pixel_unit="um", data_unit="counts", noise="poisson")
    cube = open_cube(path)
    same(cube)
    assert (cube.axis.kind, cube.axis.unit, cube.axis.values[-1]) == ("energy", "keV", 20)
    assert cube.spatial.pixel_size == (50.0, 50.0)
    assert (cube.unit, cube.noise.kind) == ("counts", "poisson")


def test_hdf5_calibration_attribute(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["img"] = CUBE.transpose(1, 2, 0)
        file["img"].attrs["calibration"] = [0.1, 0.02, 0.0]
    axis = open_cube(path).axis
    assert (axis.unit, axis.values[10]) == ("keV", pytest.approx(0.3))


def test_hdf5_variance_beside_it(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["img"] = CUBE.transpose(1, 2, 0)
        file["variance"] = CUBE.transpose(1, 2, 0) * 2.0
    cube = open_cube(path)
    same(cube)
    np.testing.assert_allclose(cube.block(slice(0, 2), slice(0, 3)).variance, CUBE[:, :2, :3] * 2)


def test_hdf5_with_several_cubes_asks(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in ("one", "two"):
            file[name] = CUBE.transpose(1, 2, 0)
    with pytest.raises(ChoiceNeeded, match="--dataset") as asked:
        open_cube(path)
    assert {c.dataset for c in asked.value.candidates} == {"one", "two"}
    same(open_cube(path, dataset="two"))


def test_hdf5_whose_axes_say_nothing_asks_for_the_axis(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["something"] = np.zeros((9, 9, 9))
    with pytest.raises(ChoiceNeeded, match="--spectral-axis"):
        open_cube(path)
    assert open_cube(path, spectral_axis=1).source.spectral_axis == 1
    with pytest.raises(DataError, match="no axis 3"):
        open_cube(path, spectral_axis=3)


def test_truth_in_a_sample_is_no_candidate(painting_file):
    cube = open_cube(painting_file)
    assert (cube.source.dataset, cube.axis.unit, cube.noise.kind) == ("img", "keV", "poisson")


# MATLAB


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
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["cube"] = CUBE.transpose(1, 2, 0).transpose()
        file["WL"] = AXIS[:, None]
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    cube = open_cube(path)
    same(cube)
    assert cube.axis.unit == "nm"


def test_matlab_flattened_unmixing_set(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"Y": CUBE.reshape(BANDS, -1, order="F"), "lines": HEIGHT, "cols": WIDTH})
    same(open_cube(path))


# FITS


def fits_cube(path, data, **header):
    keywords = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "AWAV", "CUNIT1": "deg", "CUNIT2": "deg",
        "CUNIT3": "Angstrom", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRVAL3": 4750.0, "CRPIX1": 4.0, "CRPIX2": 3.0,
        "CRPIX3": 1.0, "CD1_1": -0.2 / 3600, "CD2_2": 0.2 / 3600, "CD3_3": 1.25, "CD1_2": 0.0, "CD2_1": 0.0,
    } | header  # fmt: skip
    hdu = fits.ImageHDU(data.astype(np.float32), name="DATA")
    for key, value in keywords.items():
        hdu.header[key] = value
    stat = fits.ImageHDU((data + 1).astype(np.float32), name="STAT")
    fits.HDUList([fits.PrimaryHDU(), hdu, stat]).writeto(path)


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


# ENVI


def envi(folder, interleave="bsq", dtype="u2", order="<", offset=0, **extra):
    number = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13}[dtype]
    stored = CUBE.transpose({"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}.get(interleave, (0, 1, 2)))
    (folder / "a.raw").write_bytes(b"x" * offset + np.ascontiguousarray(stored).astype(order + dtype).tobytes())
    fields = {
        "samples": WIDTH, "lines": HEIGHT, "bands": BANDS, "data type": number, "interleave": interleave,
        "byte order": int(order == ">"), "header offset": offset, "wavelength units": "Nanometers",
        "wavelength": "{" + ",\n".join(map(str, AXIS)) + "}",
    } | {k.replace("_", " "): v for k, v in extra.items()}  # fmt: skip
    lines = [f"{k} = {v}" for k, v in fields.items() if v is not None]
    (folder / "a.hdr").write_text("ENVI\n; a comment\n" + "\n".join(lines))
    return folder / "a.hdr"


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


def test_envi_without_its_data(tmp_path):
    envi(tmp_path)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(DataError, match="data file is missing"):
        open_cube(tmp_path / "a.hdr")


# NumPy


def test_npy_is_mapped(tmp_path):
    np.save(tmp_path / "a.npy", CUBE.transpose(1, 2, 0))
    cube = open_cube(tmp_path / "a.npy")
    same(cube)
    assert isinstance(cube.data, np.memmap)


def test_npz_with_axis(tmp_path):
    np.savez(tmp_path / "a.npz", cube=CUBE.transpose(1, 2, 0), wavelength_nm=AXIS, labels=np.zeros((HEIGHT, WIDTH)))
    cube = open_cube(tmp_path / "a.npz")
    same(cube)
    assert cube.axis.unit == "nm"


def test_npy_with_pickle_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError):
        open_cube(tmp_path / "a.npy")


# what is no cube


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.fits", b"", "is empty"),
        ("a.mat", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        ("a.h5", b"hello, this is no cube", "no format that cubeseg reads"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + b"\x00" * 50, "damaged or truncated"),
        ("a.npz", b"PK\x03\x04" + b"\x00" * 50, "damaged or truncated"),
        ("a.fits", b"SIMPLE  =                    T" + b" " * 50, "damaged or truncated|no extension"),
    ],
)
def test_foreign_and_broken_files_are_one_clear_line(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        open_cube(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        open_cube(tmp_path / "none.h5")
    with pytest.raises(DataError, match="is a folder"):
        open_cube(tmp_path)
