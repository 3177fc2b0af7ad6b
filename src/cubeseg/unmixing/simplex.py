"""Components where the noise is not known: the corners of the simplex that most likely holds the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Perspective", "likeliest_simplex"]

Float64 = NDArray[np.float64]

_ROUNDS = 1000


@dataclass(frozen=True, eq=False)
class Perspective:
    """Spectra seen from the origin, on a plane: brightness drops out, and mixtures lie in a simplex.

    Attributes
    ----------
    points : array, shape (n, k)
        In the directions of k components; what is dark has larger noise here.
    noise : array, shape (n,)
    corners : array, shape (k, k)
        Where the components of the start are.
    axes : array, shape (d, k)
    signal : float
        Variance in the smallest of the k directions, in units of the largest that is left out.
    """

    points: Float64
    noise: Float64
    corners: Float64
    axes: Float64
    signal: float

    @classmethod
    def of(cls, spectra: NDArray[np.floating], start: NDArray[np.floating]) -> Perspective | None:
        """Look at spectra (n, d) from the origin; None where they or the start (k, d) span no simplex of k corners."""
        rows, begin = np.asarray(spectra, np.float64), np.asarray(start, np.float64)
        (n, d), k = rows.shape, len(begin)
        if not 2 <= k < min(n, d):
            return None
        values, vectors = np.linalg.eigh(rows.T @ rows)
        if values[-k] <= 1e-12 * values[-1]:
            return None
        axes = vectors[:, : -k - 1 : -1]
        points, corners = rows @ axes, begin @ axes
        mean = points.mean(axis=0)
        level = mean / (mean @ mean)
        depth, height = points @ level, corners @ level
        seen = depth > 0.1 * np.median(depth)
        if (height <= 0).any() or seen.sum() <= k or np.linalg.cond(corners) > 1e10:
            return None
        noise = _unexplained(values, n, k) / depth[seen]
        signal = float(values[-k] / max(values[-k - 1], 1e-12 * values[-1]))
        return cls(points[seen] / depth[seen, None], noise, corners / height[:, None], axes, signal)

    @property
    def start(self) -> Float64:
        """What :meth:`ways` turns into the shares of the start."""
        return np.eye(len(self.corners))[:-1].ravel()

    def ways(self, free: Float64) -> Float64:
        """Corner by corner, what turns points into shares: the shares of the start turned, so that they sum to one."""
        k = len(self.corners)
        turn = free.reshape(k - 1, k)
        whole = np.concatenate([turn, 1 - turn.sum(axis=0, keepdims=True)])
        return np.asarray(whole @ np.linalg.inv(self.corners).T)

    def slope(self, by_ways: Float64) -> Float64:
        """The gradient by what is free, from that by the ways."""
        both = by_ways @ np.linalg.inv(self.corners)
        return np.asarray((both[:-1] - both[-1]).ravel())

    def components(self, free: Float64, positive: bool) -> Float64:
        """Spectra (k, d) of the corners."""
        made = np.linalg.inv(self.ways(free)).T @ self.axes.T
        return np.asarray(np.maximum(made, 0) if positive else made, np.float64)

    def narrowness(self, sizes: Float64) -> tuple[float, Float64]:
        """What the noise adds to the logarithm of the volume, and its slope by the sizes of the ways."""
        wide = np.sqrt(np.pi / 2) * self.noise
        spread, others = wide * sizes.sum(), len(sizes) - 1
        return others * float(np.log1p(spread).sum()), others * np.full(len(sizes), (wide / (1 + spread)).sum())


def likeliest_simplex(spectra: NDArray[np.floating], start: NDArray[np.floating], positive: bool = True) -> Float64:
    """Corners of the likeliest simplex around spectra, from any start that spans it.

    Seen from the origin, mixtures lie in a simplex whose corners are the components (Craig 1994). If all mixtures are
    equally likely, a spectrum has the density of one over the volume inside, and that of the noise outside: the
    likelihood draws the simplex together until spectra fall out of it by more than noise (as in probabilistic simplex
    component analysis, Wu et al. 2021, and SISAL, Bioucas-Dias 2009, with the weight that follows from the noise). The
    volume is that of the simplex widened by the noise, so that it cannot shrink to nothing.

    What counts as noise is what k components leave unexplained. Texture, light and mixing that the model does not know
    are larger in some directions than in others, so the largest of what is left is taken for that inside the space of
    the components; for white noise it would be 1 + sqrt(d/n) of the mean (Marchenko & Pastur 1967).

    Parameters
    ----------
    spectra : array, shape (n, d)
        Of any brightness, not all zero.
    start : array, shape (k, d)
    positive : bool
        Values below zero are set to zero at the end.

    Returns
    -------
    array, shape (k, d)
        In the unit of the spectra, of the brightness that their mean has; the start itself where the spectra do not
        span a simplex of so many corners.
    """
    from scipy.optimize import minimize

    seen = Perspective.of(spectra, start)
    if seen is None:
        return np.asarray(start, np.float64)
    points, n = seen.points, len(seen.points)

    def cost(free: Float64) -> tuple[float, Float64]:
        ways = seen.ways(free)
        sizes = np.linalg.norm(ways, axis=1)
        sign, volume = np.linalg.slogdet(ways)
        if sign == 0:
            return np.inf, np.zeros(free.size)
        outside = np.minimum(points @ ways.T, 0)
        variance = (seen.noise[:, None] * sizes) ** 2
        missed = outside**2 / variance
        wider, by_size = seen.narrowness(sizes)
        slope = (outside / variance).T @ points
        slope += ((by_size - missed.sum(axis=0) / sizes) / sizes)[:, None] * ways
        return -volume + (0.5 * missed.sum() + wider) / n, seen.slope(slope / n - np.linalg.inv(ways).T)

    found = minimize(cost, seen.start, jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS})
    return seen.components(found.x, positive)


def _unexplained(values: Float64, n: int, k: int) -> float:
    """Standard deviation of a value, from eigenvalues (ascending) of n spectra's moments, of which k are explained."""
    d = len(values)
    return float(np.sqrt(max(values[-k - 1], 1e-12 * values[-1]) / n) / (1 + np.sqrt(d / n)))
