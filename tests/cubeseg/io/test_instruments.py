"""Files of instruments: values as RosettaSciIO gives them, physical axes, questions, damage."""

from __future__ import annotations

import importlib.util
import random
import shutil
import struct
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import ConfigError, DataError
from cubeseg.io import ChoiceNeeded, instruments, signals, signals_bruker
from tests.conftest import real

rsciio = pytest.importorskip("rsciio", reason="needs napari-cubeseg[instruments]")

BCF = "eds_bruker_bcf/{}.bcf"
WDF = "raman_renishaw/{}.wdf"
VELOX = "velox_emd/example_velox_EELS_EDS.emd"
JEOL = "jeol_eds/Sample/00_View000/View000_0000006.pts"


def whole(cube):
    return np.asarray(cube.data).transpose(1, 2, 0)


def bands(cube):
    """Sum spectrum."""
    return np.asarray(cube.data).astype(np.float64).sum(axis=(1, 2))


def peak_near(cube, value, width):
    """Where the sum spectrum is highest about a value of the axis."""
    near = np.flatnonzero(np.abs(cube.axis.values - value) < width)
    spectrum = bands(cube)
    assert spectrum[near].max() > 1.01 * np.median(spectrum[near]), "no peak there at all"
    return cube.axis.values[near[np.argmax(spectrum[near])]]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("bcf_v2_50x50px", {"Al Ka": 1.487, "Ag La": 2.984, "C Ka": 0.277}),
        ("Hitachi_TM3030Plus", {"Cu La": 0.930, "Cu Ka": 8.046}),
        ("test_TEM", {"Si Ka": 1.740, "O Ka": 0.525, "Ti Ka": 4.511}),
        ("bcf-edx-ebsd", {}),
        ("over16bit", {}),
        ("16x16_12bit_packed_8bit", {}),
    ],
)
def test_bruker(name, lines):
    from rsciio.bruker import file_reader

    path = real(BCF.format(name))
    cube = open_cube(path)
    [expected] = file_reader(str(path), select_type="spectrum_image")
    np.testing.assert_array_equal(whole(cube), expected["data"])
    energy = expected["axes"][2]
    np.testing.assert_allclose(cube.axis.values, energy["offset"] + energy["scale"] * np.arange(cube.n_bands))
    assert (cube.axis.kind, cube.axis.unit, cube.unit, cube.noise.kind) == ("energy", "keV", "counts", "poisson")
    for line, value in lines.items():
        assert abs(peak_near(cube, value, 0.08) - value) < 0.02, line


def test_pixel_size_of_bruker():
    cube = open_cube(real(BCF.format("bcf_v2_50x50px")))
    # height and width differ in this file
    np.testing.assert_allclose(cube.spatial.pixel_size, (0.01180808099, 0.01273058731))
    assert cube.spatial.unit == "um"
    assert open_cube(real(BCF.format("Hitachi_TM3030Plus"))).spatial.unit == "pixel"
    assert cube.metadata["Acquisition_instrument.SEM.beam_energy"] == 20
    assert "Al" in cube.metadata["Sample.elements"]


@pytest.mark.parametrize("name", ["bcf_v2_50x50px", "over16bit"])
def test_thinned_bruker(name):
    path = real(BCF.format(name))
    cube, thin = open_cube(path), open_cube(path, downsample="2", cutoff="8")
    full = whole(cube).astype(np.int64)[:, :, : thin.n_bands]
    rows, columns = (full.shape[n] + full.shape[n] % 2 for n in (0, 1))
    padded = np.zeros((rows, columns, thin.n_bands), np.int64)
    padded[: full.shape[0], : full.shape[1]] = full
    summed = padded.reshape(rows // 2, 2, columns // 2, 2, -1).sum(axis=(1, 3))
    np.testing.assert_array_equal(whole(thin), summed)
    assert thin.axis.values[-1] < 8 <= cube.axis.values[thin.n_bands]
    np.testing.assert_allclose(thin.spatial.pixel_size, 2 * np.array(cube.spatial.pixel_size))
    assert dict(thin.source.settings) == {"downsample": "2", "cutoff": "8"}


def test_bright_pixel_of_a_dark_map_does_not_wrap_around():
    # the mean pixel has less than one count in each channel, one pixel has all 70000 of them
    asked = []

    def parse(**options):
        asked.append(header.estimate_map_depth(index=0, downsample=1, for_numpy=False))
        counts = np.zeros((300, 300, 4), asked[-1])
        counts[5, 5, 2] = np.uint64(70_000).astype(asked[-1])
        return counts

    spectrum = SimpleNamespace(data=np.array([0, 0, 70_000, 0], np.uint64), offset=0.0, scale=1.0)
    header = SimpleNamespace(image=SimpleNamespace(height=300, width=300), spectra_data={0: spectrum})
    container = SimpleNamespace(header=header, parse_hypermap=parse)
    assert signals_bruker._bcf_counts(container, 0, 4, 1)[5, 5, 2] == 70_000
    assert asked == [np.uint16, np.uint32]


def test_detectors_of_other_calibration_are_summed_by_energy():
    first, second = np.zeros((1, 1, 6), np.uint16), np.zeros((1, 1, 6), np.uint16)
    first[0, 0, 3], second[0, 0, 2] = 5, 65535
    to, values = np.arange(6) * 0.01, 0.0104 + np.arange(6) * 0.01
    total = signals_bruker._added(first, second, to, values)
    np.testing.assert_array_equal(total[0, 0], [0, 0, 0, 65540, 0, 0])


def test_velox():
    path = real(VELOX)
    with pytest.raises(ChoiceNeeded, match=r"EDS .16 x 20 x 4096.") as asked:
        open_cube(path)
    assert [c.dataset for c in asked.value.candidates] == ["EELS", "EELS 2", "EELS 3", "EDS"]
    cube = open_cube(path, dataset="EDS")
    assert cube.data.shape == (4096, 16, 20)
    assert cube.noise.kind == "poisson"
    assert cube.metadata["detectors"] == 6
    np.testing.assert_allclose(cube.axis.values[[0, -1]], [-0.2, 40.75])
    np.testing.assert_allclose(cube.spatial.pixel_size, (0.158658, 0.158658), rtol=1e-5)
    assert cube.spatial.unit == "um"
    with h5py.File(path) as file:
        streams = [stream["Data"][:, 0] for stream in file["Data/SpectrumStream"].values()]
    events = [stream[stream != 0xFFFF] for stream in streams]
    np.testing.assert_array_equal(bands(cube), np.bincount(np.concatenate(events), minlength=4096))
    # events of the third pixel lie between the second and the third mark
    third = [s[np.flatnonzero(s == 0xFFFF)[1] + 1 : np.flatnonzero(s == 0xFFFF)[2]] for s in streams]
    np.testing.assert_array_equal(whole(cube)[0, 2], np.bincount(np.concatenate(third), minlength=4096))
    for number in (1, 6):
        one = open_cube(path, dataset="EDS", detector=str(number))
        assert np.asarray(one.data).sum() == events[number - 1].size
    with pytest.raises(DataError, match="no detector 7"):
        open_cube(path, dataset="EDS", detector="7")
    thin = open_cube(path, dataset="EDS", downsample="3", cutoff="10")
    assert thin.data.shape == (1020, 6, 7)
    np.testing.assert_array_equal(bands(thin), bands(cube)[:1020])


def test_velox_energy_losses_stay_in_the_file():
    path = real(VELOX)
    cube = open_cube(path, dataset="EELS 3")
    with h5py.File(path) as file:
        stored = list(file["Data/EelsSpectrumImage"].values())[2]["Data"][()]
    assert cube.data.shape == (2048, 16, 20)
    np.testing.assert_array_equal(cube.data[:, 3, 4], stored[4, :, 3])
    np.testing.assert_array_equal(cube.data[100], stored[:, 100].T)
    np.testing.assert_allclose(cube.axis.values[:2], [-21.5026, -21.3334])
    assert (cube.axis.kind, cube.axis.unit, cube.spatial.unit) == ("energy", "eV", "um")


@pytest.mark.skipif(importlib.util.find_spec("sparse") is None, reason="RosettaSciIO needs sparse for Velox files")
def test_velox_like_rosettasciio():
    from rsciio.emd import file_reader

    path = real(VELOX)
    for title, expected in zip(
        ["EELS", "EELS 2", "EELS 3", "EDS"], file_reader(str(path), select_type="spectrum_image"), strict=True
    ):
        np.testing.assert_array_equal(whole(open_cube(path, dataset=title)), expected["data"])


def test_jeol():
    pytest.importorskip("numba")
    cube = open_cube(real(JEOL), downsample="8")
    assert cube.data.shape == (4096, 64, 64)
    # all counts of the file, as its NOTE has them
    assert abs(bands(cube).sum() - 308_000) < 1000
    np.testing.assert_allclose(cube.spatial.pixel_size, (0.0695, 0.0695), rtol=1e-3)
    for value in (0.277, 6.404, 8.046):
        assert abs(peak_near(cube, value, 0.08) - value) < 0.02
    with pytest.raises(ConfigError, match="divide"):
        open_cube(real(JEOL), downsample="3")
    for image in ("View000_0000001.map", "View000_0000000.img"):
        with pytest.raises(DataError, match="no spectral map"):
            open_cube(real(JEOL).with_name(image))


@pytest.mark.parametrize(
    ("name", "kind", "lines"),
    [
        # polystyrene, and the line of the laser
        ("renishaw_test_streamline", "raman_shift", (1001.4, 1031.8, 1602.3)),
        ("interrupted_acquisition", "raman_shift", (0.0,)),
        ("renishaw_test_map", "wavelength", ()),
        ("renishaw_test_map2", "wavelength", ()),
    ],
)
def test_renishaw(name, kind, lines):
    from rsciio.renishaw import file_reader

    path = real(WDF.format(name))
    cube = open_cube(path)
    expected = file_reader(str(path))[0]
    np.testing.assert_array_equal(whole(cube), expected["data"])
    np.testing.assert_array_equal(cube.axis.values, expected["axes"][2]["axis"])
    assert cube.axis.kind == kind
    # steps differ along the axis, though by little
    assert np.ptp(np.diff(cube.axis.values)) > 1e-5
    assert cube.noise.kind == "unknown"
    assert cube.spatial.unit == "um"
    for value in lines:
        assert abs(peak_near(cube, value, 10) - value) < 2.5


@pytest.fixture
def signal():
    """A map as HyperSpy's programs hold it."""

    def make(shape=(6, 5, 40), values=None, title="map", unit="nm", name="Wavelength", kind=np.uint16):
        data = np.random.default_rng(1).poisson(9, shape).astype(kind)
        plain = {"is_binned": False, "_type": "UniformDataAxis"}
        places = [
            {"name": place, "size": size, "offset": 0.0, "scale": scale, "units": "µm", "navigate": True} | plain
            for place, size, scale in zip("yx", shape, (2.0, 3.0), strict=False)
        ][: len(shape) - 1]
        axis = {"name": name, "size": shape[-1], "units": unit, "navigate": False, "is_binned": False}
        if values is None:
            axis |= {"offset": 400.0, "scale": 5.0, "_type": "UniformDataAxis"}
        else:
            axis |= {"axis": values, "_type": "DataAxis"}
        return {
            "data": data, "axes": [*places, axis], "original_metadata": {}, "models": {}, "learning_results": {},
            "metadata": {"General": {"title": title}, "Signal": {"signal_type": ""}}, "tmp_parameters": {},
            "attributes": {"_lazy": False, "ragged": False}, "package_info": {"package": "x", "package_version": "1"},
        }  # fmt: skip

    return make


def test_hyperspy_stays_in_the_file(tmp_path, signal):
    from rsciio.hspy import file_writer

    made = signal(values=np.geomspace(100, 3000, 40), unit="1/cm", name="Raman shift")
    file_writer(str(tmp_path / "a.hspy"), made)
    cube = open_cube(tmp_path / "a.hspy")
    np.testing.assert_array_equal(whole(cube), made["data"])
    np.testing.assert_allclose(cube.axis.values, np.geomspace(100, 3000, 40))
    assert (cube.axis.kind, cube.axis.unit, cube.spatial.pixel_size) == ("raman_shift", "1/cm", (2.0, 3.0))
    assert not isinstance(cube.data, np.ndarray) or isinstance(cube.data.base, np.memmap)


def test_hyperspy_with_several_maps_images_and_lines(tmp_path, signal):
    from rsciio.hspy import file_writer

    path = tmp_path / "a.hspy"
    for title, shape in (("one", (6, 5, 40)), ("two", (3, 4, 40)), ("spot", (40,))):
        file_writer(str(tmp_path / f"{title}.hspy"), signal(shape, title=title))
    with h5py.File(path, "w") as file:
        for title in ("one", "two", "spot"):
            with h5py.File(tmp_path / f"{title}.hspy") as part:
                file.attrs.update(part.attrs)
                part.copy(part[f"Experiments/{title}"], file.require_group("Experiments"))
    with pytest.raises(ChoiceNeeded) as asked:
        open_cube(path)
    assert [(c.dataset, c.shape) for c in asked.value.candidates] == [("one", (6, 5, 40)), ("two", (3, 4, 40))]
    assert open_cube(path, dataset="two").data.shape == (40, 3, 4)
    with pytest.raises(DataError, match="there is one, two"):
        open_cube(path, dataset="spot")
    with pytest.raises(DataError, match="no spectral map"):
        open_cube(tmp_path / "spot.hspy")
    made = signal((7, 40), title="line")
    file_writer(str(tmp_path / "line.hspy"), made)
    line = open_cube(tmp_path / "line.hspy")
    assert line.data.shape == (40, 1, 7)
    np.testing.assert_array_equal(whole(line)[0], made["data"])


def test_hyperspy_zarr(tmp_path, signal):
    zarr = pytest.importorskip("zarr")
    made = signal()
    root = zarr.open_group(tmp_path / "a.zspy", mode="w", zarr_format=2)
    root.attrs.update({"file_format": "ZSpy", "file_format_version": "3.3"})
    group = root.create_group("Experiments").create_group("map")
    group.create_array("data", data=made["data"], chunks=(4, 5, 40))
    for number, axis in enumerate(made["axes"]):
        group.create_group(f"axis-{number}").attrs.update(axis)
    for name in ("original_metadata", "learning_results"):
        group.create_group(name)
    group.create_group("metadata").create_group("General").attrs["title"] = "map"
    cube = open_cube(tmp_path / "a.zspy")
    np.testing.assert_array_equal(whole(cube), made["data"])
    np.testing.assert_allclose(cube.axis.values[:2], [400, 405])


def test_berkeley_emd(tmp_path, signal):
    from rsciio.emd import file_writer

    # this format does not say which axis is spectral, and the sizes of the pixels are lengths too
    made = signal()
    file_writer(str(tmp_path / "a.emd"), made)
    cube = open_cube(tmp_path / "a.emd")
    np.testing.assert_array_equal(whole(cube), made["data"])
    assert (cube.axis.unit, cube.axis.values[1], cube.spatial.pixel_size) == ("nm", 405, (2.0, 3.0))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_mountainsmap(tmp_path, signal):
    from rsciio.digitalsurf import file_reader, file_writer

    file_writer(str(tmp_path / "a.sur"), signal(kind=np.int16))
    [expected] = file_reader(str(tmp_path / "a.sur"))
    cube = open_cube(tmp_path / "a.sur")
    np.testing.assert_array_equal(whole(cube), expected["data"])
    np.testing.assert_allclose(cube.axis.values[[0, -1]], [400, 595])


def test_labspec(tmp_path):
    row = "<LSX_Row>1 2 3 </LSX_Row><LSX_Row>4 5 6 </LSX_Row>"
    (tmp_path / "a.xml").write_text(f"<LSX_Data><LSX_Matrix>{row}</LSX_Matrix></LSX_Data>")
    # too little of the layout is there; what matters is who answers, and how
    with pytest.raises(DataError, match="damaged") as error:
        open_cube(tmp_path / "a.xml")
    assert "\n" not in str(error.value)


def small_memory(monkeypatch, size):
    monkeypatch.setattr(instruments, "physical_memory", lambda: size)


def test_large_maps_are_asked_about_before_they_are_unpacked(monkeypatch):
    path = real(BCF.format("Hitachi_TM3030Plus"))
    small_memory(monkeypatch, 400 << 20)
    # 240 x 320 x 2048 counts of two bytes, against a quarter of 400 MiB
    with pytest.raises(ChoiceNeeded, match=r"240 x 320 x 2048.*0.293 GiB.*--set cutoff=15 --set downsample=2") as asked:
        open_cube(path)
    assert [c.dataset for c in asked.value.candidates] == ["EDX"]
    said = {setting.name: setting.default for setting in asked.value.settings}
    assert said == {"cutoff": "15", "downsample": "2"}
    cube = open_cube(path, **said)
    assert cube.data.shape == (1548, 120, 160)
    small_memory(monkeypatch, 100 << 20)
    with pytest.raises(DataError, match=r"allows; thin it, e\.g\. with downsample=") as error:
        open_cube(path, downsample="1")
    assert not isinstance(error.value, ChoiceNeeded)


def test_large_velox_and_jeol_maps_are_asked_about(monkeypatch):
    small_memory(monkeypatch, 4 << 20)
    with pytest.raises(ChoiceNeeded, match="--set downsample=2"):
        open_cube(real(VELOX), dataset="EDS")
    pytest.importorskip("numba")
    small_memory(monkeypatch, 1 << 30)
    with pytest.raises(ChoiceNeeded, match="downsample=4"):
        open_cube(real(JEOL))


@pytest.mark.parametrize("said", [{"downsample": "0"}, {"downsample": "x"}, {"cutoff": "-1"}, {"detector": "0"}])
def test_settings_that_make_no_sense(said):
    with pytest.raises(ConfigError, match="downsample"):
        open_cube(real(BCF.format("over16bit")), **said)
    with pytest.raises(ConfigError, match="no setting 'downsample'"):
        open_cube(real(WDF.format("renishaw_test_map")), downsample="2")


def test_what_is_no_map_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"single spectrum.*\.bcf"):
        open_cube(real("xrf_m6_jetstream_spx/bruker_m6_jetstream_file_example.spx"))
    (tmp_path / "a.asw").write_bytes(bytes(100))
    (tmp_path / "Sample" / "00").mkdir(parents=True)
    (tmp_path / "Sample" / "00" / "View.pts").touch()
    with pytest.raises(DataError, match=r"list of a project.*View\.pts"):
        open_cube(tmp_path / "a.asw")


def test_without_the_optional_package(monkeypatch):
    paths = [real(BCF.format("over16bit")), real(WDF.format("renishaw_test_map"))]
    monkeypatch.setattr(instruments, "_installed", lambda: False)
    for path in paths:
        with pytest.raises(DataError, match=r"install napari-cubeseg\[instruments\]"):
            open_cube(path)
    # Velox needs none
    assert open_cube(real(VELOX), dataset="EDS").n_bands == 4096


def test_units_and_axes_of_other_programs():
    found = {"values": [3.0, 2.0, 2.5], "unit": "nm", "axis_name": "", "pixel_size": [1.0, 2.0]}
    axis, notes = instruments._axis(found, 3)
    assert axis.kind == "channel"
    assert "numbered" in notes["axis_rejected"]
    mixed = instruments._spatial(found | {"pixel_units": ["µm", "nm"]})
    assert mixed.pixel_size == pytest.approx((1000, 2))
    assert mixed.unit == "nm"
    assert instruments._spatial(found | {"pixel_units": ["µm", ""]}).unit == "pixel"


def test_series_of_one_map_and_images_of_numbers():
    axes = [{"navigate": True, "size": n} for n in (1, 3, 4)] + [{"navigate": False, "size": 5}]
    data = np.arange(60).reshape(1, 3, 4, 5)
    one = signals.as_map({"data": data, "axes": axes, "metadata": {}}, "x")
    assert one.shape == (3, 4, 5)
    np.testing.assert_array_equal(one.expand(5, 1), data[0])
    assert signals.as_map({"data": data[0, 0, 0], "axes": axes[3:]}, "x") is None
    assert signals.as_map({"data": data[0, :, :, 0], "axes": [axes[3]] * 2}, "x") is None
    assert signals.as_map({"data": data.astype(complex), "axes": axes}, "x") is None
    four = np.zeros((2, 3, 4, 5))
    assert signals.as_map({"data": four, "axes": axes}, "x") is None


def test_truncated():
    with pytest.raises(DataError, match="promises 324 KiB"):
        open_cube(real("_derived_robustness/truncated.bcf"))
    with pytest.raises(DataError, match="damaged or truncated"):
        open_cube(real("_derived_robustness/truncated.wdf"))


DAMAGED = {
    ".bcf": (BCF.format("over16bit"), {}),
    ".emd": (VELOX, {"dataset": "EDS"}),
    ".pts": (JEOL, {"downsample": "16", "cutoff": "4"}),
    ".wdf": (WDF.format("renishaw_test_map"), {}),
}


def damaged(path, target, seed):
    """A copy with a few bytes changed, filled, cut out or cut off; headers are hit more often."""
    chance, content = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 8)):
        end = chance.choice([min(600, len(content)), min(20_000, len(content)), len(content)])
        at, what = chance.randrange(end), chance.randrange(6)
        if what < 2:
            content[at] = chance.randrange(256)
        elif what < 4:
            content[at : at + 4] = chance.choice([chance.randbytes(4), struct.pack("<i", 2**31 - 1), bytes(4)])
        elif what == 4:
            del content[at : at + chance.randrange(1, 400)]
        elif chance.random() < 0.3:
            del content[at + 1 :]
    target.write_bytes(bytes(content))


def check_damaged(tmp_path, suffix, seeds):
    name, said = DAMAGED[suffix]
    path = real(name)
    for seed in seeds:
        target = tmp_path / f"damaged{suffix}"
        damaged(path, target, seed)
        told = None
        try:
            open_cube(target, **said).spectrum(0, 0)
        except DataError as error:
            told = str(error)
        assert told is None or (str(target) in told and "\n" not in told), seed


@pytest.mark.parametrize("suffix", DAMAGED)
def test_damaged_files(tmp_path, suffix):
    check_damaged(tmp_path, suffix, range(8))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", DAMAGED)
def test_many_damaged_files(tmp_path, suffix):
    check_damaged(tmp_path, suffix, range(100, 300))


def test_a_container_whose_folders_form_a_ring_ends_soon(tmp_path):
    # RosettaSciIO follows them for ever
    path = tmp_path / "ring.bcf"
    shutil.copyfile(real(BCF.format("over16bit")), path)
    content = bytearray(path.read_bytes())
    chunk, tree = struct.unpack_from("<I", content, 0x128)[0], struct.unpack_from("<I", content, 0x140)[0]
    for item in range(3):
        # the parent of every item is the first, which is its own
        struct.pack_into("<i", content, chunk * tree + 0x138 + 0x200 * item + 0x28, 0)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"not read in time|more memory"):
        open_cube(path)
