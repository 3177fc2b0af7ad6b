"""Work on all cores: what is made is what would be made in turn, and nothing stays behind."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cubeseg import FitConfig, fit, segment
from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube
from cubeseg.errors import DataError
from cubeseg.parallel.executor import Crew, Here, Piecewise
from cubeseg.training import labelling as module
from tests.cubeseg.cubes import counts_cube, reflectance_cube, variance_cube

SMALL = {"clusters": (4, 4), "epochs": 2}


class Sums(Piecewise):
    """Sums of blocks, one piece for each column."""

    def __init__(self, broken=-1):
        self.broken, self.threads, self.read_by = broken, set(), set()

    def read(self, cube, item):
        self.read_by.add(threading.current_thread().name)
        return cube.block(*item)

    def pieces(self, item):
        return [(slice(None), slice(n, n + 1)) for n in range(item[1].stop - item[1].start)]

    def piece(self, block, item, at):
        self.threads.add(threading.current_thread().name)
        if item[0].start == self.broken:
            raise DataError("broken")
        return float(block.data[:, *at].sum())

    def joined(self, item, pieces):
        return item[0].start, pieces


@pytest.fixture
def cube():
    return Cube(np.arange(3 * 20 * 7, dtype=np.float32).reshape(3, 20, 7), SpectralAxis.channels(3))


def rows_of(cube):
    return [(slice(n, n + 1), slice(0, 7)) for n in range(cube.image_shape[0])]


def left_behind():
    return [thread for thread in threading.enumerate() if thread.name.startswith("cubeseg-")]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_crew_makes_the_same_in_the_same_order(cube, threads):
    work = Sums()
    made = list(Crew(threads).map(work, cube, rows_of(cube)))
    assert made == list(Here().map(Sums(), cube, rows_of(cube)))
    assert [start for start, _ in made] == list(range(20))
    assert all(name.startswith("cubeseg-crew") for name in work.threads)
    assert all(name.startswith("cubeseg-reader") for name in work.read_by)
    assert list(Crew(threads).map(work, cube, [])) == []
    assert not left_behind()


def test_two_blocks_are_in_memory_at_a_time(cube):
    ahead = []

    def places():
        for n, place in enumerate(rows_of(cube)):
            ahead.append(n)
            yield place

    for n, _ in enumerate(Crew(2).map(Sums(), cube, places())):
        assert ahead[-1] <= n + 1


def test_errors_come_through_and_closing_leaves_nothing_behind(cube):
    with pytest.raises(DataError, match="broken"):
        list(Crew(2).map(Sums(broken=4), cube, rows_of(cube)))
    assert not left_behind()
    steps = Crew(2).map(Sums(), cube, rows_of(cube))
    next(steps)
    assert left_behind()
    steps.close()
    assert not left_behind()


@pytest.mark.parametrize("method", ["pca", "deep"])
@pytest.mark.parametrize("make", [counts_cube, reflectance_cube, variance_cube])
def test_labels_do_not_depend_on_threads_and_pieces(make, method, monkeypatch):
    cube, _ = make()
    results = []
    for threads, few in ((1, 512), (3, 7), (2, 60)):
        monkeypatch.setattr(module, "_FEW", few)
        monkeypatch.setattr(module, "Crew", lambda _, threads=threads: Crew(threads))
        results.append(segment(cube, FitConfig(method=method, **SMALL)))
    first = results[0]
    for other in results[1:]:
        assert (other.labels == first.labels).all()
        np.testing.assert_allclose(other.latent, first.latent, rtol=1e-2, atol=1e-2)
        np.testing.assert_allclose(other.reconstruction_error, first.reconstruction_error, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(other.spectra.total, first.spectra.total, rtol=1e-12)
        np.testing.assert_allclose(other.spectra.squares, first.spectra.squares, rtol=1e-12)
        assert (other.spectra.finite == first.spectra.finite).all()


def test_stopping_while_pixels_are_labelled_leaves_no_threads():
    steps = fit(counts_cube()[0], FitConfig(method="pca", **SMALL))
    for event in steps:
        if event.stage == "label":
            break
    steps.close()
    assert not left_behind()
