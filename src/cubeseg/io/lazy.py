"""Any sliceable source seen as (bands, y, x), without reading it."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["AxisView"]


class AxisView:
    """A view of a stored array with its axes in the order (bands, y, x).

    Parameters
    ----------
    source : sliceable
        HDF5 dataset, FITS section...: ``shape``, ``dtype`` and ``[slices]``.
    order : (int, int, int)
        Which stored axes are bands, y and x.
    shape, dtype
        Of the source, where it has none itself.

    Notes
    -----
    Stored axes that `order` leaves out are fixed at index 0 (FITS: the Stokes axis).
    """

    def __init__(
        self, source: Any, order: tuple[int, int, int], shape: tuple[int, ...] | None = None, dtype: Any = None
    ) -> None:
        self._source, self._order = source, order
        self._stored = tuple(int(n) for n in (source.shape if shape is None else shape))
        self.dtype: np.dtype[Any] = np.dtype(source.dtype if dtype is None else dtype)
        self.shape: tuple[int, ...] = tuple(self._stored[n] for n in order)
        self.ndim = 3
        chunks = getattr(source, "chunks", None)
        self.chunks: tuple[int, ...] | None = tuple(int(chunks[n]) for n in order) if chunks else None

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys = keys[:at] + (slice(None),) * (3 - len(keys) + 1) + keys[at + 1 :]
        keys = keys + (slice(None),) * (3 - len(keys))
        stored: list[Any] = [0] * len(self._stored)
        for axis, wanted in zip(self._order, keys, strict=True):
            stored[axis] = wanted if isinstance(wanted, slice) else self._index(wanted, self._stored[axis])
        part = np.asarray(self._source[tuple(stored)])
        # integers drop their axis: order the axes that remain
        kept = [axis for axis in sorted(self._order) if isinstance(stored[axis], slice)]
        wanted_order = [axis for axis in self._order if isinstance(stored[axis], slice)]
        return part.transpose([kept.index(axis) for axis in wanted_order])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self[:, :, :], dtype=dtype)

    @staticmethod
    def _index(wanted: Any, length: int) -> int:
        index = int(wanted)
        if not -length <= index < length:
            raise IndexError(f"index {index} is out of range for {length} values")
        return index % length
