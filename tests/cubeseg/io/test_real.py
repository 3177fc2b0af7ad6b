"""Real files: shape, axis, and the sort of noise that is found."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded
from cubeseg.sampling.probe import probe
from tests.conftest import real

CUBES = [
    ("houston2018_crop/houston_dataset.mat", (48, 128, 128), "", "gaussian"),
    ("samson/samson_dataset.mat", (156, 95, 95), "", "gaussian"),
    ("moffett/moffett.mat", (184, 50, 50), "", "gaussian"),
    ("salton_sea/salton_sea_roi.mat", (224, 51, 56), "", "gaussian"),
    ("abu_anomaly/HYDICE_data.mat", (162, 100, 80), "", "gaussian"),
    ("abu_anomaly/abu-beach-4.mat", (102, 100, 100), "", "gaussian"),
    ("abu_anomaly/abu-urban-2.mat", (198, 100, 100), "", "gaussian"),
    ("pavia_u_lowres/reg_pavia_dataset.mat", (103, 80, 50), "um", "gaussian"),
    ("pavia_u_lowres/pavia_u_lowres_80x50.npz", (103, 80, 50), "um", "gaussian"),
    ("raman_chondro/chondro_cube.npz", (300, 25, 35), "1/cm", "gaussian"),
    ("xrf_geology/NW13-33.npz", (12, 520, 980), "", "gaussian"),
    ("corn_kernel_envi/corn-kernel-hyperspectral.hdr", (580, 31, 43), "nm", "gaussian"),
    ("corn_kernel_envi/corn-kernel-hyperspectral.raw", (580, 31, 43), "nm", "gaussian"),
    ("l1448_13co/l1448_13co.fits", (53, 105, 105), "km/s", "gaussian"),
    ("_derived_robustness/l1448_int16_bscale.fits", (53, 60, 60), "km/s", "gaussian"),
    ("_derived_robustness/l1448_stokes4d_nan.fits", (53, 60, 60), "km/s", "gaussian"),
    ("mpdaf_cubes/CUBE.fits", (1595, 10, 20), "Angstrom", "gaussian"),
    ("mpdaf_cubes/subcub_mosaic.fits", (500, 30, 30), "Angstrom", "gaussian"),
    ("mpdaf_cubes/Central_Datacube_bkg.fits", (10, 101, 101), "Angstrom", "gaussian"),
    ("radio_small/example_cube.fits", (7, 4, 3), "km/s", "gaussian"),
]


@pytest.mark.parametrize(("name", "shape", "unit", "noise"), CUBES)
def test_real_cubes(name, shape, unit, noise):
    cube = open_cube(real(name))
    assert cube.data.shape == shape
    assert cube.axis.unit == unit
    assert probe(cube).noise == noise
    assert np.isfinite(cube.spectrum(shape[1] // 2, shape[2] // 2)).any()


def test_real_xrf_counts_are_found_to_be_counts():
    path = real("xrf_aps_mda/2xfm_0011_2xfm3__0.h5")
    with pytest.raises(ChoiceNeeded) as asked:
        open_cube(path)
    assert asked.value.candidates[0].dataset == "MAPS_RAW/data_a"
    cube = open_cube(path, dataset="MAPS_RAW/data_a")
    assert cube.data.shape == (2048, 11, 9)
    assert probe(cube).noise == "poisson"


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("pavia_u_lowres/reg_pavia_dataset.mat", 0.43, 0.86),
        ("raman_chondro/chondro_cube.npz", 602, 1798),
        ("corn_kernel_envi/corn-kernel-hyperspectral.hdr", 366.551, 1048.421),
        ("l1448_13co/l1448_13co.fits", 2.528195, 5.982223),
        ("mpdaf_cubes/CUBE.fits", 7300, 9292.5),
        ("mpdaf_cubes/subcub_mosaic.fits", 4750, 5373.75),
        ("delmic_cl/sparc-hyperspectral.h5", 467.875946, 732.124023),
    ],
)
def test_real_axes(name, first, last):
    values = open_cube(real(name)).axis.values
    assert (values[0], values[-1]) == (pytest.approx(first), pytest.approx(last))


def test_samson_is_column_major():
    from scipy.io import loadmat

    path = real("samson/samson_dataset.mat")
    matrix = loadmat(path, variable_names=["Y"])["Y"]
    cube = open_cube(path)
    np.testing.assert_allclose(cube.data[:, 3, 1], matrix[:, 95 + 3])


def test_salton_sea_says_why_its_bands_are_numbered_and_which_are_bad():
    cube = open_cube(real("salton_sea/salton_sea_roi.mat"))
    assert "'wl' neither rises nor falls" in cube.metadata["axis_rejected"]
    bad = cube.metadata["bad_bands"]
    assert 0 < len(bad) < 100
    assert np.isnan(np.asarray(cube.data[bad])).any()


@pytest.mark.parametrize(
    ("name", "shape", "pixel"),
    [("sparc-hyperspectral.h5", (128, 3, 2), 0.9638629), ("test_hyperspectral.h5", (512, 4, 4), 107.597498)],
)
def test_cathodoluminescence_is_found_behind_its_preview(name, shape, pixel):
    cube = open_cube(real(f"delmic_cl/{name}"))
    assert cube.data.shape == shape
    assert (cube.source.dataset, cube.axis.unit) == ("Acquisition2/ImageData/Image", "nm")
    # the pixels of the spectra, not those of the images beside them
    np.testing.assert_allclose(cube.spatial.pixel_size, pixel)
    assert cube.spatial.unit == "um"


def test_dark_reference_without_an_ending_is_one_line():
    assert open_cube(real("corn_kernel_envi/darkReference")).data.shape == (978, 1, 1600)


def test_scaled_integers_are_the_original_values():
    scaled = open_cube(real("_derived_robustness/l1448_int16_bscale.fits"))
    original = open_cube(real("_derived_robustness/l1448_stokes4d_nan.fits"))
    there = np.asarray(original.data[:, :, :])
    close = np.isclose(np.asarray(scaled.data[:, :, :]), there, atol=2e-3)
    assert close[np.isfinite(there)].all()


def test_muse_cubes_bring_their_variance_and_position():
    cube = open_cube(real("mpdaf_cubes/subcub_mosaic.fits"))
    assert cube.noise.variance is not None
    assert cube.axis.medium == "air"
    assert cube.spatial.unit == "arcsec"
    assert "CRVAL1" in cube.spatial.wcs


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("_derived_robustness/git_lfs_pointer.mat", "Git LFS pointer"),
        ("_derived_robustness/zero_bytes.fits", "is empty"),
        ("_derived_robustness/truncated.fits", "promises"),
        ("_derived_robustness/truncated.bcf", "promises"),
        ("plastics_nir/plastics_TRUNCATED.mat", "truncated"),
        ("pavia_u_lowres/PaviaU_gt_full_610x340.mat", "no 3-D array"),
        ("houston2018_crop/labels_128_pure_pixels.npy", "2 axes"),
        ("pigment_library_hyppigments/__speclib_averages.hdr", "spectral library"),
    ],
)
def test_real_files_that_are_no_cubes(name, said):
    with pytest.raises(DataError, match=said) as caught:
        open_cube(real(name))
    assert "\n" not in str(caught.value)
