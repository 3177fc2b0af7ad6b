"""What a cube is, in plain values, for people and programs."""

from __future__ import annotations

from typing import Any

from cubeseg.cube import Cube
from cubeseg.sampling.preprocess import usable_pixels
from cubeseg.sampling.probe import probe

__all__ = ["describe", "notes"]

# what readers leave in the metadata for people to know
_NOTES = (
    "partial", "axis_guessed", "axis_rejected", "first_only", "not_used", "pixel_order", "references", "unplaced",
    "summed", "ignored", "live_time", "byte_order", "copied_from",
)  # fmt: skip


def notes(cube: Cube) -> list[str]:
    """What people should know about how a cube was read, one sentence each."""
    said = [str(cube.metadata[name]) for name in _NOTES if name in cube.metadata]
    given = cube.metadata.get("band_names")
    names = [str(name)[:40] for name in given] if isinstance(given, list) else []
    return said + ([f"bands are named {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"] if names else [])


def describe(cube: Cube) -> dict[str, Any]:
    """Facts about a cube; reads it once to count the pixels that cannot be used.

    Returns
    -------
    dict
        path, format, dataset, shape (bands, y, x), dtype, spectral_axis (name, kind, unit, first, last,
        bands, calibrated, medium), unit (of the spectral axis), data_unit, noise, variance (whether stored),
        masked_pixels, pixel_size, pixel_unit, wcs (whether known), notes (see :func:`notes`).
    """
    import numpy as np

    found = probe(cube)
    bands = np.flatnonzero(found.bands)
    usable = sum(int(usable_pixels(block, bands).sum()) for block in cube.blocks())
    axis = cube.axis
    return {
        "path": cube.source.path,
        "format": cube.source.format,
        "dataset": cube.source.dataset,
        "shape": [cube.n_bands, *cube.image_shape],
        "dtype": str(np.dtype(cube.data.dtype)),
        "spectral_axis": {
            "name": axis.name,
            "kind": axis.kind,
            "unit": axis.unit,
            "first": float(axis.values[0]),
            "last": float(axis.values[-1]),
            "bands": len(axis),
            "calibrated": axis.calibrated,
            "medium": axis.medium,
        },
        "unit": axis.unit,
        "data_unit": cube.unit,
        "noise": found.noise,
        "variance": cube.noise.variance is not None,
        "masked_pixels": cube.n_pixels - usable,
        "pixel_size": list(cube.spatial.pixel_size),
        "pixel_unit": cube.spatial.unit,
        "wcs": bool(cube.spatial.wcs),
        "notes": notes(cube),
    }
