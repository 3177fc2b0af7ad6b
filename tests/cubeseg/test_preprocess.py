"""Bands picked and binned, pixels that hold data, sums of spectra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube
from cubeseg.sampling.preprocess import fill_missing, reduce_bands, usable_pixels
from cubeseg.statistics import ClassSpectra


@pytest.mark.parametrize("n_bands", [12, 13])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("missing", [True, False])
def test_binned_bands_are_sums_or_means_of_the_picked_ones(n_bands, width, sums, missing):
    rng = np.random.default_rng(0)
    spectra, variance = rng.random((2, 40, n_bands), dtype=np.float32)
    if missing:
        spectra[3, 4], spectra[5, 1], spectra[5, 2] = np.nan, np.inf, -np.inf
    for bands in (np.arange(n_bands), np.delete(np.arange(n_bands), 6)):
        groups = np.arange(len(bands)) // width
        reduced, spread = reduce_bands(spectra, variance, bands, groups, sums)
        whole = fill_missing(spectra[:, bands])
        members = 1 if sums else np.bincount(groups)
        starts = np.arange(0, len(bands), width)
        np.testing.assert_allclose(reduced, np.add.reduceat(whole, starts, axis=1) / members, rtol=1e-5)
        wanted = np.add.reduceat(variance[:, bands], starts, axis=1) / np.square(members)
        np.testing.assert_allclose(spread, wanted, rtol=1e-5)


def test_pixels_whose_values_cancel_hold_data_and_empty_ones_do_not():
    data = np.zeros((4, 2, 3), np.float32)
    data[:, 0, 0] = [1, -1, 2, -2]
    data[1, 0, 1] = 1e-30
    data[0, 1, 0], data[1, 1, 0] = np.nan, 3
    data[:, 1, 1] = [np.inf, 1, 1, 1]
    cube = Cube(data, SpectralAxis.channels(4))
    found = usable_pixels(cube.block(slice(None), slice(None)), np.arange(4))
    assert found.tolist() == [[True, True, False], [False, False, False]]


def reference(spectra, labels, n_labels):
    """Sums as plain as they can be."""
    values = spectra.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    rows = [values[labels == k] for k in range(n_labels)]
    return [np.stack([f(r) for r in rows]) for f in (
        lambda r: np.nansum(r, axis=0), lambda r: np.nansum(r**2, axis=0), lambda r: np.isfinite(r).sum(axis=0)
    )]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 700), st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_class_sums_are_those_of_their_pixels_however_they_came(n, n_labels, missing, seed):
    rng = np.random.default_rng(seed)
    spectra = rng.poisson(1e6, (n, 5)).astype(np.float32)
    if missing and n:
        spectra[rng.integers(0, n, 3), rng.integers(0, 5, 3)] = [np.nan, np.inf, -np.inf]
    old, new = rng.integers(0, n_labels, (2, n)).astype(np.int32)
    sums, moved = ClassSpectra(5, n_labels), ClassSpectra(5, n_labels)
    sums.add(spectra, new)
    moved.add(spectra, old)
    moved.move(spectra, old, new)
    for made in (sums, moved):
        for name, wanted in zip(("total", "squares", "finite"), reference(spectra, new, n_labels), strict=True):
            # whole numbers this size have room in double precision
            np.testing.assert_array_equal(getattr(made, name), wanted)
        np.testing.assert_array_equal(made.n, np.bincount(new, minlength=n_labels))
    moved.remove(spectra, new)
    assert not moved.total.any()
    assert not moved.squares.any()
    assert not moved.n.any()


def test_the_scatter_of_bright_classes_keeps_its_digits():
    counts = np.random.default_rng(0).poisson(1e6, (5000, 3)).astype(np.float32)
    sums = ClassSpectra(3)
    sums.add(counts, np.ones(5000, np.int32))
    np.testing.assert_allclose(sums.std(1), counts.astype(np.float64).std(axis=0), rtol=1e-9)
