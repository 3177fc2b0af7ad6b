"""Bands of a cube whose layout makes them slow to read: shown coarsely at once, and exactly when they have come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube
from cubeseg.io.cubefile import band_cost
from cubeseg.io.lazy import full_key
from cubeseg.pages import mapping

__all__ = ["CheckedBands", "SlowBands", "bands_of", "is_slow"]

# a band that takes more of the file than this, and much more than its own size, does not follow the slider
_LARGE = 64 << 20
_KEPT = 6


def is_slow(cube: Cube) -> bool:
    """Whether fetching a band would hold up the window."""
    plane = cube.n_pixels * np.dtype(cube.data.dtype).itemsize
    cost = band_cost(cube)
    return cost > _LARGE and cost > 4 * plane


def bands_of(cube: Cube) -> Any:
    """What a layer shows of a cube."""
    if is_slow(cube):
        # napari shows a band while it makes the layer, so a slow one must not be read there
        return SlowBands(cube)
    return cube.data if mapping(cube.data) is None else CheckedBands(cube)


class CheckedBands:
    """The data of a layer that lies in a file mapped into memory: the file is looked at before anything is read.

    Parameters
    ----------
    cube : Cube

    Raises
    ------
    DataError
        On reading, where the file has become shorter: reading on would end napari.
    """

    ndim = 3

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        self.shape: tuple[int, ...] = tuple(cube.data.shape)
        self.dtype = np.dtype(cube.data.dtype)

    def __getitem__(self, key: Any) -> Any:
        self._cube.check()
        return self._cube.data[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :], dtype=dtype)


class SlowBands:
    """The data of a layer: whole bands come from what is at hand, everything else from the file.

    Parameters
    ----------
    cube : Cube

    Attributes
    ----------
    missing : callable (band)
        Called when a band is asked for that has not been read; what is shown meanwhile is coarse, or empty.
    coarse : array (bands, h, w), optional
        Every n-th pixel in both directions.
    """

    ndim = 3

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        self.shape: tuple[int, ...] = tuple(cube.data.shape)
        self.dtype = np.dtype(cube.data.dtype)
        self.missing: Callable[[int], None] = lambda band: None
        self.coarse: NDArray[Any] | None = None
        self._read: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def __getitem__(self, key: Any) -> Any:
        keys = full_key(key)
        whole = all(isinstance(k, slice) and k == slice(None) for k in keys[1:])
        if not whole:
            self._cube.check()
            return self._cube.data[key]
        if isinstance(keys[0], (int, np.integer)):
            return self._band(int(keys[0]))
        # napari asks for a band as a slice of one
        chosen = range(self.shape[0])[keys[0]] if isinstance(keys[0], slice) else ()
        return self._band(chosen[0])[np.newaxis] if len(chosen) == 1 else self._cube.data[key]

    def _band(self, band: int) -> NDArray[Any]:
        if band in self._read:
            self._read.move_to_end(band)
            return self._read[band]
        self.missing(band)
        # it may have been read at once
        return self._read[band] if band in self._read else self._coarsely(band)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._cube.data[:, :, :], dtype=dtype)

    def put(self, band: int, values: NDArray[Any]) -> None:
        """Keep a band (y, x) that has been read."""
        self._read[band] = values
        while len(self._read) > _KEPT:
            self._read.popitem(last=False)

    def fetch(self, band: int) -> Generator[float, None, NDArray[Any]]:
        """Read a band exactly, strip by strip, so that it can be given up between two of them."""
        height, width = self._cube.image_shape
        values = np.empty((height, width), self.dtype)
        tall = max(1, height // 256)
        for top in range(0, height, tall):
            self._cube.check()
            values[top : top + tall] = self._cube.data[band, top : top + tall]
            yield min(top + tall, height) / height
        return values

    def _coarsely(self, band: int) -> NDArray[Any]:
        height, width = self._cube.image_shape
        if self.coarse is None:
            return np.zeros((height, width), self.dtype)
        few = self.coarse[band]
        rows = np.arange(height) * few.shape[0] // height
        columns = np.arange(width) * few.shape[1] // width
        return np.asarray(few[np.ix_(rows, columns)])
