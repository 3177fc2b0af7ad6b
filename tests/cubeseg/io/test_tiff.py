"""TIFF: stacks however they are written; pictures are refused for what they are."""

from __future__ import annotations

import contextlib
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded
from tests.cubeseg.io.written import AXIS, BANDS, CUBE, HEIGHT, WIDTH, same

SMALL = CUBE.astype(np.uint16)


def mapped(cube):
    return isinstance(cube.data, np.memmap)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">i2", "<f4", ">f8"])
@pytest.mark.parametrize("big", [False, True])
def test_uncompressed_stacks_are_mapped(tmp_path, dtype, big):
    path = tmp_path / "a.tif"
    order = ">" if dtype.startswith(">") else "<"
    tifffile.imwrite(path, CUBE.astype(dtype), photometric="minisblack", bigtiff=big, byteorder=order)
    cube = open_cube(path)
    same(cube)
    assert mapped(cube)
    assert not cube.axis.calibrated


def test_pages_of_other_software(tmp_path):
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(page) for page in SMALL]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    same(open_cube(path))


@pytest.mark.parametrize("options", [
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "zlib", "rowsperstrip": 4},
    {"compression": "zlib", "tile": (16, 16)},
    {"tile": (16, 16)},
    {"rowsperstrip": 4, "contiguous": False},
])  # fmt: skip
def test_strips_and_tiles(tmp_path, options):
    path = tmp_path / "a.tif"
    big = np.random.default_rng(1).integers(0, 60000, (5, 40, 50)).astype(np.uint16)
    contiguous = options.pop("contiguous", None)
    with tifffile.TiffWriter(path) as file:
        for page in big:
            file.write(page, photometric="minisblack", contiguous=contiguous, metadata=None, **options)
    cube = open_cube(path)
    np.testing.assert_array_equal(np.asarray(cube.data[:, :, :]), big)
    np.testing.assert_array_equal(cube.data[1:4:2, 35:3:-3, 7:44:5], big[1:4:2, 35:3:-3, 7:44:5])
    np.testing.assert_array_equal(cube.data[:, 39, 49], big[:, 39, 49])
    np.testing.assert_array_equal(cube.data[4, 17], big[4, 17])
    rows, columns = np.array([3, 39, 3]), np.array([49, 0, 49])
    np.testing.assert_array_equal(cube.spectra(rows, columns), big[:, rows, columns].T)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_samples_per_pixel(tmp_path, planar, compression):
    path = tmp_path / "a.tif"
    data = SMALL.transpose(1, 2, 0) if planar == "contig" else SMALL
    tifffile.imwrite(
        path, data, photometric="minisblack", planarconfig=planar, compression=compression, metadata=None
    )  # fmt: skip
    cube = open_cube(path)
    same(cube)
    assert mapped(cube) == (compression is None)
    assert cube.source.spectral_axis == (2 if planar == "contig" else 0)


def test_imagej_labels_and_pixel_size(tmp_path):
    path = tmp_path / "a.tif"
    labels = [f"reflectance {value:g} nm" for value in AXIS]
    tifffile.imwrite(
        path, SMALL, imagej=True, resolution=(4.0, 2.0), metadata={"axes": "CYX", "Labels": labels, "unit": "um"}
    )  # fmt: skip
    cube = open_cube(path)
    same(cube)
    assert (cube.axis.unit, cube.axis.kind) == ("nm", "wavelength")
    np.testing.assert_allclose(cube.axis.values, AXIS)
    assert (cube.spatial.pixel_size, cube.spatial.unit) == ((0.5, 0.25), "um")
    assert mapped(cube)


def test_imagej_names_without_values_are_kept(tmp_path):
    path = tmp_path / "a.tif"
    names = [f"Fe-K{n}" for n in range(BANDS)]
    tifffile.imwrite(path, SMALL, imagej=True, metadata={"axes": "ZYX", "Labels": names})
    cube = open_cube(path)
    assert cube.metadata["band_names"] == names
    assert not cube.axis.calibrated


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome(tmp_path, compression):
    path = tmp_path / "a.ome.tif"
    channels = {"EmissionWavelength": list(AXIS), "EmissionWavelengthUnit": ["nm"] * BANDS}
    tifffile.imwrite(path, SMALL[None, :, None], compression=compression, metadata={
        "axes": "TCZYX", "Channel": channels, "PhysicalSizeX": 3.0, "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 2.0, "PhysicalSizeYUnit": "µm",
    })  # fmt: skip
    cube = open_cube(path)
    same(cube)
    np.testing.assert_allclose(cube.axis.values, AXIS)
    assert cube.axis.unit == "nm"
    assert (cube.spatial.pixel_size, cube.spatial.unit) == ((2.0, 3.0), "um")


def test_ome_names_hold_energies(tmp_path):
    path = tmp_path / "a.ome.tif"
    names = [f"{1 + n / 10:.1f} keV" for n in range(BANDS)]
    tifffile.imwrite(path, SMALL, metadata={"axes": "CYX", "Channel": {"Name": names}})
    cube = open_cube(path)
    assert (cube.axis.unit, cube.axis.values[-1]) == ("keV", pytest.approx(2.9))


def test_ome_names_no_file_of_another_folder(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, SMALL, metadata={"axes": "CYX"})
    xml = tifffile.TiffFile(path).ome_metadata
    broken = xml.replace("<TiffData ", '<TiffData FirstC="0" ', 1) if "UUID FileName" in xml else xml
    data = '<TiffData IFD="0"><UUID FileName="..&#47;other.ome.tif">urn:uuid:1</UUID></TiffData></Pixels>'
    broken = broken.replace("</Pixels>", data)
    tifffile.imwrite(path, SMALL, description=broken.encode(), metadata=None)
    with pytest.raises(DataError, match="another folder"):
        open_cube(path)


def test_a_set_of_ome_files(tmp_path):
    half = BANDS // 2
    pixels = (
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="{BANDS}" '
        'SizeZ="1" SizeT="1">' + "".join(f'<Channel ID="Channel:{n}" SamplesPerPixel="1"/>' for n in range(BANDS))
    )
    planes = "".join(
        f'<TiffData IFD="{n % half}" FirstC="{n}" PlaneCount="1"><UUID FileName="{"ab"[n // half]}.ome.tif">'
        f"urn:uuid:{n // half}</UUID></TiffData>" for n in range(BANDS)
    )  # fmt: skip
    for number, part in enumerate((SMALL[:half], SMALL[half:])):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{number}">'
            f'<Image ID="Image:0">{pixels}{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / f"{'ab'[number]}.ome.tif", part, photometric="minisblack", description=xml, metadata=None
        )  # fmt: skip
    same(open_cube(tmp_path / "a.ome.tif"))


def test_written_wavelengths_and_page_names(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", SMALL, photometric="minisblack",
        metadata={"axes": "CYX", "wavelength": list(AXIS), "wavelength_unit": "nm"},
    )  # fmt: skip
    cube = open_cube(tmp_path / "a.tif")
    assert (cube.axis.unit, cube.axis.values[0]) == ("nm", 400)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for value, page in zip(AXIS, SMALL, strict=True):
            file.write(page, photometric="minisblack", metadata=None, extratags=[(285, 2, None, f"{value:g}nm", True)])
    cube = open_cube(tmp_path / "b.tif")
    assert (cube.axis.unit, cube.axis.values[-1]) == ("nm", 780)


def test_geotiff_band_descriptions(tmp_path):
    items = "".join(
        f'<Item name="DESCRIPTION" sample="{n}" role="description">Band {n} ({value:g} nm)</Item>'
        for n, value in enumerate(AXIS)
    )
    tags = [
        (42112, 2, None, f"<GDALMetadata>{items}</GDALMetadata>", True),
        (42113, 2, None, "-9999", True),
        (33550, 12, 3, (2.0, 3.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4000000.0, 0.0), True),
        (34735, 3, 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    ]
    tifffile.imwrite(
        tmp_path / "a.tif", SMALL.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig", metadata=None,
        compression="zlib", extratags=tags,
    )  # fmt: skip
    cube = open_cube(tmp_path / "a.tif")
    same(cube)
    np.testing.assert_allclose(cube.axis.values, AXIS)
    assert (cube.spatial.pixel_size, cube.spatial.unit) == ((3.0, 2.0), "m")
    assert cube.metadata["ignore_value"] == -9999


def test_resolution_in_centimetres_is_the_pixel_size_and_72_dpi_is_not(tmp_path):
    for unit, resolution, expected in (("CENTIMETER", 100, "mm"), ("INCH", 72, "pixel"), ("INCH", 300, "mm")):
        dots = {"resolution": (resolution, resolution), "resolutionunit": unit}
        tifffile.imwrite(tmp_path / "a.tif", SMALL, photometric="minisblack", **dots)
        assert open_cube(tmp_path / "a.tif").spatial.unit == expected
    assert open_cube(tmp_path / "a.tif").spatial.pixel_size[0] == pytest.approx(25.4 / 300)


def test_an_array_whose_bands_are_last_is_asked_about(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((60, 50, 7), np.uint16), photometric="minisblack")
    with pytest.raises(ChoiceNeeded, match="which axis"):
        open_cube(tmp_path / "a.tif")
    assert open_cube(tmp_path / "a.tif", spectral_axis=2).data.shape == (7, 60, 50)
    assert open_cube(tmp_path / "a.tif", spectral_axis=0).data.shape == (60, 50, 7)


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((30, 40), {"photometric": "minisblack"}, "single picture"),
        ((30, 40, 3), {"photometric": "rgb"}, "colour picture"),
        ((9, 30, 40, 3), {"photometric": "rgb"}, "colour picture"),
        ((5, 4, 30, 40), {"imagej": True, "metadata": {"axes": "TCYX"}}, "2 axes besides the image"),
    ],
)
def test_pictures_are_refused(tmp_path, shape, options, said):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **options)
    with pytest.raises(DataError, match=said):
        open_cube(tmp_path / "a.tif")


def test_our_own_labels_are_no_cube(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((30, 40), np.uint8), compression="zlib", description='{"classes": {}}',
        photometric="minisblack", metadata=None, software="napari-cubeseg",
    )  # fmt: skip
    with pytest.raises(DataError, match="label image"):
        open_cube(tmp_path / "a.tif")


def test_missing_codec_is_said_at_once(tmp_path):
    pytest.importorskip("PIL")
    pages = [Image.fromarray(page) for page in SMALL]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        with pytest.raises(DataError, match="imagecodecs"):
            open_cube(tmp_path / "a.tif")
    else:
        same(open_cube(tmp_path / "a.tif"))


def test_a_truncated_file_and_one_that_unpacks_to_too_much(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SMALL, photometric="minisblack")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"promises|damaged"):
        open_cube(path)
    packer = zlib.compressobj(1)
    block = packer.compress(b"\x00" * (8 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = block * (1 + (1 << 20) // len(block))
    tifffile.imwrite(
        path, iter([bomb] * 3), shape=(3, 64, 64), dtype="u1", compression="zlib", photometric="minisblack"
    )
    with pytest.raises(DataError, match="unpacks to more"):
        open_cube(path)


@pytest.mark.parametrize("kind", ["plain", "zlib", "ome", "imagej", "samples"])
@settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files(tmp_path, kind, data):
    path = tmp_path / "a.tif"
    options = {
        "plain": {"photometric": "minisblack"},
        "zlib": {"photometric": "minisblack", "compression": "zlib", "tile": (16, 16)},
        "ome": {"ome": True, "metadata": {"axes": "CYX", "PhysicalSizeX": 2.0}},
        "imagej": {"imagej": True, "metadata": {"axes": "CYX", "Labels": [f"{v:g} nm" for v in AXIS]}},
        "samples": {"photometric": "minisblack", "planarconfig": "contig", "metadata": None, "compression": "zlib"},
    }[kind]
    tifffile.imwrite(path, SMALL.transpose(1, 2, 0) if kind == "samples" else SMALL, **options)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        end = data.draw(st.sampled_from([min(400, len(content)), len(content)]))
        at = data.draw(st.integers(0, end - 1))
        if data.draw(st.booleans()):
            content[at] = data.draw(st.integers(0, 255))
        else:
            del content[at : at + data.draw(st.integers(1, 200))]
        if len(content) < 8:
            break
    path.write_bytes(bytes(content) or b"x")
    said = None
    try:
        cube = open_cube(path)
        np.asarray(cube.data[0, :2, :2]), np.asarray(cube.data[-1, -1, -2:])
    except DataError as error:
        said = str(error)
    assert said is None or "\n" not in said


@pytest.mark.parametrize("big", [False, True])
def test_a_ring_of_pages_is_not_followed(tmp_path, big):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=big, byteorder="<") as file:
        for page in SMALL[:3]:
            file.write(page, photometric="minisblack", contiguous=False, metadata=None)
    with tifffile.TiffFile(path) as file:
        starts = [page.offset for page in file.pages]
        tags = len(file.pages[2].tags)
    content = bytearray(path.read_bytes())
    after, width = (starts[2] + 8 + 20 * tags, 8) if big else (starts[2] + 2 + 12 * tags, 4)
    assert not any(content[after : after + width])
    content[after : after + width] = starts[1].to_bytes(width, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="leads back into itself"):
        open_cube(path)


def test_entities_that_grow_in_the_metadata_fill_no_memory(tmp_path):
    resource = pytest.importorskip("resource")
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    names = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    said = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY e0 "{"x" * 99}">{levels}]><OME {names}>&e11;</OME>'
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 8, 9), np.float32), description=said, metadata=None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(DataError):
        assert open_cube(tmp_path / "a.tif", spectral_axis=0).n_bands == 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
