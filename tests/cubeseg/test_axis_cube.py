"""Axis and cube: what they refuse, and that only what is asked for is read."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.cube import Cube, Noise, Source
from cubeseg.errors import DataError
from cubeseg.io.lazy import AxisView
from cubeseg.source import Spatial


@pytest.mark.parametrize(
    ("text", "unit", "kind"),
    [
        ("Nanometers", "nm", "wavelength"),
        ("KEV", "keV", "energy"),
        ("m s-1", "m/s", "velocity"),
        ("m / s", "m/s", "velocity"),
        ("cm-1", "1/cm", "wavenumber"),
        ("Angstrom", "Angstrom", "wavelength"),
        ("furlong", "furlong", "channel"),
        ("", "", "channel"),
    ],
)
def test_units_as_files_spell_them(text, unit, kind):
    assert normalise_unit(text) == (unit, kind)


def test_axis_reads_well():
    axis = SpectralAxis.from_values(np.linspace(0.5, 38.5, 1024), "kev")
    assert axis.label == "Energy (keV)"
    assert axis.format(axis.index_of(6.404)) == "6.406 keV"
    assert axis.is_uniform
    assert SpectralAxis.from_values([4750, 4751.25], "Angstrom").label == "Wavelength (Å)"
    assert SpectralAxis.channels(5).format(3) == "channel 3"
    assert not SpectralAxis.from_values([1, 2, 4], "nm").is_uniform


@pytest.mark.parametrize("values", [[1, 2, 2], [1, 3, 2], [1, np.nan], [[1, 2]], []])
def test_axes_that_are_none(values):
    with pytest.raises(DataError):
        SpectralAxis.from_values(values, "nm")


class Watched:
    """A source that counts how much is read from it."""

    def __init__(self, array, chunks=None):
        self.array, self.chunks, self.read = array, chunks, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, key):
        part = self.array[key]
        self.read += part.size
        return part


ARRAY = np.arange(10 * 23 * 17).reshape(10, 23, 17)


@pytest.mark.parametrize("chunks", [None, (2, 4, 5)])
@pytest.mark.parametrize("budget", [1, 400, 4000, 10**9])
def test_blocks_cover_the_cube_once(chunks, budget):
    source = Watched(ARRAY, chunks)
    cube = Cube(source, SpectralAxis.channels(10))
    seen = np.zeros((23, 17), int)
    for block in cube.blocks(budget):
        seen[block.rows, block.columns] += 1
        np.testing.assert_array_equal(block.data, ARRAY[:, block.rows, block.columns])
        assert block.data.nbytes <= max(budget, 10 * 4 * 20 * 4)
    assert (seen == 1).all()
    assert source.read == ARRAY.size


def test_single_spectra_touch_only_their_surroundings():
    source = Watched(ARRAY, (2, 4, 5))
    cube = Cube(source, SpectralAxis.channels(10))
    rows, columns = np.array([1, 20, 2, 1]), np.array([1, 16, 0, 4])
    np.testing.assert_array_equal(cube.spectra(rows, columns), ARRAY[:, rows, columns].T)
    assert source.read < 0.1 * ARRAY.size
    assert cube.spectra(np.array([], int), np.array([], int)).shape == (0, 10)


def test_axis_view_orders_and_fixes_axes():
    stored = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    view = AxisView(stored, (3, 1, 2))
    wanted = stored[0].transpose(2, 0, 1)
    assert view.shape == wanted.shape
    for key in [(slice(None),) * 3, 2, (slice(1, 3), 0, slice(None)), (1, slice(0, 2), -1), (Ellipsis, 3), (0, 1, 2)]:
        np.testing.assert_array_equal(view[key], wanted[key])
    with pytest.raises(IndexError):
        view[9]


def test_variance_in_its_three_forms():
    data = np.ones((2, 1, 2), np.float32)
    stored = np.array([[[4.0, 0.0]], [[4.0, 0.0]]], np.float32)
    everything = (slice(None), slice(None), slice(None))
    assert Noise("gaussian", stored).variance_of(everything)[0, 0, 0] == 4
    assert Noise("gaussian", stored, squared=False).variance_of(everything)[0, 0, 0] == 16
    inverse = Noise("gaussian", stored, inverse=True).variance_of(everything)
    assert inverse[0, 0, 0] == 0.25
    assert np.isinf(inverse[0, 0, 1])
    assert Cube(data, SpectralAxis.channels(2), Noise("gaussian", stored)).block(slice(0, 1), slice(0, 2)) is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"data": np.zeros((3, 3))}, "3 axes"),
        ({"data": np.zeros((0, 3, 3))}, "empty"),
        ({"data": np.zeros((3, 3, 3), complex)}, "real numbers"),
        ({"data": np.zeros((4, 3, 3))}, "4 bands but 3"),
        ({"data": np.zeros((3, 3, 3)), "mask": np.ones((2, 2), bool)}, "mask"),
        ({"data": np.zeros((3, 3, 3)), "noise": Noise("gaussian", np.zeros((3, 2, 2)))}, "variance"),
    ],
)
def test_parts_that_do_not_fit(arguments, said):
    with pytest.raises(DataError, match=said):
        Cube(axis=SpectralAxis.channels(3), **arguments)


def test_fingerprint_sees_a_change(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(300_000))
    first = Source(str(path)).fingerprint()
    path.write_bytes(bytes(299_999) + b"\x01")
    assert Source(str(path)).fingerprint() != first
    assert Source("").fingerprint() == ""


def test_maps_are_found_through_views_and_let_go(tmp_path):
    from astropy.io import fits

    from cubeseg.pages import let_go, mapping

    stored = np.memmap(tmp_path / "a", np.uint16, "w+", shape=(10, 20, 30))
    stored[:] = np.arange(6000).reshape(stored.shape)
    stored.flush()
    view = np.memmap(tmp_path / "a", np.uint16, "r", shape=(10, 20, 30)).transpose(2, 0, 1)[3:]
    assert mapping(view) is not None
    let_go(view)
    assert view[0, 0, 0] == 3
    fits.writeto(tmp_path / "a.fits", np.ones((3, 4, 5), np.float32))
    with fits.open(tmp_path / "a.fits", memmap=True) as hdus:
        assert mapping(hdus[0].data[1:]) is not None
    assert mapping(np.ones(3)[1:]) is None


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_mapped_files_of_any_order_are_read_in_parts_that_are_let_go(tmp_path, order, monkeypatch):
    from cubeseg import cube as module
    from cubeseg.io.derived import Derived
    from cubeseg.pages import mapping, slabs

    monkeypatch.setattr("cubeseg.pages._SLAB", 7)
    monkeypatch.setattr(module, "_FEW", 4)
    values = np.random.default_rng(0).integers(0, 9999, (30, 12, 11)).astype(np.uint16)
    stored = np.ascontiguousarray(values.transpose(np.argsort(order)))
    stored.tofile(tmp_path / "a")
    mapped = np.memmap(tmp_path / "a", np.uint16, "r", shape=stored.shape).transpose(order)
    assert len(slabs(mapped)) == (1 if order == (2, 0, 1) else 5)
    shifted = Derived(mapped, lambda part, key: part + np.float32(1))
    assert mapping(shifted) is not None
    rows, columns = np.random.default_rng(1).integers(0, 11, (2, 50))
    for data, added in ((mapped, 0), (shifted, 1), (values, 0)):
        cube = Cube(data, SpectralAxis.channels(30), Noise("gaussian", mapped))
        block = cube.block(slice(2, 9), slice(3, 10))
        np.testing.assert_array_equal(block.data, values[:, 2:9, 3:10] + added)
        np.testing.assert_array_equal(block.variance, values[:, 2:9, 3:10])
        np.testing.assert_array_equal(cube.spectra(rows, columns), values[:, rows, columns].T + added)
        wanted = np.random.default_rng(2).random((4, 5)) > 0.3
        spectra, variance = block.part(slice(1, 5), slice(2, 7)).spectra(wanted)
        np.testing.assert_array_equal(spectra, values[:, 3:7, 5:10][:, wanted].T + added)
        np.testing.assert_array_equal(variance, values[:, 3:7, 5:10][:, wanted].T)
        everything = block.spectra(np.ones((7, 7), bool))[0]
        np.testing.assert_array_equal(everything, values[:, 2:9, 3:10].reshape(30, -1).T + added)
        assert everything.flags.c_contiguous


def test_memory_can_be_swept():
    from cubeseg.pages import swept

    swept()


@pytest.mark.parametrize(
    ("spatial", "area", "size"),
    [
        (Spatial((500, 250), "um"), "354 mm²", "24 × 24 mm"),
        (Spatial((0.2, 0.2), "arcsec"), "354,000,000 arcsec²", "19.2 × 9.6 arcsec"),
        (Spatial(), "", ""),
    ],
)
def test_sizes_for_people(spatial, area, size):
    assert spatial.area_text(3.54e8) == area
    assert spatial.size_text((48, 96)) == size
