"""MATLAB level 5: the same numbers as SciPy reads, from files of both byte orders, packed or not; damage is refused."""

from __future__ import annotations

import resource
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io.mat5 import Mat5
from tests.conftest import real
from tests.cubeseg.io.written import CUBE, HEIGHT, WIDTH, same

TYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 9, "i8": 12, "u8": 13}
DOUBLE, CHAR, CELL = 6, 4, 1
WRITABLE = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


def element(order, kind, content):
    return struct.pack(order + "II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def short(order, kind, content):
    """At most four bytes that lie in their own tag."""
    return struct.pack(order + "I", len(content) << 16 | kind) + content.ljust(4, b"\0")


def matrix(order, name, array, klass=DOUBLE, flags=0, shape=None):
    """A miMATRIX whose numbers are stored in the array's own type, whatever the class."""
    array = np.asarray(array)
    code = array.dtype.str[1:]
    body = element(order, 6, struct.pack(order + "II", klass | flags, 0))
    body += element(order, 5, np.asarray(shape or array.shape, order + "i4").tobytes())
    body += (short if len(name) <= 4 else element)(order, 1, name.encode())
    numbers = array.real.astype(order + code).tobytes(order="F")
    body += (short if 0 < len(numbers) <= 4 else element)(order, TYPES[code], numbers)
    return body


def written(path, order, *bodies, packed=False):
    head = b"MATLAB 5.0 MAT-file, written by hand".ljust(116) + b"\0" * 8
    head += struct.pack(order + "H", 0x0100) + (b"IM" if order == "<" else b"MI")
    parts = []
    for body in bodies:
        whole = element(order, 14, body)
        if packed:
            content = zlib.compress(whole)
            whole = struct.pack(order + "II", 15, len(content)) + content
        parts.append(whole)
    path.write_bytes(head + b"".join(parts))
    return path


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packed=st.booleans(),
    arrays=st.dictionaries(
        st.from_regex(r"\A[a-z][a-z0-9]{0,9}\Z"),
        st.sampled_from(WRITABLE).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=5))
        ),
        min_size=1,
        max_size=4,
    ),
    inner=st.booleans(),
)
def test_numbers_are_those_that_scipy_reads(tmp_path, packed, arrays, inner):
    path = tmp_path / "a.mat"
    savemat(path, {"s": {**arrays, "unit": "nm"}} if inner else arrays, do_compression=packed)
    file = Mat5(path)
    found = file.fields("s") if inner else file.arrays
    there = loadmat(path)
    for name, array in arrays.items():
        stored = found[f"s.{name}" if inner else name]
        values = file.read(stored)
        expected = there["s"][0, 0][name] if inner else there[name]
        assert values.shape == array.shape == expected.shape
        np.testing.assert_array_equal(values, expected)
        assert isinstance(values, np.memmap) == (not packed and array.size > 0)
    if inner:
        assert file.text(found["s.unit"]) == "nm"


@pytest.mark.parametrize("name", [
    "samson/samson_dataset.mat", "moffett/moffett.mat", "houston2018_crop/houston_dataset.mat",
    "pavia_u_lowres/reg_pavia_dataset.mat", "pavia_u_lowres/PaviaU_gt_full_610x340.mat",
    "salton_sea/salton_sea_roi.mat", "abu_anomaly/HYDICE_data.mat", "abu_anomaly/abu-beach-4.mat",
    "abu_anomaly/abu-urban-2.mat",
])  # fmt: skip
def test_real_files_hold_what_scipy_reads(name):
    path = real(name)
    file, there = Mat5(path), loadmat(path)
    for key in file.structs:
        fields = there[key][0, 0]
        found = file.fields(key)
        assert set(found) == {f"{key}.{field}" for field in fields.dtype.names}
        for field in fields.dtype.names:
            stored = found[f"{key}.{field}"]
            if stored.kind == "text":
                assert file.text(stored) == str(fields[field][0]).rstrip()
            else:
                np.testing.assert_array_equal(file.read(stored), fields[field])
    assert set(file.arrays) | set(file.structs) == {key for key in there if not key.startswith("__")}
    for key, stored in file.arrays.items():
        np.testing.assert_array_equal(file.read(stored), there[key])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_doubles_in_smaller_types_and_both_byte_orders(tmp_path, order, packed, dtype):
    cube = np.asarray(CUBE.transpose(1, 2, 0)).astype(dtype)
    path = written(
        tmp_path / "a.mat", order,
        matrix(order, "cube", cube), matrix(order, "n", np.array([[7]], "u1")), packed=packed,
    )  # fmt: skip
    same(open_cube(path))
    assert open_cube(path).metadata["n"] == 7
    np.testing.assert_array_equal(loadmat(path)["cube"], cube)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_complex_numbers_give_their_magnitude(tmp_path, packed, dtype):
    three, four = (3 * CUBE.transpose(1, 2, 0) // 5).astype(dtype), (CUBE.transpose(1, 2, 0) // 3).astype(dtype)
    body = matrix("<", "cube", three, flags=0x800) + element("<", TYPES[dtype], four.tobytes(order="F"))
    path = written(tmp_path / "a.mat", "<", body, packed=packed)
    cube = open_cube(path)
    same(cube, np.hypot(three.astype(float), four.astype(float)).transpose(2, 0, 1))
    assert "magnitude" in cube.metadata["complex"]
    assert cube.data.dtype == np.asarray(cube.data[0]).dtype


def test_cells_and_sparse_matrices_are_passed_over(tmp_path):
    from scipy.sparse import eye

    path = tmp_path / "a.mat"
    cell = np.empty((1, 2), object)
    cell[:] = ["text", np.zeros(3)]
    savemat(path, {"a": cell, "b": eye(4).tocsc(), "cube": CUBE.transpose(1, 2, 0), "flag": np.array([[True]])})
    file = Mat5(path)
    assert set(file.arrays) == {"cube", "flag"}
    assert file.arrays["flag"].kind == "logical"
    same(open_cube(path))


def test_uncompressed_cubes_are_mapped_and_their_tables_too(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"cube": CUBE.astype(float).transpose(1, 2, 0)})
    assert isinstance(open_cube(path).data, np.memmap)
    savemat(path, {"Y": CUBE.reshape(CUBE.shape[0], -1, order="F"), "nRow": HEIGHT, "nCol": WIDTH})
    cube = open_cube(path)
    same(cube)
    assert np.shares_memory(cube.data[:, :1], cube.data)
    assert isinstance(cube.data, np.memmap)


def test_listing_reads_no_numbers_of_a_packed_cube(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.zeros((2000, 2000)), "b": np.ones((2, 2))}, do_compression=True)
    tracemalloc.start()
    file = Mat5(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2_000_000
    assert file.arrays["a"].shape == (2000, 2000)


def test_truncation_says_how_much_is_there_and_where_it_ends(tmp_path):
    for packed in (False, True):
        path = tmp_path / "a.mat"
        noise = np.random.default_rng(0).random((40, 50, 60))
        savemat(path, {"first": np.ones((2, 2)), "sample": noise}, do_compression=packed)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
        with pytest.raises(DataError, match=r"promises .*holds .*within 'sample' \(40 x 50 x 60\), of which 2\d %"):
            open_cube(path)


def test_the_real_truncated_file_says_how_much_is_there():
    with pytest.raises(DataError, match=r"24.5 MiB.*3.938 MiB.*'sample' \(203 x 117 x 142\), of which 16 %"):
        open_cube(real("plastics_nir/plastics_TRUNCATED.mat"))


def test_a_flipped_bit_in_packed_numbers_is_noticed(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"cube": np.random.default_rng(0).random((10, 12, 20))}, do_compression=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be unpacked"):
        open_cube(path)


@pytest.mark.parametrize("packed", [False, True])
def test_claims_of_terabytes_are_refused(tmp_path, packed):
    body = matrix("<", "cube", np.zeros((2, 3, 4)), shape=(20000, 20000, 20000))
    with pytest.raises(DataError, match="20000 x 20000 x 20000, but 192 bytes"):
        open_cube(written(tmp_path / "a.mat", "<", body, packed=packed))


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path):
    path = tmp_path / "a.mat"
    inside = element("<", 6, struct.pack("<II", DOUBLE, 0)) + element(
        "<", 5, np.array([1000, 1000, 500], "<i4").tobytes()
    )
    inside += short("<", 1, b"cube") + struct.pack("<II", 9, 4_000_000_000)
    content = zlib.compress(struct.pack("<II", 14, 4_000_000_056) + inside + b"\0" * 10000)
    written(path, "<")
    path.write_bytes(path.read_bytes() + struct.pack("<II", 15, len(content)) + content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="compressed variable"):
        open_cube(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


@pytest.mark.parametrize("filler", [b"\0" * 8, struct.pack("<II", 14, 0), struct.pack("<II", 15, 0), b"\xff" * 8])
def test_endless_empty_elements_are_no_file(tmp_path, filler):
    path = written(tmp_path / "a.mat", "<", matrix("<", "cube", CUBE.transpose(1, 2, 0).astype("u1")))
    path.write_bytes(path.read_bytes() + filler * 200_000)
    with pytest.raises(DataError, match=r"damaged|truncated"):
        open_cube(path)


def originals():
    import io

    arrays = {"cube": CUBE.transpose(1, 2, 0), "wl": np.arange(20.0), "s": {"a": np.arange(6.0), "unit": "nm"}}
    files = []
    for packed in (False, True):
        file = io.BytesIO()
        savemat(file, arrays, do_compression=packed)
        files.append(file.getvalue())
        file = io.BytesIO()
        savemat(file, {"s": arrays, "t": "text"}, do_compression=packed)
        files.append(file.getvalue())
    return files


ORIGINALS = originals()


@settings(max_examples=300, derandomize=True, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_mutated_files_give_a_cube_or_an_error(tmp_path, data):
    content = bytearray(data.draw(st.sampled_from(ORIGINALS)))
    packed = struct.unpack("<I", content[128:132])[0] == 15 and data.draw(st.booleans())
    if packed:
        # damage inside of what is packed, so that the checksum does not catch it
        content = bytearray(zlib.decompress(bytes(content[136:])))
    for _ in range(data.draw(st.integers(1, 5))):
        end = data.draw(st.sampled_from([min(400, len(content)), len(content)]))
        at = data.draw(st.integers(0, end - 1))
        if data.draw(st.booleans()):
            content[at] = data.draw(st.sampled_from([0, 1, 4, 14, 127, 128, 255]) | st.integers(0, 255))
        else:
            del content[at : at + data.draw(st.integers(1, 40))]
    if packed:
        inner = zlib.compress(bytes(content))
        content = bytearray(ORIGINALS[0][:128] + struct.pack("<II", 15, len(inner)) + inner)
    path = tmp_path / "a.mat"
    path.write_bytes(bytes(content) or b"M")
    cube = said = None
    try:
        cube = open_cube(path)
        np.asarray(cube.data[0, :2, :2]), np.asarray(cube.data[-1, -1, -2:])
    except DataError as error:
        said = str(error)
    assert cube is not None or (said and "\n" not in said)
