"""HDF5: the right dataset, the right axis, nothing read that is not asked for."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded
from tests.cubeseg.io.written import BANDS, CUBE, same


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


def test_hdf5_calibration_as_pymca_writes_it(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("stack/instrument/detector_00")
        # the shape alone would say that the first axis is spectral
        group["data"] = CUBE
        group["data"].attrs["interpretation"] = "spectrum"
        group["calibration"] = [0.1, 0.02, 0.0]
    cube = open_cube(path)
    assert cube.source.spectral_axis == 2
    assert (cube.axis.unit, cube.axis.values[5]) == ("keV", pytest.approx(0.2))


@pytest.mark.parametrize("by", ["scale", "label", "nexus"])
def test_hdf5_axis_that_the_file_names(tmp_path, by):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["something"] = np.arange(9.0**3).reshape(9, 9, 9)
        if by == "scale":
            file["x0"] = np.linspace(4e-7, 8e-7, 9)
            file["x0"].make_scale("wavelength")
            file["x0"].attrs["units"] = "m"
            file["something"].dims[1].attach_scale(file["x0"])
        file["something"].dims[1].label = "C" if by != "nexus" else ""
        if by == "nexus":
            file.attrs["axes"] = ["sample_y", "energy", "sample_x"]
            file["energy"] = np.linspace(4, 5, 9)
    axis = open_cube(path)
    assert axis.source.spectral_axis == 1
    assert axis.axis.unit == {"scale": "nm", "label": "", "nexus": "keV"}[by]
    assert open_cube(path, spectral_axis=2).source.spectral_axis == 2


def test_hdf5_picture_is_no_candidate(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["scan"] = CUBE.transpose(1, 2, 0)
        file["image"] = np.zeros((400, 500, 30), np.uint8)
        file["image"].attrs["IMAGE_COLORMODEL"] = "RGB"
    same(open_cube(path))


def test_hdf5_big_endian_is_mapped(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["img"] = CUBE.transpose(1, 2, 0).astype(">f4")
    cube = open_cube(path)
    same(cube)
    assert isinstance(cube.data.base, np.memmap)


def test_hdf5_claims_and_damaged_parts(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("img", shape=(10**5, 10**5, 1000), dtype="f4", chunks=(64, 64, 16))
    with pytest.raises(DataError, match=r"claims 36.38 TiB .* holds .* KiB"):
        open_cube(path)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("img", data=CUBE.transpose(1, 2, 0), chunks=(6, 8, 20), compression="gzip")
        at = data.id.get_chunk_info(0).byte_offset
    with path.open("r+b") as raw:
        raw.seek(at + 2)
        raw.write(b"\xff" * 50)
    cube = open_cube(path)
    with pytest.raises(DataError, match=r"a\.h5: a part of it cannot be read"):
        cube.spectrum(0, 0)


def test_hdf5_result_is_no_cube_and_is_not_kept_open(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "cubeseg-result"
    with pytest.raises(DataError, match=r"cubeseg\.load"):
        open_cube(path)
    with h5py.File(path, "a") as file:
        file["more"] = 1


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
