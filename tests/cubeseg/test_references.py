"""Libraries of reference spectra: read from what people have, brought to a cube's axis, compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError, DataError
from cubeseg.references.matching import Library, continuum_removed, load_library, match
from cubeseg.spectroscopy.conversion import air_to_vacuum
from tests.conftest import real

X = np.array([400.0, 450, 500, 550, 600])
RED, BLUE = np.array([0.1, 0.1, 0.2, 0.6, 0.8]), np.array([0.5, 0.7, 0.4, 0.1, 0.1])


def table(delimiter=",", decimal=".", header="Wavelength (nm){d}red{d}blue", before=""):
    rows = [header.format(d=delimiter)] if header else []
    for x, *values in zip(X, RED, BLUE, strict=True):
        rows.append(delimiter.join(f"{v:g}".replace(".", decimal) for v in (x + 0.5, *values)))
    return before + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("delimiter", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), (" ", ","), (" ", ".")]
)
def test_tables(tmp_path, delimiter, decimal):
    path = tmp_path / "some.csv"
    header = "nm red blue" if delimiter == " " else "Wavelength (nm){d}red{d}blue"
    path.write_text(table(delimiter, decimal, header))
    found = load_library(path)
    assert found.names == ("red", "blue")
    assert (found.axis.unit, found.axis.kind) == ("nm", "wavelength")
    assert found.axis.values == pytest.approx(X + 0.5)
    assert found.values == pytest.approx(np.stack([RED, BLUE]))


@pytest.mark.parametrize(
    ("title", "unit"),
    [("Wavelength [µm]", "um"), ("Energy_keV", "keV"), ("wavenumber cm-1", "1/cm"), ("Angstrom", "Angstrom"),
     ("Wavelength / nm", "nm"), ("lambda", "nm")],
)  # fmt: skip
def test_units_in_the_title(tmp_path, title, unit):
    (tmp_path / "a.csv").write_text(table(header=title + "{d}red{d}blue"), encoding="utf-8")
    assert load_library(tmp_path / "a.csv").axis.unit == unit
    assert load_library(tmp_path / "a.csv", unit="eV").axis.unit == "eV"


def test_comments_and_lines_above(tmp_path):
    path = tmp_path / "azurite.txt"
    above = "# Spectral library\nName: azurite, natural\nX Units: Wavelength (micrometers)\nY Units: Reflectance\n\n"
    path.write_text(above + "\n".join(f"{x / 1000}\t{y}" for x, y in zip(X, BLUE, strict=True)))
    found = load_library(path)
    assert found.axis.unit == "um"
    assert len(found) == 1
    assert "azurite" in found.names[0]
    path.write_text("# nm, red, blue\n" + table(header=""))
    assert load_library(path).names == ("red", "blue")


def test_two_columns_without_a_header_are_named_by_the_file(tmp_path):
    path = tmp_path / "ochre.txt"
    path.write_text("\n".join(f"{x} {y}" for x, y in zip(X[::-1], RED[::-1], strict=True)))
    found = load_library(path)
    assert found.names == ("ochre",)
    assert (np.diff(found.axis.values) > 0).all()
    assert load_library(path, unit="nm").values[0] == pytest.approx(RED)


def test_one_row_per_spectrum(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [["type", *X[::-1]], ["class", *"ccccc"], ["paint", *RED[::-1]], ["paint", *BLUE[::-1]], ["oil", *BLUE]]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    found = load_library(path, unit="nm")
    assert found.names == ("paint 1", "paint 2", "oil")
    assert found.values[0] == pytest.approx(RED)


def test_gaps_repeats_and_spreads(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("nm,red,std\n400,0.1,0.01\n410,,0.01\n420,nan,0.01\n420,0.3,0.01\n430,0.4,0.02\n")
    found = load_library(path)
    assert found.names == ("red",)
    assert any("std" in note for note in found.notes)
    assert any("repeated" in note for note in found.notes)
    assert np.isnan(found.values[0]).tolist() == [False, True, True, False]


def sli(folder, spectra, **more):
    values = np.asarray(spectra, dtype="<f4")
    fields = {"samples": values.shape[1], "lines": len(values), "bands": 1, "data type": 4, "byte order": 0,
              "file type": "ENVI Spectral Library", "wavelength units": "Nanometers"} | more  # fmt: skip
    names = ", ".join(["red", "blue"][: len(values)])
    text = "\n".join(["ENVI", *(f"{key} = {value}" for key, value in fields.items())])
    text += f"\nspectra names = {{ {names} }}\nwavelength = {{ {', '.join(map(str, X))} }}\n"
    (folder / "lib.hdr").write_text(text)
    (folder / "lib.sli").write_bytes(values.tobytes())
    return folder / "lib.sli"


def test_envi_libraries(tmp_path):
    path = sli(tmp_path, [RED, BLUE], **{"reflectance scale factor": 2})
    for name in ("lib.sli", "lib.hdr"):
        found = load_library(path.with_name(name))
        assert found.names == ("red", "blue")
        assert found.axis.unit == "nm"
        assert found.values == pytest.approx(np.stack([RED, BLUE]) / 2)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="truncated"):
        load_library(path)
    path.with_name("lib.hdr").unlink()
    with pytest.raises(DataError, match="header is missing"):
        load_library(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("", "no table"), ("one two three", "no table"), ("##TITLE=x\n##XYDATA=(X++(Y..Y))\n1 2 3\n", "JCAMP"),
     ("nm,a\n1,2\n1,3\n", "fewer than two distinct"), ("nm,a\n1,nan\n2,\n", "no spectrum|no table")],
)  # fmt: skip
def test_what_is_no_library(tmp_path, content, complaint):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=complaint) as said:
        load_library(tmp_path / "a.csv")
    assert "a.csv" in str(said.value)
    assert "\n" not in str(said.value)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_library(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="no such file"):
        load_library(tmp_path)


LIBRARY = Library(("red", "blue"), SpectralAxis.from_values(X, "nm"), np.stack([RED, BLUE]))


def test_means_over_bands_keep_the_area():
    fine = SpectralAxis.from_values(np.linspace(400, 600, 2001), "nm")
    rough = np.random.default_rng(0).random((1, 2001))
    coarse = SpectralAxis.from_values(np.linspace(405, 595, 20), "nm")
    made = Library(("a",), fine, rough).on(coarse)
    for band, value in zip(coarse.values, made.values[0], strict=True):
        inside = (fine.values >= band - 5 - 1e-9) & (fine.values <= band + 5 + 1e-9)
        assert value == pytest.approx(np.trapezoid(rough[0, inside], fine.values[inside]) / 10)


def test_other_units_media_and_directions():
    um = SpectralAxis.from_values(X[::-1] / 1000, "um")
    assert LIBRARY.on(um).axis.values == pytest.approx(X / 1000)
    assert LIBRARY.on(um).values[:, 1:-1] == pytest.approx(LIBRARY.on(LIBRARY.axis).values[:, 1:-1])
    ev = SpectralAxis.from_values(np.linspace(2.1, 3.0, 10), "eV")
    want = np.interp(1239.84198 / ev.values, X, RED)
    assert LIBRARY.on(ev).values[0] == pytest.approx(want, abs=0.02)
    air = Library(("line",), SpectralAxis(X, "nm", medium="air"), RED[None])
    vacuum = SpectralAxis(air_to_vacuum(X), "nm", medium="vacuum")
    assert air.on(vacuum).values[0, 1:-1] == pytest.approx(air.on(air.axis).values[0, 1:-1], abs=1e-4)


def test_only_the_common_range_has_values():
    wide = SpectralAxis.from_values(np.arange(300.0, 701, 25), "nm")
    held = np.isfinite(LIBRARY.on(wide).values[0])
    assert wide.values[held].tolist() == list(np.arange(400.0, 601, 25))
    (best, _) = match(np.where(held, np.interp(wide.values, X, RED), 9.0), LIBRARY, axis=wide)
    assert (best.name, best.low, best.high, best.bands) == ("red", 400, 600, 9)
    # bands average over the corners of a coarse library
    assert best.angle < 0.05


@pytest.mark.parametrize(
    ("axis", "complaint"),
    [
        (SpectralAxis.from_values(np.linspace(900, 1700, 50), "nm"), "no range in common"),
        (SpectralAxis.from_values(np.linspace(1, 40, 50), "keV"), "no range in common"),
        (SpectralAxis.channels(50), "does not fit"),
        (SpectralAxis.from_values(np.linspace(-5, 5, 50), "km/s"), "does not fit"),
    ],
)
def test_axes_that_do_not_meet(axis, complaint):
    with pytest.raises(DataError, match=complaint):
        LIBRARY.on(axis)


def test_angles():
    assert match([1, 0, 0], Library(("a", "b"), SpectralAxis.channels(3), np.array([[1, 1, 0], [2.0, 0, 0]])))[
        1
    ].angle == pytest.approx(np.pi / 4)
    found = match(7 * RED, LIBRARY)
    assert [one.name for one in found] == ["red", "blue"]
    assert found[0].angle == pytest.approx(0, abs=1e-9)
    cosine = RED @ BLUE / np.linalg.norm(RED) / np.linalg.norm(BLUE)
    assert found[1].angle == pytest.approx(np.arccos(cosine))
    assert len(match(RED, LIBRARY, 1)) == 1


def test_removals():
    lifted = RED + 3
    assert match(lifted, LIBRARY, remove="offset")[0].angle == pytest.approx(0, abs=1e-9)
    correlation = np.corrcoef(RED, BLUE)[0, 1]
    assert match(RED, LIBRARY, remove="offset")[1].angle == pytest.approx(np.arccos(correlation))
    # a sloping continuum hides a band; dividing it out brings the band back
    x = np.linspace(400, 600, 81)
    axis = SpectralAxis.from_values(x, "nm")
    band = 1 - 0.3 * np.exp(-0.5 * ((x - 500) / 10) ** 2)
    slope = (x - 350) / 200
    other = 1 - 0.3 * np.exp(-0.5 * ((x - 450) / 10) ** 2)
    library = Library(("slope with another band", "band"), axis, np.stack([slope * other, band]))
    assert match(slope * band, library)[0].name == "slope with another band"
    assert match(slope * band, library, remove="continuum")[0].name == "band"
    with pytest.raises(ConfigError, match="unknown"):
        match(RED, LIBRARY, remove="all")


def test_continuum_is_the_upper_hull():
    x = np.arange(6.0)
    assert continuum_removed(x, [1, 0.5, 1, 1, 0.25, 1]) == pytest.approx([1, 0.5, 1, 1, 0.25, 1])
    assert continuum_removed(x, x + 1) == pytest.approx(np.ones(6))
    both = continuum_removed(x, np.array([[1, 2, 9, 2, 1, 1], [0, 0, 0, 0, 0, 0.0]]))
    assert both[0] == pytest.approx([1, 2 / 5, 1, 2 / (9 - 8 / 3), 1 / (9 - 16 / 3), 1])
    assert np.isfinite(both).all()


def test_what_cannot_be_compared():
    with pytest.raises(DataError, match="shape"):
        match([1, 2, 3], LIBRARY)
    with pytest.raises(DataError, match="2 bands can be compared"):
        match([1, 2, np.nan, np.nan, np.nan], LIBRARY)
    assert match(np.zeros(5), LIBRARY) == ()


def test_the_pigment_library():
    path = real("pigment_library_hyppigments/__speclib_averages.sli")
    library = load_library(path)
    assert len(library) == 1592
    assert "ochre" in library.names[0]
    axis = SpectralAxis.from_values(np.linspace(0.42, 0.95, 120), "um")
    spectrum = library.on(axis).values[100]
    noisy = spectrum * (1 + 0.002 * np.random.default_rng(0).standard_normal(120))
    best = match(noisy, library, axis=axis, remove="continuum")[0]
    assert best.index == 100
    # another patch of the same paint is nearer than all others
    paint = library.names[0].split("--")[0]
    near = match(library.values[0], library, 2, remove="continuum")
    assert all(library.names[one.index].startswith(paint) for one in near)


def test_other_real_libraries():
    assert len(load_library(real("ftir_orange/collagen.csv"))) == 731
    tube = load_library(real("xrf_m6_jetstream_spx/bruker_m6_jetstream_file_example.spx"))
    assert (tube.axis.unit, len(tube.axis)) == ("keV", 4096)
    assert tube.axis.values[0] == pytest.approx(-0.956, abs=0.002)
    assert tube.values.sum() == pytest.approx(1.09e6, rel=0.01)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy")
    files = {"a.csv": table().encode(), "b.csv": table(";", ",").encode(), "c.txt": table("\t", header="").encode()}
    spx = '<?xml version="1.0"?><TRTSpectrum><CalibAbs>-9.5E-1</CalibAbs><CalibLin>1,0E-2</CalibLin>'
    files["d.spx"] = (spx + "<Channels>0,1,2,3,4,5</Channels></TRTSpectrum>").encode()
    sli(folder, [RED, BLUE])
    files["lib.hdr"] = (folder / "lib.hdr").read_bytes()
    return files, (folder / "lib.sli").read_bytes()


def loaded(path):
    try:
        return load_library(path), ""
    except DataError as error:
        return None, str(error)


@pytest.mark.parametrize("name", ["a.csv", "b.csv", "c.txt", "d.spx", "lib.hdr"])
@settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_files_give_a_library_or_a_data_error(healthy, tmp_path, name, data):
    files, binary = healthy
    content = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        if data.draw(st.booleans()):
            content[at : at + 1] = data.draw(st.binary(min_size=1, max_size=3))
        else:
            del content[at : at + data.draw(st.integers(1, 60))]
    (tmp_path / "lib.sli").write_bytes(binary)
    (tmp_path / name).write_bytes(bytes(content))
    found, said = loaded(tmp_path / name)
    assert "\n" not in said
    assert str(tmp_path) in said if found is None else len(found.names) == len(found.values) > 0


@settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.sampled_from(list("0123456789.,;\t \n-eE#\"'nmkeVa()inf+")), max_size=200))
def test_any_text_gives_a_library_or_a_data_error(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    found, said = loaded(tmp_path / "a.csv")
    assert "\n" not in said
    if found is not None:
        assert found.values.shape == (len(found.names), len(found.axis))
        assert (np.diff(found.axis.values) > 0).all()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_own_spectra_are_found_again(data):
    bands, n = data.draw(st.integers(4, 40)), data.draw(st.integers(1, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    library = Library(tuple(f"s{i}" for i in range(n)), SpectralAxis.channels(bands), rng.random((n, bands)))
    want = data.draw(st.integers(0, n - 1))
    found = match(3 * library.values[want], library, n)
    assert found[0].index == want
    assert all(0 <= one.angle <= np.pi for one in found)
    assert [one.angle for one in found] == sorted(one.angle for one in found)
