"""ENVI: every interleave, type and byte order, and headers that lie."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.conftest import real
from tests.cubeseg.io.written import BANDS, CUBE, HEIGHT, WIDTH, envi, same


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


def test_envi_remembers_what_the_header_knows(tmp_path):
    bbl = "{" + ", ".join(str(int(n != 4)) for n in range(BANDS)) + "}"
    path = envi(tmp_path, bbl=bbl, data_ignore_value=-9999, fwhm="{" + ", ".join(["2.5"] * BANDS) + "}")
    metadata = open_cube(path).metadata
    assert metadata["bad_bands"] == [4]
    assert metadata["ignore_value"] == -9999
    assert metadata["fwhm"] == [2.5] * BANDS


@pytest.mark.parametrize(("said", "unit"), [("Index", ""), ("Micrometers", "um"), ("Unknown", "nm"), ("cm-1", "1/cm")])
def test_envi_units(tmp_path, said, unit):
    cube = open_cube(envi(tmp_path, wavelength_units=said))
    assert cube.axis.unit == unit
    assert ("axis_guessed" in cube.metadata) == (said == "Unknown")


def test_envi_wavelengths_of_another_number(tmp_path):
    cube = open_cube(envi(tmp_path, wavelength="{400, 500}"))
    assert not cube.axis.calibrated
    assert "2 wavelengths for 20 bands" in cube.metadata["axis_rejected"]


def test_envi_binary_without_an_ending(tmp_path):
    envi(tmp_path)
    (tmp_path / "a.raw").rename(tmp_path / "a")
    same(open_cube(tmp_path / "a"))
    same(open_cube(tmp_path / "a.hdr"))


def test_envi_without_its_data(tmp_path):
    envi(tmp_path)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(DataError, match="data file is missing"):
        open_cube(tmp_path / "a.hdr")


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_envi_long_integers(tmp_path, dtype):
    path = envi(tmp_path, dtype="u4", data_type={"i8": 14, "u8": 15}[dtype])
    (tmp_path / "a.raw").write_bytes(CUBE.astype("<" + dtype).tobytes())
    same(open_cube(path))


@pytest.mark.parametrize("dtype", ["i2", "f4", "f8"])
def test_envi_ignored_values_read_as_nan(tmp_path, dtype):
    path = envi(tmp_path, "bil", dtype, data_ignore_value=-9999)
    stored = CUBE.astype("<" + dtype)
    stored[:, 1, 2] = -9999
    stored[3, 4, 4] = -9999
    (tmp_path / "a.raw").write_bytes(np.ascontiguousarray(stored.transpose(1, 0, 2)).tobytes())
    cube = open_cube(path)
    expected = np.where(stored == -9999, np.nan, stored.astype(float))
    np.testing.assert_array_equal(cube.block(slice(None), slice(None)).data, expected)
    np.testing.assert_array_equal(cube.data[3, 4:, ::2], expected[3, 4:, ::2])
    assert cube.data.dtype.kind == "f"
    assert "-9999" in cube.metadata["ignored"]


def test_envi_ignored_value_with_few_digits(tmp_path):
    path = envi(tmp_path, dtype="f4", data_ignore_value="-3.40282e+38")
    stored = CUBE.astype("<f4")
    stored[:, 0, 0] = np.finfo("f4").min
    (tmp_path / "a.raw").write_bytes(stored.tobytes())
    data = open_cube(path).data
    assert np.isnan(data[:, 0, 0]).all()
    assert np.isfinite(data[:, 1:, :]).all()


@pytest.mark.parametrize("value", ["0", "-9999", "0.5", "nan", "1e99"])
def test_envi_ignored_values_that_cost_nothing(tmp_path, value):
    """Dark is no hole, and a value that the type cannot hold marks nothing: the data stay mapped as they are."""
    cube = open_cube(envi(tmp_path, dtype="u2", data_ignore_value=value))
    same(cube)
    assert isinstance(cube.data.base, np.memmap)
    assert "ignored" not in cube.metadata


@pytest.mark.parametrize(
    ("fields", "size", "unit"),
    [
        ({"map_info": "{UTM, 1.0, 1.0, 5e5, 4e6, 2.5, 3.5, 33, North, WGS-84, units=Meters}"}, (3.5, 2.5), "m"),
        ({"map_info": "{UTM, 1, 1, 5e5, 4e6, 2.5, 2.5, 33, North, WGS-84}"}, (2.5, 2.5), "m"),
        ({"map_info": "{Geographic Lat/Lon, 1, 1, 12, 45, 1e-4, 2e-4, WGS-84}"}, (2e-4, 1e-4), "deg"),
        ({"map_info": "{Arbitrary, 1, 1, 0, 0, 0.05, 0.05, units = Millimeters}"}, (0.05, 0.05), "mm"),
        ({"map_info": "{Arbitrary, 1, 1, 0, 0, 1, 1}"}, (1, 1), "pixel"),
        ({"pixel_size": "{10, 20, units=Micrometers}"}, (20, 10), "um"),
        ({"pixel_size": "{0, 20, units=Meters}"}, (1, 1), "pixel"),
        ({"map_info": "{UTM, 1, 1}"}, (1, 1), "pixel"),
        ({"map_info": "{}"}, (1, 1), "pixel"),
        ({}, (1, 1), "pixel"),
    ],
)
def test_envi_pixel_size(tmp_path, fields, size, unit):
    spatial = open_cube(envi(tmp_path, **fields)).spatial
    assert (spatial.pixel_size, spatial.unit) == (size, unit)


def test_envi_wavenumbers_without_a_unit(tmp_path):
    step = 15798.25 / 2048
    listed = "{" + ", ".join(f"{step * n:.5f}" for n in range(117, 117 + BANDS)) + "}"
    cube = open_cube(envi(tmp_path, wavelength=listed, wavelength_units=None))
    assert (cube.axis.unit, cube.axis.kind) == ("1/cm", "wavenumber")
    assert "Fourier" in cube.metadata["axis_guessed"]
    described = open_cube(envi(tmp_path, wavelength_units="Unknown", description="{FTIR map}"))
    assert described.axis.unit == "1/cm"
    # equal steps alone are those of many cameras
    even = "{" + ", ".join(str(400 + 3.3 * n) for n in range(BANDS)) + "}"
    assert open_cube(envi(tmp_path, wavelength=even, wavelength_units=None)).axis.unit == "nm"


@pytest.mark.parametrize("name", ["4_noimage_agg256", "5_Mosaic_agg1024"])
def test_real_agilent_header_is_in_wavenumbers(name):
    cube = open_cube(real(f"ftir_orange/agilent/{name}.hdr"))
    assert (cube.axis.unit, cube.axis.kind) == ("1/cm", "wavenumber")
    assert cube.axis.values[0] == pytest.approx(1990.17823)
    assert cube.data.shape == (9, 8, 8 if name[0] == "4" else 4)


@pytest.mark.parametrize(
    ("interleave", "there", "whole"),
    [("bil", np.s_[:, :4], "4 of 6 rows"), ("bip", np.s_[:, :4], "4 of 6 rows"), ("bsq", np.s_[:13], "13 of 20 bands")],
)
def test_envi_truncated(tmp_path, interleave, there, whole):
    path = envi(tmp_path, interleave, bbl="{" + "1," * (BANDS - 1) + "0}", fwhm="{" + "2.5," * BANDS + "}")
    binary = tmp_path / "a.raw"
    slab = binary.stat().st_size // (BANDS if interleave == "bsq" else HEIGHT)
    binary.write_bytes(binary.read_bytes()[: slab * int(whole.split()[0]) + 3])
    with pytest.raises(DataError, match=f"promises .*{whole} are whole.*partial=yes"):
        open_cube(path)
    cube = open_cube(path, partial="yes")
    same(cube, CUBE[there])
    assert whole in cube.metadata["partial"]
    assert cube.axis.unit == "nm"
    assert len(cube.metadata["fwhm"]) == len(cube.axis)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file_compression": 1}, "compressed"),
        ({"major_frame_offsets": "{0, 128}"}, "gaps"),
        ({"data_type": 9}, "data type 9"),
    ],
)
def test_envi_that_is_not_read(tmp_path, change, said):
    with pytest.raises(DataError, match=said):
        open_cube(envi(tmp_path, **change))
    assert "gaps" not in str(open_cube(envi(tmp_path, major_frame_offsets="{0, 0}")).metadata)


def test_envi_binary_beside_another_header(tmp_path):
    (tmp_path / "a.dat").write_bytes(b"something else")
    (tmp_path / "a.hdr").write_text("something else too")
    with pytest.raises(DataError, match="no format"):
        open_cube(tmp_path / "a.dat")


def scene(folder, names=("WHITEREF_a", "DARKREF_a"), raw="bil", lines=3, columns=WIDTH, **header):
    """A cube in counts beside its references, and its reflectance."""
    random = np.random.default_rng(2)
    dark = random.uniform(90, 110, (BANDS, 1, columns))
    white = dark + random.uniform(500, 900, dark.shape)
    path = envi(folder, raw, "f4", **header)
    for name, line in zip(names, (white, dark), strict=False):
        stored = np.repeat(line, lines, axis=1)
        # lines that scatter about their mean
        stored[:, 0] += 5
        stored[:, -1] -= 5
        (folder / f"{name}.raw").write_bytes(stored.transpose(1, 0, 2).astype("<f4").tobytes())
        (folder / f"{name}.hdr").write_text(
            f"ENVI\nsamples = {columns}\nlines = {lines}\nbands = {BANDS}\ndata type = 4\ninterleave = bil\ntint = 5\n"
        )
    return path, dark, white


@pytest.mark.parametrize(
    "names", [("WHITEREF_a", "DARKREF_a"), ("whiteref_a", "darkref_a"), ("whiteReference", "darkReference")]
)
@pytest.mark.parametrize("name", ["a.hdr", "a.raw"])
def test_envi_reflectance(tmp_path, names, name):
    _, dark, white = scene(tmp_path, names)
    plain = open_cube(tmp_path / name)
    same(plain)
    assert isinstance(plain.data.base, np.memmap)
    assert names[0] in plain.metadata["references"]
    assert "reference=yes" in plain.metadata["references"]
    cube = open_cube(tmp_path / name, reference="yes")
    expected = ((CUBE - dark) / (white - dark)).astype(np.float32)
    np.testing.assert_allclose(cube.block(slice(None), slice(None)).data, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(cube.data[3:9:2, 4, ::-1], expected[3:9:2, 4, ::-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        cube.spectra(np.array([5, 0]), np.array([1, 7])), expected[:, [5, 0], [1, 7]].T, rtol=1e-4, atol=1e-6
    )
    assert (cube.unit, cube.data.dtype) == ("reflectance", np.float32)
    assert cube.metadata["references"].startswith("reflectance, from")


def test_envi_reflectance_with_ignored_values_and_integration_times(tmp_path):
    _, dark, white = scene(tmp_path, tint=10, data_ignore_value=int(CUBE[3, 2, 1]))
    cube = open_cube(tmp_path / "a.hdr", reference="yes")
    ignored = CUBE[3, 2, 1]
    assert np.isnan(cube.data[3, 2, 1])
    there = ignored != CUBE
    expected = (CUBE - dark) / (white - dark) * 0.5
    np.testing.assert_allclose(np.asarray(cube.data[:, :, :])[there], expected[there], rtol=1e-4, atol=1e-6)
    assert "0.5 times the integration time" in cube.metadata["references"]


def test_envi_without_a_dark_reference(tmp_path):
    _, _, white = scene(tmp_path, names=("WHITEREF_a",))
    cube = open_cube(tmp_path / "a.hdr", reference="yes")
    np.testing.assert_allclose(cube.data[:, 0], CUBE[:, 0] / white[:, 0], rtol=1e-4)
    assert "without a dark one" in cube.metadata["references"]


def test_envi_white_that_is_not_above_dark_gives_nan(tmp_path):
    scene(tmp_path)
    (tmp_path / "DARKREF_a.raw").write_bytes((tmp_path / "WHITEREF_a.raw").read_bytes())
    assert np.isnan(open_cube(tmp_path / "a.hdr", reference="yes").data[:, :, :]).all()


def test_envi_references_that_do_not_fit(tmp_path):
    scene(tmp_path, columns=WIDTH + 1)
    with pytest.raises(DataError, match=r"WHITEREF_a\.hdr does not fit, .* 9 columns, the cube 20 and 8") as caught:
        open_cube(tmp_path / "a.hdr", reference="yes")
    assert "\n" not in str(caught.value)
    same(open_cube(tmp_path / "a.hdr"))


def test_envi_no_reference_and_one_of_several(tmp_path):
    path = envi(tmp_path)
    assert "references" not in open_cube(path).metadata
    with pytest.raises(DataError, match=r"no white reference.*WHITEREF_a\.hdr"):
        open_cube(path, reference="yes")
    # those of two other cubes: neither is this one's
    scene(tmp_path, names=("WHITEREF_b",))
    scene(tmp_path, names=("WHITEREF_c",))
    assert "references" not in open_cube(path).metadata
    scene(tmp_path)
    assert "WHITEREF_a.hdr" in open_cube(path).metadata["references"]
    # a reference is a cube of its own
    assert "references" not in open_cube(tmp_path / "WHITEREF_b.hdr").metadata


def test_envi_truncated_reference_is_one_line(tmp_path):
    scene(tmp_path)
    (tmp_path / "WHITEREF_a.raw").write_bytes(b"123")
    with pytest.raises(DataError, match=r"WHITEREF_a\.raw: its header promises"):
        open_cube(tmp_path / "a.hdr", reference="yes")


def test_real_dark_reference_is_told_of():
    path = real("corn_kernel_envi/corn-kernel-hyperspectral.hdr")
    assert "dark darkReference.hdr" in open_cube(path).metadata["references"]
    with pytest.raises(DataError, match="no white reference"):
        open_cube(path, reference="yes")


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("ending", [".img", ".dat", ".raw"])
def test_what_spectral_writes(tmp_path, interleave, ending):
    spectral = pytest.importorskip("spectral.io.envi")
    spectral.save_image(
        str(tmp_path / "a.hdr"), CUBE.transpose(1, 2, 0).astype(">i2"), interleave=interleave, ext=ending, byteorder=1,
        metadata={"wavelength": [str(400 + 20 * n) for n in range(BANDS)], "wavelength units": "Nanometers"},
    )  # fmt: skip
    for name in ("a.hdr", f"a{ending}"):
        cube = open_cube(tmp_path / name)
        same(cube)
        assert (cube.axis.unit, cube.axis.values[-1]) == ("nm", 780)


def test_band_names_where_there_are_no_wavelengths(tmp_path):
    names = [f"Fe map {n}" for n in range(BANDS)]
    cube = open_cube(envi(tmp_path, band_names="{" + ", ".join(names) + "}", wavelength=None))
    assert cube.metadata["band_names"] == names
    assert not cube.axis.calibrated
    values = "{" + ",\n".join(f"Band {n} ({400 + 20 * n} nm)" for n in range(BANDS)) + "}"
    cube = open_cube(envi(tmp_path, band_names=values, wavelength=None, wavelength_units=None))
    assert cube.axis.unit == "nm"
    np.testing.assert_allclose(cube.axis.values, 400 + 20 * np.arange(BANDS))
    # one too few: of which bands?
    cube = open_cube(envi(tmp_path, band_names="{" + ", ".join(names[1:]) + "}", wavelength=None))
    assert "band_names" not in cube.metadata
