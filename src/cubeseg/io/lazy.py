"""Any sliceable source seen as (bands, y, x), without reading it."""

from __future__ import annotations

from threading import RLock
from typing import Any

import numpy as np

from cubeseg.errors import DataError

__all__ = ["AxisView", "Lazy", "full_key"]

# sections of FITS files share one file position: the viewer's thread and the training's must take turns
_TURN = RLock()


def full_key(key: Any) -> tuple[Any, Any, Any]:
    """What selects from (bands, y, x), one part for each axis, however it was abbreviated."""
    keys = key if isinstance(key, tuple) else (key,)
    at = next((n for n, part in enumerate(keys) if part is Ellipsis), len(keys))
    rest = keys[at + 1 :]
    bands, rows, columns = keys[:at] + (slice(None),) * (3 - at - len(rest)) + rest
    return bands, rows, columns


class Lazy:
    """What all arrays (bands, y, x) have in common that are read when they are asked."""

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self[:, :, :], dtype=dtype)


class AxisView(Lazy):
    """A view of a stored array with its axes in the order (bands, y, x).

    Parameters
    ----------
    source : sliceable
        HDF5 dataset, FITS section...: ``shape``, ``dtype`` and ``[slices]``.
    order : (int, int, int)
        Which stored axes are bands, y and x.
    shape, dtype
        Of the source, where it has none itself.
    name : str
        The file, for messages.

    Raises
    ------
    DataError
        On reading, where the file turns out to be damaged.

    Notes
    -----
    Stored axes that `order` leaves out are fixed at index 0 (FITS: the Stokes axis). Whole numbers and slices
    of any step select along each axis; nothing else of the source is read. Reading is safe from any thread.
    """

    def __init__(
        self,
        source: Any,
        order: tuple[int, int, int],
        shape: tuple[int, ...] | None = None,
        dtype: Any = None,
        name: str = "this cube",
    ) -> None:
        self._source, self._order, self._name = source, order, name
        self._stored = tuple(int(n) for n in (source.shape if shape is None else shape))
        self.dtype: np.dtype[Any] = np.dtype(source.dtype if dtype is None else dtype)
        self.shape: tuple[int, ...] = tuple(self._stored[n] for n in order)
        self.ndim = 3
        chunks = getattr(source, "chunks", None)
        self.chunks: tuple[int, ...] | None = tuple(int(chunks[n]) for n in order) if chunks else None

    def __getitem__(self, key: Any) -> Any:
        keys = full_key(key)
        stored: list[Any] = [0] * len(self._stored)
        turned = []
        for axis, wanted in zip(self._order, keys, strict=True):
            if not isinstance(wanted, slice):
                stored[axis] = self._index(wanted, self._stored[axis])
                continue
            stored[axis], backwards = self._forwards(wanted, self._stored[axis])
            turned.append(slice(None, None, -1 if backwards else 1))
        part = self._read(tuple(stored))
        # integers drop their axis: order the axes that remain
        kept = [axis for axis in sorted(self._order) if isinstance(stored[axis], slice)]
        wanted_order = [axis for axis in self._order if isinstance(stored[axis], slice)]
        return part.transpose([kept.index(axis) for axis in wanted_order])[tuple(turned)]

    def _read(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        try:
            with _TURN:
                return np.asarray(self._source[key])
        except MemoryError:
            raise
        except Exception as error:
            # what h5py, zlib or astropy throw at a damaged part, long after the file was opened
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            raise DataError(f"{self._name}: a part of it cannot be read, it is damaged ({reason})") from error

    @staticmethod
    def _forwards(wanted: slice, length: int) -> tuple[slice, bool]:
        """The same values in rising order, for sources (HDF5) that know no other."""
        chosen = range(*wanted.indices(length))
        if not chosen:
            return slice(0, 0), False
        first, last = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        return slice(first, last + 1, abs(chosen.step)), chosen.step < 0

    @staticmethod
    def _index(wanted: Any, length: int) -> int:
        index = int(wanted)
        if not -length <= index < length:
            raise IndexError(f"index {index} is out of range for {length} values")
        return index % length
