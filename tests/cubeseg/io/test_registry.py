"""What is no cube is refused in one line."""

from __future__ import annotations

import os

import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError


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
