"""Other labels from the same run: more or less spatial coherence, without training again."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, DataError
from cubeseg.segmentation import Segmentation
from cubeseg.spatial import coherent
from cubeseg.steps import passing

__all__ = ["recohered"]


def recohered(result: Segmentation, cube: Cube | None, strength: float) -> Generator[float, None, Segmentation]:
    """Label again with another strength of the spatial coherence.

    Painted pixels hold. Class spectra follow from the pixels that change, which are read from the cube.

    Parameters
    ----------
    result : Segmentation
        Is not changed.
    cube : Cube or None
        The cube that was segmented; without it only the numbers of pixels follow.
    strength : float
        As for :func:`cubeseg.spatial.coherent`; 0 = every pixel for itself.

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    Segmentation

    Raises
    ------
    ConfigError
        If the strength is negative.
    DataError
        If the result holds no evidence, or the cube is another one.
    """
    if strength < 0:
        raise ConfigError(f"coherence cannot be negative, not {strength:g}")
    if not result.evidence.size:
        raise DataError("this segmentation does not hold the likelihoods of its classes; segment the cube again")
    usable = np.isfinite(result.reconstruction_error)
    steps = coherent(result.evidence, usable, strength, result.latent)
    clusters, confidence = yield from passing(steps, lambda part: 0.5 * part)
    labels = np.where(usable, result.lineage[clusters], 0).astype(np.int32)
    held = ~usable if result.painted is None else ~usable | result.painted
    labels[held] = result.labels[held]
    made = result.copy()
    made.coherence = strength
    rows, columns = made.changes(labels)
    for start in range(0, len(rows), 8192):
        part = slice(start, start + 8192)
        y, x = rows[part], columns[part]
        old, new = made.labels[y, x], labels[y, x]
        if cube is not None:
            made.spectra.move(made.spectra_at(cube, y, x), old, new)
        else:
            np.subtract.at(made.spectra.n, old, 1)
            np.add.at(made.spectra.n, new, 1)
        yield 0.5 + 0.5 * min(start + 8192, len(rows)) / len(rows)
    made.labels = labels
    made.confidence = np.where(held, result.confidence, confidence)
    made.log.append({"operation": "coherence", "strength": strength, "pixels": len(rows)})
    return made
