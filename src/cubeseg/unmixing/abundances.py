"""Non-negative abundances of known components: exact, many pixels at a time, the same memory however large the cube."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Abundances", "nonnegative"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_SWEEPS, _ROUNDS, _REWEIGHTED = 12, 16, 3
# pixels that are solved together where each has a metric of its own
_FEW = 512


def nonnegative(
    gram: NDArray[np.floating],
    products: NDArray[np.floating],
    start: NDArray[np.floating] | None = None,
    sweeps: int = _SWEEPS,
    price: float = 0.0,
) -> Float64:
    """Coordinate descent for min ½ c G c - b c + price |c|_0 over c >= 0, for many right-hand sides.

    With a price each step is a hard threshold: the gate of a component is open where that lowers the energy by more
    than its price (in nats, if the spectra are in units of their noise).

    Parameters
    ----------
    gram : array, shape (k, k) or (n, k, k)
    products : array, shape (n, k)
    start : array, shape (n, k), optional
    sweeps : int
    price : float

    Returns
    -------
    array, shape (n, k)
    """
    n, k = products.shape
    found = np.zeros((n, k)) if start is None else np.array(start, dtype=np.float64)
    one = gram.ndim == 2
    expected = found @ gram if one else np.einsum("nk,nkl->nl", found, gram)
    for _ in range(sweeps):
        for j in range(k):
            curvature = gram[j, j] if one else gram[:, j, j]
            curvature = np.maximum(curvature, 1e-12)
            new = found[:, j] + (products[:, j] - expected[:, j]) / curvature
            new = np.where(new > np.sqrt(2 * price / curvature), new, 0.0)
            change = new - found[:, j]
            moved = np.flatnonzero(change)
            if not moved.size:
                continue
            found[:, j] = new
            expected[moved] += change[moved, None] * (gram[j] if one else gram[moved, j])
    return found


class Abundances:
    """Solves for the abundances of given components.

    Parameters
    ----------
    components : array, shape (k, bands)
    weights : array, shape (bands,)
        One over the variance of each band, up to a factor.
    sum_to_one : bool
        Fully constrained least squares (Heinz & Chang 2001).
    counts : bool
        Maximum of the Poisson likelihood: least squares, reweighted by what each pixel's own abundances expect.
    """

    def __init__(
        self, components: NDArray[np.floating], weights: NDArray[np.floating], sum_to_one: bool, counts: bool
    ) -> None:
        self.components = np.asarray(components, np.float64)
        self.counts, self.sum_to_one = counts, sum_to_one
        self._weighted = (self.components * weights).astype(np.float32)
        self._gram = self.components @ (self.components * weights).T
        k = len(components)
        first, second = np.triu_indices(k)
        self._pairs = (first, second, (self.components[first] * self.components[second]).astype(np.float32).T)

    def __call__(self, spectra: Float32) -> Float32:
        """Abundances (n, k) of spectra (n, bands)."""
        k = len(self.components)
        few = max(1, (4 << 20) // max(k * k, 1))
        parts = [self._few(spectra[start : start + few]) for start in range(0, len(spectra), few)] if k else []
        return np.concatenate([np.zeros((0 if parts else len(spectra), k), np.float32), *parts])

    def _few(self, spectra: Float32) -> Float32:
        gram, products = self._gram, (spectra @ self._weighted.T).astype(np.float64)
        if self.sum_to_one:
            # a row of ones, heavy: what it leaves of the constraint is divided out
            heavy = 1e3 * max(float(np.mean(np.diag(gram))), 1e-12)
            found = _settled(gram + heavy, products + heavy)
            return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12), np.float32)
        found = _settled(gram, products)
        if self.counts:
            for start in range(0, len(spectra), _FEW):
                part = slice(start, start + _FEW)
                found[part] = self._likeliest(spectra[part], found[part])
        return np.asarray(found, np.float32)

    def _likeliest(self, spectra: Float32, found: Float64) -> Float64:
        """Iteratively reweighted least squares, whose fixed point is the maximum of the Poisson likelihood."""
        first, second, pairs = self._pairs
        k = len(self.components)
        for _ in range(_REWEIGHTED):
            rates = (found @ self.components).astype(np.float32)
            total = np.maximum(spectra.sum(axis=1, keepdims=True), 1e-6)
            # a rate of nothing would be infinitely sure of itself
            weights = 1 / np.maximum(rates, 1e-2 * total / spectra.shape[1])
            gram = np.empty((len(spectra), k, k))
            gram[:, first, second] = weights @ pairs
            gram[:, second, first] = gram[:, first, second]
            products = (spectra * weights) @ self.components.T.astype(np.float32)
            found = _settled(gram, products.astype(np.float64), found)
        return found


def _settled(gram: Float64, products: Float64, start: Float64 | None = None) -> Float64:
    """Coordinate descent until the set of open components is about right, then the exact solution on that set."""
    found = nonnegative(gram, products, start)
    k = gram.shape[-1]
    scale = 1e-9 * max(float(np.abs(products).max(initial=0)), 1e-30)
    eye = np.eye(k)
    wrong = np.arange(len(products))
    open_ = found > 0
    for _ in range(_ROUNDS):
        if not wrong.size:
            break
        inside = open_[wrong]
        own = gram if gram.ndim == 2 else gram[wrong]
        both = inside[:, :, None] & inside[:, None, :]
        system = (
            np.where(both, own, 0)
            + eye * np.where(inside, 1e-10 * np.trace(own, axis1=-2, axis2=-1).max(), 1)[:, :, None]
        )
        solved = np.linalg.solve(system, np.where(inside, products[wrong], 0)[:, :, None])[:, :, 0]
        solved[~inside] = 0
        slope = products[wrong] - (solved @ own if gram.ndim == 2 else np.einsum("nk,nkl->nl", solved, own))
        negative, wanted = inside & (solved < 0), ~inside & (slope > scale)
        good = ~negative.any(axis=1) & ~wanted.any(axis=1)
        found[wrong[good]] = solved[good]
        # first those out that are below zero, then the one in that is wanted most
        has_negative = negative.any(axis=1)
        inside[has_negative] &= ~negative[has_negative]
        rest = np.flatnonzero(~has_negative & ~good)
        inside[rest, np.where(wanted, slope, -np.inf)[rest].argmax(axis=1)] = True
        open_[wrong] = inside
        wrong = wrong[~good]
    return found
