"""Work on a real Dask cluster: the same labels as here, whatever happens to its workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from cubeseg import FitConfig, fit, open_cube, segment
from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, DataError, JobError
from cubeseg.parallel.executor import HERE, Here
from cubeseg.sampling.probe import probe
from cubeseg.sampling.spectra import draw_sample
from cubeseg.steps import finish
from tests.cubeseg.cubes import counts_cube, regions, shapes, variance_cube

pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")

from cubeseg.parallel import distributed, parcel  # noqa: E402

FAST = {"method": "pca", "clusters": (4, 4), "memory": 64 << 20}
QUIET = {"dashboard_address": ":0", "silence_logs": 50}
ARRAYS = ("labels", "evidence", "confidence")


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(processes=True, n_workers=2, threads_per_worker=1, **QUIET) as made:
        yield made


@pytest.fixture
def address(cluster):
    return cluster.scheduler_address


@pytest.fixture
def counts_file(tmp_path):
    """Counts in a compressed HDF5 file of uneven chunks."""
    cube, _ = counts_cube()
    with h5py.File(tmp_path / "counts.h5", "w") as file:
        file.create_dataset("data", data=cube.data, chunks=(64, 7, 11), compression="gzip")
    return tmp_path / "counts.h5"


@pytest.fixture
def observer(cluster):
    """A connection of our own, to look at the cluster from outside."""
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2)
        yield client


def large_file(folder, height=400, width=480):
    """Counts in a NumPy file: more than ten blocks of the smallest size."""
    labels = regions(height, width)
    data = np.random.default_rng(0).poisson(100 * shapes()[labels - 1]).astype(np.uint8)
    np.save(folder / "large.npy", np.ascontiguousarray(data.transpose(2, 0, 1)))
    return open_cube(folder / "large.npy", spectral_axis=0)


def assert_same(one, other):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    # threads of the linear algebra may round otherwise
    np.testing.assert_allclose(one.latent, other.latent, rtol=1e-4, atol=1e-4)
    for name in ("n", "total", "squares", "finite"):
        np.testing.assert_array_equal(getattr(one.spectra, name), getattr(other.spectra, name), err_msg=name)


@pytest.mark.parametrize("method", ["pca", "deep"])
def test_a_file_gives_the_same_labels(method, address, counts_file):
    cube = open_cube(counts_file, spectral_axis=0)
    options = FAST | {"method": method, "epochs": 2}
    assert_same(segment(cube, **options), segment(cube, scheduler=address, **options))


def test_a_relative_path_is_found_by_workers_elsewhere(address, counts_file, monkeypatch):
    monkeypatch.chdir(counts_file.parent)
    cube = open_cube(counts_file.name, spectral_axis=0)
    assert_same(segment(cube, **FAST), segment(cube, scheduler=address, **FAST))


def test_arrays_in_memory_with_a_variance_and_a_mask_give_the_same_labels(address):
    cube, _ = variance_cube()
    cube = replace(cube, mask=np.random.default_rng(0).random(cube.image_shape) > 0.1)
    here, there = segment(cube, **FAST), segment(cube, scheduler=address, **FAST)
    assert (here.labels[~cube.mask] == 0).all()
    assert_same(here, there)


def in_pieces(cube, function=None):
    """The same cube as Dask arrays of uneven chunks."""
    chunks = (40, (5, 10, cube.image_shape[0] - 15), 11)
    data = da.from_array(np.asarray(cube.data), chunks)
    if function is not None:
        data = data.map_blocks(function, dtype=data.dtype, meta=np.empty((0, 0, 0), data.dtype))
    variance = cube.noise.variance
    variance = None if variance is None else da.from_array(np.asarray(variance), (64, 8, 8))
    return replace(cube, data=data, noise=replace(cube.noise, variance=variance))


def test_a_dask_array_is_computed_on_the_workers(address):
    here, cube = os.getpid(), variance_cube()[0]

    def elsewhere(block):
        assert os.getpid() != here, "computed by the client"
        return block

    assert_same(segment(cube, **FAST), segment(in_pieces(cube, elsewhere), scheduler=address, **FAST))


def test_a_dask_array_that_workers_hold(address, observer):
    cube, _ = counts_cube()
    held = in_pieces(cube)
    held = replace(held, data=observer.persist(held.data))
    assert_same(segment(cube, **FAST), segment(held, scheduler=address, **FAST))


def test_a_dask_array_over_an_open_file_is_read_from_its_file(address, counts_file):
    cube = open_cube(counts_file, spectral_axis=0)
    lazy = replace(cube, data=da.from_array(cube.data, (-1, 16, 16), name="counts", lock=_Unsendable()))
    assert_same(segment(cube, **FAST), segment(lazy, scheduler=address, **FAST))
    nameless = replace(lazy, source=type(cube.source)())
    with pytest.raises(DataError, match="cannot be sent to the workers"):
        segment(nameless, scheduler=address, **FAST)


class _Unsendable:
    """A lock as an open file has one."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    acquire = __enter__

    def release(self):
        pass

    def __reduce__(self):
        raise TypeError("h5py objects cannot be pickled")


def test_a_worker_that_is_killed_while_it_labels_changes_nothing(address, observer, tmp_path):
    cube = large_file(tmp_path)
    wanted = segment(cube, **FAST)
    before, killed, after = set(observer.run(os.getpid).values()), 0, 0
    steps = fit(cube, FitConfig(scheduler=address, **FAST))
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            found = stop.value
            break
        labelling = event.stage == "label" and event.message.startswith("Labelling")
        if labelling and not killed and "0%" not in event.message.split():
            killed = min(before)
            os.kill(killed, signal.SIGKILL)
        elif labelling and killed and not event.message.endswith("100%"):
            after += 1
    assert after > 0
    observer.wait_for_workers(2)
    assert killed not in observer.run(os.getpid).values()
    assert_same(wanted, found)


def slow(cube, item):
    time.sleep(0.2)
    return item, os.getpid(), float(cube.data[0, 0, item])


def test_the_end_of_all_workers_is_survived(address, observer):
    cube, _ = counts_cube()
    found, pids = [], set(observer.run(os.getpid).values())
    with distributed.connected(address) as executor:
        for made in executor.map(slow, cube, range(12)):
            if made is not None:
                found.append(made)
            if made is not None and len(found) == 3:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
    assert [(item, value) for item, _, value in found] == [(n, float(cube.data[0, 0, n])) for n in range(12)]
    assert len({pid for _, pid, _ in found} - pids) > 0


def deadly(cube, item):
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_that_kills_every_worker_ends_with_a_word(address):
    with distributed.connected(address) as executor, pytest.raises(JobError, match="workers") as caught:
        finish(executor.map(deadly, counts_cube()[0], range(1)))
    assert "\n" not in str(caught.value)


def test_what_is_under_way_is_bounded_and_ends_with_the_generator(address, observer):
    taken, made = [], 0

    def items():
        for n in range(1000):
            taken.append(n)
            yield n % 10

    with distributed.connected(address) as executor:
        steps = executor.map(slow, counts_cube()[0], items())
        seen = [next(steps) for _ in range(20)]
        made = sum(one is not None for one in seen)
        assert None in seen
        assert 0 < len(taken) - made <= 8
        steps.close()
        # the scheduler hears of it at once, although it may take a moment
        for _ in range(50):
            left = observer.run_on_scheduler(_tasks)
            if not left:
                break
            time.sleep(0.05)
        assert left == []
        assert len(taken) < 50


def _tasks(dask_scheduler):
    return [str(key) for key in dask_scheduler.tasks if str(key).startswith("slow")]


def test_a_run_can_be_stopped_while_workers_are_at_it(address, observer, tmp_path):
    steps = fit(large_file(tmp_path), FitConfig(scheduler=address, **FAST))
    while next(steps).stage != "label":
        pass
    steps.close()
    deadline = time.monotonic() + 10
    while observer.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_file_that_workers_cannot_open_is_named(address, tmp_path):
    cube = large_file(tmp_path, 40, 48)
    (tmp_path / "large.npy").unlink()
    with pytest.raises(DataError, match=r"large\.npy: the worker tcp://.* cannot open it \(.*no such file"):
        segment(cube, scheduler=address, **FAST)


def test_another_file_under_the_same_path_is_told(address, tmp_path):
    cube = large_file(tmp_path, 40, 48)
    changed = replace(cube, data=np.asarray(cube.data) + 1)
    with pytest.raises(DataError, match="other values under this path"):
        segment(changed, scheduler=address, **FAST)
    with pytest.raises(DataError, match="other values under this path"):
        segment(replace(cube, data=cube.data[:, :30]), scheduler=address, **FAST)


class _Pipe:
    """Values that come from nowhere a worker could go to."""

    shape, dtype, ndim = (8, 20, 20), np.dtype("float32"), 3

    def __init__(self):
        self.own = socket.socket()

    def __getitem__(self, key):
        return np.random.default_rng(0).random(self.shape, np.float32)[key]


def test_a_cube_that_cannot_be_sent_is_refused(address):
    with pytest.raises(DataError, match="cannot be sent to the workers"):
        segment(Cube(_Pipe(), SpectralAxis.channels(8)), scheduler=address, **FAST)


def test_errors_of_the_work_come_back_as_they_are(address):
    with pytest.raises(DataError, match="no usable spectrum"):
        segment(Cube(np.zeros((8, 5, 5), np.float32), SpectralAxis.channels(8)), scheduler=address, **FAST)


def test_another_version_is_told(address, monkeypatch):
    monkeypatch.setattr(parcel, "own_version", lambda: "99.0")
    with pytest.raises(ConfigError, match=r"the worker tcp://.* has napari-cubeseg .*, this machine has 99\.0"):
        segment(counts_cube()[0], scheduler=address, **FAST)


@pytest.mark.parametrize("there", ["0.0.1", None])
def test_another_version_is_told_before_anything_is_sent(there):
    own, other = ({"packages": {"napari-cubeseg": v}} for v in ("1.0", there))
    found = {"client": own, "scheduler": own, "workers": {"tcp://w:1": other}}
    client = SimpleNamespace(get_versions=lambda packages: found)
    with pytest.raises(ConfigError, match=r"the worker tcp://w:1 (has napari-cubeseg 0\.0\.1|lacks napari-cubeseg)"):
        distributed._check_versions(client, "tcp://s:1")


@pytest.mark.parametrize("place", ["tcp://127.0.0.1:9", "nonsense", "silent"])
def test_where_no_scheduler_answers_is_told_in_one_line(place, monkeypatch):
    monkeypatch.setattr(distributed, "_ANSWER", 1)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        if place == "silent":
            place = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"no Dask scheduler answers at '{place}'") as caught:
            segment(counts_cube()[0], scheduler=place, **FAST)
    assert "\n" not in str(caught.value)


def test_without_dask_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"napari-cubeseg\[distributed\]"):
        segment(counts_cube()[0], scheduler="tcp://127.0.0.1:9", **FAST)


def test_a_scheduler_without_workers_is_not_waited_for_for_ever(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(distributed, "_WORKERS", 1)
    with LocalCluster(n_workers=0, **QUIET) as empty, pytest.raises(JobError, match="has had no workers"):
        segment(counts_cube()[0], scheduler=empty.scheduler_address, **FAST)


def test_the_end_of_the_scheduler_ends_the_run():
    # scheduler and worker in one process, but with an address for everybody
    cluster = f"""
import sys
from distributed import LocalCluster
made = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", **{QUIET})
print(made.scheduler_address, flush=True)
sys.stdin.read()
"""
    own = subprocess.Popen([sys.executable, "-c", cluster], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with distributed.connected(own.stdout.readline().strip()) as executor:
            steps = executor.map(slow, counts_cube()[0], range(20))
            while next(steps) is None:
                pass
            own.kill()
            with pytest.raises(JobError, match="connection to the scheduler"):
                finish(steps)
    finally:
        own.kill()
        own.communicate()


class Ahead(Here):
    """Here, but as if all items were taken before anything is used."""

    in_turn = False

    def map(self, work, cube, items):
        for item in list(items):
            yield None
            yield work(cube, item)


@pytest.mark.parametrize("make", [counts_cube, variance_cube])
@pytest.mark.parametrize("limit", [60, 5000])
def test_a_sample_is_the_same_whether_blocks_are_taken_in_turn_or_ahead(make, limit):
    cube = make()[0]
    cube = replace(cube, mask=np.random.default_rng(1).random(cube.image_shape) > 0.3)
    options = {"bins": 20, "limit": limit, "seed": 3, "block_bytes": 4 * 64 * 90}
    one, other = (finish(draw_sample(cube, executor=executor, **options)) for executor in (HERE, Ahead()))
    assert len(one.paired) > 5
    for name in ("rows", "columns", "spectra", "variance", "usable", "paired", "neighbours", "neighbour_variance"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_blocks_of_a_dask_array_follow_its_chunks():
    made = []

    def noted(block, block_info):
        made.append(block_info[0]["array-location"])
        return block

    array = np.arange(6 * 40 * 30, dtype=np.float32).reshape(6, 40, 30)
    lazy = da.from_array(array, (6, (7, 3, 20, 10), (4, 13, 13)))
    lazy = lazy.map_blocks(noted, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    cube = Cube(lazy, SpectralAxis.channels(6))
    for budget in (4 * 6 * 100, 4 * 6 * 300, 1 << 20):
        made.clear()
        covered = np.zeros((40, 30), int)
        for block in cube.blocks(budget):
            assert block.data.dtype == np.float32
            np.testing.assert_array_equal(block.data, array[:, block.rows, block.columns])
            covered[block.rows, block.columns] += 1
        assert (covered == 1).all()
        assert len(made) == 12, "every chunk is computed once"


def test_a_chunk_column_that_is_too_large_is_read_in_parts():
    cube = Cube(da.zeros((8, 100, 100), chunks=(1, 100, 100), dtype=np.uint8), SpectralAxis.channels(8))
    assert max((r.stop - r.start) * (c.stop - c.start) for r, c in cube.places(4 * 8 * 100)) <= 100


def test_spectra_and_probe_of_a_dask_array_are_those_of_its_values():
    cube, _ = variance_cube()
    lazy = in_pieces(cube)
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, cube.image_shape[0], 50), rng.integers(0, cube.image_shape[1], 50)
    np.testing.assert_array_equal(lazy.spectra(rows, columns), cube.spectra(rows, columns))
    np.testing.assert_array_equal(lazy.spectrum(3, 4), cube.spectrum(3, 4))
    one, other = probe(lazy), probe(cube)
    for name in ("bands", "band_noise", "typical"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert_same(segment(lazy, **FAST), segment(cube, **FAST))


def test_a_dask_array_of_unknown_size_is_refused():
    array = da.ones((4, 6, 6), chunks=3)
    with pytest.raises(DataError, match="compute_chunk_sizes"):
        Cube(array[:, da.ones(6, chunks=3) > 0], SpectralAxis.channels(4))
