"""Data computed from stored data when they are read: reflectance, live times, values that mean "nothing here"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cubeseg.cube import LazyArray
from cubeseg.io.lazy import Lazy

__all__ = ["Derived"]

Array = np.ndarray[Any, Any]


class Derived(Lazy):
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
        # through which the pages of a mapped file are found
        self.base = source
        self.shape: tuple[int, ...] = tuple(source.shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.ndim = len(self.shape)
        self.chunks: Any = getattr(source, "chunks", None)

    def __getitem__(self, key: Any) -> Any:
        part = np.asarray(self._source[key])
        # damaged values become infinite or NaN, as they would in any other cube
        with np.errstate(all="ignore"):
            return self._compute(part, key).astype(self.dtype, copy=False)
