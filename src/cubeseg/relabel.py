"""Other labels from the same run: more or less spatial coherence, without training again."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, DataError
from cubeseg.segmentation import Segmentation
from cubeseg.spatial import coherent
from cubeseg.statistics import ClassSpectra
from cubeseg.steps import passing

__all__ = ["moved", "recohered"]


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
    if cube is not None and (cube.image_shape != result.labels.shape or cube.n_bands != len(result.axis)):
        raise DataError(f"{cube.name}: is not the cube that was segmented, its size differs")
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
    moving = moved(made.spectra, cube, made.labels, labels)
    yield from passing(moving, lambda part: 0.5 + 0.5 * part)
    changed = int((made.labels != labels).sum())
    made.labels = labels
    made.confidence = np.where(held, result.confidence, confidence)
    made.log.append({"operation": "coherence", "strength": strength, "pixels": changed})
    return made


def moved(
    spectra: ClassSpectra, cube: Cube | None, old: NDArray[np.int32], new: NDArray[np.int32]
) -> Generator[float, None, None]:
    """Let sums follow a change of labels (y, x); only pixels that change are read, a few thousand at a time.

    Parameters
    ----------
    spectra : ClassSpectra
        Of the old labels; is changed.
    cube : Cube or None
        Without it only the numbers of pixels follow.
    old, new : arrays of int32, shape (y, x)

    Yields
    ------
    float
        Part of the work that is done.
    """
    rows, columns = np.nonzero(old != new)
    few = max(1024, (32 << 20) // (4 * spectra.n_bands))
    for start in range(0, len(rows), few):
        y, x = rows[start : start + few], columns[start : start + few]
        spectra.grow(int(max(old[y, x].max(), new[y, x].max())) + 1)
        if cube is None:
            np.subtract.at(spectra.n, old[y, x], 1)
            np.add.at(spectra.n, new[y, x], 1)
        else:
            spectra.move(cube.spectra(y, x), old[y, x], new[y, x])
        yield start / len(rows)
    yield 1.0
