"""A synthetic integral-field cube: a spiral galaxy with star-forming regions and an active nucleus before the sky.

Wavelengths are in air, 4750 to 9350 Å as with MUSE; line positions are the usual laboratory values (NIST). Each
component has its template: old stars (a 4500 K black body with metal absorption), young stars (12 000 K, Balmer and
Paschen absorption), H II regions (Case B Balmer decrement 2.86, [N II]/Ha 0.35), a Seyfert nucleus (power law, broad
Balmer lines of 3000 km/s, [O III]/Hb 10), shocked gas ([N II]/Ha 1.2, [S II]/Ha 0.8, [O I]/Ha 0.2; the class of the
LINERs) and, from tier 2, planetary nebulae (lines alone, [O III]/Hb 12). The disc rotates with +-200 km/s, A_V = 0.6
reddens it (Cardelli et al. 1989, as a power law), lines have the LSF of MUSE (Bacon et al. 2017). Maps are convolved
with a Moffat profile of 0.7". Noise: Poisson of source and sky (smooth, with the lines at 5577, 6300 and 6364 Å and a
forest of OH bands) and a read noise of 3 electrons; the sky is subtracted with an error of 1 %. Resampling correlates
the noise of neighbouring channels by 0.3, a ten-thousandth of the values is hit by cosmic rays. The variance cube is
the expected one. A label is the component with the largest share of the flux; sky where the source stays below a
tenth of the noise of a channel. A corner without data is NaN.

Tiers are signal-to-noise ratios per channel in the brightest tenth of the field: 30, 10 and 3.

Left out: gradients of dispersion and of extinction, sky residuals that are correlated over the field.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Spatial
from cubeseg.samples.scene import Scene, Strip

__all__ = ["TIER_COUNTS", "galaxy_scene"]

_COMPONENTS = (
    "star-forming (H II)", "old stars", "young stars", "active nucleus", "shocked gas", "planetary nebulae",
)  # fmt: skip
# electrons per channel that give a ratio of 30, 10 and 3 before the sky
TIER_COUNTS = {1: 1180.0, 2: 232.0, 3: 57.0}

_LIGHT = 299792.458
_VELOCITIES = np.linspace(-240, 240, 33)
_SKY_LEVEL, _READ_NOISE, _REDSHIFT = 300.0, 3.0, 0.006

_HA = 6562.80
_NEBULAR = ((4861.33, 1 / 2.86), (6562.80, 1.0), (9068.6, 0.12), (5875.6, 0.04))
_METAL = ((4958.91, 1 / 3.98), (5006.84, 2.98 / 3.98))
_NITROGEN = ((6548.05, 1 / 4.05), (6583.45, 3.05 / 4.05))
_SULPHUR = ((6716.44, 0.57), (6730.82, 0.43))
_OXYGEN = ((6300.30, 0.75), (6363.78, 0.25))


def galaxy_scene(size: int, counts: float, seed: int, n_bands: int, tier: int) -> Scene:
    """The galaxy as a scene; see :func:`cubeseg.samples.galaxy`."""
    axis = SpectralAxis(np.linspace(4750, 9350, n_bands), "Angstrom", "wavelength", "air")
    wave = axis.values
    n = len(_COMPONENTS) - (tier == 1)
    templates = _templates(wave)[:n]
    maps, velocity = _maps(size, n, np.random.default_rng([seed, 1]))
    light = maps.sum(axis=0)
    maps *= counts / light[light >= np.quantile(light, 0.9)].mean()
    sky = _sky(wave)
    threshold = 0.1 * np.sqrt(np.median(sky) + _READ_NOISE**2)

    def strip(top: int, bottom: int, rng: np.random.Generator) -> Strip:
        flux = maps[:, top:bottom]
        at = np.abs(_VELOCITIES[:, None, None] - velocity[top:bottom]).argmin(axis=0)
        source = np.zeros((n_bands, bottom - top, size), np.float32)
        for k in range(len(flux)):
            source += np.moveaxis(templates[k][at], -1, 0) * flux[k]
        expected = source + sky[:, None, None]
        noise = rng.poisson(expected) - expected + rng.normal(0, _READ_NOISE, expected.shape)
        noise = _correlated(noise)
        rays = rng.random(expected.shape) < 1e-4
        noise[rays] += rng.exponential(3000.0, int(rays.sum()))
        residual = 0.01 * rng.standard_normal((1, bottom - top, size)) * (sky - sky.min())[:, None, None]
        data = (source + noise + residual).astype(np.float32)
        total = flux.sum(axis=0)
        shares = np.concatenate([flux, np.full((1, *total.shape), threshold, np.float32)])
        shares = np.asarray(shares / shares.sum(axis=0), dtype=np.float32)
        truth = (np.where(total < threshold, len(flux), flux.argmax(axis=0)) + 1).astype(np.int32)
        corner = np.add.outer(np.arange(top, bottom), np.arange(size)) < size // 8
        data[:, corner], truth[corner] = np.nan, 0
        variance = (expected + _READ_NOISE**2).astype(np.float32)
        return Strip(data, variance, truth, shares)

    names = (*_COMPONENTS[:n], "sky")
    some = np.linspace(0, len(_VELOCITIES) - 1, 5).astype(int)
    states = np.concatenate([templates[:, some] * counts, np.zeros((1, 5, n_bands))]).astype(np.float32)
    spatial, unit = Spatial((0.2, 0.2), "arcsec"), "electrons"
    return Scene("galaxy", size, axis, "gaussian", "float32", unit, spatial, names, states, seed, strip)


def _templates(wave: NDArray[np.float64]) -> NDArray[np.float32]:
    """Spectra of the components at every velocity, mean 1 over the band; shape (6, velocities, bands)."""
    made = []
    for velocity in _VELOCITIES:
        rest = wave / (1 + _REDSHIFT) / (1 + velocity / _LIGHT)
        old = _planck(rest, 4500) * _absorb(
            rest, [(5175, 0.16, 700), (5893, 0.14, 350), (4861.33, 0.1, 300), (6562.8, 0.08, 300), (8542, 0.2, 350),
                   (8662, 0.17, 350), (8498, 0.1, 350), (5270, 0.08, 500), (7150, 0.1, 3500)],
        )  # fmt: skip
        young = _planck(rest, 12000) * _absorb(
            rest, [(4861.33, 0.35, 900), (6562.8, 0.22, 700), (8598, 0.12, 500), (8750, 0.13, 500), (8863, 0.14, 500),
                   (9015, 0.15, 500)],
        )  # fmt: skip
        gas = _lines(rest, _NEBULAR, 60) + 0.5 * _lines(rest, _METAL, 60) + 0.35 * _lines(rest, _NITROGEN, 60)
        gas += 0.25 * _lines(rest, _SULPHUR, 60) + 0.02 * _lines(rest, _OXYGEN, 60)
        active = 1.5 * _lines(rest, _NEBULAR[:2], 1275) + 0.5 * _lines(rest, _NEBULAR[:2], 200)
        active += 1.8 * _lines(rest, _METAL, 200) + 0.5 * _lines(rest, _NITROGEN, 200)
        shock = _lines(rest, _NEBULAR[:2], 150) + 1.2 * _lines(rest, _NITROGEN, 150)
        shock += 0.8 * _lines(rest, _SULPHUR, 150) + 0.2 * _lines(rest, _OXYGEN, 150) + 0.8 * _lines(rest, _METAL, 150)
        made.append([
            rest.mean() / rest * 0.8 + 160 * gas, old, young, (rest.mean() / rest) ** 1.5 + 250 * active,
            0.7 * old / old.mean() + 110 * shock, _lines(rest, _NEBULAR[:2], 20) + 4.3 * _lines(rest, _METAL, 20),
        ])  # fmt: skip
    spectra = np.array(made).transpose(1, 0, 2) * 10 ** (-0.4 * 0.6 * ((wave / 5500) ** -1.3 - 1))
    return np.asarray(spectra / spectra.mean(axis=2, keepdims=True), dtype=np.float32)


def _lines(wave: NDArray[np.float64], lines: tuple[tuple[float, float], ...], sigma_kms: float) -> NDArray[np.float64]:
    """Emission lines of (Å, flux), as wide as the gas moves, the LSF of MUSE and a channel together."""
    step = abs(wave[1] - wave[0])
    found = np.zeros_like(wave)
    for centre, flux in lines:
        lsf = (5.866e-8 * centre**2 - 9.187e-4 * centre + 6.040) / 2.355
        sigma = np.sqrt((centre * sigma_kms / _LIGHT) ** 2 + lsf**2 + step**2 / 12)
        found += flux * np.exp(-0.5 * ((wave - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return found


def _absorb(wave: NDArray[np.float64], lines: list[tuple[float, float, float]]) -> NDArray[np.float64]:
    """Transmission of absorption lines (Å, depth, sigma in km/s)."""
    left = np.ones_like(wave)
    for centre, depth, sigma_kms in lines:
        left *= 1 - depth * np.exp(-0.5 * ((wave - centre) / (centre * sigma_kms / _LIGHT)) ** 2)
    return left


def _planck(wave: NDArray[np.float64], kelvin: float) -> NDArray[np.float64]:
    spectrum = wave**-5 / np.expm1(1.4388e8 / (wave * kelvin))
    return np.asarray(spectrum / spectrum.mean())


def _correlated(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """White noise (bands, ...) as resampling leaves it: the same variance, 0.3 shared with the next channel."""
    side = 0.17
    padded = np.pad(noise, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return np.asarray((noise + side * (padded[:-2] + padded[2:])) / np.sqrt(1 + 2 * side**2))


def _sky(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sky electrons per channel, shape (bands,)."""
    level = _SKY_LEVEL * (0.7 + 0.3 * (wave - 4750) / 4600)
    forest = tuple((float(w), 30.0) for w in np.arange(7240, 9340, 42.0))
    return np.asarray(level * (1 + 8 * _lines(wave, ((5577.34, 40.0), (6300.30, 15.0), (6363.78, 6.0), *forest), 20)))


def _maps(size: int, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flux of the first `n` components (n, y, x) after the seeing, and the velocity of the disc (y, x) in km/s."""
    from scipy.signal import fftconvolve

    pixel = np.arange(size) / size - 0.5
    y, x = np.meshgrid(pixel, pixel, indexing="ij")
    angle = 0.6
    major, minor = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / 0.6
    radius, turn = np.hypot(major, minor), np.arctan2(minor, major)
    edge = 1 / (1 + np.exp((radius - 0.36) / 0.012))
    arms = np.exp(3.0 * (np.cos(2 * turn - 16 * radius) - 1))
    old = (5.0 * np.exp(-radius / 0.08) + 0.3) * edge
    young = 4.5 * np.exp(-radius / 0.25) * (0.04 + arms) * (radius > 0.07) * edge
    nucleus = 80.0 * np.exp(-((radius / 0.03) ** 2))
    # gas blown out of the disc, to both sides along its minor axis
    away = np.abs(np.cos(turn))
    shocked = 6.0 * np.exp(-radius / 0.2) * np.exp(-((away / 0.42) ** 2)) * (radius > 0.05) * (radius < 0.3)
    regions = np.zeros_like(radius)
    for _ in range(30):
        r, side = rng.uniform(0.12, 0.33), rng.integers(2)
        a = 8 * r + np.pi * side + rng.normal(0, 0.08)
        centre = r * np.cos(a), r * np.sin(a)
        width = rng.uniform(0.018, 0.032)
        distance = np.hypot(major - centre[0], minor - centre[1])
        regions += rng.uniform(1.5, 3.5) * np.exp(-r / 0.35) * np.exp(-0.5 * (distance / width) ** 2)
    nebulae = np.zeros_like(radius)
    for _ in range(12):
        at = rng.uniform(-0.46, 0.46, 2)
        nebulae += 0.8 * np.exp(-0.5 * (np.hypot(x - at[0], y - at[1]) / 0.013) ** 2)
    fwhm = max(0.7 / 0.2 * size / 64, 1.0)
    half = min(int(4 * fwhm), max(size // 2 - 1, 1))
    grid = np.hypot(*np.mgrid[-half : half + 1, -half : half + 1])
    beta = 2.5
    moffat = (1 + (grid / (fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1)))) ** 2) ** -beta
    moffat /= moffat.sum()
    maps = np.stack([fftconvolve(m, moffat, mode="same") for m in (regions, old, young, nucleus, shocked, nebulae)[:n]])
    velocity = 200 * np.arctan(np.abs(radius) / 0.05) * 2 / np.pi * np.cos(turn)
    return np.maximum(maps, 0).astype(np.float32), velocity.astype(np.float32)
