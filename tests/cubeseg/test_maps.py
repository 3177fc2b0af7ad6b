"""Maps of windows, elements, lines and colours, against plain NumPy on small cubes."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError
from cubeseg.maps.colour import TrueColour, matching, srgb
from cubeseg.maps.images import (
    element_maps,
    false_colour,
    line_maps,
    maps,
    stretch,
    total_map,
    true_colour,
    window_maps,
)
from cubeseg.maps.line_windows import element_windows, line_windows
from cubeseg.maps.one_pass import one_pass
from cubeseg.maps.windows import between, described, limits_text, parse_window, three_windows, window
from cubeseg.spectroscopy.xrf_model import Detector
from cubeseg.steps import finish
from tests.cubeseg.cubes import counts_cube

KEV = SpectralAxis(np.linspace(0.5, 20.5, 801), "keV")
NM = SpectralAxis(np.linspace(400, 1000, 121), "nm", medium="air")


def noisy(axis, shape=(6, 7), seed=0):
    data = np.random.default_rng(seed).normal(50, 5, (len(axis), *shape)).astype(np.float32)
    return Cube(data, axis)


def holey(axis):
    cube = noisy(axis)
    cube.data[3:9, 1, 2] = np.nan
    cube.data[:, 4, 4] = np.nan
    mask = np.ones(cube.image_shape, bool)
    mask[0, :3] = False
    return replace(cube, mask=mask)


def expected(cube, low, high, how=np.nansum):
    data = np.where(True if cube.mask is None else cube.mask, np.asarray(cube.data[:], float), np.nan)
    part = data[(cube.axis.values >= low) & (cube.axis.values <= high)]
    empty = np.isnan(part).all(axis=0)
    return np.where(empty, np.nan, how(np.where(empty, 0, part), axis=0))


AXES = {
    "even": SpectralAxis(np.linspace(1, 10, 40), "keV"),
    "reversed": SpectralAxis(np.linspace(10, 1, 40), "keV"),
    "uneven": SpectralAxis(np.geomspace(1, 10, 40), "keV"),
    "channels": SpectralAxis.channels(40),
}


@pytest.mark.parametrize("axis", AXES.values(), ids=AXES)
@pytest.mark.parametrize(("how", "function"), [("sum", np.nansum), ("mean", np.nanmean), ("max", np.nanmax)])
def test_a_window_is_what_numpy_says(axis, how, function):
    cube = holey(axis)
    found = finish(window_maps(cube, [(2, 5), (7, 4)], how=how))
    for one, (low, high) in zip(found, [(2, 5), (4, 7)], strict=True):
        assert one.image.dtype == np.float32
        assert one.image == pytest.approx(expected(cube, low, high, function), rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("axis", AXES.values(), ids=AXES)
def test_a_straight_background_drops_out(axis):
    x = axis.values[:, None, None]
    slope = np.random.default_rng(1).normal(0, 3, (5, 6))
    line = 20 * np.exp(-0.5 * ((x - 5.5) / 0.4) ** 2) * (axis.values.max() < 20)
    cube = Cube((100 + slope * x + line).astype(np.float32), axis)
    (found,) = finish(window_maps(cube, [(3, 8)], background=True))
    inside = between(axis, 3, 8)
    assert found.image == pytest.approx(np.broadcast_to(line[inside].sum(axis=0), (5, 6)), rel=1e-3, abs=0.01)


def test_a_background_with_gaps_is_the_line_through_what_is_left():
    axis = SpectralAxis(np.arange(32.0), "nm")
    data = (3 + 2 * axis.values[:, None, None] * np.ones((2, 3))).astype(np.float32)
    data[15] += 7
    data[[0, 1], 0, 0] = np.nan
    data[30, 0, 1] = np.nan
    data[:4, 1, 0] = np.nan  # one side alone: a constant
    data[[*range(4), *range(28, 32)], 1, 1] = np.nan
    (found,) = finish(window_maps(Cube(data, axis), [(0, 31)], background=True))
    assert found.image[0] == pytest.approx(7, abs=1e-3)
    assert found.image[1, 0] == pytest.approx(np.sum(data[4:, 1, 0] - data[28:, 1, 0].mean(), dtype=float), abs=1e-2)
    assert np.isnan(found.image[1, 1])


def test_narrow_windows_take_the_nearest_band():
    axis = SpectralAxis(np.arange(0, 20.0, 2), "nm")
    cube = noisy(axis)
    (found,) = finish(window_maps(cube, [(6.3, 6.9)]))
    assert (found.image == cube.data[3]).all()


@pytest.mark.parametrize(
    ("limits", "background", "word"),
    [
        ((30, 40), False, "lies off the axis, 1–10 keV"),
        ((np.nan, 4), False, "must be numbers"),
        ((2, 2.3), True, "holds 1 bands, a background needs 3"),
    ],
)
def test_windows_that_cannot_be(limits, background, word):
    with pytest.raises(ConfigError, match=word):
        finish(window_maps(noisy(AXES["even"]), [limits], background))


def test_nothing_to_map_is_said():
    with pytest.raises(ConfigError, match="say what"):
        finish(maps(noisy(AXES["even"]), []))


def test_totals_leave_out_what_is_missing():
    cube = holey(AXES["even"])
    for how, function in (("sum", np.nansum), ("mean", np.nanmean), ("max", np.nanmax)):
        (found,) = finish(total_map(cube, how))
        assert found.image == pytest.approx(expected(cube, 0, 20, function), rel=1e-5, nan_ok=True)


class Counting:
    """Data that tell what was read of them."""

    def __init__(self, data, chunks=None):
        self.data, self.shape, self.dtype, self.ndim, self.chunks = data, data.shape, data.dtype, 3, chunks
        self.read = []

    def __getitem__(self, key):
        part = self.data[key]
        self.read.append((key[0], part.nbytes))
        return part


@pytest.mark.parametrize("chunks", [None, (1, 16, 16), (10, 8, 8), (200, 4, 4)])
def test_only_the_bands_that_are_needed_are_read_and_no_chunk_twice(chunks):
    axis = SpectralAxis(np.arange(200.0), "nm")
    cube = noisy(axis, (33, 40))
    counted = Counting(cube.data, chunks)
    found = finish(window_maps(replace(cube, data=counted), [(10, 14), (150, 155)]))
    for one, (low, high) in zip(found, [(10, 14), (150, 155)], strict=True):
        assert one.image == pytest.approx(expected(cube, low, high), rel=1e-5)
    bands = {(key.start, key.stop) for key, _ in counted.read}
    assert bands == ({(10, 156)} if chunks == (200, 4, 4) else {(10, 15), (150, 156)})


def test_blocks_stay_small_and_progress_rises():
    cube = noisy(SpectralAxis(np.arange(64.0), "nm"), (50, 60))
    counted = Counting(cube.data, (64, 10, 10))
    windows = [window(cube.axis, 0, 63)]
    done = list(one_pass(replace(cube, data=counted), windows, block_bytes=64 * 4 * 300))
    assert max(size for _, size in counted.read) <= 64 * 4 * 300
    assert done[-1] == pytest.approx(1)
    assert len(done) == len(counted.read) > 5
    assert sorted(done) == done


def test_files_and_dask_give_what_numpy_gives(tmp_path):
    cube, _ = counts_cube()
    limits = [(2.0, 3.0), (7.0, 7.5)]
    wanted = [one.image for one in finish(window_maps(cube, limits, background=True))]
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        data = file.create_dataset("cube", data=cube.data, chunks=(16, 8, 8), compression="gzip")
        data.attrs["unit"] = "counts"
    lazy = replace(open_cube(tmp_path / "cube.h5", dataset="cube", spectral_axis=0), axis=cube.axis)
    mapped = np.memmap(tmp_path / "bip", np.uint16, "w+", shape=(*cube.image_shape, cube.n_bands))
    mapped[:] = cube.data.transpose(1, 2, 0)
    others = [lazy, replace(cube, data=mapped.transpose(2, 0, 1))]
    try:
        import dask.array as da
    except ImportError:
        pass
    else:
        others.append(replace(cube, data=da.from_array(cube.data, chunks=((20, 44), (10, 14), 30))))
    for other in others:
        for one, image in zip(finish(window_maps(other, limits, background=True)), wanted, strict=True):
            assert one.image == pytest.approx(image, rel=1e-5, abs=1e-3)


# elements


def spectrum_of(heights, axis=KEV, background=20.0):
    """Gaussians at energies in keV, of so many counts each, on a slope."""
    total = background * np.exp(-axis.values / 15)
    for energy, counts in heights.items():
        sigma = Detector().fwhm(energy) / 2.3548
        shape = np.exp(-0.5 * ((axis.values - energy) / sigma) ** 2)
        total = total + counts * shape / shape.sum()
    return total


def test_element_maps_hold_the_lines_less_the_background():
    spectra = np.stack([spectrum_of({}), spectrum_of({6.40: 1000}), spectrum_of({10.55: 500})])
    cube = Cube(np.ascontiguousarray(spectra.T[:, :, None]).astype(np.float32), KEV)
    iron, lead = finish(element_maps(cube, ["iron", "Pb"], spectra.mean(axis=0)))
    assert (iron.label, lead.label) == ("Fe Kα", "Pb Lα")
    # a window of 1.2 FWHM holds 84 % of a line
    assert iron.image[:, 0] == pytest.approx([0, 840, 0], abs=30)
    assert lead.image[:, 0] == pytest.approx([0, 0, 420], abs=30)
    gross = finish(element_maps(cube, ["Fe"], background=False))[0]
    assert gross.image[0, 0] == pytest.approx(spectra[0][between(KEV, 6.317, 6.486)].sum(), rel=0.02)


def test_overlapping_lines_are_named():
    lead, sulphur, iron, copper = element_windows(KEV, ["Pb-L", "S", "Fe", "Cu"])
    assert "As Kα" in lead.note
    assert "Pb Mα" in sulphur.note
    assert "Mn Kβ" in iron.note
    assert copper.note == ""
    assert "Fe Kβ" in element_windows(KEV, ["Co"])[0].note


def test_a_background_keeps_away_from_the_other_lines_that_are_wanted():
    def beside(*names):
        one = element_windows(KEV, names)[0]
        return KEV.values[np.concatenate([one.below, one.above])]

    assert not ((beside("K", "Ca") > 3.55) & (beside("K", "Ca") < 3.8)).any()
    assert beside("K").min() > 2.8
    potassium, calcium = element_windows(KEV, ["K", "Ca"])
    # K-beta is within the window of Ca K-alpha and below it, so only the upper side is free
    assert len(calcium.above)
    assert len(potassium.below)


def test_the_family_is_the_one_that_is_seen():
    axis = SpectralAxis(np.linspace(0.5, 40.5, 1601), "keV")
    assert element_windows(axis, ["Ba"])[0].label == "Ba Kα"
    assert element_windows(axis, ["Ba"], spectrum_of({4.47: 500}, axis))[0].label == "Ba Lα"
    assert element_windows(axis, ["Ba"], spectrum_of({4.47: 500, 32.06: 300}, axis))[0].label == "Ba Kα"
    assert element_windows(axis, ["Pb-M"])[0].label == "Pb Mα"


def test_elements_in_electronvolts():
    axis = SpectralAxis(KEV.values * 1000, "eV")
    there, here = element_windows(axis, ["Fe"])[0], element_windows(KEV, ["Fe"])[0]
    assert (there.inside == here.inside).all()
    assert (there.below == here.below).all()


@pytest.mark.parametrize(
    ("axis", "names", "word"),
    [
        (NM, ["Fe"], "no X-ray energies"),
        (KEV, ["Xx"], "no element 'Xx'"),
        (KEV, [" "], "name one element"),
        (KEV, ["U-K"], "no line of U-K lies on the axis, 0.5–20.5 keV"),
    ],
)
def test_elements_that_cannot_be_mapped(axis, names, word):
    with pytest.raises(ConfigError, match=word):
        element_windows(axis, names)


# lines at a redshift


def test_line_maps_follow_the_redshift_and_leave_the_continuum():
    axis = SpectralAxis(np.arange(4750, 9350, 1.25), "Angstrom", medium="air")
    wave = axis.values
    z = 0.02

    def line(at, flux):
        shape = np.exp(-0.5 * ((wave - at * (1 + z)) / 1.5) ** 2)
        return flux * shape / shape.sum()

    continuum = 10 + 0.002 * (wave - 6500)
    with_line = continuum + line(6562.8, 100) + line(6583.45, 40) + line(6548.05, 13)
    cube = Cube(np.stack([continuum, with_line], axis=1)[:, :, None].astype(np.float32), axis)
    (found,) = finish(line_maps(cube, ["Halpha"], z, 200))
    assert found.label == "Hα"
    assert found.image[:, 0] == pytest.approx([0, 100], abs=1.0)
    away = finish(line_maps(cube, ["Halpha"], 0.1, 200))[0]
    assert away.image[:, 0] == pytest.approx([0, 0], abs=0.1)


def test_a_line_map_names_the_lines_within_its_window():
    axis = SpectralAxis(np.linspace(400, 1000, 301), "nm")
    (found,) = line_windows(axis, ["Hα"], width=3000)
    assert "[N II] 6583" in found.note
    assert axis.values[found.inside] == pytest.approx(np.arange(650, 663, 2))


def test_lines_come_in_the_order_of_their_names():
    found = line_windows(NM, ["Hα", "[O III] 5007", "halpha", "Hβ"])
    assert [one.label for one in found] == ["Hα", "[O III] 5007", "Hβ"]


def test_lines_on_velocity_and_frequency_axes():
    rest = 230.538e9
    velocity = SpectralAxis(np.linspace(-40e3, 40e3, 81), "m/s", rest=rest)
    (one,) = line_windows(velocity, ["CO 2-1"], width=10)
    assert np.abs(velocity.values[one.inside]).max() == pytest.approx(10e3)
    frequency = SpectralAxis(np.linspace(230.3, 230.8, 101), "GHz")
    (two,) = line_windows(frequency, ["CO 2-1"], width=20)
    assert frequency.values[two.inside].mean() == pytest.approx(230.538, abs=0.005)
    assert np.ptp(frequency.values[two.inside]) == pytest.approx(2 * 20 / 299792 * 230.5, abs=0.006)


@pytest.mark.parametrize(
    ("axis", "names", "redshift", "word"),
    [
        (NM, ["Hα"], 3.0, "Hα at redshift 3 would lie off the axis, 400–1000 nm"),
        (NM, ["no such"], 0.0, "there is no 'no such'"),
        (NM, [""], 0.0, "name one line"),
        (NM, ["Hα"], -2.0, "larger than -1"),
        (SpectralAxis.channels(50), ["Hα"], 0.0, "only numbered"),
    ],
)
def test_lines_that_cannot_be_mapped(axis, names, redshift, word):
    with pytest.raises(ConfigError, match=word):
        line_windows(axis, names, redshift)


# colours


def test_false_colour_stretches_every_channel():
    rng = np.random.default_rng(0)
    red, green = rng.normal(0, 1, (40, 50)), rng.normal(1000, 100, (40, 50))
    green[3, 3] = np.nan
    made = false_colour([red, green], (5, 95))
    assert made.shape == (40, 50, 3)
    assert made.dtype == np.float32
    low, high = np.percentile(red, (5, 95))
    assert made[..., 0] == pytest.approx(((red - low) / (high - low)).clip(0, 1), abs=1e-6)
    assert made[3, 3, 1] == 0
    assert (made[..., 2] == 0).all()
    assert false_colour([np.full((3, 3), 7.0)]).max() == 0
    with pytest.raises(ConfigError, match="one to three"):
        false_colour([red] * 4)


def test_net_maps_are_dark_where_nothing_is():
    sparse = np.zeros((40, 50), np.float32)
    sparse[:10] = -1  # noise of the background
    sparse[20, :40] = np.arange(1, 41)
    low, high = stretch(sparse, net=True)
    assert low == 0
    assert 35 < high <= 40
    assert (false_colour([sparse], net=True)[:15] == 0).all()
    assert stretch(-sparse, net=True)[0] < 0  # a line in absorption
    assert stretch(np.full((2, 2), np.nan), net=True) == (0, 1)


def test_the_observer_sees_daylight_as_white_and_lasers_in_their_colours():
    white = TrueColour(SpectralAxis(np.linspace(380, 780, 401), "nm")).white
    assert white[:2] / white.sum() == pytest.approx([0.3127, 0.3290], abs=2e-4)  # CIE 15, D65
    grid = np.linspace(380, 780, 401)
    # CIE 1931, 5 nm tables: y at 555 nm and the sum of y
    assert matching(np.array([555.0]))[1, 0] == pytest.approx(1.0, abs=0.01)
    assert matching(grid)[1].sum() == pytest.approx(106.86, rel=0.005)
    lasers = np.stack([np.exp(-0.5 * ((grid - at) / 5) ** 2) for at in (460, 540, 650)], axis=1)[:, :, None]
    seen = finish(true_colour(Cube(lasers.astype(np.float32), SpectralAxis(grid, "nm"))))
    assert list(seen[:, 0].argmax(axis=-1)) == [2, 1, 0]


VISIBLE = {
    "nm": NM,
    "reversed": SpectralAxis(NM.values[::-1], "nm"),
    "Angstrom": SpectralAxis(NM.values * 10, "Angstrom"),
    "eV": SpectralAxis(1239.84 / NM.values, "eV"),
    "five bands": SpectralAxis([475, 560, 668, 717, 840], "nm"),
}


@pytest.mark.parametrize("axis", VISIBLE.values(), ids=VISIBLE)
def test_grey_stays_grey_on_every_axis(axis):
    data = np.ones((len(axis), 2, 2), np.float32) * np.array([[1, 0.5], [0.2, 0.0]], np.float32)
    seen = finish(true_colour(Cube(data, axis)))
    assert seen[0, 0] == pytest.approx([1, 1, 1], abs=0.01)
    assert np.ptp(seen, axis=-1).max() < 0.01
    assert seen[0, 1, 0] == pytest.approx(0.735, abs=0.01)  # sRGB of 0.5
    assert (seen[1, 1] == 0).all()


def test_missing_bands_do_not_darken():
    data = np.ones((len(NM), 2, 2), np.float32)
    data[10:15, 0, 0] = np.nan
    data[:, 1, 1] = np.nan
    seen = finish(true_colour(Cube(data, NM)))
    assert seen[0, 0] == pytest.approx(seen[0, 1], abs=0.02)
    assert (seen[1, 1] == 0).all()


def test_light_is_not_lit_again():
    red = Cube(np.ones((len(NM), 1, 1), np.float32), NM, unit="erg/s/cm2/Å")
    shown = finish(true_colour(red))[0, 0]
    assert shown[0] > shown[2]  # equal energies are redder than daylight


@pytest.mark.parametrize(
    ("axis", "word"),
    [
        (KEV, "takes most of 400–700 nm"),
        (SpectralAxis(np.linspace(900, 1700, 100), "nm"), "the bands cover 900–1700 nm"),
        (SpectralAxis([400.0, 700.0], "nm"), "only 2 of them"),
        (SpectralAxis.channels(30), "those of a channel axis"),
        (SpectralAxis(np.linspace(100, 3000, 30), "1/cm", "raman_shift"), "those of a raman shift axis"),
    ],
)
def test_true_colour_where_there_is_none(axis, word):
    with pytest.raises(ConfigError, match=word):
        finish(true_colour(noisy(axis)))


def test_srgb_of_an_empty_picture():
    assert (srgb(np.full((3, 2, 2), np.nan)) == 0).all()


# limits


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("6.2–6.6", (6.2, 6.6)), ("6.2-6.6 keV", (6.2, 6.6)), (" 6,6  6,2", (6.2, 6.6)), ("-20 to 5", (-20, 5)),
        ("-20--5 km/s", (-20, -5)), ("1e3..2e3", (1000, 2000)), ("6, 7", (6, 7)), ("650 - 700 nm", (650, 700)),
    ],
)  # fmt: skip
def test_limits_as_people_write_them(text, limits):
    assert parse_window(text) == pytest.approx(limits)


@pytest.mark.parametrize("text", ["", "6.2", "red", "1-2-3"])
def test_limits_that_are_none(text):
    with pytest.raises(ConfigError, match="write two numbers"):
        parse_window(text)


def test_limits_are_described_in_the_unit():
    assert described(KEV, 6.2, 6.6) == "6.2–6.6 keV"
    assert described(SpectralAxis([-1.0, 1.0], "km/s"), -20, 5) == "-20 to 5 km/s"
    assert described(SpectralAxis.channels(9)) == "channels 0–8"


def test_limits_are_written_as_exact_as_the_bands_are_narrow():
    assert limits_text(KEV, 6.1875, 6.6125) == "6.188–6.612"
    assert limits_text(SpectralAxis(np.arange(-50e3, 50e3, 1e3), "m/s"), -500, 2500) == "-500 to 2500"
    for axis in (KEV, NM, SpectralAxis.channels(20)):
        limits = three_windows(axis)[1]
        assert (between(axis, *parse_window(limits_text(axis, *limits))) == between(axis, *limits)).all()


def test_three_windows_are_peaks_or_thirds():
    peaks = three_windows(KEV, spectrum_of({3.69: 900, 6.40: 500, 10.55: 700}))
    assert [round((low + high) / 2, 1) for low, high in peaks] == [3.7, 6.4, 10.6]
    assert all(0.1 < high - low < 0.3 for low, high in peaks)
    thirds = three_windows(NM, np.linspace(1, 2, len(NM)))
    assert thirds[0][0] > thirds[1][0] > thirds[2][0]
    assert thirds[0][1] == pytest.approx(1002.5)
    for n in (1, 2, 3, 5):
        axis = SpectralAxis(np.arange(1.0, n + 1), "um")
        for low, high in three_windows(axis, np.ones(n)):
            assert len(between(axis, low, high))
