"""Zarr stores that were made to harm: chunks that unpack to gigabytes, crumbs, pipes."""

from __future__ import annotations

import bz2
import json
import os
import struct
import zlib

import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")
resource = pytest.importorskip("resource")


def zeros_deflated(size):
    """A zlib stream of so many zeros, made from one piece."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + piece * (size >> 20) + b"\x03\x00" + struct.pack(">I", ((size % 65521) << 16) | 1)


def zeros_zstd(size, said):
    """A zstd frame of so many zeros in blocks of one repeated byte."""
    head = bytes.fromhex("28b52ffd") + (bytes([0xE0]) + struct.pack("<Q", size) if said else bytes([0x00, 0x58]))
    blocks = size >> 17
    each = [struct.pack("<I", (n == blocks - 1) | 1 << 1 | 1 << 20)[:3] + b"\0" for n in range(blocks)]
    return head + b"".join(each)


def store(path, shape=(16, 32, 32), chunks=(16, 32, 32), compressor=None, filters=None):
    path.mkdir()
    said = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "<f4", "compressor": compressor,
            "fill_value": 0, "order": "C", "filters": filters}  # fmt: skip
    (path / ".zarray").write_text(json.dumps(said))
    return path


@pytest.mark.parametrize(
    ("compressor", "chunk"),
    [
        ({"id": "zlib", "level": 1}, lambda: zeros_deflated(1 << 30)),
        ({"id": "zstd", "level": 1}, lambda: zeros_zstd(1 << 30, said=True)),
        ({"id": "zstd", "level": 1}, lambda: zeros_zstd(1 << 30, said=False)),
        ({"id": "bz2", "level": 9}, lambda: bz2.compress(bytes(64 << 20))),
        ({"id": "lz4", "acceleration": 1}, lambda: struct.pack("<I", 2**31 - 1) + bytes(100)),
        (
            {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
            lambda: struct.pack("<BBBBIII", 2, 1, 1, 4, 2**31 - 17, 1 << 20, 100) + bytes(84),
        ),
        (None, lambda: bytes(80 << 20)),
    ],
)
def test_a_chunk_that_unpacks_to_gigabytes_is_refused(tmp_path, compressor, chunk):
    path = store(tmp_path / "a.zarr", compressor=compressor)
    (path / "0.0.0").write_bytes(chunk())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="unpacks to far more than the array says"):
        open_cube(path, spectral_axis=0).spectrum(1, 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"])
def test_a_chunk_that_packs_well_is_read(tmp_path, codec):
    path, made = tmp_path / "a.zarr", numcodecs.get_codec({"id": codec})
    array = zarr.create_array(
        str(path), shape=(64, 70, 80), chunks=(64, 64, 64), dtype="f4", zarr_format=2, compressors=made
    )
    array[...] = 0.0
    array[3:, 5] = np.random.default_rng(0).random((61, 80))
    cube = open_cube(path, spectral_axis=0)
    assert (np.asarray(cube.block(slice(None), slice(None)).data) == array[...]).all()


def test_a_store_packed_twice_over_and_one_in_crumbs(tmp_path):
    zstd = {"id": "zstd", "level": 1}
    with pytest.raises(DataError, match="packed 2 times over"):
        open_cube(store(tmp_path / "a.zarr", compressor=zstd, filters=[zstd]), spectral_axis=0)
    with pytest.raises(DataError, match="larger chunks"):
        open_cube(store(tmp_path / "b.zarr", (1000, 10000, 10000), (1, 1, 1)), spectral_axis=0)


def test_a_pipe_in_a_store_holds_nothing_up(tmp_path):
    path = store(tmp_path / "a.zarr")
    os.mkfifo(path / "0.0.0")
    with pytest.raises(DataError, match="a device or a pipe"):
        open_cube(path, spectral_axis=0)
