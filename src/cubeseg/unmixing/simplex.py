"""Components where the noise is not known: the corners of the simplex that most likely holds the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["likeliest_simplex"]

Float64 = NDArray[np.float64]

_ROUNDS = 1000


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

    rows, begin = np.asarray(spectra, np.float64), np.asarray(start, np.float64)
    (n, d), k = rows.shape, len(begin)
    if not 2 <= k < min(n, d):
        return begin
    values, vectors = np.linalg.eigh(rows.T @ rows)
    if values[-k] <= 1e-12 * values[-1]:
        return begin
    axes = vectors[:, : -k - 1 : -1]
    points, corners = rows @ axes, begin @ axes
    mean = points.mean(axis=0)
    level = mean / (mean @ mean)
    depth, height = points @ level, corners @ level
    seen = depth > 0.1 * np.median(depth)
    if (height <= 0).any() or seen.sum() <= k or np.linalg.cond(corners) > 1e10:
        return begin
    # the perspective onto a plane; what is dark has larger noise there
    points, noise = points[seen] / depth[seen, None], _unexplained(values, n, k) / depth[seen]
    corners = corners / height[:, None]
    inverse = np.linalg.inv(corners)
    wide = np.sqrt(np.pi / 2)

    def shares(free: Float64) -> Float64:
        """Corner by corner, what turns the shares of the start into those of the corners: rows sum to that of one."""
        turn = free.reshape(k - 1, k)
        return np.concatenate([turn, 1 - turn.sum(axis=0, keepdims=True)]) @ inverse.T

    def cost(free: Float64) -> tuple[float, Float64]:
        ways = shares(free)
        sizes = np.linalg.norm(ways, axis=1)
        outside = np.minimum(points @ ways.T, 0)
        variance = (noise[:, None] * sizes) ** 2
        spread = wide * noise * sizes.sum()
        sign, volume = np.linalg.slogdet(ways)
        if sign == 0:
            return np.inf, np.zeros(free.size)
        missed = outside**2 / variance
        value = -volume + (0.5 * missed.sum() + (k - 1) * np.log1p(spread).sum()) / len(points)
        slope = (outside / variance).T @ points - (missed.sum(axis=0) / sizes**2)[:, None] * ways
        slope += (k - 1) * (wide * noise / (1 + spread)).sum() * (ways / sizes[:, None])
        slope = (slope / len(points) - np.linalg.inv(ways).T) @ inverse
        return float(value), (slope[:-1] - slope[-1]).ravel()

    found = minimize(cost, np.eye(k)[:-1].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS})
    made = np.linalg.inv(shares(found.x)).T @ axes.T
    return np.asarray(np.maximum(made, 0) if positive else made, np.float64)


def _unexplained(values: Float64, n: int, k: int) -> float:
    """Standard deviation of a value, from eigenvalues (ascending) of n spectra's moments, of which k are explained."""
    d = len(values)
    return float(np.sqrt(max(values[-k - 1], 1e-12 * values[-1]) / n) / (1 + np.sqrt(d / n)))
