"""HDF5: the right dataset, the right axis, nothing read that is not asked for."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded
from tests.conftest import real
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


def pymca(path, entries=("stack",), **extra):
    """As PyMca's documentation asks for: the data in the detector, linked where they are plotted."""
    with h5py.File(path, "w") as file:
        for name in entries:
            detector = file.create_group(f"{name}/instrument/detector_00")
            file[name].attrs["NX_class"] = "NXentry"
            detector.attrs["NX_class"] = "NXdetector"
            # the shape alone would say that the first axis is spectral
            detector["data"] = CUBE
            detector["data"].attrs["interpretation"] = "spectrum"
            detector["calibration"] = [0.1, 0.02, 0.001]
            detector["channels"] = np.arange(CUBE.shape[2])
            detector["live_time"] = np.linspace(0.5, 1.5, CUBE[:, :, 0].size).reshape(CUBE.shape[:2])
            plot = file.create_group(f"{name}/measurement")
            plot.attrs["NX_class"] = "NXdata"
            for part in ("data", "channels"):
                plot[part] = h5py.SoftLink(f"/{name}/instrument/detector_00/{part}")
    return path


@pytest.mark.parametrize("hard", [False, True])
def test_pymca_stack(tmp_path, hard):
    path = pymca(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        plot = file["stack/measurement"]
        if hard:
            del plot["data"]
            plot["data"] = file["stack/instrument/detector_00/data"]
        plot.attrs.update(signal="data", axes=[".", ".", "channels"])
        file.attrs["default"] = "stack"
        file["stack"].attrs["default"] = "measurement"
    cube = open_cube(path)
    same(cube, CUBE.transpose(2, 0, 1))
    channels = np.arange(CUBE.shape[2])
    np.testing.assert_allclose(cube.axis.values, 0.1 + 0.02 * channels + 0.001 * channels**2)
    assert cube.axis.unit == "keV"
    assert cube.metadata["axis_from"] == "calibration"
    assert "0.5 to 1.5, median 1;" in cube.metadata["live_time"]
    assert cube.source.dataset == "stack/instrument/detector_00/data"
    linked = open_cube(path, dataset="stack/measurement/data")
    assert linked.source == cube.source


@pytest.mark.parametrize("by", ["default", "signal", "old signal"])
def test_nexus_says_which_dataset_is_meant(tmp_path, by):
    path = pymca(tmp_path / "a.h5", ("one", "two"))
    with pytest.raises(ChoiceNeeded):
        open_cube(path)
    with h5py.File(path, "a") as file:
        plot = file["two/measurement"]
        if by == "old signal":
            file["two/instrument/detector_00/data"].attrs["signal"] = 1
        else:
            plot.attrs["signal"] = "data"
        if by == "default":
            file["one/measurement"].attrs["signal"] = "data"
            file.attrs["default"] = "two/measurement"
    assert open_cube(path).source.dataset == "two/instrument/detector_00/data"
    assert open_cube(path, dataset="one/measurement/data").source.dataset == "one/instrument/detector_00/data"


def test_nexus_axis_of_the_plot_decides(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw/frames"] = np.arange(9.0**3).reshape(9, 9, 9)
        plot = file.create_group("plot")
        plot.attrs.update(NX_class="NXdata", signal="frames", axes=["y", "energy", "x"])
        plot["frames"] = h5py.SoftLink("/raw/frames")
        plot["energy"] = np.linspace(4000, 5000, 9)
        plot["energy"].attrs["units"] = "eV"
    cube = open_cube(path)
    assert cube.source.spectral_axis == 1
    assert (cube.axis.unit, cube.axis.values[-1]) == ("eV", 5000)


def test_links_out_of_the_file_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["img"] = CUBE
        file["ivar"] = CUBE.transpose(1, 2, 0)
        file["calibration"] = [0.0, 1.0]
        file["wl"] = np.arange(BANDS) + 1.0
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["out"] = h5py.ExternalLink("secret.h5", "/img")
        file["also"] = h5py.SoftLink("/out")
    with pytest.raises(DataError, match=r"links to other files \(secret\.h5\)"):
        open_cube(path)
    with pytest.raises(DataError):
        open_cube(path, dataset="out")
    with h5py.File(path, "a") as file:
        file["img"] = CUBE.transpose(1, 2, 0)
        for name in ("ivar", "calibration", "wl"):
            file[name] = h5py.ExternalLink("secret.h5", f"/{name}")
        file.attrs["default"] = "beyond"
        file["beyond"] = h5py.ExternalLink("secret.h5", "/")
    cube = open_cube(path)
    same(cube)
    assert not cube.axis.calibrated
    assert cube.noise.variance is None


@pytest.mark.parametrize("how", ["virtual", "itself", "storage"])
def test_values_in_other_files_are_not_followed(tmp_path, how):
    path = tmp_path / "a.h5"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["img"] = CUBE.transpose(1, 2, 0)
    with h5py.File(path, "w") as file:
        shape = CUBE.transpose(1, 2, 0).shape
        if how == "storage":
            (tmp_path / "bytes").write_bytes(b"\x01" * 8 * CUBE.size)
            file.create_dataset("img", shape=shape, dtype="i8", external=[(str(tmp_path / "bytes"), 0, 8 * CUBE.size)])
        else:
            layout = h5py.VirtualLayout(shape, "i8")
            layout[...] = h5py.VirtualSource("." if how == "itself" else "other.h5", "img", shape)
            file.create_virtual_dataset("img", layout)
    with pytest.raises(DataError, match="lie in other files") as caught:
        open_cube(path)
    assert "\n" not in str(caught.value)


def test_virtual_dataset_within_the_file(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["parts/img"] = CUBE.transpose(1, 2, 0)
        layout = h5py.VirtualLayout(file["parts/img"].shape, "i8")
        layout[...] = h5py.VirtualSource(file["parts/img"])
        file.create_virtual_dataset("whole", layout)
    same(open_cube(path, dataset="whole"))


def test_loops_of_links_end(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["group/img"] = CUBE.transpose(1, 2, 0)
        file["group/again"] = file["group"]
        file["group/up"] = file["/"]
        file["ring"] = h5py.SoftLink("/gnir")
        file["gnir"] = h5py.SoftLink("/ring")
        file["group/calibration"] = h5py.SoftLink("/ring")
        # each name takes a thousand of the next
        file["l0"] = h5py.SoftLink("/")
        for n in range(1, 12):
            file[f"l{n}"] = h5py.SoftLink("/".join([f"l{n - 1}"] * 1000))
        file.attrs["default"] = "l11"
        file["group"].attrs.update(default="again", signal="l11/ring")
    same(open_cube(path))
    with pytest.raises(DataError, match="no cube named"):
        open_cube(path, dataset="ring")


def test_cubes_of_maxrf4u_cronomaxrf_and_xismus(tmp_path):
    cube = CUBE.transpose(1, 2, 0)
    energies = np.linspace(-1.17, 39.8, BANDS)
    for names in (("maxrf_cube", "maxrf_energies"), ("spectra", "energies")):
        path = tmp_path / f"{names[0]}.h5"
        with h5py.File(path, "w") as file:
            file[names[0]], file[names[1]] = cube, energies
            file["maxrf_maxspectrum"], file["maxrf_sumspectrum"] = cube.max(axis=(0, 1)), cube.sum(axis=(0, 1))
        opened = open_cube(path)
        same(opened)
        assert opened.axis.unit == "keV"
        np.testing.assert_allclose(opened.axis.values, energies)
    path = tmp_path / "xismus.h5"
    with h5py.File(path, "w") as file:
        file["dataset_1"] = cube
        file.attrs["calibration"] = np.array([[2, 0.4], [10, 2.0], [18, 3.6]], np.float32)
        file.attrs["datatypes"] = np.int32(0)
    opened = open_cube(path)
    same(opened)
    assert opened.axis.unit == "keV"
    np.testing.assert_allclose(opened.axis.values, 0.2 * np.arange(BANDS), atol=1e-6)
    with h5py.File(path, "a") as file:
        # infrared: the numbers are no keV
        file.attrs["datatypes"] = np.int32(1)
    assert not open_cube(path).axis.calibrated


@pytest.mark.parametrize(
    "given", [[[5, 1.0], [5, 2.0]], [[1, np.nan], [2, 3]], [0.1, 0.0], ["a", "b"], np.zeros((3, 3)), 7.0]
)
def test_calibrations_that_are_none(tmp_path, given):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["img"] = CUBE.transpose(1, 2, 0)
        file["img"].attrs["calibration"] = given
    assert not open_cube(path).axis.calibrated


def test_live_times_that_are_not_finite(tmp_path):
    path = pymca(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["stack/instrument/detector_00/live_time"][:] = np.nan
    assert "nan" in open_cube(path).metadata["live_time"]


def test_real_nexus_counter():
    cube = open_cube(real("ftir_orange/Hermes_HDF5/small_OK.hdf5"), spectral_axis=2)
    assert cube.data.shape == (2, 2, 2)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (1, 0, 2)])
def test_the_files_own_image_of_the_whole(tmp_path, order):
    image = CUBE.sum(axis=0)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["scan/spectra"] = CUBE.transpose(order)
        file["scan/energy"] = np.linspace(1, 2, BANDS)
        file["scan/other"] = image
        file["scan/sum_image"] = image
        file["white_reference"] = image
    cube = open_cube(path, spectral_axis=order.index(0))
    assert cube.white is not None
    np.testing.assert_allclose(cube.white(), image, rtol=1e-6)
    assert cube.metadata["white_light"] == "scan/sum_image"


def test_an_image_of_other_pixels_is_not_taken_for_the_whole(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["spectra"] = CUBE
        file["white_light"] = CUBE.sum(axis=0)[:-1]
    assert open_cube(path).white is None
