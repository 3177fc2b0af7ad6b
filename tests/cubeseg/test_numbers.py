"""Fast ways against slow and obvious ones, and against other people's libraries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cubeseg.axis import SpectralAxis
from cubeseg.clustering.iterative import assign, distances, kmeans, simplified_silhouette
from cubeseg.clustering.spatial import around, coherent
from cubeseg.cube import Cube
from cubeseg.maps.overview import overview
from cubeseg.spectroscopy.conversion import air_to_vacuum, converted, vacuum_to_air
from cubeseg.statistics import ClassSpectra
from cubeseg.steps import finish

some = settings(max_examples=40, derandomize=True, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@some
@given(seed=seeds, n=st.integers(1, 700), offset=st.sampled_from([0.0, 1e3, -1e5]), gaps=st.booleans())
def test_class_spectra_are_those_of_the_pixels(seed, n, offset, gaps):
    rng = np.random.default_rng(seed)
    spectra = (offset + rng.normal(size=(n, 5))).astype(np.float32)
    if gaps:
        spectra[rng.random(spectra.shape) < 0.1] = np.nan
    old, new = rng.integers(0, 4, (2, n)).astype(np.int32)
    found = ClassSpectra(5)
    found.add(spectra, old)
    found.move(spectra, old, new)
    gone = rng.random(n) < 0.3
    found.remove(spectra[gone], new[gone])
    left, labels = spectra[~gone].astype(np.float64), new[~gone]
    for label in range(found.n_labels):
        mine = left[labels == label]
        assert found.n[label] == len(mine)
        for band in range(5):
            values = mine[np.isfinite(mine[:, band]), band]
            assert found.finite[label, band] == len(values)
            if len(values):
                assert found.mean(label)[band] == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)
                assert found.std(label)[band] == pytest.approx(values.std(), abs=1e-9 + 3e-8 * abs(offset))


@some
@given(seed=seeds, offset=st.sampled_from([0.0, 30.0, 5e3]), k=st.integers(1, 6))
def test_the_nearest_centroid_is_the_nearest(seed, offset, k):
    rng = np.random.default_rng(seed)
    centroids = (offset + rng.normal(size=(k, 3))).astype(np.float32)
    codes = (centroids[rng.integers(0, k, 60)] + rng.normal(0, 0.3, (60, 3))).astype(np.float32)
    exact = ((codes[:, None].astype(np.float64) - centroids[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances(codes, centroids), exact, rtol=1e-3, atol=1e-4)
    labels, confidence = assign(codes, centroids, 0.5)
    near = np.sort(exact, axis=1)
    clear = (near[:, 1] - near[:, 0] > 1e-3) if k > 1 else np.ones(60, bool)
    assert (labels[clear] == exact.argmin(axis=1)[clear]).all()
    posterior = np.exp(-0.5 * (exact - near[:, :1]) / 0.25)
    np.testing.assert_allclose(confidence, 1 / posterior.sum(axis=1), rtol=5e-3)
    if k > 1:
        two = np.sqrt(near[:, :2])
        assert simplified_silhouette(codes, centroids) == pytest.approx((1 - two[:, 0] / two[:, 1]).mean(), abs=1e-3)


def test_kmeans_finds_what_scikit_learn_finds():
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(0)
    codes = (rng.normal(size=(4, 3))[rng.integers(0, 4, 500)] * 5 + rng.normal(0, 0.2, (500, 3))).astype(np.float32)
    ours = kmeans(codes, 4, seed=1)
    theirs = KMeans(4, n_init=5, random_state=2).fit(codes).cluster_centers_
    order = distances(ours, theirs.astype(np.float32)).argmin(axis=1)
    np.testing.assert_allclose(ours, theirs[order], atol=1e-3)


@some
@given(belief=arrays.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
                            elements=st.floats(0, 1, width=32)))  # fmt: skip
def test_sums_over_the_eight_neighbours(belief):
    from scipy.ndimage import convolve

    kernel = np.ones((1, 3, 3))
    kernel[0, 1, 1] = 0
    np.testing.assert_allclose(around(belief), convolve(belief.astype(float), kernel, mode="constant"), atol=1e-5)


@settings(max_examples=12, derandomize=True, deadline=None)
@given(seed=seeds, strength=st.sampled_from([0.0, 0.3, 1.0]), height=st.sampled_from([3, 70, 150]))
def test_coherence_in_strips_is_that_of_the_whole_image(seed, strength, height):
    rng = np.random.default_rng(seed)
    evidence = rng.normal(size=(3, height, 9)).astype(np.float16).astype(np.float32)
    usable = rng.random((height, 9)) > 0.1
    rounds = 4
    labels, confidence = finish(coherent(evidence, usable, strength, rounds=rounds))
    belief = scores = evidence.astype(np.float64)
    for turn in range(rounds + 1 if strength else 1):
        scores = evidence + (strength * around(belief.astype(np.float32)) if turn else 0)
        belief = np.exp(scores - scores.max(axis=0))
        belief = belief / belief.sum(axis=0) * usable
    np.testing.assert_allclose(confidence, belief.max(axis=0), atol=1e-4)
    top = np.sort(belief, axis=0)
    clear = usable & (top[-1] - top[-2] > 1e-3)
    assert (labels[clear] == belief.argmax(axis=0)[clear]).all()


@settings(max_examples=15, derandomize=True, deadline=None)
@given(seed=seeds, n=st.integers(2, 12), m=st.integers(2, 12))
def test_maximum_mean_discrepancy(seed, n, m):
    import torch

    from cubeseg.models.losses import mmd

    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, 3)), rng.normal(1, 1, size=(m, 3))
    slow = 0.0
    for scale in (0.1, 0.3, 1.0, 3.0, 10.0):
        c = 6.0 * scale

        def kernel(x, y, c=c):
            return c / (c + ((x - y) ** 2).sum())

        slow += sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        slow += sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        slow -= 2 * sum(kernel(x, y) for x in a for y in b) / (n * m)
    fast = mmd(torch.from_numpy(a.astype(np.float32)), torch.from_numpy(b.astype(np.float32)))
    assert float(fast) == pytest.approx(slow / 5, abs=1e-5)


@some
@given(values=st.lists(st.floats(0.05, 50), min_size=3, max_size=8, unique=True))
def test_units_as_astropy_has_them(values):
    from astropy import units

    values = np.sort(values)
    axis = SpectralAxis(values, "keV")
    for unit in ("nm", "Hz", "eV"):
        wanted = (values * units.keV).to_value(unit, equivalencies=units.spectral())
        np.testing.assert_allclose(converted(axis, unit).values, wanted, rtol=1e-9)


@some
@given(wavelength=st.floats(200.2, 20_000))
def test_air_and_vacuum(wavelength):
    assert air_to_vacuum(vacuum_to_air(wavelength)) == pytest.approx(wavelength, rel=1e-9)
    # the resonance lines of the night sky: the index of air lies between these bounds
    assert 1.00027 < wavelength / vacuum_to_air(wavelength) < 1.00033


def test_known_wavelengths_in_air():
    # NIST: Hα 656.4614 nm in vacuum, 656.2801 nm in air; [O III] 500.8240, 500.6843
    np.testing.assert_allclose(vacuum_to_air(np.array([656.4614, 500.8240])), [656.2801, 500.6843], atol=2e-4)


def test_elements_have_the_energies_of_xraydb():
    import xraydb

    from cubeseg.spectroscopy.xray import transitions

    compared = 0
    for symbol in ("Ca", "Fe", "Cu", "Pb"):
        theirs = xraydb.xray_lines(symbol)
        for line in transitions(symbol):
            if line.siegbahn in theirs:
                assert line.energy == pytest.approx(theirs[line.siegbahn].energy / 1000, rel=1e-6)
                compared += 1
    assert compared > 15


def test_sums_of_sixteen_megapixels_in_single_precision():
    side = 4096
    data = np.broadcast_to(np.array([[[0.1]], [[1e4 + 0.3]]], np.float32), (2, side, side))
    found = finish(overview(Cube(data, SpectralAxis(np.arange(2.0), "channel"))))
    np.testing.assert_allclose(found.mean, data[:, 0, 0], rtol=1e-7)
    sums = ClassSpectra(2)
    few = np.ascontiguousarray(data[:, :1, :].reshape(2, -1).T)
    for _ in range(64):
        sums.add(few, np.ones(len(few), np.int32))
    np.testing.assert_allclose(sums.mean(1), data[:, 0, 0].astype(float), rtol=1e-12)
