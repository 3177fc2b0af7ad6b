"""Every export is read back by the library that its users use."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import cubeseg
from cubeseg import FitConfig, editing, segment
from cubeseg.axis import SpectralAxis
from cubeseg.cli import main
from cubeseg.cube import Spatial
from cubeseg.errors import ConfigError, DataError
from cubeseg.exporting import FORMATS, export, planned
from cubeseg.exporting.outlines import outlines
from tests.cubeseg.cubes import counts_cube


@pytest.fixture(scope="module")
def cube():
    return counts_cube()[0]


@pytest.fixture
def result(cube):
    made = segment(cube, FitConfig(method="pca", clusters=(4, 4)))
    editing.rename(made, 1, 'lead "white" & {Größe}, №').do()
    editing.recolour(made, 1, "#123456").do()
    editing.delete(made, [3]).do()
    made.spatial = Spatial((0.5, 0.25), "mm")
    return made


def written(result, folder, *formats, **keywords):
    return export(result, folder / "out", formats, stem="p", **keywords)


def test_tiff(tmp_path, result):
    (path,) = written(result, tmp_path, "tiff")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        page = tiff.pages[0]
        assert (tiff.asarray() == result.labels).all()
        assert (page.colormap[:, 1] // 257).tolist() == [0x12, 0x34, 0x56]
        across = page.tags["XResolution"].value
        assert across[0] / across[1] == pytest.approx(40)
        found = tifffile.xml2dict(tiff.ome_metadata)["OME"]
    pixels = found["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"], pixels["PhysicalSizeY"]) == (0.25, "mm", 0.5)
    named = found["StructuredAnnotations"]["MapAnnotation"]["Value"]["M"]
    first = next(entry for entry in named if entry["K"] == "class 1")
    assert json.loads(first["value"])["name"] == result.info(1).name


def test_indexed_png(tmp_path, result):
    (path,) = written(result, tmp_path, "png")
    with Image.open(path) as image:
        assert image.mode == "P"
        assert (np.asarray(image) == result.labels).all()
        assert image.getpalette()[3:6] == [0x12, 0x34, 0x56]
        assert json.loads(image.text["Classes"])["1"]["name"] == result.info(1).name


def test_envi_opens_in_spectral_python(tmp_path, result):
    from spectral.io import envi

    (path,) = written(result, tmp_path, "envi")
    image = envi.open(path)
    assert (image.read_band(0) == result.labels).all()
    meta = image.metadata
    assert meta["file type"] == "ENVI Classification"
    assert meta["class names"] == ["Unclassified", 'lead "white" & Größe №', "class 2", "no class 3", "class 4"]
    assert [int(v) for v in meta["class lookup"][3:6]] == [0x12, 0x34, 0x56]
    assert meta["map info"][5:7] == ["0.25", "0.5"]


@pytest.mark.parametrize("name", ["figure", "figure-svg", "figure-pdf"])
def test_figures(tmp_path, result, name):
    (path,) = written(result, tmp_path, name)
    start = path.read_bytes()[:400]
    if name == "figure":
        with Image.open(path) as image:
            assert image.width > 3000
            assert (0x12, 0x34, 0x56) in {c[:3] for _, c in image.convert("RGB").getcolors(1 << 24)}
    else:
        assert start.startswith(b"%PDF") if name == "figure-pdf" else b"<svg" in path.read_bytes()


def test_overlay_needs_the_cube(tmp_path, result, cube):
    with pytest.raises(DataError, match="--cube"):
        written(result, tmp_path, "csv", "overlay")
    assert not (tmp_path / "out").exists()
    (path,) = written(result, tmp_path, "overlay", cube=cube)
    with Image.open(path) as image:
        assert image.size == result.labels.shape[::-1]
        seen = np.asarray(image).astype(int)
    assert (np.ptp(seen[result.labels == 0], axis=1) == 0).all()
    assert (np.ptp(seen[result.labels == 1], axis=1) > 0).all()


def test_geojson_outlines_enclose_the_pixels(tmp_path, result):
    shapely = pytest.importorskip("shapely")
    (path,) = written(result, tmp_path, "geojson")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["coordinates"], found["unit"]) == ("physical", "mm")
    for feature in found["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        info = result.info(feature["properties"]["id"])
        assert shape.is_valid
        assert shape.area == pytest.approx(result.pixels(info.id) * 0.125)
        assert feature["properties"]["area"] == pytest.approx(shape.area)
        assert (feature["properties"]["name"], feature["properties"]["colour"]) == (info.name, info.colour)
        inside = shapely.contains_xy(shape, *np.meshgrid(np.arange(result.labels.shape[1]) * 0.25,
                                                         np.arange(result.labels.shape[0]) * 0.5))  # fmt: skip
        assert (inside == (result.labels == info.id)).all()


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_of_any_mask(mask):
    shapely = pytest.importorskip("shapely")
    from scipy import ndimage

    found = outlines(mask)
    assert len(found) == ndimage.label(mask)[1]
    if not found:
        return
    shapes = [shapely.Polygon(rings[0], rings[1:]) for rings in found]
    assert all(shape.is_valid for shape in shapes)
    assert sum(shape.area for shape in shapes) == mask.sum()
    x, y = np.meshgrid(np.arange(mask.shape[1]), np.arange(mask.shape[0]))
    assert (np.any([shapely.contains_xy(shape, x, y) for shape in shapes], axis=0) == mask).all()


def test_sky_outlines_are_where_the_labels_are(tmp_path):
    shapely = pytest.importorskip("shapely")
    from astropy.io import fits
    from astropy.wcs import WCS

    from tests.cubeseg.io.written import CUBE, fits_cube

    fits_cube(tmp_path / "sky.fits", CUBE + np.random.default_rng(0).normal(0, 1, CUBE.shape))
    made = segment(cubeseg.open_cube(tmp_path / "sky.fits"), FitConfig(method="pca", clusters=(2, 2)))
    geo, sky = written(made, tmp_path, "geojson", "fits")
    found = json.loads(geo.read_text())
    assert (found["coordinates"], found["unit"]) == ("sky", "deg")
    with fits.open(sky) as file:
        world = WCS(file["LABELS"].header)
        assert (file["MASK_1"].data == (made.labels == 1)).all()
        assert file["MASK_1"].header["CLASS"] == "class 1"
        y, x = np.argwhere(made.labels == 1)[0]
        place = world.all_pix2world([[x, y]], 0)[0]
    shape = shapely.geometry.shape(found["features"][0]["geometry"])
    assert shape.contains(shapely.Point(place))


def test_micrometres_in_fits(tmp_path, result):
    from astropy.io import fits

    result.spatial = Spatial((20, 20), "µm")
    (path,) = written(result, tmp_path, "fits")
    assert fits.getheader(path, "LABELS")["CUNIT1"] == "um"


def test_svg(tmp_path, result):
    from xml.etree import ElementTree

    (path,) = written(result, tmp_path, "svg")
    root = ElementTree.parse(path).getroot()
    assert root.attrib["viewBox"] == "0 0 {1} {0}".format(*result.labels.shape)
    paths = {item.attrib["id"]: item for item in root.iter("{http://www.w3.org/2000/svg}path")}
    assert paths["class-1"].attrib["fill"] == "#123456"
    assert paths["class-1"][0].text == result.info(1).name


def test_ds9_regions_are_read_by_astropy(tmp_path, result):
    regions = pytest.importorskip("regions")
    (path,) = written(result, tmp_path, "ds9")
    # the reader of astropy does not know holes; those lines are checked by the sign
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("-")]
    found = regions.Regions.parse("\n".join(lines), format="ds9")
    assert len(found) == sum(len(outlines(result.labels == c.id)) for c in result.classes)
    y, x = np.argwhere(result.labels == 1)[0]
    mine = [r for r in found if "class 1" in str(r.meta.get("tag"))]
    assert any(r.contains(regions.PixCoord(x, y)) for r in mine)


def test_tables(tmp_path, result, cube):
    import pandas as pd
    from astropy.table import QTable

    spectra, ecsv, classes = written(result, tmp_path, "csv", "ecsv", "classes", cube=cube)
    table = pd.read_csv(spectra)
    mine = table[table["class"] == 1]
    np.testing.assert_allclose(mine["mean"], result.spectra.mean(1), rtol=1e-5)
    np.testing.assert_allclose(mine["std"], result.spectra.std(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mine["value"], result.axis.values)
    assert (mine["p16"] <= mine["median"]).all()
    assert (mine["median"] <= mine["p84"]).all()
    assert set(mine["name"]) == {result.info(1).name}
    assert set(mine["unit"]) == {"keV"}
    found = QTable.read(ecsv, format="ascii.ecsv")
    assert found["axis"].unit == "keV"
    np.testing.assert_allclose(np.asarray(found["mean_1"]), result.spectra.mean(1))
    assert found.meta["classes"][0]["name"] == result.info(1).name
    rows = pd.read_csv(classes)
    assert rows["class"].tolist() == [c.id for c in result.classes]
    assert rows["area"][0] == pytest.approx(result.pixels(1) * 0.125)
    assert set(rows["area_unit"]) == {"mm^2"}


def test_without_the_cube_there_are_no_percentiles(tmp_path, result):
    (path,) = written(result, tmp_path, "csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"class", "name", "colour", "axis", "value", "unit", "mean", "std", "n"}
    assert len(rows) == 3 * 64


def test_nexus(tmp_path, result):
    (path,) = written(result, tmp_path, "nexus")
    with h5py.File(path) as file:
        entry = file[file.attrs["default"]]
        group = entry[entry.attrs["default"]]
        assert group.attrs["NX_class"] == "NXdata"
        assert (group[group.attrs["signal"]][()] == result.labels).all()
        assert group["class_name"].asstr()[0] == result.info(1).name
        np.testing.assert_allclose(group["x"][()], np.arange(result.labels.shape[1]) * 0.25)
        np.testing.assert_allclose(entry["spectra/mean"][0], result.spectra.mean(1))
        assert entry["spectra/axis"].attrs["units"] == "keV"


def test_ome_zarr(tmp_path, result):
    zarr = pytest.importorskip("zarr")
    (path,) = written(result, tmp_path, "zarr")
    group = zarr.open_group(path, mode="r")
    ome = group.attrs["ome"]
    assert (group["0"][:] == result.labels).all()
    assert ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [0.5, 0.25]
    assert ome["multiscales"][0]["axes"][0]["unit"] == "millimeter"
    assert ome["image-label"]["colors"][0]["rgba"] == [0x12, 0x34, 0x56, 255]
    assert ome["image-label"]["properties"][0]["name"] == result.info(1).name
    # a second time in its place
    written(result, tmp_path, "zarr")


def test_the_plan_tells_what_comes(tmp_path, result, cube):
    names = [name for name, known in FORMATS.items() if not known.unmixed]
    plan = planned(result, tmp_path / "out", names, stem="p")
    assert not any(item.exists for item in plan)
    paths = written(result, tmp_path, *names, cube=cube)
    assert paths == [item.path for item in plan]
    assert all(item.exists for item in planned(result, tmp_path / "out", names, stem="p"))
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    for item in plan:
        if item.path.is_file() and item.format.name not in ("figure", "figure-svg", "figure-pdf"):
            assert item.path.stat().st_size < 20 * item.size + 20_000


def test_what_is_there_stays_unless_forced(tmp_path, result):
    (path,) = written(result, tmp_path, "csv")
    path.write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        written(result, tmp_path, "tiff", "csv", force=False)
    assert path.read_text() == "mine"
    assert not (tmp_path / "out" / "p-labels.tif").exists()
    written(result, tmp_path, "csv")
    assert path.read_text() != "mine"


def test_exports_that_are_refused(tmp_path, result, cube):
    with pytest.raises(ConfigError, match="results of unmixing"):
        export(result, tmp_path / "a", ["tiff", "components"])
    with pytest.raises(ConfigError, match="unknown format"):
        export(result, tmp_path / "a", ["tiff", "docx"])
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        export(result, tmp_path / "file" / "x", ["csv"])
    many = replace(result, labels=result.labels + np.int32(300))
    with pytest.raises(DataError, match="up to 255"):
        written(many, tmp_path, "png")
    other = replace(cube, data=np.asarray(cube.data)[:, :5], mask=None)
    with pytest.raises(DataError, match="size differs"):
        written(result, tmp_path, "overlay", cube=other)


def test_the_report_is_one_page_without_a_network(tmp_path, result):
    from html.parser import HTMLParser

    editing.annotate(result, 1, "<script>alert(1)</script>").do()
    # what X-ray spectra suggest takes longer, and is tested elsewhere
    result.axis = SpectralAxis.from_values(np.linspace(400, 800, 64), "nm")
    result.save(tmp_path / "r.h5")
    assert main(["report", str(tmp_path / "r.h5"), "-o", str(tmp_path / "report.html")]) == 0
    seen, words = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append((tag, dict(attrs)))

        def handle_data(self, data):
            words.append(data)

    reader = Reader()
    reader.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    text = " ".join(words)
    assert "script" not in {tag for tag, _ in seen}
    links = [v for _, attrs in seen for k, v in attrs.items() if k in ("src", "href", "xlink:href")]
    assert all(link.startswith(("data:", "#")) for link in links)
    assert sum(tag == "img" for tag, _ in seen) >= 3
    for said in (result.info(1).name, "<script>alert(1)</script>", f"{result.pixels(1):,}", "rename", "seed 0"):
        assert said in text
