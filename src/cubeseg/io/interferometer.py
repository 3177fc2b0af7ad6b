"""Spectra of birefringent interferometers (.h5): magnitudes, or real and imaginary planes one after the other.

Layout: the group ``SpectralHypercube`` as the MATLAB programs of these instruments write it. Complex spectra lie as
n real planes and then n imaginary ones; 16-bit ones are scaled from ``minimum`` to ``minimum + maximum``; the optical
frequencies ``fr_real`` are in THz; ``saturationMap`` is 0 where a pixel was saturated. Planes are (y, x) to NumPy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube, Source
from cubeseg.errors import DataError
from cubeseg.io.halves import THZ, magnitudes
from cubeseg.io.hdf5 import SIGNATURE, cube_of, lazy_dataset, open_hdf5
from cubeseg.io.hdf5_links import is_own, member
from cubeseg.io.layout import Vector, choose, make_axis
from cubeseg.io.registry import ReadOptions, reader

__all__: list[str] = []

_GROUP, _CUBE = "SpectralHypercube", "SpectralHypercube/Hyperspectrum_cube"
_LONGEST, _LARGEST = 1_000_000, 1 << 26


def _is_hypercube(path: Path, head: bytes) -> bool:
    if not head.startswith(SIGNATURE) or path.suffix.lower() == ".mat":
        return False
    with open_hdf5(path) as file:
        return getattr(member(file, _CUBE), "ndim", 0) == 3


@reader("SpectralHypercube", (".h5",), _is_hypercube)
def read_hypercube(path: Path, options: ReadOptions) -> Cube:
    """The magnitudes of the spectra; the planes stay in the file."""
    return cube_of(path, lambda file: _cube(path, file, options))


def _cube(path: Path, file: Any, options: ReadOptions) -> Cube:
    dataset = member(file, _CUBE)
    found = choose(str(path), [(_CUBE, dataset.shape, dataset.dtype)], [], options, {_CUBE: 0})
    if found.spectral_axis != 0 or dataset.dtype.kind not in "uif":
        raise DataError(f"{path}: the spectral axis of such a file is 0, and its values are numbers ({dataset.dtype})")
    frequencies, delays = (_numbers(file, name, _LONGEST) for name in ("fr_real", "f"))
    low, span = (_numbers(file, name, 1) for name in ("minimum", "maximum"))
    data, notes = magnitudes(
        lazy_dataset(path, dataset, (0, 1, 2)),
        [values.size for values in (frequencies, delays) if values is not None],
        None if low is None or span is None else (float(low[0]), float(span[0])),
        f"{path}: '{_CUBE}'",
    )
    vectors = [Vector("fr_real", frequencies, "THz")] if frequencies is not None else []
    axis, more = make_axis(data.shape[0], vectors, options.axis)
    if more.get("axis_from") == "fr_real":
        more["axis_guessed"] = THZ
    shape, usable = (data.shape[1], data.shape[2]), _numbers(file, "saturationMap", _LARGEST)
    mask = usable.reshape(shape) != 0 if usable is not None and usable.size == shape[0] * shape[1] else None
    return Cube(
        data,
        axis,
        mask=None if mask is None or mask.all() or not mask.any() else mask,
        source=Source(str(path), "SpectralHypercube", _CUBE, 0),
        metadata=notes | more,
    )


def _numbers(file: Any, name: str, most: int) -> NDArray[np.float64] | None:
    """A small dataset of the group, whatever its shape; None where there is none."""
    stored = member(file, f"{_GROUP}/{name}")
    if not is_own(stored) or stored.dtype.kind not in "uif" or not 0 < stored.size <= most:
        return None
    return np.asarray(stored[()], dtype=np.float64).ravel()
