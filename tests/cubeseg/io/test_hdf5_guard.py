"""Files in which the HDF5 library hangs or crashes are refused; healthy ones are not, however slow they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubeseg import open_cube
from cubeseg.errors import DataError
from cubeseg.io import hdf5_guard
from cubeseg.io.hdf5_guard import check_hdf5
from tests.cubeseg.io.written import AXIS, CUBE, matlab_v73, nexus

posix = pytest.mark.skipif(os.name != "posix", reason="Windows does not count the processor's time")


@pytest.fixture
def fresh(monkeypatch):
    """No process, no verdict of earlier tests."""
    hdf5_guard._end_idle()
    hdf5_guard._fault.cache_clear()
    yield
    hdf5_guard._end_idle()
    hdf5_guard._fault.cache_clear()


def healthy(path):
    with h5py.File(path, "w") as file:
        file["img"] = CUBE.transpose(1, 2, 0)
        file["axis"] = AXIS
        file["axis"].attrs["unit"] = "keV"
    return path


def in_circles(path):
    """A text that is said to be empty: the library looks for the end of its heap for ever."""
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    assert content[heap + 24 : heap + 32] == (3).to_bytes(8, "little")
    content[heap + 24] = 0
    path.write_bytes(bytes(content))
    return path


def program(tmp_path, monkeypatch, code):
    """Another program instead of the one that looks through files."""
    path = tmp_path / "program.py"
    path.write_text("import os, sys, time\nsys.stdin.readline()\n" + code)
    monkeypatch.setattr(hdf5_guard, "_PROGRAM", path)


@pytest.mark.parametrize("name", ["a.h5", "a.mat"])
def test_a_file_in_which_the_library_hangs(tmp_path, fresh, name):
    path = in_circles(healthy(tmp_path / name))
    before = os.times()
    with pytest.raises(DataError, match="runs in circles in it, so it is damaged; copy or export it again") as error:
        open_cube(path)
    after = os.times()
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))
    # of the processor: other programs may make it longer by the clock
    assert after.children_user + after.children_system - before.children_user - before.children_system < 5
    start = time.monotonic()
    with pytest.raises(DataError, match="runs in circles"):
        open_cube(path)
    assert time.monotonic() - start < 1
    # once it was replaced, it is looked at again
    healthy(path)
    assert open_cube(path, spectral_axis=2).data.size == CUBE.size


@pytest.mark.parametrize("make", [healthy, matlab_v73, nexus])
@pytest.mark.parametrize("name", ["a.h5", "a.nxs", "a.mat", "a.hspy", "a.emd", "a.ptir"])
def test_every_reader_of_hdf5_asks(tmp_path, monkeypatch, make, name):
    make(tmp_path / name)
    monkeypatch.setattr(hdf5_guard, "_fault", lambda *_: "is bad")
    with pytest.raises(DataError, match="is bad; copy or export it again"):
        open_cube(tmp_path / name)


def test_healthy_files_pass(tmp_path, fresh):
    for number, options in enumerate(({}, {"libver": "latest"}, {"userblock_size": 512}, {"track_order": True})):
        check_hdf5(nexus(tmp_path / f"{number}.nxs", **options))
    with h5py.File(tmp_path / "ring.h5", "w") as file:
        inner = file.create_group("a/b")
        inner["back"] = file["a"]
        inner["soft"] = h5py.SoftLink("/a/b/soft")
        inner.attrs["to"] = inner.ref
        inner["empty"] = h5py.Empty("f4")
        inner["none"] = np.zeros((0, 3))
        inner["kind"] = np.dtype([("a", "f4"), ("b", "S3")])
        inner["virtual"] = np.zeros(3)
        layout = h5py.VirtualLayout((2, 3), "f8")
        layout[0] = h5py.VirtualSource("other.h5", "data", (3,))
        file.create_virtual_dataset("parts", layout)
    check_hdf5(tmp_path / "ring.h5")
    # one process for all of them
    assert len(hdf5_guard._idle) == 1


def test_what_the_library_only_complains_about_is_left_to_the_reader(tmp_path, fresh):
    path = healthy(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:2000])
    check_hdf5(path)
    check_hdf5(tmp_path / "missing.h5")
    with pytest.raises(DataError, match="damaged or truncated"):
        open_cube(path)


def test_a_file_is_looked_at_once(tmp_path, fresh, monkeypatch):
    path, asked = healthy(tmp_path / "a.h5"), []
    ask = hdf5_guard._ask
    monkeypatch.setattr(hdf5_guard, "_ask", lambda process, path: asked.append(path) or ask(process, path))
    for _ in range(3):
        open_cube(path, spectral_axis=2)
    assert asked == [str(path)]
    os.utime(path, ns=(0, 10**18))
    check_hdf5(path)
    assert len(asked) == 2


def test_files_of_other_formats_start_nothing(tmp_path, fresh):
    (tmp_path / "empty").touch()
    (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(5000))
    for name in ("empty", "a.png", "missing"):
        check_hdf5(tmp_path / name)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.h5")
        check_hdf5(tmp_path / "pipe.h5")
    check_hdf5(tmp_path)
    assert not hdf5_guard._idle
    for size in (0, 512, 2048):
        with h5py.File(tmp_path / "a.h5", "w", userblock_size=size) as file:
            file.attrs["unit"] = "keV"
        with pytest.raises(DataError, match="circles"):
            check_hdf5(in_circles(tmp_path / "a.h5"))


@pytest.mark.parametrize(("name", "value"), [("frozen", True), ("executable", ""), ("executable", "/missing/python")])
def test_where_no_process_can_be_started(tmp_path, fresh, monkeypatch, name, value):
    monkeypatch.setattr(sys, name, value, raising=False)
    assert open_cube(healthy(tmp_path / "a.h5"), spectral_axis=2).data.size == CUBE.size
    assert not hdf5_guard._idle


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('ready', flush=True); sys.stdin.readline(); print('began', flush=True); os._exit(3)", "more memory"),
        ("print('ready', flush=True); sys.stdin.readline(); print('began', flush=True); os.abort()", "crashes on it"),
        # without the other process files are read as they are
        ("sys.exit(1)", ""),
        ("print('ready', flush=True); sys.stdin.readline(); sys.exit(1)", ""),
    ],
)
def test_how_the_process_may_end(tmp_path, fresh, monkeypatch, code, said):
    program(tmp_path, monkeypatch, code)
    path = healthy(tmp_path / "a.h5")
    if not said:
        assert open_cube(path, spectral_axis=2).data.shape == CUBE.shape
        return
    with pytest.raises(DataError, match=said):
        open_cube(path)


def test_a_process_that_ended_while_it_waited_is_replaced(tmp_path, fresh):
    check_hdf5(healthy(tmp_path / "a.h5"))
    [process] = hdf5_guard._idle
    process.kill()
    process.wait()
    check_hdf5(healthy(tmp_path / "b.h5"))
    assert hdf5_guard._idle[0] is not process
    with pytest.raises(DataError, match="circles"):
        check_hdf5(in_circles(healthy(tmp_path / "c.h5")))
    check_hdf5(healthy(tmp_path / "d.h5"))


def test_from_several_threads(tmp_path, fresh):
    paths = [healthy(tmp_path / f"{n}.h5") for n in range(6)]
    in_circles(paths[2])

    def check(path):
        try:
            check_hdf5(path)
        except DataError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(3) as threads:
        said = list(threads.map(check, paths))
    assert ["circles" in text for text in said] == [False, False, True, False, False, False]


@posix
@pytest.mark.parametrize(
    ("step", "end"),
    [
        # a disk that takes its time, step by step and in one
        ("for _ in range(8): watch.step(); time.sleep(0.1)", 0),
        ("watch.step(); time.sleep(1)", 0),
        # long work in small steps
        ("for _ in range(4): watch.step(); work(0.1)", 0),
        ("watch.step(); work(5)", -signal.SIGPROF if hasattr(signal, "SIGPROF") else 0),
        # nothing happens at all
        ("watch.limit = 0.3; watch.step(); time.sleep(5)", 1),
        ("watch.step(); watch.rest(); time.sleep(0.1)", 0),
    ],
)
def test_only_work_without_a_step_counts(step, end):
    code = (
        "import time\n"
        "from cubeseg.io import hdf5_look\n"
        "hdf5_look._STUCK = 0.3\n"
        "def work(seconds):\n"
        "    start = time.process_time()\n"
        "    while time.process_time() - start < seconds: pass\n"
        "watch = hdf5_look._Watch()\n" + step.replace("; ", "\n" if "for" not in step else "; ")
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == end


def test_a_list_of_links_that_leads_back_into_itself():
    code = (
        "from types import SimpleNamespace\n"
        "from cubeseg.io import hdf5_look\n"
        "link = SimpleNamespace(type=0)\n"
        "def iterate(add, info):\n"
        "    while True: add(b'a', link), add(b'b', link)\n"
        "group = SimpleNamespace(id=SimpleNamespace(links=SimpleNamespace(iterate=iterate)))\n"
        "hdf5_look._links(group, hdf5_look._Watch())\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 1


@posix
def test_nothing_is_left_behind(tmp_path):
    healthy(tmp_path / "a.h5")
    code = (
        "import sys\n"
        "from cubeseg.io import hdf5_guard\n"
        "hdf5_guard.check_hdf5(sys.argv[1])\n"
        "print(hdf5_guard._idle[0].pid, flush=True)\n"
        "if len(sys.argv) > 2: import os; os._exit(1)\n"
    )
    for how in ([], ["killed"]):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "a.h5"), *how], capture_output=True, text=True, check=False
        )
        pid, end = int(done.stdout), time.monotonic() + 20
        while _runs(pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert not _runs(pid), how


def _runs(pid):
    state = Path(f"/proc/{pid}/stat")
    if state.parent.parent.joinpath("self").exists():
        # what has ended and was not asked about stays in the list
        return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
