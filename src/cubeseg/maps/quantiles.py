"""Medians, percentiles and largest values of the classes, from a few hundred of their pixels."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube

__all__ = ["Quantiles", "class_quantiles"]

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Quantiles:
    """What a class's pixels have, band by band.

    Attributes
    ----------
    low, median, high, largest : arrays of float32, shape (bands,)
        16th percentile, median, 84th percentile (which enclose as much as ± one standard deviation of a normal
        distribution), largest value.
    pixels : int
        How many pixels were looked at.
    """

    low: Float32
    median: Float32
    high: Float32
    largest: Float32
    pixels: int


def class_quantiles(
    cube: Cube, labels: NDArray[np.int32], per_class: int = 400, seed: int = 0
) -> Generator[float, None, dict[int, Quantiles]]:
    """Quantiles of every class, from at most so many of its pixels, chosen at random.

    Parameters
    ----------
    cube : Cube
    labels : array of int32, shape (y, x)
        Of the same image; 0 is left out.
    per_class : int
    seed : int

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    dict of int to Quantiles
    """
    import warnings

    rng = np.random.default_rng(seed)
    flat, width = labels.ravel(), labels.shape[1]
    found: dict[int, Quantiles] = {}
    ids = [int(i) for i in np.unique(flat) if i]
    for done, class_id in enumerate(ids):
        yield done / len(ids)
        where = np.flatnonzero(flat == class_id)
        if len(where) > per_class:
            where = np.sort(rng.choice(where, per_class, replace=False))
        spectra = cube.spectra(*np.divmod(where, width))
        with warnings.catch_warnings():
            # a band may have no value in any of the pixels
            warnings.simplefilter("ignore", RuntimeWarning)
            low, median, high = np.nanpercentile(spectra, (16, 50, 84), axis=0).astype(np.float32)
            found[class_id] = Quantiles(low, median, high, np.nanmax(spectra, axis=0), len(where))
    return found
