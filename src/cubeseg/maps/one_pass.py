"""Several images of a cube made in one pass, of which only the bands that they need are read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube
from cubeseg.errors import ConfigError
from cubeseg.pages import let_go

__all__ = ["Recipe", "one_pass", "place"]

Float32 = NDArray[np.float32]
Bands = NDArray[np.intp]

# bands between two wanted ones that are read along, rather than reading twice
_GAP = 8
# where nothing is known of the layout, so many times the wanted bands are read at once, rather than all places twice
_ALONG = 4


class Recipe(Protocol):
    """How the values of some bands become those of an image."""

    @property
    def bands(self) -> Bands:
        """The bands that are needed, rising."""

    def take(self, values: Float32, there: NDArray[np.bool_]) -> NDArray[Any]:
        """The image (..., h, w) of `values` (bands, h, w), which are 0 where they are not `there`."""


def one_pass(
    cube: Cube, recipes: Sequence[Recipe], block_bytes: int = 16 << 20
) -> Generator[float, None, list[Float32]]:
    """Read what is needed once, block by block, and make all images of it.

    Parameters
    ----------
    cube : Cube
    recipes : sequence of Recipe
    block_bytes : int
        Size of the parts in which the cube is read; a few times as much is held at once.

    Yields
    ------
    float
        Part of the cube that is done.

    Returns
    -------
    list of array, shape (..., y, x)
        One for each recipe. Masked pixels and values that are not finite are not `there`.

    Raises
    ------
    ConfigError
        If there is nothing to make.
    DataError
        If a part of the file cannot be read.
    """
    if not recipes:
        raise ConfigError("maps: say what is to be mapped")
    wanted = np.unique(np.concatenate([recipe.bands for recipe in recipes]))
    runs = _runs(cube, wanted)
    places = [place(wanted, recipe.bands) for recipe in recipes]
    # a block is as large as is read of it, not as all its bands are
    size = block_bytes * cube.n_bands // max(1, max(len(wanted), max(run[-1] + 1 - run[0] for run in runs)))
    floating = np.dtype(cube.data.dtype).kind == "f"
    made: list[Float32] = []
    seen = 0
    for rows, columns in cube.places(size):
        values = _read(cube, runs, rows, columns)
        there = np.isfinite(values) if floating else np.broadcast_to(np.True_, values.shape)
        if cube.mask is not None:
            there = there & cube.mask[rows, columns]
        if not there.all():
            np.copyto(values, 0, where=~there)
        images = [recipe.take(values[at], there[at]) for recipe, at in zip(recipes, places, strict=True)]
        made = made or [np.full(image.shape[:-2] + cube.image_shape, np.nan, np.float32) for image in images]
        for whole, part in zip(made, images, strict=True):
            whole[..., rows, columns] = part
        seen += there.shape[1] * there.shape[2]
        yield seen / cube.n_pixels
    return made


def _runs(cube: Cube, wanted: Bands) -> list[Bands]:
    """The wanted bands in groups, each of which is read at once: no chunk of the file is fetched twice."""
    chunks: Any = getattr(cube.data, "chunks", None)
    span = int(wanted[-1] - wanted[0]) + 1
    if not chunks and not isinstance(cube.data, np.ndarray) and span <= _ALONG * len(wanted):
        return [wanted]
    if not chunks:
        number = np.arange(cube.n_bands)
    elif isinstance(chunks[0], tuple):
        number = np.repeat(np.arange(len(chunks[0])), chunks[0])
    else:
        number = np.arange(cube.n_bands) // int(chunks[0])
    apart = (np.diff(wanted) > _GAP) & (np.diff(number[wanted]) > 0)
    ends = [0, *(np.flatnonzero(apart) + 1), len(wanted)]
    return [wanted[first:last] for first, last in pairwise(ends)]


def _read(cube: Cube, runs: list[Bands], rows: slice, columns: slice) -> Float32:
    """The wanted bands of a rectangle, shape (wanted, h, w)."""
    parts = []
    for run in runs:
        part = np.asarray(cube.data[int(run[0]) : int(run[-1]) + 1, rows, columns])
        kept = part if len(part) == len(run) else part[run - run[0]]
        parts.append(np.array(kept, dtype=np.float32))
        del part, kept
        let_go(cube.data)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def place(wanted: Bands, bands: Bands) -> slice | Bands:
    """Where bands lie among the wanted ones; neighbours as a slice, which takes no copy."""
    if not len(bands):
        return slice(0, 0)
    at = np.searchsorted(wanted, bands)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) == at[-1] + 1 - at[0] else at
