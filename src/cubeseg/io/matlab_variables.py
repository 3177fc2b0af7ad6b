"""The variables of a MATLAB file, whatever its version: numbers in MATLAB's axes, vectors with units, texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import normalise_unit
from cubeseg.io.layout import Vector, is_axis_word

__all__ = ["LONGEST", "Magnitude", "Reversed", "Variable", "Variables"]

# longer ones are no spectral axis
LONGEST = 1_000_000


@dataclass(frozen=True)
class Variable:
    """Shape in MATLAB's axes, type as stored, and whether it is logical or complex."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_logical: bool = False
    is_complex: bool = False


@dataclass(frozen=True)
class Variables:
    """All variables of a file; fields of structs are named ``struct.field``.

    Parameters
    ----------
    path : Path
    variables : mapping of str to Variable
        Numbers and logical values.
    small : mapping of str to array
        The values of vectors and scalars.
    texts : mapping of str to str
    source : callable (name) -> sliceable
        A variable's numbers in MATLAB's axes, with ``shape``, ``dtype`` and ``[slices]``.
    """

    path: Path
    variables: Mapping[str, Variable]
    small: Mapping[str, NDArray[Any]]
    texts: Mapping[str, str]
    source: Callable[[str], Any]

    def cubes(self) -> list[tuple[str, tuple[int, ...], Any]]:
        """Name, shape and type of the variables with three axes."""
        return [(n, v.shape, v.dtype) for n, v in self.variables.items() if len(v.shape) == 3 and not v.is_logical]

    def is_table(self, name: str | None) -> bool:
        """Whether there is a variable of that name with two axes."""
        return name is not None and name in self.variables and len(self.variables[name].shape) == 2

    def scalar(self, name: str) -> int | None:
        """A whole number by the name of a variable."""
        values = self.small.get(name)
        if values is None or values.size != 1 or values.dtype.kind not in "uif":
            return None
        value = float(values.reshape(-1)[0])
        return int(value) if value.is_integer() else None

    def vectors(self) -> list[Vector]:
        """Vectors with the unit that a text beside them says: ``wl_unit``, ``wavelength_units``, ``units``."""
        found = []
        for name, values in self.small.items():
            if values.size > 1 and values.dtype.kind in "uif":
                found.append(Vector(name, np.ravel(values).astype(np.float64), self._unit(name)))
        return found

    @staticmethod
    def nearest(vectors: Sequence[Vector], dataset: str) -> list[Vector]:
        """Vectors of the same struct first, then those with the same ending (``data_RIFLE``, ``WL_RIFLE``)."""
        struct, ending = dataset.rpartition(".")[0], dataset.rpartition("_")[2]
        return sorted(vectors, key=lambda v: (v.name.rpartition(".")[0] != struct, v.name.rpartition("_")[2] != ending))

    def notes(self) -> dict[str, Any]:
        """Texts and single numbers, for the cube's metadata."""
        numbers = {n: v.reshape(-1)[0].item() for n, v in self.small.items() if v.size == 1}
        return {name: text[:4000] for name, text in self.texts.items() if text} | numbers

    def _unit(self, name: str) -> str:
        struct, _, own = name.rpartition(".")
        words = [f"{own}_unit", f"{own}_units", f"{own}unit", f"{own}units"]
        if is_axis_word(own):
            words += ["wavelength_unit", "wavelength_units", "unit", "units"]
        beside = {n.rpartition(".")[2].lower(): t for n, t in self.texts.items() if n.rpartition(".")[0] == struct}
        for word in words:
            unit = beside.get(word.lower(), "")
            if normalise_unit(unit)[1] != "channel":
                return unit
        # of interferometers: optical frequencies
        return "THz" if own == "fr_real" else ""


class Magnitude:
    """The absolute values of complex numbers whose parts are stored apart."""

    def __init__(self, real: Any, imaginary: Any) -> None:
        self._real, self._imaginary = real, imaginary
        self.shape: tuple[int, ...] = tuple(real.shape)
        self.dtype = np.dtype("f4" if real.dtype.itemsize <= 4 and real.dtype.kind == "f" else "f8")
        self.chunks: tuple[int, ...] | None = getattr(real, "chunks", None)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        real, imaginary = (np.asarray(part[key], dtype=self.dtype) for part in (self._real, self._imaginary))
        return np.hypot(real, imaginary)


class Reversed:
    """A dataset of HDF5 (or one field of it) with its axes in MATLAB's order."""

    def __init__(self, reading: Any, dataset: Any = None, field: str = "") -> None:
        dataset = reading if dataset is None else dataset
        self._reading = reading
        self.shape: tuple[int, ...] = tuple(dataset.shape[::-1])
        self.dtype: np.dtype[Any] = dataset.dtype[field] if field else dataset.dtype
        self.chunks: tuple[int, ...] | None = dataset.chunks[::-1] if dataset.chunks else None

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (len(self.shape) - len(keys))
        return np.asarray(self._reading[keys[::-1]]).T
