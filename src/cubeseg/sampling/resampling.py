"""A cube seen on another spectral axis: nothing is copied, every part is resampled when it is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Noise
from cubeseg.errors import ConfigError, DataError
from cubeseg.io.lazy import Lazy, full_key
from cubeseg.spectroscopy.conversion import converted

__all__ = ["resampled"]

Float64 = NDArray[np.float64]

_LEAST = 0.5


def resampled(
    cube: Cube, axis: SpectralAxis, known: Float64 | None = None, counts: bool | None = None
) -> tuple[Cube, NDArray[np.bool_]]:
    """A cube on another axis.

    Counts are shared out among the bands that they overlap, so that none is lost; other values are averaged over each
    band's width, or interpolated where the own bands are coarser. Variances follow, correlations between bands are
    left out.

    Parameters
    ----------
    cube : Cube
    axis : SpectralAxis
        Units and media are converted (:func:`cubeseg.spectroscopy.conversion.converted`).
    known : array, shape (k, bands), optional
        Spectra on that axis that a pixel may be a mixture of: bands that the cube does not cover get what the mixture
        has there that fits the others best (:func:`_completion`). What overlaps them, or zero, where not given.
    counts : bool, optional
        Whether the values are counts; as the cube says where not given.

    Returns
    -------
    cube : Cube
        The same one where it has that axis already.
    covered : array of bool, shape (bands,)
        Which bands of the axis the cube covers.

    Raises
    ------
    DataError
        If the two measure unrelated things, or the cube covers less than half of the axis.
    """
    own = _in_unit_of(cube, axis)
    step = float(np.abs(np.diff(axis.values)).min()) if len(axis) > 1 else 1.0
    if len(own) == len(axis) and np.allclose(own, axis.values, rtol=0, atol=1e-3 * step):
        return cube, np.ones(len(axis), bool)
    if not axis.calibrated:
        raise DataError(
            f"{cube.name}: has {cube.n_bands} bands, the model {len(axis)} and no calibration; calibrate both"
        )
    counts = cube.noise.kind == "poisson" if counts is None else counts
    weights, covered = _weights(own, axis.values, counts)
    used = float(covered.mean())
    if used < _LEAST:
        raise DataError(
            f"{cube.name}: {_range(own, axis.unit)} covers {100 * used:.0f} % of the model's range, "
            f"{_range(axis.values, axis.unit)}; at least half of it is needed"
        )
    missing = _Missing(covered, None if known is None else _completion(known, covered, counts), counts)
    noise = cube.noise
    if noise.variance is not None:
        variance = _Resampled(_Variance(noise, cube.data), weights**2, _Missing(covered, None, False))
        noise = Noise(noise.kind, variance)
    return replace(cube, data=_Resampled(cube.data, weights, missing), axis=axis, noise=noise), covered


def _completion(known: Float64, covered: NDArray[np.bool_], counts: bool) -> tuple[Float64, Float64]:
    """From covered bands to the others, by way of the best mixture of known spectra.

    Least squares, weighted by the inverse of the mean spectrum for counts, with a small ridge because known spectra are
    alike.

    Parameters
    ----------
    known : array, shape (k, bands)
    covered : array of bool, shape (bands,)
    counts : bool

    Returns
    -------
    fit : array, shape (k, covered bands)
        Times a spectrum: how much it has of each known one.
    rest : array, shape (other bands, k)
        Times that: what it has in the other bands.
    """
    known = np.nan_to_num(known)
    known = known / np.maximum(np.abs(known).sum(axis=1, keepdims=True), 1e-300)
    near, rest = known[:, covered], known[:, ~covered].T
    mean = near.mean(axis=0)
    weight = 1 / np.maximum(mean, 1e-3 * mean.max()) if counts else np.ones(near.shape[1])
    gram = (near * weight) @ near.T
    gram += np.eye(len(gram)) * max(float(np.trace(gram)) / len(gram) * 1e-3, 1e-300)
    return np.asarray(np.linalg.solve(gram, near * weight), np.float64), rest


class _Missing:
    """Fills the bands that are not covered.

    Parameters
    ----------
    covered : array of bool, shape (bands,)
    completion : (array, array) or None
        As :func:`_completion` gives it; None = they stay as they are.
    counts : bool
        Values are not negative.
    """

    def __init__(self, covered: NDArray[np.bool_], completion: tuple[Float64, Float64] | None, counts: bool) -> None:
        self._covered, self._completion, self._counts = covered, completion, counts

    def fill(self, values: NDArray[np.float32]) -> None:
        """In place, for values of shape (bands, n)."""
        if self._completion is None or self._covered.all():
            return
        fit, rest = self._completion
        made = (rest @ (fit @ values[self._covered])).astype(np.float32)
        values[~self._covered] = np.maximum(made, 0) if self._counts else made


class _Variance:
    """Variances however the file has them, as an array."""

    def __init__(self, noise: Noise, data: Any) -> None:
        self._noise, self.shape = noise, data.shape
        self.chunks = getattr(noise.variance, "chunks", None)

    def __getitem__(self, key: Any) -> Any:
        return self._noise.variance_of(key)


class _Resampled(Lazy):
    """Bands that are weighted sums of others; (bands, y, x).

    Parameters
    ----------
    source : array-like, shape (own bands, y, x)
    weights : array, shape (bands, own bands)
    missing : _Missing
    """

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, source: Any, weights: Float64, missing: _Missing) -> None:
        from scipy.sparse import csr_array

        self._source, self._missing = source, missing
        self._weights = csr_array(weights.astype(np.float32))
        self.shape = (len(weights), *source.shape[1:])
        chunks = getattr(source, "chunks", None)
        self.chunks = None if not chunks or not isinstance(chunks[1], int) else (self.shape[0], *chunks[1:])

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        bands, *place = full_key(key)
        part = np.asarray(self._source[(slice(None), *place)], dtype=np.float32)
        flat = part.reshape(len(part), -1)
        finite = np.isfinite(flat)
        whole = bool(finite.all())
        made: NDArray[np.float32] = self._weights @ (flat if whole else np.where(finite, flat, 0))
        if not whole:
            # a band is made of the values that are there, and is none where most of them are not
            there = self._weights @ finite.astype(np.float32)
            full = np.maximum(self._weights.sum(axis=1)[:, None], np.float32(1e-12))
            with np.errstate(divide="ignore", invalid="ignore"):
                made = np.where(there > 0.5 * full, made * full / there, np.nan).astype(np.float32)
        self._missing.fill(made)
        found: NDArray[np.float32] = made.reshape(len(made), *part.shape[1:])[bands]
        return found


def _weights(own: Float64, wanted: Float64, counts: bool) -> tuple[Float64, NDArray[np.bool_]]:
    """Shares of own bands in the wanted ones, (wanted, own), and which of these are covered."""
    low, high = _edges(own)
    to_low, to_high = _edges(wanted)
    overlap = np.minimum(to_high[:, None], high) - np.maximum(to_low[:, None], low)
    overlap = np.maximum(overlap, 0)
    covered = overlap.sum(axis=1) > 0.5 * (to_high - to_low)
    coarser = np.median(to_high - to_low) >= 0.999 * np.median(high - low)
    if counts:
        # what lies in a band that is half covered or less is counted all the same
        return overlap / (high - low), covered
    if coarser:
        weights = overlap / np.maximum(overlap.sum(axis=1, keepdims=True), 1e-300)
    else:
        order = np.argsort(own)
        unit = np.eye(len(own))[order]
        weights = np.stack([np.interp(wanted, own[order], column) for column in unit.T], axis=1)
    return np.where(covered[:, None], weights, 0.0), covered


def _edges(values: Float64) -> tuple[Float64, Float64]:
    """Lower and upper edges of bands with these centres, which rise or fall."""
    if len(values) == 1:
        return values - 0.5, values + 0.5
    middle = (values[1:] + values[:-1]) / 2
    edges = np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])
    return np.minimum(edges[1:], edges[:-1]), np.maximum(edges[1:], edges[:-1])


def _in_unit_of(cube: Cube, axis: SpectralAxis) -> Float64:
    own = cube.axis
    if own.kind == axis.kind and own.unit == axis.unit and own.medium == axis.medium:
        return own.values
    try:
        return converted(own, axis.unit, medium=axis.medium, rest=axis.rest or None).values
    except ConfigError as error:
        raise DataError(
            f"{cube.name}: its axis, {own.label}, does not fit the model's, {axis.label}: {error}"
        ) from error


def _range(values: Float64, unit: str) -> str:
    return f"{values.min():.5g} to {values.max():.5g} {unit}".strip()
