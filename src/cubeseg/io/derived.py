"""Data computed from stored data when they are read: reflectance, live times, values that mean "nothing here"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cubeseg.cube import LazyArray

__all__ = ["Derived"]

Array = np.ndarray[Any, Any]


class Derived:
    """An array of the shape of another, each part computed when it is asked for.

    Parameters
    ----------
    source : LazyArray
    compute : callable (part, key) -> array
        Gets what `key` selects from `source` and the key itself; gives the same shape.
    dtype : dtype
        Of the results.
    """

    def __init__(self, source: LazyArray, compute: Callable[[Array, Any], Array], dtype: Any = np.float32) -> None:
        self._source, self._compute = source, compute
        self.shape: tuple[int, ...] = tuple(source.shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.ndim = len(self.shape)
        self.chunks: Any = getattr(source, "chunks", None)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        part = np.asarray(self._source[key])
        # damaged values become infinite or NaN, as they would in any other cube
        with np.errstate(all="ignore"):
            return self._compute(part, key).astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:, :, :], dtype=dtype)
