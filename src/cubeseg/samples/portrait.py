"""A synthetic MA-XRF scan: a portrait painted with the pigments of the 15th to 17th century, and one retouch.

Each class is a recipe of pigments in oil, painted over a ground of chalk and lead white on wood. The spectrum of a
recipe comes from the forward model of :mod:`cubeseg.samples.fluorescence` with the whole stack of layers, so that the
paint hides more of the ground where it is thick: line ratios change with thickness, inside a class. Thickness varies
smoothly by 20 % (tier 3 adds a gradient across the picture). The beam (sigma 0.6 pixels) mixes neighbours at edges.
Photons are counted: Poisson.

Tiers
-----
1. five distinct areas, 5000 counts per pixel;
2. ten paints, most of them mixtures, one of them rare (2 %), 400 counts;
3. as 2, with twins (azurite beside verdigris: the same element, told apart by amount and ground), more ultramarine,
   which hardly fluoresces, a gradient of thickness, 100 counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Spatial
from cubeseg.samples.fluorescence import AIR, Layer, detected, emitted
from cubeseg.samples.scene import Scene, Strip, smooth_field

__all__ = ["PIGMENTS", "TIER_COUNTS", "painting_scene"]

# formula and density (g/cm^3); ochre and smalt as mixtures by mass
PIGMENTS: dict[str, tuple[tuple[tuple[str, float], ...], float]] = {
    "lead white": ((("Pb3C2O8H2", 1.0),), 6.8),
    "vermilion": ((("HgS", 1.0),), 8.1),
    "azurite": ((("Cu3C2O8H2", 1.0),), 3.8),
    "verdigris": ((("CuC4H6O4", 1.0),), 1.9),
    "ultramarine": ((("Na7Al6Si6O24S3", 1.0),), 2.4),
    "ochre": ((("Fe2O3", 0.55), ("Al2Si2O9H4", 0.36), ("K2O", 0.03), ("CaCO3", 0.04), ("TiO2", 0.01),
               ("MnO2", 0.01)), 3.4),
    "lead-tin yellow": ((("Pb2SnO4", 1.0),), 8.0),
    "titanium white": ((("TiO2", 1.0),), 4.2),
    "bone black": ((("Ca3P2O8", 0.8), ("C", 0.2)), 2.6),
    "smalt": ((("SiO2", 0.70), ("K2O", 0.17), ("CoO", 0.10), ("As2O3", 0.025), ("Fe2O3", 0.005)), 2.5),
    "chalk": ((("CaCO3", 1.0),), 2.7),
}  # fmt: skip
_OIL, _OIL_DENSITY = ("C57H98O6", 0.93), 0.93

# name, recipe (volumes of pigments), thickness of the paint in um
_PAINTS: dict[str, tuple[str, dict[str, float], float]] = {
    "background": ("background, bone black", {"bone black": 0.85, "ochre": 0.06}, 25),
    "flesh": ("flesh, lead white and vermilion", {"lead white": 0.75, "vermilion": 0.12}, 20),
    "hair": ("hair, ochre", {"ochre": 0.5, "bone black": 0.4}, 20),
    "robe": ("robe, ultramarine", {"ultramarine": 0.9, "lead white": 0.04}, 20),
    "cloak": ("cloak, vermilion", {"vermilion": 0.5, "lead white": 0.05}, 15),
    "halo": ("halo, lead-tin yellow", {"lead-tin yellow": 0.8, "ochre": 0.05}, 15),
    "sky": ("sky, azurite", {"azurite": 0.3, "lead white": 0.45}, 20),
    "hills": ("hills, smalt", {"smalt": 0.95, "azurite": 0.03}, 25),
    "parapet": ("parapet, lead white and chalk", {"lead white": 0.3, "chalk": 0.7}, 25),
    "retouch": ("retouch, titanium white", {"titanium white": 0.7, "lead white": 0.1}, 20),
    "leaves": ("hills, verdigris", {"verdigris": 0.9, "lead white": 0.1}, 30),
    "azurite": ("sky, azurite", {"azurite": 0.55, "lead white": 0.12}, 15),
    "glaze": ("robe, ultramarine", {"ultramarine": 1.0}, 20),
}
_TIERS = {
    1: ("background", "flesh", "robe", "cloak", "sky"),
    2: ("background", "flesh", "hair", "robe", "cloak", "halo", "sky", "hills", "parapet", "retouch"),
    3: ("background", "flesh", "hair", "glaze", "cloak", "halo", "azurite", "leaves", "parapet", "retouch"),
}
TIER_COUNTS = {1: 5000.0, 2: 400.0, 3: 100.0}
_GROUND = Layer((("CaCO3", 0.72), ("Pb3C2O8H2", 0.18), (_OIL[0], 0.10)), 100e-4 * 2.2)
_WOOD = Layer((("C6H10O5", 1.0),), 0.5 * 0.6)
_THICKNESS = np.geomspace(0.35, 2.8, 7)  # relative to the nominal one


@dataclass(frozen=True, eq=False)
class _Table:
    """Expected spectra of every class at every thickness, (classes, thicknesses, bands)."""

    spectra: NDArray[np.float32]

    def mixed(self, abundances: NDArray[np.float32], thickness: NDArray[np.float32]) -> NDArray[np.float32]:
        """Expected spectra (bands, rows, x) of mixtures (classes, rows, x) at a thickness (rows, x)."""
        step = np.log(_THICKNESS[1] / _THICKNESS[0])
        place = np.clip(np.log(thickness / _THICKNESS[0]) / step, 0, len(_THICKNESS) - 1.001)
        low = place.astype(np.intp)
        upper = (place - low).astype(np.float32)
        weights = np.zeros((len(_THICKNESS), *thickness.shape), np.float32)
        np.put_along_axis(weights, low[None], 1 - upper[None], 0)
        np.put_along_axis(weights, low[None] + 1, upper[None], 0)
        k, t, bands = self.spectra.shape
        both = (abundances[:, None] * weights).reshape(k * t, -1)
        return (self.spectra.reshape(k * t, bands).T @ both).reshape(bands, *thickness.shape)


def painting_scene(size: int, counts: float, seed: int, n_bands: int, tier: int) -> Scene:
    """The portrait as a scene; see :func:`cubeseg.samples.painting`."""
    axis = SpectralAxis.from_values(_energies(n_bands), "keV")
    table = _Table(np.stack([_spectra(n_bands, paint) for paint in _TIERS[tier]]).astype(np.float32))
    rng = np.random.default_rng([seed, 1])
    labels = _picture(size, tier, rng)
    thickness = np.exp(0.2 * smooth_field(size, 6, rng) - 0.02)
    if tier == 3:
        thickness *= np.geomspace(0.6, 1.6, size, dtype=np.float32)
    # brightness is linear in the spectra, so a table of one band tells that of the whole picture
    glow = _Table(table.spectra.sum(axis=2, keepdims=True))
    strips = [slice(top, min(top + 64, size)) for top in range(0, size, 64)]
    total = sum(
        float(glow.mixed(_abundances(labels, s.start, s.stop, len(table.spectra)), thickness[s]).sum()) for s in strips
    )
    table = _Table(table.spectra * np.float32(counts * size**2 / total))

    def strip(top: int, bottom: int, rng: np.random.Generator) -> Strip:
        abundances = _abundances(labels, top, bottom, len(table.spectra))
        expected = table.mixed(abundances, thickness[top:bottom])
        data = np.minimum(rng.poisson(expected), 65535).astype(np.uint16)
        return Strip(data, None, abundances.argmax(axis=0).astype(np.int32) + 1, abundances)

    names = tuple(_PAINTS[paint][0] for paint in _TIERS[tier])
    at = np.quantile(thickness, np.linspace(0.1, 0.9, 5)).astype(np.float32)
    pure = np.eye(len(names), dtype=np.float32)
    states = np.stack([table.mixed(np.repeat(row[:, None, None], 5, 2), at[None])[:, 0].T for row in pure])
    spatial = Spatial((500.0, 500.0), "um")
    return Scene("painting", size, axis, "poisson", "uint16", "counts", spatial, names, states, seed, strip)


def _energies(n_bands: int) -> NDArray[np.float64]:
    return np.linspace(0.5, 38.5, n_bands)


@cache
def _spectra(n_bands: int, paint: str) -> NDArray[np.float64]:
    """Expected spectra of a paint at all thicknesses, arbitrary scale, shape (thicknesses, bands)."""
    _, recipe, micrometres = _PAINTS[paint]
    # two volumes of pigment to one of oil
    oil = 0.5 * sum(recipe.values())
    volume = sum(recipe.values()) + oil
    parts = [(_OIL[0], oil * _OIL_DENSITY)]
    for pigment, amount in recipe.items():
        composition, density = PIGMENTS[pigment]
        parts += [(formula, amount * density * share) for formula, share in composition]
    density = sum(mass for _, mass in parts) / volume
    layer = density * micrometres * 1e-4
    return np.stack([
        detected(_energies(n_bands), *emitted((AIR, Layer(tuple(parts), layer * factor), _GROUND, _WOOD)))
        for factor in _THICKNESS
    ])  # fmt: skip


def _abundances(labels: NDArray[np.uint8], top: int, bottom: int, k: int) -> NDArray[np.float32]:
    """Shares (K, rows, x) of the classes under the beam."""
    from scipy.ndimage import gaussian_filter

    margin = 4
    first, last = max(top - margin, 0), min(bottom + margin, len(labels))
    part = labels[first:last]
    shares = np.stack([
        gaussian_filter((part == c).astype(np.float32), 0.6, truncate=4.0)[top - first : bottom - first]
        for c in range(k)
    ])  # fmt: skip
    return np.asarray(shares / shares.sum(axis=0), dtype=np.float32)


def _picture(size: int, tier: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Who sits where: class indices (y, x) of a half-length portrait before a window."""
    v, u = np.meshgrid((np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size, indexing="ij")
    wobble = 0.012 * smooth_field(size, 10, rng)
    u, v = u + wobble, v + 0.012 * smooth_field(size, 10, rng)
    black, flesh, hair, robe, cloak, halo, sky, hills, parapet, retouch = range(10)
    if tier == 1:
        black, flesh, hair, robe, cloak, halo, sky, hills, parapet, retouch = 0, 1, 0, 2, 3, 1, 4, 4, 3, 1
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
