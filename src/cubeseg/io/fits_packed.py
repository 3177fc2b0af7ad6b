"""Images of FITS files that are compressed tile by tile, unpacked by a process of its own.

The decoders are C code that damaged tiles can crash.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.io.isolated import isolated, scratch
from cubeseg.io.layout import check_claim

__all__ = ["unpacked"]

# of the unpacked values, at a time
_PART = 64 << 20


def unpacked(path: str, number: int, shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    """All values of an extension, as a memory map of a temporary file.

    Parameters
    ----------
    path : str
    number : int
        Of the extension.
    shape, dtype
        Of the values as they will be.
    size : int
        Bytes of the file.

    Returns
    -------
    array of `shape`

    Raises
    ------
    DataError
        If the tiles are damaged, or claim to be larger than they can be.
    """
    needed = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    check_claim(path, size, needed)
    seconds = 120 + needed / 10e6
    memory = needed + (2 << 30)
    values: NDArray[Any] = isolated(
        _unpack, path, number, list(shape), dtype.str, name=path, seconds=seconds, memory=memory
    )
    return values


def _unpack(path: str, number: int, shape: list[int], dtype: str) -> NDArray[Any]:
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = scratch(tuple(shape), np.dtype(dtype), path)
        with fits.open(path, memmap=True, lazy_load_hdus=False) as hdus:
            hdu = hdus[number]
            # whole tiles, so that none is unpacked twice
            deep = max(1, int((getattr(hdu, "tile_shape", None) or (1,))[0]))
            plane = max(1, int(np.prod(shape[1:], dtype=np.int64)) * values.dtype.itemsize)
            step = max(1, _PART // (deep * plane)) * deep
            for start in range(0, shape[0], step):
                values[start : start + step] = hdu.section[start : start + step]
    return values
