"""What is no cube is refused in one line."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from scipy.io import savemat

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import formats, takes_long
from tests.cubeseg.io.test_mda import mda
from tests.cubeseg.io.written import CUBE, healthy_files


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.fits", b"", "is empty"),
        ("a.mat", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        ("a.h5", b"hello, this is no cube", "no format that cubeseg reads"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + b"\x00" * 50, "damaged or truncated"),
        ("a.npz", b"PK\x03\x04" + b"\x00" * 50, "damaged or truncated"),
        ("a.fits", b"SIMPLE  =                    T" + b" " * 50, "ends within a header"),
    ],
)
def test_foreign_and_broken_files_are_one_clear_line(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        open_cube(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(DataError, match="a device or a pipe"):
        open_cube(tmp_path / "a.h5")


def test_a_name_that_no_file_can_have():
    with pytest.raises(DataError, match="cannot be read"):
        open_cube("x" * 400)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        open_cube(tmp_path / "none.h5")
    with pytest.raises(DataError, match="is a folder"):
        open_cube(tmp_path)


def test_what_is_only_refused_is_no_format_that_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    refused = {known.name for known in formats() if known.refuses}
    assert {"CASA image", "GILDAS image", "Bruker spectrum", "JEOL project"} == refused
    for path in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(DataError) as caught:
            open_cube(path)
        listed = str(caught.value).partition("(")[2].rpartition(")")[0].split(", ")
        assert not refused & set(listed)
        assert "Zarr" in listed
        assert ("FITS" in listed) == path.is_file()


def test_a_sniff_that_fails_leaves_the_file_to_others(tmp_path, monkeypatch):
    def broken(path, head):
        raise KeyError("of a damaged file")

    monkeypatch.setattr("cubeseg.io.registry._FORMATS", [replace(formats()[0], sniff=broken), *formats()])
    np.save(tmp_path / "a.npy", CUBE)
    assert open_cube(tmp_path / "a.npy", spectral_axis=0).data.shape == CUBE.shape


LARGE = np.random.default_rng(0).integers(0, 9, (150, 200, 150)).astype(np.int16)


def large_npz(path, save=np.savez_compressed):
    save(path, cube=LARGE)


def large_mat(path, packed=True):
    savemat(path, {"cube": LARGE}, do_compression=packed)


def gzipped(path):
    path.with_suffix("").write_bytes(b"")
    fits.PrimaryHDU(LARGE).writeto(path.with_suffix(""), overwrite=True)
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), 1))


@pytest.mark.parametrize(
    ("name", "write", "long"),
    [
        ("a.npz", large_npz, True),
        ("a.npz", lambda path: large_npz(path, np.savez), False),
        ("a.npy", lambda path: np.save(path, LARGE), False),
        ("a.mat", large_mat, True),
        ("a.mat", lambda path: large_mat(path, False), False),
        ("a.fits", lambda path: fits.PrimaryHDU(LARGE).writeto(path), False),
        ("a.fits", lambda path: fits.ImageHDU(LARGE.astype("u2")).writeto(path), False),
        ("a.fits", lambda path: fits.CompImageHDU(CUBE.astype("i4")).writeto(path), True),
        ("a.fits.gz", gzipped, True),
        ("a.tif", lambda path: tifffile.imwrite(path, LARGE, compression="zlib", photometric="minisblack"), False),
        ("a.wdf", lambda path: path.write_bytes(b"WDF1" + bytes(600)), True),
        ("a.spx", lambda path: path.write_text("<TRTSpectrum>"), False),
        ("a.ims", lambda path: path.write_text("2\n1000 1000 2\n" + "1 " * 2_000_000), True),
        ("a.ims", lambda path: path.write_text("2\n10 10 2\n" + "1 " * 200), False),
        ("a.mda", mda, False),
        ("a.mda", lambda path: path.write_bytes(mda(path).read_bytes()[:12] + bytes([0, 0, 1, 0]) * 3), True),
        ("a.txt", lambda path: path.write_text("no cube"), False),
        ("missing.h5", lambda path: None, False),
    ],
)
def test_which_files_take_long_to_open(tmp_path, name, write, long):
    write(tmp_path / name)
    assert takes_long(tmp_path / name) == long


def test_which_folders_take_long_to_open(tmp_path, monkeypatch):
    for number in range(4):
        tifffile.imwrite(tmp_path / f"{number}.tif", CUBE[number].astype("u2"))
    assert not takes_long(tmp_path)
    monkeypatch.setattr("cubeseg.io.image_folder._MANY", 3)
    assert takes_long(tmp_path)


def test_small_files_do_not_take_long(tmp_path):
    # but those whose tiles are unpacked by a process of their own
    assert [path.name for path in healthy_files(tmp_path) if takes_long(path)] == ["d.fits"]
