"""Complex spectra whose real planes lie before their imaginary ones, as programs of interferometers write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cubeseg.cube import LazyArray
from cubeseg.errors import DataError
from cubeseg.io.derived import Derived
from cubeseg.io.lazy import Lazy, full_key

__all__ = ["THZ", "magnitudes"]

# what to say about an axis whose unit no file gives
THZ = "fr_real is taken to be in THz, as the programs that write it have it"


def magnitudes(
    data: LazyArray, lengths: Sequence[int], scale: tuple[float, float] | None, name: str
) -> tuple[LazyArray, dict[str, Any]]:
    """The spectra as real numbers.

    Parameters
    ----------
    data : LazyArray, shape (planes, y, x)
        Real numbers; or n real planes and then n imaginary ones.
    lengths : sequence of int
        Of the vectors of frequencies that lie beside them, which have n values.
    scale : (float, float), optional
        The least value and how far the greatest lies above it, of numbers that were squeezed into unsigned ones.
    name : str
        File and dataset, for messages.

    Returns
    -------
    data : LazyArray, shape (n, y, x)
    notes : dict

    Raises
    ------
    DataError
        If complex numbers were squeezed and nothing says how.
    """
    paired, squeezed = any(2 * n == data.shape[0] for n in lengths), data.dtype.kind == "u"
    if squeezed and scale is not None:
        low, step = scale[0], scale[1] / float(np.iinfo(data.dtype).max)
        data = Derived(data, lambda part, key: part * step + low)
    elif squeezed and paired:
        n = data.shape[0] // 2
        raise DataError(
            f"{name} holds {n} real planes and then {n} imaginary ones as whole numbers, and no minimum and maximum to "
            "compute them from; save it as double or single, or save its magnitude"
        )
    if not paired:
        return data, {}
    return _Magnitudes(data), {"complex": "the numbers are complex; their magnitude is used"}


class _Magnitudes(Lazy):
    ndim = 3

    def __init__(self, planes: LazyArray) -> None:
        self._planes = planes
        self.shape: tuple[int, ...] = (planes.shape[0] // 2, *planes.shape[1:])
        self.dtype = np.dtype("f8" if planes.dtype.itemsize > 4 else "f4")
        self.chunks: Any = getattr(planes, "chunks", None)

    def __getitem__(self, key: Any) -> Any:
        bands, rows, columns = full_key(key)
        both = _both(bands, self.shape[0])
        real, imaginary = (np.asarray(self._planes[part, rows, columns], self.dtype) for part in both)
        return np.hypot(real, imaginary)


def _both(bands: Any, n: int) -> tuple[Any, Any]:
    """What selects the real and the imaginary planes."""
    if not isinstance(bands, slice):
        number = range(n)[bands]
        return number, number + n
    start, stop, step = bands.indices(n)
    return slice(start, None if stop < 0 else stop, step), slice(start + n, stop + n, step)
