"""Components of data whose noise is white: corners of a simplex near whose corners, edges or faces spectra gather."""

from __future__ import annotations

from collections.abc import Generator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cubeseg.unmixing.ambiguity import matched
from cubeseg.unmixing.simplex import Perspective

__all__ = ["gathered_simplex", "share_density"]

Float64 = NDArray[np.float64]

# from spectra of one component nearly alone to all mixtures alike
_CONCENTRATIONS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 1.0)
_TURNS, _PARTS, _ROUNDS = 6, 10, 30
# shares are tabulated from so far below zero to so far above it, in units of their noise
_LOW, _HIGH, _STEP = -12.0, 60.0, 0.02
_FAR = 12.0
# spectra that must come near each corner
_NEAR = 8


def gathered_simplex(
    spectra: NDArray[np.floating], start: NDArray[np.floating], positive: bool = True
) -> Generator[None, None, Float64 | None]:
    """Corners of the likeliest simplex where shares have a Dirichlet distribution, its concentration learned too.

    Pure spectra are common in some data and missing in others. A simplex for which all mixtures are equally likely
    (:func:`cubeseg.unmixing.simplex.likeliest_simplex`) is drawn too wide by spectra that gather at its corners: with
    noise they lie beyond them as often as within. So the shares' density is that of a Dirichlet distribution (as in
    DECA, Nascimento & Bioucas-Dias 2012), one concentration for all components, spread by the noise of each share; the
    simplex and the concentration of the highest likelihood are found in turn.

    It trusts the model where :func:`~cubeseg.unmixing.simplex.likeliest_simplex` only takes what lies outside for
    noise: use it where what the components leave is white.

    Parameters
    ----------
    spectra : array, shape (n, d)
        Of any brightness, not all zero.
    start : array, shape (k, d)
    positive : bool
        Values below zero are set to zero at the end.

    Yields
    ------
    None
        Between steps.

    Returns
    -------
    array, shape (k, d), or None
        None where the spectra span no simplex of so many corners, or where half of what lies in its smallest direction
        may be noise. A corner that is further from all spectra than their distribution allows is that of the start.
    """
    from scipy.optimize import minimize
    from scipy.special import gammaln
    from scipy.stats import beta

    seen = Perspective.of(spectra, start)
    if seen is None or seen.signal < 2:
        return None
    points, n, k = seen.points, len(seen.points), len(seen.corners)

    def cost(free: Float64, concentration: float) -> tuple[float, Float64]:
        ways = seen.ways(free)
        sizes = np.linalg.norm(ways, axis=1)
        sign, volume = np.linalg.slogdet(ways)
        if sign == 0:
            return np.inf, np.zeros(free.size)
        noise = seen.noise[:, None] * sizes
        shares = points @ ways.T / noise
        density, steep = share_density(concentration, shares)
        density += (concentration - 1) * np.log(noise)
        wider, by_size = seen.narrowness(sizes)
        by_size = by_size + ((steep * shares).sum(axis=0) - (concentration - 1) * n) / sizes
        slope = -(steep / noise).T @ points + (by_size / sizes)[:, None] * ways
        whole = volume + gammaln(k * concentration) - k * gammaln(concentration)
        return (wider - density.sum()) / n - whole, seen.slope(slope / n - np.linalg.inv(ways).T)

    free, concentration = seen.start, 1.0
    for _ in range(_TURNS):
        for _ in range(_PARTS):
            options = {"maxiter": _ROUNDS}
            found = minimize(cost, free, args=(concentration,), jac=True, method="L-BFGS-B", options=options)
            free = found.x
            yield
            if found.nit < _ROUNDS:
                break
        likeliest = min(_CONCENTRATIONS, key=lambda one: cost(free, one)[0])
        if likeliest == concentration:
            break
        concentration = likeliest
    made = seen.components(free, positive)
    # a corner that hardly any spectrum comes near, where spectra gather at corners, is a second one of its neighbour's
    shares = np.sort(points @ seen.ways(free).T, axis=0)[-min(_NEAR, n)]
    expected = beta.ppf(1 - min(_NEAR, n) / (n + 1), concentration, (k - 1) * concentration)
    far = shares < expected / 2
    made[far] = np.asarray(start, np.float64)[matched(made, np.asarray(start, np.float64))][far]
    return made


def share_density(concentration: float, shares: Float64) -> tuple[Float64, Float64]:
    """Logarithm of a share's density under white noise, and its slope.

    The integral over t > 0 of t^(c-1) times a normal density of t - u, which is a parabolic cylinder function
    (Gradshteyn & Ryzhik 3.462.1), for a share u in units of its noise.

    Parameters
    ----------
    concentration : float
        c, above zero; 1 gives the normal distribution function.
    shares : array
    """
    values, slopes = _table(concentration)
    place = (np.clip(shares, _LOW, _HIGH - 2 * _STEP) - _LOW) / _STEP
    left = place.astype(np.intp)
    place -= left
    density = values[left] * (1 - place) + values[left + 1] * place
    steep = slopes[left] * (1 - place) + slopes[left + 1] * place
    above, below = shares > _HIGH - 2 * _STEP, shares < _LOW
    density[above] = (concentration - 1) * np.log(shares[above])
    steep[above] = (concentration - 1) / shares[above]
    density[below] -= 0.5 * (shares[below] ** 2 - _LOW**2) + concentration * np.log(shares[below] / _LOW)
    steep[below] = -shares[below] - concentration / shares[below]
    return density, steep


@cache
def _table(concentration: float) -> tuple[Float64, Float64]:
    shares = np.arange(_LOW, _HIGH, _STEP)
    density = _exact(concentration, shares)
    # by parts: the slope is the density of one concentration more, less the share times this one
    return density, np.exp(_exact(concentration + 1, shares) - density) - shares


def _exact(concentration: float, shares: Float64) -> Float64:
    from scipy.special import gammaln, pbdv

    c, near = concentration, np.minimum(shares, _FAR)
    cylinder = np.log(pbdv(-c, -near)[0])
    exact = gammaln(c) - 0.5 * np.log(2 * np.pi) - near**2 / 4 + cylinder
    far = np.maximum(shares, 1)
    beyond = (c - 1) * np.log(far) + np.log1p((c - 1) * (c - 2) / (2 * far**2))
    return np.asarray(np.where(shares > _FAR, beyond, exact))
