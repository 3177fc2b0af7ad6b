"""Fragile parsers in a process of their own: what comes back, and that nothing else does."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from cubeseg.errors import ConfigError, DataError
from cubeseg.io.isolated import isolated, scratch, within


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, to be seen empty again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def answer(*args):
    return {
        "args": list(args),
        "pair": (1, 2.5),
        "none": None,
        "text": "ä",
        "small": np.arange(3),
        "one": np.float32(2),
    }


def large(shape):
    array = np.zeros(shape, np.uint16)
    array[1, 2, 3] = 7
    array[-1] = 5
    return {"turned": array.transpose(2, 0, 1), "first": array[:2]}


def filled(shape):
    array = scratch(tuple(shape), np.float32)
    array[0] = 3
    return array


def crash():
    ctypes.string_at(0)


def hang():
    while True:
        pass


def sleep_on():
    within(0.5, 1 << 30)
    while True:
        pass


def fill_memory():
    within(60, 64 << 20)
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def fail(kind):
    raise {"data": DataError, "config": ConfigError, "key": KeyError}[kind]("what is wrong\nand more")


def talk():
    print("noise" * 100_000)
    os.write(1, b"noise")
    sys.exit(3)


def missing():
    import a_package_that_is_not_there  # noqa: F401


def objects():
    return np.array([object()])


def test_values_come_back(temporary):
    found = isolated(answer, 1, "x", [2])
    assert found["args"] == [1, "x", [2]]
    assert found["pair"] == [1, 2.5]
    assert found["none"] is None
    assert found["text"] == "ä"
    assert found["one"] == 2
    np.testing.assert_array_equal(found["small"], [0, 1, 2])
    assert not list(temporary.iterdir())


def test_large_arrays_are_maps_that_leave_nothing_behind(temporary):
    found = isolated(large, [40, 50, 600])
    expected = large([40, 50, 600])
    np.testing.assert_array_equal(found["turned"], expected["turned"])
    np.testing.assert_array_equal(found["first"], expected["first"])
    assert isinstance(found["turned"], np.memmap)
    assert not found["turned"].flags.writeable
    assert len(list(temporary.iterdir())) == 1
    view = found["turned"][:, 1]
    del found
    gc.collect()
    assert view[3, 2] == 7
    del view
    gc.collect()
    assert not list(temporary.iterdir())


def test_scratch_arrays_are_handed_over_as_they_are(temporary):
    found = isolated(filled, [3, 400, 500])
    assert found.shape == (3, 400, 500)
    assert found[0].min() == 3
    assert found[1:].max() == 0
    [folder] = temporary.iterdir()
    assert len(list(folder.glob("*.npy"))) == 1


def test_more_than_the_disk_holds():
    with pytest.raises(DataError, match=r"unpacks to .* TMPDIR"):
        isolated(filled, [1 << 20, 1 << 20, 1 << 10])


@pytest.mark.parametrize(
    ("function", "args", "told"),
    [
        (crash, (), "crashed"),
        (fail, ("key",), "damaged or truncated .'what is wrong"),
        (fail, ("data",), "^what is wrong$"),
        (talk, (), "damaged"),
        (missing, (), "a_package_that_is_not_there"),
        (objects, (), "damaged"),
    ],
)
def test_whatever_happens_is_a_data_error(temporary, function, args, told):
    with pytest.raises(DataError, match=told) as error:
        isolated(function, *args, name="a.bcf")
    assert "\n" not in str(error.value)
    assert function is fail or "a.bcf" in str(error.value)
    assert not list(temporary.iterdir())


def test_config_errors_stay_what_they_are():
    with pytest.raises(ConfigError, match=r"^what is wrong$"):
        isolated(fail, "config")


def test_a_parser_that_does_not_end(temporary):
    with pytest.raises(DataError, match="not read in time"):
        isolated(hang, seconds=3)
    assert not list(temporary.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits the time only")
def test_limits_from_inside():
    with pytest.raises(DataError, match="not read in time"):
        isolated(sleep_on, seconds=300)
    if sys.platform == "linux":
        with pytest.raises(DataError, match="more memory"):
            isolated(fill_memory)


def test_from_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(isolated(answer, 5)))
    thread.start()
    thread.join()
    assert found[0]["args"] == [5]


@pytest.mark.parametrize("how", ["script", "command", "stdin"])
def test_any_main_program(tmp_path, how):
    root = Path(__file__).resolve().parents[3]
    code = (
        "print('started')\n"
        "from tests.cubeseg.io.test_isolated import answer\n"
        "from cubeseg.io.isolated import isolated\n"
        "print(isolated(answer, 4)['args'])\n"
    )
    script = tmp_path / "program.py"
    script.write_text(code)
    command = {"script": [str(script)], "command": ["-c", code], "stdin": ["-"]}[how]
    done = subprocess.run(
        [sys.executable, *command],
        input=code if how == "stdin" else None, capture_output=True, text=True, cwd=tmp_path, check=False,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == ["started", "[4]"], done.stderr
