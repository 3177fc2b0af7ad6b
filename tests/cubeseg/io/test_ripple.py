"""Ripple: both spellings of the keys, every type and record order, from either of its two files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.cubeseg.io.written import BANDS, CUBE, HEIGHT, WIDTH, envi, same

# what ESPRIT 2 writes, and what Lispix and HyperSpy do
ESPRIT = {"depthscaleorigin": "-0.956", "depthscaleincrement": "0.010002", "depthscaleunits": "keV"}
LISPIX = {"depth-origin": "-0.956", "depth-scale": "0.010002", "depth-units": "keV"}


def ripple(folder, record="vector", dtype="u2", order="<", offset=0, header=ESPRIT, **changed):
    stored = CUBE.transpose(1, 2, 0) if record == "vector" else CUBE
    (folder / "a.raw").write_bytes(b"x" * offset + np.ascontiguousarray(stored).astype(order + dtype).tobytes())
    kind = {"u": "unsigned", "i": "signed", "f": "float"}[dtype[0]]
    keys = {
        "key": "value", "width": WIDTH, "height": HEIGHT, "depth": BANDS, "offset": offset, "data-Length": dtype[1:],
        "data-type": kind, "byte-order": "little-endian" if order == "<" else "big-endian", "record-by": record,
    } | header | {name.replace("_", "-"): value for name, value in changed.items()}  # fmt: skip
    rows = [f"{key}\t{value}" for key, value in keys.items() if value is not None]
    (folder / "a.rpl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "a.rpl"


@pytest.mark.parametrize("record", ["vector", "image"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_layouts(tmp_path, record, dtype, order):
    cube = open_cube(ripple(tmp_path, record, dtype, order, offset=11))
    same(cube)
    assert isinstance(cube.data.base, np.memmap)
    assert cube.source.spectral_axis == (2 if record == "vector" else 0)


@pytest.mark.parametrize("header", [ESPRIT, LISPIX])
@pytest.mark.parametrize("name", ["a.rpl", "a.raw"])
def test_both_spellings_from_both_files(tmp_path, header, name):
    ripple(tmp_path, header=header)
    cube = open_cube(tmp_path / name)
    same(cube)
    assert (cube.axis.kind, cube.axis.unit) == ("energy", "keV")
    np.testing.assert_allclose(cube.axis.values, -0.956 + 0.010002 * np.arange(BANDS))
    assert cube.metadata["recordby"] == "vector"


def test_upper_case_names_and_comments(tmp_path):
    path = ripple(tmp_path)
    text = "; made by hand\n" + path.read_text().replace(f"width\t{WIDTH}", f"WIDTH\t{WIDTH}\tpixels per row")
    (tmp_path / "A.RPL").write_text(text)
    path.unlink()
    (tmp_path / "a.raw").rename(tmp_path / "A.RAW")
    same(open_cube(tmp_path / "A.RPL"))
    same(open_cube(tmp_path / "A.RAW"))


@pytest.mark.parametrize(
    ("header", "unit", "first", "second", "noted"),
    [
        ({"ev-per-chan": "10"}, "keV", 0, 0.01, "axis_guessed"),
        ({"ev-per-chan": "10", "depth-origin": "-200", "depth-units": "eV"}, "keV", -0.2, -0.19, "axis_from"),
        ({"depth-scale": "5", "depth-origin": "100", "depth-units": "eV"}, "eV", 100, 105, "axis_from"),
        ({"depth-scale": "0.1", "depth-origin": "0.5"}, "keV", 0.5, 0.6, "axis_guessed"),
        ({"depth-scale": "2", "depth-origin": "400", "depth-units": "nm"}, "nm", 400, 402, "axis_from"),
        ({"depth-scale": "7"}, "", 0, 1, "axis_rejected"),
        ({}, "", 0, 1, None),
    ],
)
def test_axes(tmp_path, header, unit, first, second, noted):
    cube = open_cube(ripple(tmp_path, header=header))
    assert cube.axis.unit == unit
    np.testing.assert_allclose(cube.axis.values[:2], (first, second))
    told = {"axis_from", "axis_guessed", "axis_rejected"} & set(cube.metadata)
    assert noted in told if noted else not told


def test_pixel_size(tmp_path):
    sizes = {"width-scale": "25", "height-scale": "50", "width-units": "µm", "height-units": "µm"}
    assert open_cube(ripple(tmp_path, header=sizes)).spatial.pixel_size == (50, 25)
    assert open_cube(ripple(tmp_path, header=sizes)).spatial.unit == "um"
    assert open_cube(ripple(tmp_path, header=sizes | {"width-units": "mm"})).spatial.unit == "pixel"
    assert open_cube(ripple(tmp_path, header={"width-scale": "25", "height-scale": "50"})).spatial.unit == "pixel"


def test_bytes_may_do_without_an_order_and_others_assume_one(tmp_path):
    assert "byte_order" not in open_cube(ripple(tmp_path, dtype="u1", byte_order="dont-care")).metadata
    cube = open_cube(ripple(tmp_path, byte_order="dont-care"))
    assert "assumed" in cube.metadata["byte_order"]
    same(cube)


def test_record_order_that_the_file_does_not_say(tmp_path):
    path = ripple(tmp_path, record_by="dont-care")
    with pytest.raises(DataError, match="record=vector"):
        open_cube(path)
    same(open_cube(path, record="vector"))
    # a single spectrum needs none
    assert open_cube(ripple(tmp_path, record_by="dont-care", width=1, height=1)).data.shape == (BANDS, 1, 1)


def test_raw_with_an_envi_header_or_an_rpl_or_both(tmp_path):
    ripple(tmp_path)
    assert open_cube(tmp_path / "a.raw").source.format == "Ripple"
    (tmp_path / "a.hdr").write_text("this is the header of something else")
    assert open_cube(tmp_path / "a.raw").source.format == "Ripple"
    envi(tmp_path, interleave="bip")
    same(open_cube(tmp_path / "a.raw"))
    same(open_cube(tmp_path / "a.rpl"))
    (tmp_path / "a.rpl").unlink()
    assert open_cube(tmp_path / "a.raw").source.format == "ENVI"


def test_truncated_rows(tmp_path):
    path = ripple(tmp_path)
    binary = tmp_path / "a.raw"
    binary.write_bytes(binary.read_bytes()[: 2 * BANDS * WIDTH * 4 + 7])
    with pytest.raises(DataError, match=r"promises .* holds .* 4 of 6 rows are whole.*partial=yes"):
        open_cube(path)
    cube = open_cube(path, partial="yes")
    same(cube, CUBE[:, :4])
    assert "4 of 6 rows" in cube.metadata["partial"]
    binary.write_bytes(b"12")
    with pytest.raises(DataError, match="promises"):
        open_cube(path, partial="yes")


def test_truncated_bands(tmp_path):
    path = ripple(tmp_path, record="image")
    binary = tmp_path / "a.raw"
    binary.write_bytes(binary.read_bytes()[: 2 * HEIGHT * WIDTH * 5 + 7])
    cube = open_cube(path, partial="yes")
    same(cube, CUBE[:5])
    assert len(cube.axis) == 5
    assert cube.axis.unit == "keV"


def test_whole_files_say_nothing_about_it(tmp_path):
    assert "partial" not in open_cube(ripple(tmp_path), partial="yes").metadata


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"depth": 10**12}, "promises"),
        ({"width": 0}, "no whole number"),
        ({"width": "1e3"}, "no whole number"),
        ({"height": None}, "does not give 'height'"),
        ({"width": None, "height": None, "depth": None}, "no Ripple header"),
        ({"data_type": "complex"}, "signed, unsigned or float"),
        ({"data_Length": 3}, "'data-length' of 3"),
        ({"data_Length": 10**15}, "'data-length' of 1000000000000000"),
        ({"byte_order": "middle-endian"}, "byte-order"),
        ({"depthscaleincrement": "ten"}, "which is no number"),
        ({"depthscaleorigin": "nan"}, "which is no number"),
    ],
)
def test_headers_that_lie(tmp_path, change, said):
    with pytest.raises(DataError, match=said) as caught:
        open_cube(ripple(tmp_path, **change))
    assert "\n" not in str(caught.value)
    assert "a.r" in str(caught.value)


def test_without_its_data(tmp_path):
    path = ripple(tmp_path)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(DataError, match=r"a\.raw should lie beside it"):
        open_cube(path)


@settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=200), st.data()))
def test_any_header_is_a_cube_or_one_line(tmp_path, text):
    content = bytearray(ripple(tmp_path).read_bytes())
    if isinstance(text, str):
        content = bytearray(text.encode("utf-8", "surrogatepass") or b"x")
    else:
        for _ in range(text.draw(st.integers(1, 5))):
            content[text.draw(st.integers(0, len(content) - 1))] = text.draw(st.integers(0, 255))
    (tmp_path / "a.rpl").write_bytes(bytes(content))
    said = ""
    try:
        np.asarray(open_cube(tmp_path / "a.rpl").data[0, :1])
    except DataError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(("interleave", "dtype"), [("vector", "u2"), ("image", ">f4")])
def test_what_rosettasciio_writes(tmp_path, interleave, dtype):
    ripple_writer = pytest.importorskip("rsciio.ripple")
    sizes = {"y": (HEIGHT, 2.0, "µm"), "x": (WIDTH, 3.0, "µm"), "Energy": (BANDS, 0.01, "keV")}
    names = ["y", "x", "Energy"] if interleave == "vector" else ["Energy", "y", "x"]
    axes = [
        {
            "name": name, "size": sizes[name][0], "scale": sizes[name][1], "units": sizes[name][2],
            "offset": -0.5 if name == "Energy" else 0.0, "index_in_array": n, "_type": "UniformDataAxis",
            # images of y and x at each energy, or spectra at each y and x
            "navigate": (name == "Energy") == (interleave == "image"),
        }
        for n, name in enumerate(names)
    ]  # fmt: skip
    signal = {
        "data": (CUBE.transpose(1, 2, 0) if interleave == "vector" else CUBE).astype(dtype),
        "axes": axes,
        "metadata": {"General": {}, "Signal": {"signal_type": ""}},
    }
    ripple_writer.file_writer(str(tmp_path / "a.rpl"), signal, encoding="utf-8")
    cube = open_cube(tmp_path / "a.rpl")
    same(cube)
    np.testing.assert_allclose(cube.axis.values, -0.5 + 0.01 * np.arange(BANDS))
    assert cube.axis.unit == "keV"
    assert (cube.spatial.pixel_size, cube.spatial.unit) == ((2, 3), "um")
