"""Other labels from the same run: more or less spatial coherence, without training again."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.spatial import coherent
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, DataError
from cubeseg.parallel.executor import HERE, Executor
from cubeseg.record.logbook import entry
from cubeseg.segmentation import Segmentation
from cubeseg.statistics import ClassSpectra
from cubeseg.steps import passing

__all__ = ["accumulate", "gained", "moved", "recohered"]

Int32 = NDArray[np.int32]


def recohered(result: Segmentation, cube: Cube | None, strength: float) -> Generator[float, None, Segmentation]:
    """Label again with another strength of the spatial coherence.

    Painted pixels and locked classes hold. Class spectra follow from the pixels that change, which are read from the
    cube.

    Parameters
    ----------
    result : Segmentation
        Is not changed.
    cube : Cube or None
        The cube that was segmented; without it only the numbers of pixels follow.
    strength : float
        As for :func:`cubeseg.clustering.spatial.coherent`; 0 = every pixel for itself.

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
    held = ~usable | result.held
    labels[held] = result.labels[held]
    made = result.copy()
    made.coherence = strength
    moving = moved(made.spectra, cube, made.labels, labels)
    yield from passing(moving, lambda part: 0.5 + 0.5 * part)
    changed = int((made.labels != labels).sum())
    made.labels = labels
    made.confidence = np.where(held, result.confidence, confidence)
    made.log.append(entry("coherence", strength=strength, pixels=changed, before=result.coherence))
    return made


def moved(
    spectra: ClassSpectra, cube: Cube | None, old: Int32, new: Int32, executor: Executor = HERE
) -> Generator[float, None, None]:
    """Let sums follow a change of labels (y, x); only pixels that change are read, a few thousand at a time.

    Parameters
    ----------
    spectra : ClassSpectra
        Of the old labels; is changed.
    cube : Cube or None
        Without it only the numbers of pixels follow.
    old, new : arrays of int32, shape (y, x)
    executor : Executor
        Where pixels are read.

    Yields
    ------
    float
        Part of the work that is done.
    """
    rows, columns = np.nonzero(old != new)
    few = max(256, (8 << 20) // (4 * spectra.n_bands))

    def changes() -> Iterator[_Change]:
        for start in range(0, len(rows), few):
            y, x = rows[start : start + few], columns[start : start + few]
            yield y, x, old[y, x], new[y, x]

    if cube is None:
        spectra.grow(int(new.max(initial=0)) + 1)
        np.subtract.at(spectra.n, old[rows, columns], 1)
        np.add.at(spectra.n, new[rows, columns], 1)
    elif len(rows):
        done = 0
        with closing(executor.map(_sums, cube, changes())) as parts:
            for part in parts:
                if part is not None:
                    accumulate(spectra, part)
                    done += few
                yield min(done / len(rows), 1.0)
    yield 1.0


def gained(
    cube: Cube, pixels: tuple[NDArray[np.intp], NDArray[np.intp]], old: Int32, new: Int32
) -> Generator[float, None, ClassSpectra]:
    """What the sums of the classes gain (negative where they lose) by pixels that change their label.

    Parameters
    ----------
    cube : Cube
    pixels : (rows, columns)
        Arrays of shape (n,).
    old, new : arrays of int32, shape (n,)

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    ClassSpectra
        Its numbers of pixels are gains too.
    """
    rows, columns = pixels
    change = ClassSpectra(cube.n_bands, int(max(old.max(initial=0), new.max(initial=0))) + 1)
    few = max(256, (8 << 20) // (4 * cube.n_bands))
    for start in range(0, len(rows), few):
        part = slice(start, start + few)
        accumulate(change, _sums(cube, (rows[part], columns[part], old[part], new[part])))
        yield min((start + few) / len(rows), 1.0)
    return change


def accumulate(spectra: ClassSpectra, part: ClassSpectra) -> None:
    """Add the sums of other pixels."""
    spectra.grow(len(part.n))
    here = slice(len(part.n))
    spectra.n[here] += part.n
    spectra.total[here] += part.total
    spectra.squares[here] += part.squares
    spectra.finite[here] += part.finite


# rows and columns of pixels (n,), their old and their new labels
_Change = tuple[NDArray[np.intp], NDArray[np.intp], Int32, Int32]


def _sums(cube: Cube, change: _Change) -> ClassSpectra:
    """What has to be added to the sums; below zero for labels that lose pixels."""
    y, x, old, new = change
    made = ClassSpectra(cube.n_bands)
    made.move(cube.spectra(y, x), old, new)
    return made
