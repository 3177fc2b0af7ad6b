"""What lies beside a FITS cube: variance, flags of single values, a mask of pixels, a white-light image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import LazyArray
from cubeseg.io.lazy import Lazy
from cubeseg.io.white import is_white

__all__ = ["Flagged", "Role", "bad_bits", "role_of", "white_light"]

# whether the extension holds the inverse, and whether it holds squares
_VARIANCE = {
    "STAT": (False, True), "VAR": (False, True), "VARIANCE": (False, True), "IVAR": (True, True),
    "ERR": (False, False), "ERROR": (False, False), "UNCERT": (False, False), "SIGMA": (False, False),
    "NOISE": (False, False), "STDDEV": (False, False), "RMS": (False, False),
}  # fmt: skip
_MASKS = ("DQ", "MASK", "BADPIX", "QUALITY", "FLAGS")
# ESO's and astropy's words for what an extension holds
_HDUCLAS3 = {"MSE": (False, True), "RMSE": (False, False), "INVMSE": (True, True), "INVRMSE": (True, False)}
_UTYPE = {
    "VARIANCEUNCERTAINTY": (False, True), "STDDEVUNCERTAINTY": (False, False), "INVERSEVARIANCE": (True, True),
}  # fmt: skip
# MaNGA's DRP3PIXMASK: no coverage, dead fibre, do not use; low coverage and foreground stars are information
_MANGA = 1 << 0 | 1 << 2 | 1 << 10
# JWST: DO_NOT_USE; all other bits explain it, or are information
_JWST = 1 << 0


@dataclass(frozen=True)
class Role:
    """What an extension is to the cube.

    Parameters
    ----------
    kind : {"variance", "mask", ""}
    inverse, squared : bool
        Of a variance, see :class:`cubeseg.cube.Noise`.
    one_is_good : bool
        Of a mask.
    rank : int
        Lower goes first where an extension of the same kind is there twice.
    """

    kind: str
    inverse: bool = False
    squared: bool = True
    one_is_good: bool = False
    rank: int = 0


def role_of(hdu: Any) -> Role:
    """What an extension is, by ESO's keywords or else by its name (``STAT``, ``IFU.1.NOISE``...)."""
    name = str(hdu.name).upper().rsplit(".", 1)[-1]
    what, how = (str(hdu.header.get(key, "")).strip().upper() for key in ("HDUCLAS2", "HDUCLAS3"))
    if what == "ERROR" and how in _HDUCLAS3:
        return Role("variance", *_HDUCLAS3[how])
    if what == "QUALITY":
        return Role("mask", one_is_good=how == "MASKONE")
    if name in _VARIANCE:
        said = str(hdu.header.get("UTYPE", "")).strip().upper()
        return Role("variance", *_UTYPE.get(said, _VARIANCE[name]))
    if name in _MASKS:
        return Role("mask", rank=_MASKS.index(name))
    return Role("")


def bad_bits(hdus: Any, header: Any) -> int:
    """The bits of a flag that make a value unusable; all where the instrument is not known."""
    said = {key: str(header.get(key) or hdus[0].header.get(key, "")).upper() for key in ("TELESCOP", "MASKNAME")}
    if said["TELESCOP"] == "JWST":
        return _JWST
    if "DRP3PIXMASK" in said["MASKNAME"]:
        return _MANGA
    return -1


def white_light(hdus: Any, shape: tuple[int, ...]) -> int | None:
    """The number of the extension that holds an image of that shape summed over the bands; None where there is none."""
    for number, hdu in enumerate(hdus):
        if getattr(hdu, "is_image", False) and hdu.shape == shape and is_white(str(hdu.name)):
            return number
    return None


class Flagged(Lazy):
    """Data whose flagged values read as NaN.

    Parameters
    ----------
    data : LazyArray, shape (bands, y, x)
    flags : LazyArray, shape (bands, y, x)
        Whole numbers, or floats that are 0 where a value is good.
    bits : int
        Which bits count; -1 for all.
    one_is_good : bool
        Flags are 1 where a value is good.
    """

    def __init__(self, data: LazyArray, flags: LazyArray, bits: int = -1, one_is_good: bool = False) -> None:
        self._data, self._flags, self._bits, self._one_is_good = data, flags, bits, one_is_good
        self.shape: tuple[int, ...] = tuple(data.shape)
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.ndim = 3
        chunks = getattr(data, "chunks", None)
        if chunks:
            self.chunks = chunks

    def __getitem__(self, key: Any) -> Any:
        values = np.asarray(self._data[key], dtype=np.float32)
        return np.where(self.bad(key), np.float32(np.nan), values)

    def bad(self, key: Any) -> NDArray[np.bool_]:
        """Which values of a part are flagged."""
        flags = np.asarray(self._flags[key])
        if self._one_is_good:
            return np.asarray(flags != 1)
        if self._bits == -1 or flags.dtype.kind == "f":
            # NaN differs from 0, so it is bad
            return np.asarray(flags != 0)
        return np.asarray((flags.astype(np.int64) & self._bits) != 0)
