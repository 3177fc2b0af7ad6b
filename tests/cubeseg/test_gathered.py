"""Components of spectra that gather where one of them is alone, or two, under white noise."""

import numpy as np
import pytest
from scipy.integrate import quad

from cubeseg.mixing import Mixing
from cubeseg.steps import finish
from cubeseg.unmixing.finding import Evidence, find
from cubeseg.unmixing.gathered import gathered_simplex, share_density
from cubeseg.unmixing.initial import largest_simplex
from cubeseg.unmixing.simplex import likeliest_simplex
from tests.cubeseg.test_unmixing import cosines


@pytest.mark.parametrize("concentration", [0.1, 0.3, 0.85, 1.0])
@pytest.mark.parametrize("share", [-20.0, -5.0, -0.3, 0.0, 0.7, 4.0, 11.9, 12.1, 40.0, 200.0])
def test_density_of_a_share_is_the_integral(concentration, share):
    def integral(c):
        # t^c / c in place of t, so that there is no pole at zero
        top = (share + 9 if share > 0 else 9 / (1 - share)) ** c

        def normal(v):
            return np.exp(-((v ** (1 / c) - share) ** 2) / 2 + min(share, 0) ** 2 / 2)

        near = [max(share + step, 0) ** c for step in (-9, -3, 0, 3)]
        return quad(normal, 0, top, points=sorted({n for n in near if 0 < n < top}), limit=500)[0] / c

    first, second = integral(concentration), integral(concentration + 1)
    value, slope = share_density(concentration, np.array([share]))
    expected = np.log(first) - 0.5 * np.log(2 * np.pi) - min(share, 0) ** 2 / 2
    assert value[0] == pytest.approx(expected, abs=2e-3 + 2e-3 * abs(expected))
    if abs(share) < 12:
        assert slope[0] == pytest.approx(second / first - share, abs=5e-3 + 5e-3 * abs(share))


def gathered(seed, concentration, k=4, n=1500, bands=80, noise=0.02):
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, bands)
    components = 1 + 0.4 * np.sin((2 + np.arange(k)[:, None]) * np.pi * x + np.arange(k)[:, None])
    shares = rng.dirichlet(np.full(k, concentration), n)
    return components, shares @ components + noise * rng.standard_normal((n, bands))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("concentration", [0.15, 0.4, 1.0])
def test_corners_are_found_however_the_spectra_gather(seed, concentration):
    components, spectra = gathered(seed, concentration)
    start = spectra[largest_simplex(spectra, 4, seed)]
    found = finish(gathered_simplex(spectra, start))
    assert cosines(components, found).min() > 0.9998
    assert cosines(components, found).min() > cosines(components, start).min()
    if concentration < 0.2:
        assert cosines(components, found).mean() > cosines(components, likeliest_simplex(spectra, start)).mean()


def test_a_direction_that_may_be_noise_gives_no_corners():
    components, spectra = gathered(0, 0.2, noise=0.02)
    # the last component differs from the mean of the others by less than noise
    components[3] = components[:3].mean(axis=0) + 1e-4
    rng = np.random.default_rng(1)
    spectra = rng.dirichlet(np.full(4, 0.2), 1500) @ components + 0.02 * rng.standard_normal(spectra.shape)
    assert finish(gathered_simplex(spectra, spectra[largest_simplex(spectra, 4, 0)])) is None
    none = (np.zeros((0, 80), np.float32),) * 2
    evidence = Evidence(spectra.astype(np.float32), None, False, none, np.zeros((0, 80)))
    found = finish(find(evidence, Mixing(restarts=1), (4, 4), 0))
    assert len(found.components) == 4
    assert np.isfinite(found.components).all()
