"""EDF: rows of spectra, images of bands, series of files; damage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import ChoiceNeeded
from tests.cubeseg.io.written import same

fabio = pytest.importorskip("fabio", reason="needs napari-cubeseg[instruments]")

ROWS = np.random.default_rng(3).integers(0, 500, (7, 6, 30)).astype(np.uint16)
MCA = {"MCA a": "-0.05", "MCA b": "0.01", "MCA c": "1e-6", "MCA start ch": "10"}


def write(path, frames, header=MCA, **more):
    from fabio.edfimage import EdfImage

    image = EdfImage(data=frames[0], header=dict(header) | more)
    for frame in frames[1:]:
        image.append_frame(data=frame, header={"note": "a longer header" * 60})
    image.write(str(path))
    return path


def by_hand(path, data, order="HighByteFirst", **more):
    """As the detector's own program writes it."""
    kind = {"u2": "UnsignedShort", "i4": "SignedInteger", "f4": "FloatValue"}[data.dtype.str[1:]]
    lines = {
        "HeaderID": "EH:000001:000000:000000", "Image": 1, "ByteOrder": order, "DataType": kind,
        "Dim_1": data.shape[1], "Dim_2": data.shape[0], "Size": data.nbytes,
    } | more  # fmt: skip
    header = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in lines.items())
    swapped = data.astype(data.dtype.newbyteorder(">" if order == "HighByteFirst" else "<"))
    path.write_bytes(header.ljust(1022).encode() + b"}\n" + swapped.tobytes())
    return path


def test_rows_of_spectra(tmp_path):
    cube = open_cube(write(tmp_path / "a.edf", ROWS))
    same(cube, ROWS.transpose(2, 0, 1))
    channels = np.arange(30) + 10
    np.testing.assert_allclose(cube.axis.values, -0.05 + 0.01 * channels + 1e-6 * channels**2)
    assert (cube.axis.unit, cube.axis.kind) == ("keV", "energy")
    assert not isinstance(cube.data, np.ndarray)


def test_pymca_calibration_list(tmp_path):
    cube = open_cube(write(tmp_path / "a.edf", ROWS, {"McaCalib": "[ 0.5 0.02 0 ]"}))
    np.testing.assert_allclose(cube.axis.values[:2], [0.5, 0.52])


@pytest.mark.parametrize("order", ["HighByteFirst", "LowByteFirst"])
def test_series_of_rows(tmp_path, order):
    for number, row in enumerate(ROWS, 8):
        by_hand(tmp_path / f"map_xia00_0001_0000_{number:04}.edf", row, order)
        by_hand(tmp_path / f"map_xia01_0001_0000_{number:04}.edf", row + 1, order)
    # opened by any of its files; the other detector is another series
    cube = open_cube(tmp_path / "map_xia00_0001_0000_0010.edf")
    same(cube, ROWS.transpose(2, 0, 1))
    assert cube.metadata["files"] == "map_xia00_0001_0000_0008.edf to map_xia00_0001_0000_0014.edf"
    assert cube.data[3].dtype == np.uint16
    (tmp_path / "map_xia01_0001_0000_0011.edf").unlink()
    other = open_cube(tmp_path / "map_xia01_0001_0000_0012.edf")
    assert other.data.shape == (30, 6, 6)
    assert other.metadata["rows_missing"] == [11]
    np.testing.assert_array_equal(other.data[:, 3], ROWS[4].T + 1)


def test_line_of_spectra(tmp_path):
    cube = open_cube(write(tmp_path / "line.edf", ROWS[:1]))
    assert cube.data.shape == (30, 1, 6)
    np.testing.assert_array_equal(cube.data[:, 0], ROWS[0].T)


def test_images_of_bands_are_asked_about(tmp_path):
    path = write(tmp_path / "stack.edf", ROWS, {})
    with pytest.raises(ChoiceNeeded, match="--spectral-axis"):
        # as high as it is wide, and as many
        open_cube(write(tmp_path / "square.edf", ROWS[:6, :6, :6], {}))
    same(open_cube(path, spectral_axis=0), ROWS)
    assert not open_cube(path, spectral_axis=0).axis.calibrated


def test_a_single_image_is_refused(tmp_path):
    with pytest.raises(DataError, match="single image"):
        open_cube(write(tmp_path / "image.edf", ROWS[:1], {}))


def test_frames_that_differ(tmp_path):
    by_hand(tmp_path / "r_xia00_1.edf", ROWS[0])
    by_hand(tmp_path / "r_xia00_2.edf", ROWS[0][:, :20])
    with pytest.raises(DataError, match=r"r_xia00_2.edf. is 6 x 20.*first 6 x 30"):
        open_cube(tmp_path / "r_xia00_1.edf")


def test_truncated(tmp_path):
    path = by_hand(tmp_path / "a_xia00.edf", ROWS[0])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError):
        open_cube(path)
    huge = by_hand(tmp_path / "huge_xia00.edf", ROWS[0], Dim_1=10**7, Dim_2=10**7, Size=2 * 10**14)
    with pytest.raises(DataError):
        open_cube(huge)


def test_without_the_optional_package(tmp_path, monkeypatch):
    path = write(tmp_path / "a.edf", ROWS)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"install napari-cubeseg\[instruments\]"):
        open_cube(path)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return write(tmp_path_factory.mktemp("edf") / "a.edf", ROWS[:3]).read_bytes()


@settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files(healthy, tmp_path, data):
    content = bytearray(healthy)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, data.draw(st.sampled_from([400, len(content)])) - 1))
        if data.draw(st.booleans()):
            content[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        else:
            del content[at : at + data.draw(st.integers(1, 400))]
        if len(content) < 400:
            break
    path = tmp_path / "a.edf"
    path.write_bytes(bytes(content))
    told = None
    try:
        open_cube(path).spectrum(0, 0)
    except DataError as error:
        told = str(error)
    assert told is None or ("a.edf" in told and "\n" not in told)
