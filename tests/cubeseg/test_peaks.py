"""Peaks beside what was put in: places, widths, significance, and none where there is only noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubeseg.axis import SpectralAxis
from cubeseg.spectroscopy.peaks import filtered, find_peaks, noise_of, poisson_significance, snip, structure_variance

N = 600
X = np.arange(N, dtype=float)
AXIS = SpectralAxis.from_values(400 + 0.5 * X, "nm")
WIDTHS = (2.5, 4.0, 7.0, 12.0)


def line(centre, fwhm, height):
    return height * np.exp(-4 * np.log(2) * ((X - centre) / fwhm) ** 2)


def test_lines_on_a_curved_background():
    rng = np.random.default_rng(0)
    y = 50 + 0.1 * X - 30 * (X / N) ** 2 + line(120.3, 4, 20) + line(300, 8, 10) - line(450, 4, 12)
    found = find_peaks(AXIS, y + rng.normal(0, 1, N), np.ones(N), WIDTHS)
    assert [peak.kind for peak in found] == ["emission", "emission", "absorption"]
    for peak, centre, fwhm, height in zip(found, (120.3, 300, 450), (4, 8, 4), (20, 10, -12), strict=True):
        assert peak.position == pytest.approx(400 + 0.5 * centre, abs=0.4)
        assert peak.width == pytest.approx(0.5 * fwhm, rel=0.5)
        assert peak.height == pytest.approx(height, rel=0.35)
        assert peak.significance > 8
    assert not [
        p for p in find_peaks(AXIS, y + rng.normal(0, 1, N), np.ones(N), WIDTHS, absorption=False) if p.height < 0
    ]


def test_close_lines_come_apart_and_cast_no_dips():
    y = 10 + line(200, 3, 100) + line(206, 3, 60)
    found = find_peaks(AXIS, y + np.random.default_rng(1).normal(0, 0.5, N), np.full(N, 0.25), WIDTHS)
    assert [round(peak.band) for peak in found] == [200, 206]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1e6), st.floats(1e-3, 1e3))
def test_noise_alone_has_hardly_any(seed, level, sigma):
    y = level + np.random.default_rng(seed).normal(0, sigma, N)
    assert len(find_peaks(AXIS, y, np.full(N, sigma**2), WIDTHS)) <= 1


@pytest.mark.parametrize("direction", [1, -1])
def test_gaps_and_falling_axes(direction):
    y = 10 + line(200, 4, 30)
    y[350:360] = np.nan
    axis = SpectralAxis.from_values((400 + 0.5 * X)[::direction], "nm")
    (peak,) = find_peaks(axis, y[::direction], np.ones(N), WIDTHS)
    assert peak.position == pytest.approx(500, abs=0.3)
    assert find_peaks(axis, np.full(N, np.nan), np.full(N, np.nan), WIDTHS) == ()


def test_counts_are_judged_by_poisson():
    rng = np.random.default_rng(2)
    y = rng.poisson(2 + line(200, 6, 12)).astype(float)
    (peak,) = find_peaks(AXIS, y, np.maximum(y, 1), (6.0,), absorption=False, counts=1.0)
    assert peak.band == pytest.approx(200, abs=2)
    lonely = np.zeros(N)
    lonely[100] = 3
    assert find_peaks(AXIS, lonely, np.maximum(lonely, 1e-3), (6.0,), absorption=False, counts=1.0) == ()


def test_poisson_significance():
    # many counts: Gauss
    assert poisson_significance(10_500, 10_000) == pytest.approx(5, abs=0.1)
    assert poisson_significance(5, 10) == 0
    assert poisson_significance(1, 0) == 0
    assert 2 < poisson_significance(5, 0) < 4


def test_snip_follows_the_background_and_not_the_peaks():
    background = 200 * np.exp(-X / 300) + 50
    y = background + line(150, 8, 500) + line(400, 8, 300)
    found = snip(y, 14)
    away = (np.abs(X - 150) > 15) & (np.abs(X - 400) > 15)
    assert found[away] == pytest.approx(background[away], rel=0.03)
    assert found == pytest.approx(background, rel=0.06)
    assert snip(np.zeros(10), 3) == pytest.approx(np.zeros(10))
    assert (snip(y, np.linspace(8, 20, N)) <= y + 1e-6).all()


def test_filtered_is_blind_to_constants_and_slopes():
    ratio, height = filtered(3 + 0.7 * X, np.ones(N), 6.0)
    assert np.abs(ratio).max() == pytest.approx(0, abs=1e-6)
    ratio, height = filtered(3 + line(300, 6, 5.0), np.ones(N), 6.0)
    assert height[300] == pytest.approx(5, rel=0.05)
    assert ratio.argmax() == 300


def test_noise_of_a_smooth_spectrum():
    y = 100 * np.sin(X / 80) + np.random.default_rng(3).normal(0, 2, N)
    assert noise_of(y) == pytest.approx(2, rel=0.15)
    assert noise_of([1.0]) == 0


def test_brightness_hides_no_lines_and_cosmic_rays_stay_uncertain():
    rng = np.random.default_rng(4)
    brightness = rng.lognormal(0, 0.5, (300, 1))
    spectra = brightness * (100 + line(200, 4, 3)) + rng.normal(0, 1, (300, N))
    spectra[7, 400] += 3000
    mean, variance = spectra.mean(axis=0), spectra.var(axis=0) / 300
    assert not [p for p in find_peaks(AXIS, mean, variance, WIDTHS) if abs(p.band - 200) < 3]
    found = find_peaks(AXIS, mean, structure_variance(mean, variance), WIDTHS)
    assert [round(peak.band, -1) for peak in found] == [200]
    assert (structure_variance(mean, variance) <= variance).all()
