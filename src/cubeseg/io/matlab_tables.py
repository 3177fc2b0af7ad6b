"""Cubes that are stored as a table, (bands x pixels) or (pixels x bands): which, how large, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import LazyArray
from cubeseg.errors import ConfigError
from cubeseg.io.lazy import AxisView
from cubeseg.io.matlab_variables import Variables
from cubeseg.io.registry import Candidate, ChoiceNeeded, ReadOptions, Setting

__all__ = ["SETTINGS", "Table", "find_table"]

PixelOrder = Literal["column-major", "row-major"]

SETTINGS = (
    Setting("height", "Height of the image in pixels, for tables of pixels"),
    Setting("width", "Width of the image in pixels, for tables of pixels"),
    Setting(
        "order",
        "Order of the pixels in a table",
        (("column-major", "down each column (MATLAB)"), ("row-major", "along each row")),
        "column-major",
    ),
)
_NAMES = ("Y", "V", "X", "R", "data", "data_RIFLE", "XRFdata", "XRF_data", "spectra", "HyperMatrix")
_SIZES = (("lines", "cols"), ("nRow", "nCol"), ("H", "W"), ("rows", "columns"), ("rows", "cols"), ("height", "width"))


@dataclass(frozen=True)
class Table:
    """A cube stored as a table.

    Parameters
    ----------
    name : str
    bands : {0, 1}
        Which axis of the table counts bands.
    height, width : int
        Of the image, in pixels.
    order : {"column-major", "row-major"}
        Whether neighbouring pixels of the table lie below or beside each other.
    notes : mapping
        What was assumed.
    """

    name: str
    bands: int
    height: int
    width: int
    order: PixelOrder = "column-major"
    notes: Mapping[str, Any] = field(default_factory=dict)

    def unfold(self, source: Any, path: str) -> LazyArray:
        """The table as (bands, y, x), without copying it.

        Parameters
        ----------
        source : sliceable
            Of two axes; arrays lie in Fortran order.
        path : str
            For messages.
        """
        fast, slow = (self.height, self.width) if self.order == "column-major" else (self.width, self.height)
        if not isinstance(source, np.ndarray):
            order = (2, 1, 0) if self.order == "column-major" else (2, 0, 1)
            return AxisView(_Unfolded(source, self.bands, slow, fast), order, name=path)
        if self.bands == 0:
            cube = source.reshape(source.shape[0], fast, slow, order="F")
        else:
            cube = source.reshape(fast, slow, source.shape[1], order="F").transpose(2, 0, 1)
        return cube if self.order == "column-major" else cube.transpose(0, 2, 1)


class _Unfolded:
    """A table that can only be read in parts, as (slow, fast, bands)."""

    def __init__(self, source: Any, bands: int, slow: int, fast: int) -> None:
        self._source, self._bands = source, bands
        self.shape = (slow, fast, int(source.shape[bands]))
        self.dtype: np.dtype[Any] = source.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        slow, fast, bands = (slice(k, k + 1) if isinstance(k, int) else k for k in key)
        lines = range(*slow.indices(self.shape[0]))
        start, stop, step = fast.indices(self.shape[1])
        if lines and lines.step == 1 and len(range(start, stop, step)) == self.shape[1]:
            whole = self._part(slice(lines[0] * self.shape[1], (lines[-1] + 1) * self.shape[1]), bands)
            part = whole.reshape(len(lines), self.shape[1], -1)
        else:
            first = (line * self.shape[1] for line in lines)
            rows = [self._part(slice(at + start, at + stop, step), bands) for at in first]
            part = np.stack(rows) if rows else np.empty((0, 0, 0), self.dtype)
        return part[tuple(0 if isinstance(k, int) else slice(None) for k in key)]

    def _part(self, pixels: slice, bands: slice) -> NDArray[Any]:
        """Pixels by bands."""
        if self._bands == 0:
            return np.asarray(self._source[bands, pixels]).T
        return np.asarray(self._source[pixels, bands])


def find_table(found: Variables, options: ReadOptions) -> Table | None:
    """The table that is the cube; None where there is none.

    Raises
    ------
    ChoiceNeeded
        If nothing says the height and width of its image.
    ConfigError
        If those that the user says do not fit.
    """
    height, width = (_whole(options.settings.get(name, ""), name) for name in ("height", "width"))
    name = _name(found, options, said=bool(height or width))
    if name is None:
        return None
    shape = found.variables[name].shape
    order: PixelOrder = "row-major" if options.settings.get("order") == "row-major" else "column-major"
    notes = {"pixel_order": order if "order" in options.settings else f"{order} (assumed, as MATLAB writes)"}
    axes = [1, 0] if shape[1] >= shape[0] else [0, 1]
    lengths = {vector.values.size for vector in found.vectors() if vector.spectral}
    if options.spectral_axis is not None:
        if options.spectral_axis not in (0, 1, -1, -2):
            raise ConfigError(f"there is no axis {options.spectral_axis}; the table '{name}' has axes 0 and 1")
        axes = [1 - options.spectral_axis % 2]
    elif shape[0] != shape[1] and (known := [1 - n for n in (0, 1) if shape[n] in lengths]) and len(known) == 1:
        axes = known
    if height or width:
        for pixels in axes:
            tall = height or shape[pixels] // width
            wide = width or shape[pixels] // height
            if tall * wide == shape[pixels]:
                return Table(name, 1 - pixels, tall, wide, order, notes)
        raise ConfigError(
            f"an image of {height or '?'} x {width or '?'} pixels does not fit the table '{name}' "
            f"of {shape[0]} x {shape[1]}"
        )
    stated = list(_stated(found))
    for pixels in sorted(axes, reverse=True):
        for size in stated:
            if size[0] * size[1] == shape[pixels]:
                return Table(name, 1 - pixels, *size, order, notes)
    for tall, wide, why in _guesses(found, shape[axes[0]]):
        return Table(name, 1 - axes[0], tall, wide, order, notes | {"image_size_guessed": why})
    raise ChoiceNeeded(
        f"{found.path}: '{name}' is a table of {shape[0]} x {shape[1]}; nothing says its image's height and width: "
        "say height and width, add the variables nRow and nCol, or store it as rows x columns x bands",
        str(found.path),
        (Candidate(name, shape, str(found.variables[name].dtype), 1 - axes[0]),),
        SETTINGS,
    )


def _name(found: Variables, options: ReadOptions, said: bool) -> str | None:
    if options.dataset is not None:
        return options.dataset if found.is_table(options.dataset) else None
    tables = [
        name for name, v in found.variables.items()
        if len(v.shape) == 2 and min(v.shape) > 1 and not v.is_logical
    ]  # fmt: skip
    named = [name for wanted in _NAMES for name in tables if name.rsplit(".", 1)[-1] == wanted]
    if not named and said:
        named = sorted(tables, key=lambda name: -int(np.prod(found.variables[name].shape)))
    return named[0] if named else None


def _whole(text: str, name: str) -> int:
    if not text:
        return 0
    if not text.strip().isdecimal() or int(text) < 1:
        raise ConfigError(f"{name} is a number of pixels, not '{text}'")
    return int(text)


def _stated(found: Variables) -> Iterator[tuple[int, int]]:
    """Heights and widths that the file states."""
    structs = {name.rpartition(".")[0] for name in found.small}
    for struct in sorted(structs):
        for rows, columns in _SIZES:
            tall, wide = (found.scalar(f"{struct}.{name}" if struct else name) for name in (rows, columns))
            if tall and wide and tall > 0 and wide > 0:
                yield tall, wide


def _guesses(found: Variables, pixels: int) -> Iterator[tuple[int, int, str]]:
    """Of another variable with as many pixels; a square."""
    for name, variable in found.variables.items():
        shape = variable.shape
        if len(shape) >= 2 and shape[0] > 1 and shape[1] > 1 and shape[0] * shape[1] == pixels:
            yield shape[0], shape[1], f"height and width are those of '{name}'"
    side = round(pixels**0.5)
    if side > 1 and side * side == pixels:
        yield side, side, "the image is taken to be square"
