"""Which reference spectra a spectrum resembles most: the spectral angle on the common range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError, DataError
from cubeseg.references.library import Library
from cubeseg.references.library_files import load_library

__all__ = ["Library", "Match", "Removal", "continuum_removed", "load_library", "match"]

Float64 = NDArray[np.float64]
Removal = Literal["none", "offset", "continuum"]

# spectra that cover less of the common range are not compared: their angle would be that of another range
_COVERED = 0.9


@dataclass(frozen=True)
class Match:
    """A reference spectrum and how near it is.

    Attributes
    ----------
    name : str
    angle : float
        Radians; 0 = the same shape, pi/2 = nothing in common.
    low, high : float
        First and last band that were compared, in the unit of the axis.
    bands : int
        How many were compared.
    index : int
        Of the spectrum in the library.
    """

    name: str
    angle: float
    low: float
    high: float
    bands: int
    index: int


def match(
    spectrum: ArrayLike,
    library: Library,
    n: int = 5,
    *,
    axis: SpectralAxis | None = None,
    remove: Removal = "none",
    low: float = -np.inf,
    high: float = np.inf,
) -> tuple[Match, ...]:
    """The reference spectra nearest to a spectrum, the nearest first.

    The measure is the spectral angle (Kruse et al. 1993, Remote Sens. Environ. 44, 145), which brightness does not
    change; with the offset removed it is that of the correlation (de Carvalho & Meneses 2000).

    Parameters
    ----------
    spectrum : array-like, shape (bands,)
        NaN where there is no value.
    library : Library
        On the axis of the spectrum, or on any other if `axis` is given.
    n : int
        How many to return.
    axis : SpectralAxis, optional
        Of the spectrum; the library is brought to it.
    remove : {"none", "offset", "continuum"}
        Subtract the mean, or divide by the upper hull (:func:`continuum_removed`), of both.
    low, high : float
        Compare only bands between the two, in the unit of the axis.

    Returns
    -------
    tuple of Match
        Fewer than `n` where the library has fewer.

    Raises
    ------
    DataError
        If the spectrum does not fit the library, or fewer than three bands can be compared.
    ConfigError
        If there is no such removal.
    """
    if remove not in ("none", "offset", "continuum"):
        raise ConfigError(f"remove: '{remove}' is unknown; there are none, offset and continuum")
    given = np.asarray(spectrum, dtype=np.float64)
    there = library if axis is None else library.on(axis)
    if given.shape != (len(there.axis),):
        raise DataError(f"the spectrum has shape {given.shape}, the library {len(there.axis)} bands")
    at = there.axis.values
    if axis is not None and axis.values[0] > axis.values[-1]:
        given = given[::-1]
    finite = np.isfinite(there.values)
    common = np.isfinite(given) & finite.any(axis=0) & (at >= low) & (at <= high)
    if common.sum() < 3:
        raise DataError(
            f"{there.source or 'the library'}: {common.sum()} bands can be compared with the spectrum, at least 3 are "
            "needed"
        )
    found = []
    groups: dict[bytes, list[int]] = {}
    for index in range(len(there)):
        groups.setdefault((common & finite[index]).tobytes(), []).append(index)
    for members in groups.values():
        mine = common & finite[members[0]]
        if mine.sum() < max(3, _COVERED * common.sum()):
            continue
        x = at[mine]
        angles = _angles(
            _prepared(x, given[None, mine], remove)[0], _prepared(x, there.values[members][:, mine], remove)
        )
        found += [
            Match(there.names[index], float(angle), float(x[0]), float(x[-1]), len(x), index)
            for index, angle in zip(members, angles, strict=True)
            if np.isfinite(angle)
        ]
    return tuple(sorted(found, key=lambda one: one.angle)[: max(n, 0)])


def continuum_removed(at: ArrayLike, spectra: ArrayLike) -> Float64:
    """Spectra divided by their upper convex hulls (Clark & Roush 1984, J. Geophys. Res. 89, 6329).

    Parameters
    ----------
    at : array-like, shape (bands,)
        Rising.
    spectra : array-like, shape (bands,) or (n, bands)
        Finite.

    Returns
    -------
    array of the shape of `spectra`
        1 on the hull, less inside absorption bands.
    """
    x, y = np.asarray(at, dtype=np.float64), np.atleast_2d(np.asarray(spectra, dtype=np.float64))
    hull = y.copy()
    rows, bands = np.arange(len(y)), np.arange(len(x))
    corner = np.zeros(len(y), np.intp)
    # from corner to corner of all hulls at once: the next one is where the slope is steepest
    while (corner < len(x) - 1).any():
        start = y[rows, corner][:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.where(bands > corner[:, None], (y - start) / (x - x[corner][:, None]), -np.inf)
        further = np.where(corner < len(x) - 1, slope.argmax(axis=1), len(x) - 1)
        steepest = np.where(corner < len(x) - 1, slope.max(axis=1), 0.0)[:, None]
        between = (bands > corner[:, None]) & (bands < further[:, None])
        hull = np.where(between, start + steepest * (x - x[corner][:, None]), hull)
        corner = further
    with np.errstate(invalid="ignore", divide="ignore"):
        made = np.where(hull > 0, y / hull, 1.0)
    return np.asarray(made.reshape(np.shape(spectra)))


def _prepared(at: Float64, spectra: Float64, remove: Removal) -> Float64:
    if remove == "offset":
        return np.asarray(spectra - spectra.mean(axis=1, keepdims=True))
    return continuum_removed(at, spectra) if remove == "continuum" else spectra


def _angles(one: Float64, others: Float64) -> Float64:
    """Angles between a vector and others (n, bands); by chords, which keep the digits that arc cosines lose."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        u = one / np.linalg.norm(one)
        v = others / np.linalg.norm(others, axis=1, keepdims=True)
        return np.asarray(2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1)))
