"""CRONO: spectra in a list, placed by the scanner's grid or by the motors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io.placed import PlacedSpectra
from cubeseg.sampling.probe import probe

HEIGHT, WIDTH, CHANNELS = 5, 7, 64
# two spectra for most pixels, taken in serpentine order
PER_ROW = 2 * WIDTH
N = HEIGHT * PER_ROW


def scan():
    """Spectra, positions in steps and the scanner's grid: it takes the first of each pixel."""
    random = np.random.default_rng(3)
    spectra = random.poisson(20 + 100 * np.exp(-((np.arange(CHANNELS) - 30) ** 2) / 20), (N, CHANNELS))
    rows, places = np.divmod(np.arange(N), PER_ROW)
    places = np.where(rows % 2, PER_ROW - 1 - places, places)
    x, y = (
        1000 + 80 * (places // 2) + 25 * (places % 2) + random.integers(-3, 4, N),
        5000 + 80 * rows + random.integers(-3, 4, N),
    )
    grid = np.empty((HEIGHT, WIDTH), np.uint64)
    for n in range(N):
        if places[n] % 2 == 0:
            grid[rows[n], places[n] // 2] = n
    return spectra.astype(np.uint16), np.column_stack([x, y, np.full(N, 77)]).astype(np.uint32), grid


def crono(path, grid=None, chunks=(8, CHANNELS), motors=True, unit=None, energies=True, times=True, **changed):
    spectra, positions, chosen = scan()
    parts = {"Spectra": spectra} | changed
    with h5py.File(path, "w") as file:
        file.attrs["Version"] = [1, 6]
        xrf = file.create_group("XRF")
        xrf.create_dataset("Spectra", data=parts["Spectra"], chunks=chunks, compression="gzip" if chunks else None)
        xrf["SpectraSelectedIndex"] = (chosen if grid is None else grid)[..., None]
        xrf["CalibrationPoints"] = [[10.0, -0.5], [50.0, 1.5]]
        if energies:
            xrf["EnergyVector"] = np.linspace(-1.17, 39.8, CHANNELS).astype(np.float32)
        if motors:
            xrf["MotorsPositions"] = positions
            if unit:
                xrf["MotorsPositions"].attrs["Unit"] = unit
        if times:
            xrf["LiveTimes"] = live_times()
            xrf["RealTimes"] = live_times() * 1.1
        xrf["Maps/ComputedMaps"] = np.zeros((HEIGHT, WIDTH, 27))
    return path


def live_times():
    return np.linspace(0.5, 1.5, N)


@pytest.mark.parametrize("chunks", [None, (8, CHANNELS), (3, 16)])
def test_the_scanners_own_grid(tmp_path, chunks):
    spectra, _, grid = scan()
    cube = open_cube(crono(tmp_path / "a.hdf5", chunks=chunks))
    expected = spectra[grid.astype(int)].transpose(2, 0, 1)
    assert cube.data.shape == expected.shape
    assert cube.data.dtype == np.uint16
    np.testing.assert_array_equal(cube.data[:, :, :], expected)
    np.testing.assert_array_equal(cube.data[..., 3], expected[..., 3])
    np.testing.assert_array_equal(cube.data[-1], expected[-1])
    np.testing.assert_array_equal(cube.data[60:3:-7, ::-2, 4], expected[60:3:-7, ::-2, 4])
    np.testing.assert_array_equal(cube.data[5:5], expected[5:5])
    np.testing.assert_array_equal(cube.spectrum(4, 6), expected[:, 4, 6])
    rows, columns = np.array([4, 0, 2, 2]), np.array([0, 6, 3, 3])
    np.testing.assert_array_equal(cube.spectra(rows, columns), expected[:, rows, columns].T)
    np.testing.assert_array_equal(np.concatenate([b.data for b in cube.blocks(3000)], axis=1), expected)
    assert (cube.source.format, cube.source.dataset, cube.unit) == ("CRONO", "XRF/Spectra", "counts")
    assert cube.mask is None


def test_axis_noise_and_what_is_left_out(tmp_path):
    cube = open_cube(crono(tmp_path / "a.hdf5"))
    assert (cube.axis.unit, cube.axis.values[0]) == ("keV", pytest.approx(-1.17))
    assert cube.noise.kind == "poisson"
    assert probe(cube).noise == "poisson"
    assert f"uses {N // 2} of {N} spectra" in cube.metadata["unplaced"]
    assert "median 1" in cube.metadata["live_time"]


def test_axis_from_calibration_points(tmp_path):
    axis = open_cube(crono(tmp_path / "a.hdf5", energies=False)).axis
    assert axis.unit == "keV"
    np.testing.assert_allclose(axis.values[[10, 50]], [-0.5, 1.5], atol=1e-9)


def test_pixel_size_only_where_the_file_gives_a_unit(tmp_path):
    cube = open_cube(crono(tmp_path / "a.hdf5"))
    assert cube.spatial.unit == "pixel"
    np.testing.assert_allclose(cube.metadata["motor_steps_per_pixel"], [80, 80], rtol=0.02)
    spatial = open_cube(crono(tmp_path / "b.hdf5", unit="µm")).spatial
    assert spatial.unit == "um"
    np.testing.assert_allclose(spatial.pixel_size, [80, 80], rtol=0.02)


def test_nearest_places_every_spectrum_by_its_motors(tmp_path):
    spectra, _, grid = scan()
    cube = open_cube(crono(tmp_path / "a.hdf5"), grid="nearest")
    first = grid.astype(int)
    # the neighbour in time that lies in the same pixel
    second = np.where(np.arange(HEIGHT)[:, None] % 2, first - 1, first + 1)
    expected = (spectra[first].astype(int) + spectra[second]).transpose(2, 0, 1)
    np.testing.assert_array_equal(cube.data[:, :, :], expected)
    assert cube.data.dtype == np.uint32
    assert "unplaced" not in cube.metadata
    assert f"{HEIGHT * WIDTH} pixels hold the sum" in cube.metadata["summed"]
    assert cube.noise.kind == "poisson"


def test_nearest_counts_what_lies_outside(tmp_path):
    _, _, grid = scan()
    cube = open_cube(crono(tmp_path / "a.hdf5", grid=grid[:3]), grid="nearest")
    assert cube.image_shape == (3, WIDTH)
    assert f"of {N} spectra were taken outside the grid" in cube.metadata["unplaced"]


def test_turned_motors(tmp_path):
    """The first motor follows the rows, the second runs backwards along the columns."""
    _, positions, _ = scan()
    path = crono(tmp_path / "a.hdf5", motors=False)
    with h5py.File(path, "a") as file:
        file["XRF/MotorsPositions"] = np.column_stack([positions[:, 1], 9000 - positions[:, 0], positions[:, 2]])
    cube, other = (open_cube(p, grid="nearest") for p in (path, crono(tmp_path / "b.hdf5")))
    np.testing.assert_array_equal(cube.data[:, :, :], other.data[:, :, :])


def test_pixels_without_a_spectrum_are_masked(tmp_path):
    _, _, grid = scan()
    grid[1, 2], grid[4, 0] = np.iinfo(np.uint64).max, N
    cube = open_cube(crono(tmp_path / "a.hdf5", grid=grid))
    expected = np.ones(grid.shape, bool)
    expected[1, 2] = expected[4, 0] = False
    np.testing.assert_array_equal(cube.mask, expected)
    assert not cube.spectrum(1, 2).any()
    with pytest.raises(DataError, match="points to none"):
        open_cube(crono(tmp_path / "b.hdf5", grid=np.full((2, 2), N + 5, np.uint64)))


@pytest.mark.parametrize("placing", ["file", "nearest"])
def test_live_times_divide_the_sums(tmp_path, placing):
    path = crono(tmp_path / "a.hdf5")
    counts, rates = open_cube(path, grid=placing), open_cube(path, grid=placing, livetime="yes")
    if placing == "file":
        _, _, grid = scan()
        relative = (live_times() / np.median(live_times()))[grid.astype(int)]
    else:
        # with a channel that holds the live time, the sums tell it
        spectra, _, _ = scan()
        spectra[:, 0] = np.round(live_times() * 1000)
        marked = open_cube(crono(tmp_path / "b.hdf5", Spectra=spectra), grid="nearest")
        relative = np.asarray(marked.data[0]) / 1000 / np.median(live_times())
    raw = np.asarray(counts.data[:, :, :])
    np.testing.assert_allclose(rates.data[:, :, :], raw / relative, rtol=2e-3)
    np.testing.assert_allclose(rates.data[7, 2], raw[7, 2] / relative[2], rtol=2e-3)
    assert rates.noise.kind == "gaussian"
    assert rates.unit != "counts"
    block = rates.block(slice(0, 2), slice(1, 4))
    np.testing.assert_allclose(block.variance, (np.maximum(raw, 1) / relative**2)[:, :2, 1:4], rtol=4e-3)
    assert counts.noise.kind == "poisson"


def test_live_times_of_zero_are_masked(tmp_path):
    _, _, grid = scan()
    path = crono(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        file["XRF/LiveTimes"][int(grid[2, 2])] = 0
    cube = open_cube(path, livetime="yes")
    assert not cube.mask[2, 2]
    assert cube.mask.sum() == HEIGHT * WIDTH - 1
    assert open_cube(path).mask is None


@pytest.mark.parametrize(
    ("how", "asked", "said"),
    [
        ({"motors": False}, {"grid": "nearest"}, "do not tell where the pixels lie"),
        ({"times": False}, {"livetime": "yes"}, "no live times"),
        ({"grid": np.zeros((2, 2))}, {}, "no image of numbers"),
    ],
)
def test_what_is_missing_is_said(tmp_path, how, asked, said):
    with pytest.raises(DataError, match=said) as caught:
        open_cube(crono(tmp_path / "a.hdf5", **how), **asked)
    assert "\n" not in str(caught.value)


def test_claims_and_damaged_parts(tmp_path):
    path = crono(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        at = file["XRF/Spectra"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as raw:
        raw.seek(at + 2)
        raw.write(b"\xff" * 30)
    with pytest.raises(DataError, match="a part of it cannot be read"):
        open_cube(path).spectrum(0, 0)
    with h5py.File(path, "w") as file:
        file.create_dataset("XRF/Spectra", shape=(10**12, 4096), dtype="u2", chunks=(64, 4096))
        file["XRF/SpectraSelectedIndex"] = np.zeros((3, 3), np.uint64)
    with pytest.raises(DataError, match="claims"):
        open_cube(path)
    with h5py.File(path, "w") as file:
        file["XRF/Spectra"] = np.zeros((9, 4), np.uint16)
        file.create_dataset("XRF/SpectraSelectedIndex", shape=(10**6, 10**6), dtype="u8", chunks=(64, 64))
    with pytest.raises(DataError, match="no image of numbers"):
        open_cube(path)


def test_spectra_in_another_file_are_not_followed(tmp_path):
    crono(tmp_path / "a.hdf5")
    path = crono(tmp_path / "b.hdf5")
    with h5py.File(path, "a") as file:
        del file["XRF/Spectra"]
        file["XRF/Spectra"] = h5py.ExternalLink("a.hdf5", "/XRF/Spectra")
    with pytest.raises(DataError):
        open_cube(path, dataset="XRF/Spectra")
    assert open_cube(path, dataset="XRF/Maps/ComputedMaps", spectral_axis=2).source.format == "HDF5"


def test_reading_from_several_threads(tmp_path):
    spectra, _, grid = scan()
    cube = open_cube(crono(tmp_path / "a.hdf5"))
    expected = spectra[grid.astype(int)]
    places = [(n % HEIGHT, n % WIDTH) for n in range(200)]
    with ThreadPoolExecutor(4) as pool:
        for (y, x), read in zip(places, pool.map(lambda place: cube.spectrum(*place), places), strict=True):
            np.testing.assert_array_equal(read, expected[y, x])


class Counted:
    """A list of spectra that counts how often it is read."""

    def __init__(self, values):
        self.values, self.reads = values, []
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, key):
        assert all(isinstance(k, slice) for k in key)
        self.reads.append(key)
        return self.values[key]


def test_neighbouring_spectra_are_read_at_once():
    source = Counted(np.arange(10000 * 4).reshape(10000, 4))
    placed = PlacedSpectra(source, np.arange(9999, -1, -1), np.arange(10000), (100, 100))
    np.testing.assert_array_equal(placed[:, 40:60, :], source.values[::-1].T.reshape(4, 100, 100)[:, 40:60])
    assert len(source.reads) == 1
    assert source.reads[0][0] == slice(4000, 6000)
    source.reads.clear()
    assert placed[2, 7, 8] == source.values[9999 - 708, 2]
    assert source.reads == [(slice(9291, 9292), slice(2, 3))]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_part_is_what_numpy_selects(data):
    height, width, bands = (data.draw(st.integers(1, 6)) for _ in range(3))
    n = data.draw(st.integers(1, 40))
    m = data.draw(st.integers(0, 40))
    spectra = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=m, max_size=m)), dtype=np.intp)
    pixels = np.array(data.draw(st.lists(st.integers(0, height * width - 1), min_size=m, max_size=m)), dtype=np.intp)
    values = np.random.default_rng(n).integers(0, 200, (n, bands)).astype(np.uint8)
    whole = np.zeros((height * width, bands), np.int64)
    np.add.at(whole, pixels, values[spectra])
    whole = whole.T.reshape(bands, height, width)
    placed = PlacedSpectra(Counted(values), spectra, pixels, (height, width))
    part = st.one_of(st.slices(6), st.just(slice(None)))
    keys = [data.draw(st.one_of(part, st.integers(-length, length - 1))) for length in (bands, height, width)]
    np.testing.assert_array_equal(placed[tuple(keys)], whole[tuple(keys)])
    weights = np.arange(n, dtype=float)
    np.testing.assert_allclose(
        placed.sum_of(weights), np.bincount(pixels, weights[spectra], height * width).reshape(height, width)
    )
