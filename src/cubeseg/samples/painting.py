"""A synthetic MA-XRF scan: a portrait painted with the pigments of the 15th to 17th century, and one retouch.

The expected spectrum of a pixel is the mixture of what lies under the beam. Each class is a recipe of pigments over
a ground of chalk and lead white; fluorescence lines have energies from the xraydb tables (Elam, Ravel & Sieber 2002)
and the shares that a 30 um layer under a Rh tube at 40 kV yields at an SDD; to these come the scattered Kramers
continuum, Rayleigh and Compton peaks of the tube's Rh lines and argon from the air. The detector: 38 keV over all
channels, FWHM^2 = (2.355)^2 (sigma_el^2 + F eps E) with F = 0.114, eps = 3.65 eV, sigma_el = 28.9 eV (135 eV at
5.9 keV), a low-energy tail of 2 %, silicon escape peaks. Layer thickness varies smoothly by 20 %; the beam (sigma
0.6 pixels) mixes neighbours at edges. Photons are counted: Poisson.

Left out in this version: absorption between the layers of a recipe, secondary fluorescence, pile-up, dead time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Spatial
from cubeseg.samples.scene import Scene, Strip, smooth_field

__all__ = ["CLASSES", "LINES", "painting_scene"]

# keV and share of the detected fluorescence in per cent; and the yield relative to lead white
LINES: dict[str, tuple[float, tuple[tuple[float, float], ...]]] = {
    "lead white": (1.00, ((10.551, 44), (10.449, 4), (12.614, 39), (14.766, 5), (2.342, 6), (9.184, 2.5))),
    "vermilion": (1.07, ((9.989, 44), (9.899, 4), (11.824, 40), (13.831, 5), (2.191, 1), (2.309, 3))),
    "azurite": (1.65, ((8.046, 58), (8.027, 29), (8.904, 13))),
    "ultramarine": (0.05, ((2.309, 58), (1.740, 22), (1.486, 6), (3.314, 4))),
    "ochre": (2.23, ((6.405, 57), (6.392, 28), (7.059, 13), (3.692, 2), (4.512, 1.5), (5.900, 2), (3.314, 1))),
    "lead-tin yellow": (0.94, ((10.551, 41), (10.449, 4), (12.614, 37), (14.766, 5), (2.342, 5), (3.444, 2.6),
                               (3.663, 1.9), (3.905, 1), (25.271, 0.7))),
    "titanium white": (1.59, ((4.512, 87), (4.933, 13))),
    "bone black": (0.60, ((3.692, 81), (4.013, 12), (2.010, 6))),
    "smalt": (0.57, ((6.931, 46), (3.314, 28), (10.543, 9), (7.649, 7), (11.726, 1.5), (6.405, 3))),
    "chalk": (0.85, ((3.692, 87), (4.013, 13))),
}  # fmt: skip

# name, recipe (weights of pigments), how much of the ground is seen through it
CLASSES: tuple[tuple[str, dict[str, float], float], ...] = (
    ("background, bone black", {"bone black": 0.8, "ochre": 0.06}, 0.25),
    ("flesh, lead white and vermilion", {"lead white": 0.75, "vermilion": 0.3}, 0.15),
    ("hair, ochre", {"ochre": 0.5, "bone black": 0.3}, 0.2),
    ("robe, ultramarine", {"ultramarine": 1.0, "lead white": 0.15}, 0.35),
    ("cloak, vermilion", {"vermilion": 0.9, "lead white": 0.05}, 0.2),
    ("halo, lead-tin yellow", {"lead-tin yellow": 1.0, "ochre": 0.05}, 0.1),
    ("sky, azurite", {"azurite": 0.35, "lead white": 0.45}, 0.2),
    ("hills, smalt", {"smalt": 1.0, "azurite": 0.06}, 0.3),
    ("parapet, lead white and chalk", {"lead white": 0.6, "chalk": 0.7}, 0.3),
    ("retouch, titanium white", {"titanium white": 0.7, "lead white": 0.1}, 0.2),
)


def painting_scene(size: int, counts: float, seed: int, n_bands: int) -> Scene:
    """The portrait as a scene; see :func:`cubeseg.samples.painting`."""
    axis = SpectralAxis.from_values(np.linspace(0.5, 38.5, n_bands), "keV")
    spectra = np.stack([_recipe(axis.values, recipe, ground) for _, recipe, ground in CLASSES])
    rng = np.random.default_rng([seed, 1])
    labels = _picture(size, rng)
    thickness = np.exp(0.2 * smooth_field(size, 6, rng) - 0.02)
    total = spectra.sum(axis=1)
    brightness = np.mean([
        np.tensordot(total, _abundances(labels, row, row + 1), 1)[0] * thickness[row] for row in range(size)
    ])  # fmt: skip
    scale = counts / float(brightness)

    def strip(top: int, bottom: int, rng: np.random.Generator) -> Strip:
        abundances = _abundances(labels, top, bottom)
        expected = np.tensordot(spectra.T, abundances, 1) * (scale * thickness[top:bottom])
        data = np.minimum(rng.poisson(expected), 65535).astype(np.uint16)
        return Strip(data, None, abundances.argmax(axis=0).astype(np.int32) + 1, abundances)

    names = tuple(name for name, _, _ in CLASSES)
    pure = (spectra * scale).astype(np.float32)
    spatial = Spatial((500.0, 500.0), "um")
    return Scene("painting", size, axis, "poisson", "uint16", "counts", spatial, names, pure, seed, strip)


def _recipe(energies: NDArray[np.float64], recipe: dict[str, float], ground: float) -> NDArray[np.float64]:
    """Expected spectrum of a recipe over the ground, arbitrary scale, shape (bands,)."""
    parts = {**recipe}
    for pigment, weight in (("chalk", 0.6), ("lead white", 0.3)):
        parts[pigment] = parts.get(pigment, 0.0) + 2.2 * ground * weight
    lines = [
        (energy, weight * LINES[pigment][0] * share / 100)
        for pigment, weight in parts.items()
        for energy, share in LINES[pigment][1]
    ]
    fluorescence = _peaks(energies, lines)
    matrix = sum(weight for pigment, weight in parts.items() if pigment in ("ultramarine", "bone black", "smalt"))
    continuum = np.maximum(40.0 / energies - 1, 0) * np.exp(-((2.8 / energies) ** 2)) * _sensitivity(energies)
    continuum /= continuum.sum()
    scatter = _peaks(energies, [(20.216, 0.3), (20.074, 0.15), (22.72, 0.08), (2.958, 0.1)])
    compton = _peaks(energies, [(18.94, 0.5), (21.1, 0.1)], widen=2.0)
    light = 0.25 + 0.2 * matrix
    return fluorescence + light * continuum + 0.35 * light * (scatter + compton)


def _peaks(energies: NDArray[np.float64], lines: list[tuple[float, float]], widen: float = 1.0) -> NDArray[np.float64]:
    """Detected peaks of lines (keV, area), with a low-energy tail and silicon escape."""
    step = energies[1] - energies[0]
    found = np.zeros_like(energies)
    for energy, area in lines:
        sigma = widen * np.sqrt(28.9**2 + 0.114 * 3.65 * 1000 * energy) / 1000
        found += 0.98 * area * step * _gaussian(energies, energy, sigma)
        tail = np.exp((energies - energy) / 0.4) * (energies < energy) / 0.4
        found += 0.02 * area * step * tail
        if 1.9 < energy < 12:
            found += 0.01 * np.exp(-(energy - 2) / 3) * area * step * _gaussian(energies, energy - 1.74, sigma)
    return found


def _gaussian(x: NDArray[np.float64], centre: float, sigma: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((x - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)))


def _sensitivity(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transmission of 1 cm air and 12.5 um Be times absorption in 450 um Si (from xraydb), interpolated."""
    at = [0.5, 1.04, 1.49, 1.74, 2.31, 3.69, 6.40, 10.55, 12.6, 20.2, 25.3, 40.0]
    value = [0.0, 0.005, 0.148, 0.293, 0.584, 0.864, 0.972, 0.946, 0.832, 0.365, 0.213, 0.07]
    return np.interp(energies, at, value)


def _abundances(labels: NDArray[np.uint8], top: int, bottom: int) -> NDArray[np.float32]:
    """Shares (K, rows, x) of the classes under the beam."""
    from scipy.ndimage import gaussian_filter

    margin = 4
    first, last = max(top - margin, 0), min(bottom + margin, len(labels))
    part = labels[first:last]
    shares = np.stack([
        gaussian_filter((part == k).astype(np.float32), 0.6, truncate=4.0)[top - first : bottom - first]
        for k in range(len(CLASSES))
    ])  # fmt: skip
    return np.asarray(shares / shares.sum(axis=0), dtype=np.float32)


def _picture(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Who sits where: class indices (y, x) of a half-length portrait before a window."""
    v, u = np.meshgrid((np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size, indexing="ij")
    wobble = 0.012 * smooth_field(size, 10, rng)
    u, v = u + wobble, v + 0.012 * smooth_field(size, 10, rng)
    black, flesh, hair, robe, cloak, halo, sky, hills, parapet, retouch = range(10)
    picture = np.full((size, size), black, np.uint8)
    window = (u > 0.62) & (u < 0.95) & (v > 0.08) & (v < 0.55)
    picture[window] = sky
    picture[window & (v > 0.34 + 0.05 * np.sin(14 * u) + 0.1 * (u - 0.62))] = hills
    radius = np.hypot(u - 0.4, v - 0.3)
    picture[(radius > 0.215) & (radius < 0.25)] = halo
    body = v > 0.52 + 1.6 * (u - 0.4) ** 2
    picture[body] = robe
    picture[body & ((u < 0.4 - 0.55 * (v - 0.5)) | (u - 0.4 > 0.10 + 0.35 * (v - 0.5)))] = cloak
    picture[(((u - 0.4) / 0.165) ** 2 + ((v - 0.29) / 0.2) ** 2 < 1) & (v < 0.46)] = hair
    picture[((u - 0.41) / 0.105) ** 2 + ((v - 0.32) / 0.145) ** 2 < 1] = flesh
    picture[(np.abs(u - 0.405) < 0.05) & (v > 0.42) & (v < 0.57)] = flesh
    picture[((u - 0.3) / 0.09) ** 2 + ((v - 0.83) / 0.05) ** 2 < 1] = flesh
    picture[v > 0.88] = parapet
    signature = (np.abs(v - 0.945 - 0.012 * np.sin(60 * u)) < max(0.006, 0.6 / size)) & (u > 0.1) & (u < 0.34)
    picture[signature] = hair
    for x, y, r in ((0.17, 0.2, 0.045), (0.78, 0.7, 0.04), (0.52, 0.78, 0.03)):
        picture[np.hypot(u - x, v - y) < r] = retouch
    return picture
