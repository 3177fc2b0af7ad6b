"""What labels, dimension scales and NeXus attributes of an HDF5 dataset say about its axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from cubeseg.cube import Spatial
from cubeseg.io.flat import length_unit
from cubeseg.io.hdf5_links import is_own, member, text
from cubeseg.io.layout import Vector, is_axis_word

__all__ = ["long_axes", "named_axis", "pixel_size", "vector_of"]


def vector_of(item: Any, known: bool = False) -> Vector:
    """A 1-D dataset, with what its attributes say about its unit."""
    return Vector(
        item.name.strip("/"), np.asarray(item[()], dtype=np.float64), _unit(item), text(item.attrs.get("medium", "")),
        known,
    )  # fmt: skip


def named_axis(dataset: Any, plot: Any | None = None) -> tuple[int, Vector | None] | None:
    """The axis that dimension labels, dimension scales or NeXus attributes call spectral, and its scale.

    The number counts the axes that :func:`long_axes` keeps; `plot` is the NXdata group whose signal this is.
    """
    group = dataset.parent if plot is None else plot
    near = {**dict(dataset.parent.attrs), **dict(group.attrs), **dict(dataset.attrs)}
    labels, nexus = _per_axis(dataset, "DIMENSION_LABELS"), _nexus(dataset, plot)
    spectrum = text(near.get("interpretation", "")) == "spectrum"
    for n, axis in enumerate(long_axes(dataset.shape)):
        scales = _scales(dataset, axis, plot)
        names = [text(labels[axis]) if labels else "", *(scale.name or "" for scale in _attached(dataset, axis))]
        if nexus:
            names.append(nexus[axis])
        last = spectrum and axis == dataset.ndim - 1
        # 'C' is the channel of the Image File Format of HDF5, as in cathodoluminescence
        if last or any(is_axis_word(name) or name in ("C", "E") for name in names if name):
            fitting = [scale for scale in scales if _fits(scale, dataset.shape[axis])]
            return n, vector_of(fitting[0], known=True) if fitting else None
    return None


def pixel_size(dataset: Any, y: int, x: int, plot: Any | None = None) -> Spatial:
    """The size of a pixel from the scales of two axes, in the unit that people use; pixels where they do not tell.

    A scale is the size itself, as SVI's and Delmic's layout has it (http://www.svi.nl/HDF5), or even positions.
    """
    found = [next((step for scale in _scales(dataset, n, plot) if (step := _step(scale))), None) for n in (y, x)]
    height, width = found
    if height is None or width is None or height[1] != width[1]:
        return Spatial()
    size, unit = (height[0], width[0]), width[1]
    if unit == "m" and max(size) < 1e-3:
        factor, unit = (1e9, "nm") if max(size) < 1e-7 else (1e6, "um")
        size = (size[0] * factor, size[1] * factor)
    return Spatial(size, unit)


def long_axes(shape: tuple[int, ...]) -> list[int]:
    """The axes of an array that count: all three, or those longer than one of an array that has more."""
    return list(range(3)) if len(shape) == 3 else [n for n, length in enumerate(shape) if length > 1]


def _scales(dataset: Any, axis: int, plot: Any | None) -> list[Any]:
    """What the file has as scales of an axis."""
    scales = _attached(dataset, axis)
    if nexus := _nexus(dataset, plot):
        scales.append(member(dataset.parent if plot is None else plot, nexus[axis]))
    return scales


def _attached(dataset: Any, axis: int) -> list[Any]:
    """The dimension scales of an axis."""
    # not through dataset.dims: HDF5's own code for scales aborts the process on damaged references
    lists = _per_axis(dataset, "DIMENSION_LIST")
    return [dataset.file[reference] for reference in (lists[axis] if lists else [])]


def _nexus(dataset: Any, plot: Any | None) -> list[str]:
    """The names of all axes that NeXus gives; empty where it gives none, or others than there are."""
    group = dataset.parent if plot is None else plot
    near = {**dict(dataset.parent.attrs), **dict(group.attrs), **dict(dataset.attrs)}
    axes = np.atleast_1d(np.asarray(near.get("axes", [])))
    return [text(name) for name in axes] if axes.dtype.kind in "SOU" and axes.size == dataset.ndim else []


def _step(scale: Any) -> tuple[float, str] | None:
    """How far apart neighbours are, and the unit of length; None where the scale does not say."""
    if not is_own(scale) or scale.dtype.kind not in "uif" or scale.ndim > 1 or scale.size > 1_000_000:
        return None
    unit, values = length_unit(_unit(scale)), np.asarray(scale[()], dtype=np.float64)
    steps = np.diff(values) if values.ndim else np.array([values])
    if (
        not unit
        or not steps.size
        or not np.isfinite(steps).all()
        or not np.allclose(steps, steps[0], rtol=1e-3, atol=0)
    ):
        return None
    return (abs(float(steps[0])), unit) if steps[0] else None


def _unit(item: Any) -> str:
    return text(item.attrs.get("unit", item.attrs.get("units", item.attrs.get("UNIT", ""))))


def _fits(scale: Any, length: int) -> bool:
    """Whether an object of the file is a vector of numbers of that length."""
    return getattr(scale, "shape", None) == (length,) and scale.dtype.kind in "uif" and is_own(scale)


def _per_axis(dataset: Any, name: str) -> list[Any]:
    """An attribute with one value for each axis; nothing where it has another number of them."""
    value = dataset.attrs.get(name)
    return list(value) if isinstance(value, np.ndarray) and value.shape == (dataset.ndim,) else []
