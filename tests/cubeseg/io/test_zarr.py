"""Zarr: both versions, folders and zip files, the layouts of OME, xarray and maxrf4u; nothing outside the store."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded
from tests.cubeseg.io.written import AXIS, BANDS, CUBE, HEIGHT, WIDTH, same

zarr = pytest.importorskip("zarr")

LAST = CUBE.transpose(1, 2, 0).astype(np.uint16)


def put(group, name, data, dimensions=None, **attributes):
    data = np.asarray(data)
    chunks = tuple(min(4, n) for n in data.shape)
    version = group.metadata.zarr_format
    array = group.create_array(
        name, shape=data.shape, chunks=chunks, dtype=data.dtype, dimension_names=dimensions if version == 3 else None
    )  # fmt: skip
    array[...] = data
    if dimensions and version == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = list(dimensions)
    array.attrs.update(attributes)
    return array


def zipped(folder, target, inner=""):
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, inner + str(file.relative_to(folder)))
    return target


@pytest.fixture(params=[2, 3])
def group(request, tmp_path):
    return zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=request.param)


def test_plain_array(tmp_path):
    for version in (2, 3):
        path = tmp_path / f"{version}.zarr"
        array = zarr.create_array(path, shape=LAST.shape, chunks=(3, 4, 5), dtype=">u2", zarr_format=version)
        array[...] = LAST
        cube = open_cube(path, spectral_axis=2)
        same(cube)
        assert cube.data.chunks == (5, 3, 4)


def test_xarray(tmp_path, group):
    put(group, "reflectance", LAST, ("y", "x", "wavelength"))
    put(group, "wavelength", AXIS, ("wavelength",), units="nm")
    put(group, "y", np.arange(HEIGHT) * 0.5, ("y",), units="mm")
    put(group, "x", np.arange(WIDTH) * -0.25, ("x",), units="mm")
    cube = open_cube(tmp_path / "a.zarr")
    same(cube)
    np.testing.assert_allclose(cube.axis.values, AXIS)
    assert cube.axis.unit == "nm"
    assert (cube.spatial.pixel_size, cube.spatial.unit) == ((0.5, 0.25), "mm")


def test_consolidated_metadata_are_not_needed(tmp_path, group):
    put(group, "img", LAST)
    put(group, "energies", AXIS / 100, unit="keV")
    zarr.consolidate_metadata(group.store)
    cube = open_cube(tmp_path / "a.zarr")
    same(cube)
    assert cube.axis.unit == "keV"


@pytest.mark.parametrize("inner", ["", "a.zarr/"])
@pytest.mark.parametrize("name", ["a.zarr.zip", "a.zip"])
def test_maxrf4u_zip(tmp_path, group, name, inner):
    put(group, "maxrf_cube", LAST)
    put(group, "maxrf_energies", np.linspace(-1, 38, BANDS))
    put(group, "maxrf_maxspectrum", LAST.max((0, 1)))
    put(group, "maxrf_sumspectrum", LAST.sum((0, 1)))
    cube = open_cube(zipped(tmp_path / "a.zarr", tmp_path / name, inner))
    same(cube)
    assert (cube.axis.unit, cube.axis.values[0]) == ("keV", -1)
    assert "axis_guessed" in cube.metadata


@pytest.mark.parametrize("labelled", [True, False])
def test_ome(tmp_path, group, labelled):
    put(group, "0", CUBE[None, :, None].astype(np.uint16))
    put(group, "1", CUBE[None, :, None, ::2, ::2].astype(np.uint16))
    put(group, "labels/cells/0", np.zeros((1, 1, 1, HEIGHT, WIDTH), np.uint8))
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    scales = [[{"type": "scale", "scale": [1, 1, 1, 2.0 * f, 3.0 * f]}] for f in (1, 2)]
    datasets = [{"path": str(n), "coordinateTransformations": scale} for n, scale in enumerate(scales)]
    said = {
        "multiscales": [{"axes": axes, "datasets": datasets}],
        "omero": {"channels": [{"label": f"{value:g} nm" if labelled else f"dye {n}"} for n, value in enumerate(AXIS)]},
    }
    group.attrs.update(said if group.metadata.zarr_format == 2 else {"ome": {"version": "0.5", **said}})
    cube = open_cube(tmp_path / "a.zarr")
    same(cube)
    assert (cube.source.dataset, cube.axis.calibrated) == ("0", labelled)
    assert (cube.spatial.pixel_size, cube.spatial.unit) == ((2.0, 3.0), "um")
    if not labelled:
        assert cube.metadata["band_names"][1] == "dye 1"


def test_ome_with_time_and_channels_is_refused(tmp_path, group):
    put(group, "0", np.zeros((3, 4, 5, 6), np.uint8))
    axes = [{"name": n} for n in "tcyx"]
    said = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    group.attrs.update(said if group.metadata.zarr_format == 2 else {"ome": said})
    with pytest.raises(DataError, match="no three axes"):
        open_cube(tmp_path / "a.zarr")


def test_written_by_ome_zarr(tmp_path):
    writer = pytest.importorskip("ome_zarr.writer")
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w")
    writer.write_image(CUBE.astype(np.uint16), group, axes="cyx")
    cube = open_cube(tmp_path / "a.ome.zarr")
    same(cube)


def test_several_cubes_are_asked_about(tmp_path, group):
    put(group, "one/cube", LAST)
    put(group, "two/cube", LAST)
    with pytest.raises(ChoiceNeeded) as asked:
        open_cube(tmp_path / "a.zarr")
    assert {c.dataset for c in asked.value.candidates} == {"one/cube", "two/cube"}
    same(open_cube(tmp_path / "a.zarr", dataset="two/cube", spectral_axis=2))


def test_sharded(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=LAST.shape, shards=(6, 8, 20), chunks=(3, 4, 5), dtype="u2")
    array[...] = LAST
    same(open_cube(tmp_path / "a.zarr", spectral_axis=2))


def test_missing_chunks_are_the_fill_value(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(40, 50, 9), chunks=(10, 10, 9), dtype="f4", fill_value=3)
    assert np.asarray(open_cube(tmp_path / "a.zarr").data[:, 3, 3]).tolist() == [3] * 9


@pytest.mark.parametrize("packed", [False, True])
def test_ten_terabytes_of_nothing(tmp_path, packed):
    path = tmp_path / "a.zarr"
    zarr.create_array(path, shape=(50_000, 50_000, 1000), chunks=(64, 64, 1000), dtype="f4")
    if packed:
        path = zipped(path, tmp_path / "a.zarr.zip")
    with pytest.raises(DataError, match="claims 9"):
        open_cube(path)


def test_a_chunk_larger_than_memory(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(500_000, 500_000, 4), chunks=(500_000, 500_000, 4), dtype="u1")
    with pytest.raises(DataError, match="memory"):
        open_cube(tmp_path / "a.zarr")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no symbolic links")
@pytest.mark.parametrize("what", ["chunk", "folder", "array"])
def test_links_out_of_the_store(tmp_path, what):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    put(group, "cube", LAST)
    (tmp_path / "secret").write_bytes(b"secret" * 1000)
    target = {"chunk": path / "cube" / "0.0.0", "folder": path / "more", "array": path / "cube"}[what]
    if what == "array":
        shutil.move(target, tmp_path / "elsewhere")
        target.symlink_to(tmp_path / "elsewhere")
    else:
        target.unlink(missing_ok=True)
        target.symlink_to(tmp_path / "secret" if what == "chunk" else tmp_path)
    with pytest.raises(DataError, match="a link out of the store"):
        open_cube(path)


def test_a_pyramid_leads_to_no_other_store(tmp_path, group):
    put(zarr.open_group(tmp_path / "other.zarr", mode="w"), "0", LAST)
    put(group, "x", AXIS)
    said = {"multiscales": [{"axes": [{"name": n} for n in "yxc"], "datasets": [{"path": "../other.zarr/0"}]}]}
    group.attrs.update({**said, "ome": said})
    with pytest.raises(DataError, match="no 3-D array"):
        open_cube(tmp_path / "a.zarr")


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_pickled_chunks_are_never_unpickled(tmp_path, place):
    path, witness = tmp_path / "a.zarr", tmp_path / "ran"
    array = zarr.create_array(path, shape=(6, 8, 20), chunks=(6, 8, 20), dtype="u2", zarr_format=2, compressors=None)
    array[...] = LAST
    described = json.loads((path / ".zarray").read_text())
    described[place] = {"id": "pickle", "protocol": 5}
    if place == "filters":
        described[place] = [{"id": "delta", "dtype": "<u2"}, described[place]]
    (path / ".zarray").write_text(json.dumps(described))
    (path / "0.0.0").write_bytes(b"cposix\nsystem\n(V" + f"touch {witness}".encode() + b"\ntR.")
    with pytest.raises(DataError, match="pickle"):
        open_cube(path, spectral_axis=2)
    assert not witness.exists()


def test_unknown_codec(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.create_array(path, shape=(6, 8, 20), chunks=(6, 8, 20), dtype="u2")
    described = json.loads((path / "zarr.json").read_text())
    described["codecs"][-1] = {"name": "future-codec", "configuration": {}}
    (path / "zarr.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match="future-codec") as caught:
        open_cube(path)
    assert "\n" not in str(caught.value)


def test_without_zarr(tmp_path, monkeypatch):
    zarr.create_array(tmp_path / "a.zarr", shape=(6, 8, 20), dtype="u2")
    monkeypatch.setitem(sys.modules, "zarr.storage", None)
    with pytest.raises(DataError, match=r"install napari-cubeseg\[zarr\]"):
        open_cube(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", [2, 3])
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_stores(tmp_path, version, data):
    path = tmp_path / "a.zarr"
    shutil.rmtree(path, ignore_errors=True)
    group = zarr.open_group(path, mode="w", zarr_format=version)
    put(group, "img", LAST)
    put(group, "energies", AXIS / 100, unit="keV")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    described = [file for file in files if file.name in ("zarr.json", ".zarray", ".zgroup", ".zattrs")]
    for _ in range(data.draw(st.integers(1, 3))):
        file = data.draw(st.sampled_from(data.draw(st.sampled_from([files, described]))))
        content = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        if data.draw(st.booleans()):
            content[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        else:
            del content[at : at + data.draw(st.integers(1, 60))]
        file.write_bytes(bytes(content))
    said = None
    try:
        cube = open_cube(path)
        np.asarray(cube.data[0, :2, :2]), np.asarray(cube.data[-1, -1, -2:])
    except DataError as error:
        said = str(error)
    assert said is None or "\n" not in said


def test_an_array_of_unknown_type_beside_the_cube_is_named(tmp_path, group):
    put(group, "img", LAST)
    other = tmp_path / "a.zarr" / "other"
    put(group, "other", AXIS)
    name = "zarr.json" if group.metadata.zarr_format == 3 else ".zarray"
    described = json.loads((other / name).read_text())
    described["data_type" if name == "zarr.json" else "dtype"] = "float7"
    (other / name).write_text(json.dumps(described))
    cube = open_cube(tmp_path / "a.zarr")
    same(cube)
    assert cube.metadata["unreadable"] == ["other"]
