"""A look at the whole cube in one pass: the sum image, the mean spectrum, the largest value of every band."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube

__all__ = ["Overview", "overview"]


@dataclass(frozen=True, eq=False)
class Overview:
    """What one pass over a cube gives.

    Attributes
    ----------
    image : array of float32, shape (y, x)
        Sum over all bands, missing values left out; NaN where a pixel has none, or the file masks it.
    mean : array of float32, shape (bands,)
        Mean spectrum of the pixels that are not masked.
    highest : array of float32, shape (bands,)
        Largest value of every band ("maximum pixel spectrum", Bright & Newbury 2004): a line that only a few pixels
        have is seen here, and not in the mean.
    coarse : array of the cube's type, shape (bands, h, w)
        Every n-th pixel in both directions; (bands, 0, 0) where it was not asked for.
    """

    image: NDArray[np.float32]
    mean: NDArray[np.float32]
    highest: NDArray[np.float32]
    coarse: NDArray[Any]


def overview(cube: Cube, block_bytes: int = 32 << 20, coarse_bytes: int = 0) -> Generator[float, None, Overview]:
    """Read the cube once, block by block.

    Parameters
    ----------
    cube : Cube
    block_bytes : int
        Size of the parts in which it is read.
    coarse_bytes : int
        Size of the coarse cube that is wanted beside; 0 = none.

    Yields
    ------
    float
        Part of the cube that is done.

    Returns
    -------
    Overview

    Raises
    ------
    DataError
        If a part of the file cannot be read.
    """
    image = np.full(cube.image_shape, np.nan, np.float32)
    total = np.zeros(cube.n_bands)
    number = np.zeros(cube.n_bands, np.int64)
    highest = np.full(cube.n_bands, -np.inf, np.float32)
    coarse, step = _empty(cube, coarse_bytes)
    seen = 0
    for block in cube.blocks(block_bytes):
        there = np.isfinite(block.data)
        there &= block.mask
        values = np.where(there, block.data, np.float32(0))
        sums = values.sum(axis=0, dtype=np.float64)
        image[block.rows, block.columns] = np.where(there.any(axis=0), sums, np.nan)
        total += values.sum(axis=(1, 2), dtype=np.float64)
        number += there.sum(axis=(1, 2))
        highest = np.maximum(highest, np.where(there, block.data, np.float32(-np.inf)).max(axis=(1, 2)))
        if coarse.size:
            top, left = -block.rows.start % step, -block.columns.start % step
            part = block.data[:, top::step, left::step]
            y, x = (block.rows.start + top) // step, (block.columns.start + left) // step
            coarse[:, y : y + part.shape[1], x : x + part.shape[2]] = part
        seen += block.mask.size
        yield seen / cube.n_pixels
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (total / number).astype(np.float32)
    return Overview(image, mean, np.where(np.isfinite(highest), highest, np.float32(np.nan)), coarse)


def _empty(cube: Cube, limit: int) -> tuple[NDArray[Any], int]:
    """Room for a coarse cube of at most `limit` bytes, and its step in pixels."""
    size = np.dtype(cube.data.dtype).itemsize * cube.n_bands
    step = max(1, int(np.ceil(np.sqrt(cube.n_pixels * size / limit)))) if limit else 0
    shape = tuple(-(-n // step) if step else 0 for n in cube.image_shape)
    return np.zeros((cube.n_bands, *shape), cube.data.dtype), step
