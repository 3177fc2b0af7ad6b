"""APS .mda: real scans, and ones written from the documented layout that were broken off or damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded
from tests.conftest import real
from tests.cubeseg.io.written import BANDS, CUBE, HEIGHT, WIDTH, same

NAMES = ["s:mca1.VAL", "s:mca2.VAL"]


def number(*values):
    return struct.pack(f">{len(values)}i", *values)


def word(text):
    return number(len(text), len(text)) + text.encode().ljust(-(-len(text) // 4) * 4, b"\0") if text else number(0)


def scan(at, rank, inner, points, positioner, detectors, values):
    """A scan that begins at `at`; `inner` makes those of the next rank, one after the other."""
    head = word("s:scan") + word("NOV 21, 2026 10:00:00.0") + number(int(bool(positioner)), len(detectors), 0)
    if positioner:
        head += number(0) + b"".join(word(t) for t in ("s:m1", "", "LINEAR", "mm", "", "", ""))
    for n, name in enumerate(detectors):
        head += number(n) + word(name) + word("") + word("")
    body = (np.arange(points) * positioner).astype(">f8").tobytes() if positioner else b""
    body += values.astype(">f4").tobytes()
    place, pointers, below = at + 12 + 4 * len(inner) + len(head) + len(body), [], b""
    for make in inner:
        made = make(place) if make else b""
        pointers.append(place if made else 0)
        place += len(made)
        below += made
    return number(rank, points, points) + number(*pointers) + head + body + below


def mda(path, done=HEIGHT * WIDTH, rank=3, energies=True):
    def pixel(y, x):
        values = np.stack([CUBE[:, y, x], CUBE[:, y, x] * 2])
        return lambda at: scan(at, 1, [], BANDS, 0, NAMES, values)

    def row(y):
        inner = [pixel(y, x) if y * WIDTH + x < done else None for x in range(WIDTH)]
        return lambda at: scan(at, 2, inner, WIDTH, 0.5, [], np.zeros(0))

    rows = [row(y) if y * WIDTH < done else None for y in range(HEIGHT)]
    start = 4 + 4 * (rank + 4)
    outer = scan(start, rank, rows, HEIGHT, 0.25, [], np.zeros(0))
    extra = number(2) + b"".join(
        word(name) + word("") + number(34, 1) + word(unit) + struct.pack(">d", value)
        for name, value, unit in (("s:mca1.CALO", 0.5, "keV"), ("s:mca1.CALS", 0.01, "keV"))
    )
    dimensions = number(HEIGHT, WIDTH, BANDS)[: 4 * rank]
    head = struct.pack(">fii", 1.3, 7, rank) + dimensions + number(1, start + len(outer) if energies else 0)
    path.write_bytes(head + outer + extra)
    return path


def test_spectra_energies_and_pixel_size(tmp_path):
    path = mda(tmp_path / "a.mda")
    with pytest.raises(ChoiceNeeded) as asked:
        open_cube(path)
    assert [c.dataset for c in asked.value.candidates] == NAMES
    cube = open_cube(path, dataset=NAMES[0])
    same(cube)
    np.testing.assert_allclose(cube.axis.values, 0.5 + 0.01 * np.arange(BANDS))
    assert (cube.axis.unit, cube.spatial.pixel_size, cube.spatial.unit) == ("keV", (0.25, 0.5), "mm")
    second = open_cube(path, dataset=NAMES[1])
    same(second, CUBE * 2)
    assert not second.axis.calibrated
    np.testing.assert_array_equal(np.asarray(second.data[9:2:-3, 1, 5:1:-1]), 2 * CUBE[9:2:-3, 1, 5:1:-1])


def test_a_map_that_was_broken_off(tmp_path):
    cube = open_cube(mda(tmp_path / "a.mda", done=2 * WIDTH + 3), dataset=NAMES[0])
    assert cube.data.shape == CUBE.shape
    assert cube.mask.sum() == 2 * WIDTH + 3
    expected = np.where(cube.mask, CUBE, 0)
    np.testing.assert_array_equal(cube.block(slice(None), slice(None)).data, expected)


def test_truncated(tmp_path):
    path = mda(tmp_path / "a.mda")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"truncated|promises"):
        open_cube(path, dataset=NAMES[0])


@pytest.mark.parametrize("name", ["2xfm_0010", "axo_std"])
def test_real_scans(name):
    expected = np.load(real(f"xrf_aps_mda/{name}_cube.npz"))
    cube = open_cube(real(f"xrf_aps_mda/{name}.mda"), dataset="dxpXMAP2xfm3:mca3.VAL")
    np.testing.assert_array_equal(
        cube.block(slice(None), slice(None)).data, expected["counts"][:, :, 2].transpose(2, 0, 1)
    )
    assert (cube.axis.values[0], cube.axis.values[-1]) == (pytest.approx(0.05), pytest.approx(18.8406))
    assert cube.spatial.pixel_size[1] == pytest.approx(np.diff(expected["x"]).mean())


def test_a_real_map_without_spectra():
    with pytest.raises(DataError, match="maps of 29 detectors and no spectrum"):
        open_cube(real("xrf_aps_mda/2xfm_0011.mda"))


@settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(8, 2500), length=st.integers(0, 12), put=st.binary(max_size=8))
def test_mutated_files(tmp_path, at, length, put):
    path = mda(tmp_path / "a.mda")
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + put + whole[at + length :])
    said = ""
    try:
        np.asarray(open_cube(path, dataset=NAMES[0]).data[-1, -1, -1:])
    except DataError as error:
        said = str(error)
    assert "\n" not in said
