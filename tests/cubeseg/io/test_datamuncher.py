"""DataMuncher's element maps, written by hand from their layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubeseg import open_cube
from cubeseg.describe import notes
from cubeseg.errors import DataError
from cubeseg.io import format_of
from tests.conftest import real
from tests.cubeseg.io.written import BANDS, CUBE, HEIGHT, WIDTH, same

NAMES = [f"E{n}-K" for n in range(BANDS)]


def content(kind, names=NAMES):
    maps = CUBE.astype("<f4").tobytes() if kind == "dms" else " ".join(str(v) for v in CUBE.ravel()).encode() + b"\n"
    return f"2\n{WIDTH} {HEIGHT} {BANDS}\n".encode() + maps + "\n".join(names).encode() + b"\n"


@pytest.mark.parametrize("kind", ["dms", "ims"])
def test_maps_and_names(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content(kind))
    cube = open_cube(path)
    same(cube)
    assert cube.metadata["band_names"] == NAMES
    assert notes(cube) == ["bands are named E0-K, E1-K, E2-K, E3-K, E4-K, E5-K, ..."]
    assert not cube.axis.calibrated
    assert isinstance(cube.data, np.memmap) == (kind == "dms")


@pytest.mark.parametrize("kind", ["dms", "ims"])
def test_truncated_and_vast(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content(kind)[:300])
    with pytest.raises(DataError, match="promises"):
        open_cube(path)
    path.write_bytes(b"2\n999999999 999999999 10\n" + b"1 " * 50)
    with pytest.raises(DataError, match="promises"):
        open_cube(path)


def test_words_among_the_numbers(tmp_path):
    (tmp_path / "a.ims").write_bytes(content("ims").replace(b" ", b" x", 5))
    with pytest.raises(DataError):
        open_cube(tmp_path / "a.ims")


def test_files_of_others_with_that_ending_are_left_alone():
    try:
        known = format_of(real("ftir_orange/agilent/5_Mosaic_agg1024.dms")).name
    except DataError:
        known = ""
    assert known != "DataMuncher"


@pytest.mark.parametrize("kind", ["dms", "ims"])
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 60), length=st.integers(0, 400), put=st.binary(max_size=8))
def test_mutated_files(tmp_path, kind, at, length, put):
    path = tmp_path / f"a.{kind}"
    whole = content(kind)
    path.write_bytes(whole[:at] + put + whole[at + length :])
    said = ""
    try:
        np.asarray(open_cube(path).data[-1, -1, -1:])
    except DataError as error:
        said = str(error)
    assert "\n" not in said
