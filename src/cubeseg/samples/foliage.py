"""A synthetic series of a leaf under a disease: hyperspectral reflectance, 400 to 1000 nm, on three or more days.

A leaf lies on a dark board. Its reflectance is that of the bare tissue times what pigments leave (Beer-Lambert along a
mean path, as in PROSPECT, Jacquemoud & Baret 1990, but with Gaussian absorption bands made up for this): chlorophyll
around 430, 460, 640 and 675 nm, carotenoids around 450 and 480 nm, brown pigments that fade towards the infrared; water
around 970 nm. Healthy tissue is textured: chlorophyll varies on three scales and is less in the veins. Lesions appear
after the first day and grow; each has a dead brown core and a pale rim that has lost most of its chlorophyll. Light
falls from one side, the blade is curved, and parts of it shine (a grey offset). Edges are blurred by the optics (sigma
0.7 pixels). Noise is Gaussian, independent between bands, three times as large at both ends of the range.

Left out: scattering between leaf and board, stripes and smile of a line scanner, correlations of the noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Spatial
from cubeseg.samples.scene import Scene, Strip, smooth_field

__all__ = ["LEAF_CLASSES", "leaf_scene"]

Float32 = NDArray[np.float32]

LEAF_CLASSES = ("background", "healthy tissue", "pale rim of a lesion", "dead core of a lesion")
_NOISE = 0.008
# what each kind of tissue holds of chlorophyll, carotenoids, brown pigments
_CONTENT = np.array([[1.0, 0.35, 0.0], [0.22, 0.3, 0.08], [0.02, 0.05, 1.1]], np.float32)


def leaf_scene(size: int, day: int, seed: int, n_bands: int) -> Scene:
    """The leaf on a day (0 = before the disease) as a scene; see :func:`cubeseg.samples.leaf`."""
    axis = SpectralAxis.from_values(np.linspace(400, 1000, n_bands), "nm")
    nm = axis.values
    bare = _bare(nm)
    absorption = _absorption(nm)
    board = (0.055 + 0.012 * (nm - 400) / 600 + 0.006 * _line(nm, 480, 60)).astype(np.float32)
    rng = np.random.default_rng([seed, 2])
    labels, veins = _picture(size, day, rng)
    chlorophyll = _texture(size, rng) * (1 - 0.45 * veins)
    light, shine = _light(size, rng)
    sigma = (_NOISE * (1 + 2 * (np.abs(nm - 700) / 300) ** 4)).astype(np.float32)

    def strip(top: int, bottom: int, rng: np.random.Generator) -> Strip:
        shares = _shares(labels, top, bottom)
        tissue = shares[1:]
        content = np.tensordot(_CONTENT.T, tissue / np.maximum(tissue.sum(axis=0), 1e-6), 1)
        content[0] *= chlorophyll[top:bottom]
        blade = np.exp(-np.tensordot(absorption.T, content, 1)) * bare[:, None, None] + shine[top:bottom]
        data = (blade * tissue.sum(axis=0) + board[:, None, None] * shares[0]) * light[top:bottom]
        data += rng.standard_normal(data.shape, np.float32) * sigma[:, None, None]
        return Strip(data.astype(np.float32), None, labels[top:bottom].astype(np.int32) + 1, shares)

    pure = np.stack([board, *(np.exp(-absorption.T @ c) * bare for c in _CONTENT)])
    name = f"leaf, day {day}"
    spatial = Spatial((100.0, 100.0), "um")
    states = pure[:, None].astype(np.float32)
    return Scene(name, size, axis, "unknown", "float32", "reflectance", spatial, LEAF_CLASSES, states, seed, strip)


def _line(nm: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((nm - centre) / width) ** 2))


def _bare(nm: NDArray[np.float64]) -> Float32:
    """Tissue without pigments: bright, a little less so towards the blue and where water absorbs."""
    return np.asarray(0.52 - 0.1 * np.exp(-(nm - 400) / 120) - 0.04 * _line(nm, 970, 25), dtype=np.float32)


def _absorption(nm: NDArray[np.float64]) -> Float32:
    """Absorption (3, bands) of chlorophyll, carotenoids, brown pigments at their usual content."""
    chlorophyll = 1.9 * _line(nm, 430, 22) + 1.3 * _line(nm, 460, 18) + 0.9 * _line(nm, 550, 70)
    chlorophyll += 1.2 * _line(nm, 640, 22) + 2.1 * _line(nm, 675, 17)
    carotenoids = 1.8 * _line(nm, 450, 20) + 1.6 * _line(nm, 482, 18)
    brown = 2.4 * np.exp(-(nm - 400) / 190)
    return np.stack([chlorophyll, carotenoids, brown]).astype(np.float32)


def _picture(size: int, day: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Float32]:
    """Classes (y, x), 0 = board, 1 = healthy, 2 = rim, 3 = core, and how much of a pixel is vein."""
    v, u = np.meshgrid((np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size, indexing="ij")
    wobble = 0.01 * smooth_field(size, 12, rng), 0.01 * smooth_field(size, 12, rng)
    u, v = u + wobble[0] - 0.5, v + wobble[1] - 0.5
    half = 0.3 * np.clip(1 - (v / 0.44) ** 2, 0, None) ** 0.7
    blade = (np.abs(u) < half) | ((np.abs(u) < 0.012) & (v > 0.3) & (v < 0.48))
    veins = np.exp(-np.abs(u) / 0.008) + 0.6 * np.exp(-np.abs(((v + 0.9 * np.abs(u)) * 12) % 1 - 0.5) / 0.04)
    labels = blade.astype(np.uint8)
    for born, x, y, growth in zip(*_lesions(rng), strict=True):
        radius = growth * max(day - born, 0)
        apart = np.hypot(u - x, v - y) * (1 + 0.15 * smooth_field(size, 24, rng))
        labels[blade & (apart < radius) & (labels < 2)] = 2
        labels[blade & (apart < 0.6 * radius)] = 3
    return labels, np.minimum(veins, 1).astype(np.float32)


def _lesions(rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Day of birth, place and growth per day of every lesion, all within the blade."""
    n = 14
    y = rng.uniform(-0.34, 0.34, n)
    x = rng.uniform(-0.85, 0.85, n) * 0.3 * (1 - (y / 0.44) ** 2) ** 0.7
    return rng.uniform(0, 2.5, n), x, y, rng.uniform(0.006, 0.016, n)


def _texture(size: int, rng: np.random.Generator) -> Float32:
    """Chlorophyll of healthy tissue relative to its mean, on three scales."""
    from scipy.ndimage import gaussian_filter

    fine = gaussian_filter(rng.standard_normal((size, size)).astype(np.float32), 1.2)
    fine /= fine.std()
    field = 0.12 * smooth_field(size, 6, rng) + 0.08 * smooth_field(size, 40, rng) + 0.1 * fine
    return np.asarray(np.clip(1 + field, 0.45, 1.6), dtype=np.float32)


def _light(size: int, rng: np.random.Generator) -> tuple[Float32, Float32]:
    """How bright each pixel is lit, and how much it shines."""
    ramp = np.linspace(0.65, 1.25, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    v, u = np.meshgrid(np.linspace(-0.5, 0.5, size), np.linspace(-0.5, 0.5, size), indexing="ij")
    along = np.clip(np.cos(angle) * u + np.sin(angle) * v + 0.5, 0, 1)
    light = np.interp(along, np.linspace(0, 1, size), ramp) * (1 + 0.08 * smooth_field(size, 5, rng))
    shine = 0.05 * np.clip(smooth_field(size, 9, rng) - 1.2, 0, 1.5)
    return np.clip(light, 0.3, None).astype(np.float32), shine.astype(np.float32)


def _shares(labels: NDArray[np.uint8], top: int, bottom: int) -> Float32:
    """Shares (4, rows, x) of the classes in a pixel, after the blur of the optics."""
    from scipy.ndimage import gaussian_filter

    margin = 4
    first, last = max(top - margin, 0), min(bottom + margin, len(labels))
    part = labels[first:last]
    shares = np.stack([
        gaussian_filter((part == c).astype(np.float32), 0.7, truncate=4.0)[top - first : bottom - first]
        for c in range(len(LEAF_CLASSES))
    ])  # fmt: skip
    return np.asarray(shares / shares.sum(axis=0), dtype=np.float32)
