"""An X-ray spectrum explained by elements that join one by one.

The spectrum without its background (:func:`cubeseg.spectroscopy.peaks.snip`) is a non-negative sum of the columns of
:mod:`cubeseg.spectroscopy.xrf_model`. The element that lowers chi-squared most joins until none is worth it; then those
that are not needed leave again. The noise is Poisson's, plus 3 % of the spectrum and what a shift of 4 eV would change,
for all that the model does not know: shapes of peaks, absorption, the curvature of the calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cubeseg.spectroscopy.peaks import snip
from cubeseg.spectroscopy.xrf_model import Column, Detector, Fit, fitted, pile_up, scatter_columns

__all__ = ["GAIN", "ZERO_PEAK", "Spectrum", "XrayModel", "counts_in", "fitted_again", "grown"]

Float64 = NDArray[np.float64]

GAIN = 36.0  # of chi-squared, that an element must earn
ZERO_PEAK = 0.2  # keV, below which the electronics count what is nothing
_FLOOR, _SHIFT = 0.03, 0.004
_MOST = 30
# of a family that must be there, relative to a softer one of the same element
_HARDER, _REACHED = 0.1, 0.6
_STEP = 0.02  # keV
# what pigments, rocks, alloys and glasses are made of, and their supports: they go first where two explain as much
_COMMON = frozenset((
    "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Co",
    "Ni", "Cu", "Zn", "As", "Se", "Rb", "Sr", "Y", "Zr", "Ag", "Cd", "Sn", "Sb", "Ba", "W", "Pt", "Au", "Hg", "Pb",
    "Bi",
))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A mean spectrum.

    Attributes
    ----------
    energies : array, shape (bands,)
        keV, rising.
    mean, variance : array, shape (bands,)
        Per pixel, and the variance of the mean.
    """

    energies: Float64
    mean: Float64
    variance: Float64

    def coarse(self) -> Spectrum:
        """The same with bands of 20 eV or more, which lose nothing that a detector resolves and are sooner fitted."""
        step = (self.energies[-1] - self.energies[0]) / max(len(self.energies) - 1, 1)
        many = max(1, min(int(_STEP / step + 0.01), len(self.energies) // 16))
        n = len(self.energies) // many * many
        parts = (values[:n].reshape(-1, many) for values in (self.energies, self.mean, self.variance))
        energies, mean, variance = parts
        return Spectrum(energies.mean(axis=1), mean.sum(axis=1), variance.sum(axis=1))


@dataclass(frozen=True, eq=False)
class XrayModel:
    """A fitted spectrum.

    Attributes
    ----------
    scores : dict of str to float
        For each element, the root of what chi-squared loses without it.
    columns : tuple of Column
        Those that were fitted.
    amounts : array, shape (columns,)
        Counts per pixel in each.
    energies, net, sigma : array, shape (bands,)
        The axis in keV, the spectrum without its background, and its noise.
    misfit : float
        Chi-squared per band.
    """

    scores: dict[str, float]
    columns: tuple[Column, ...]
    amounts: Float64
    energies: Float64
    net: Float64
    sigma: Float64
    misfit: float

    def amount(self, symbol: str) -> float:
        """Counts per pixel in the lines of an element."""
        return float(sum(a for a, c in zip(self.amounts, self.columns, strict=True) if c.owner == symbol))

    def without(self, symbol: str) -> Float64:
        """What all others explain, shape (bands,)."""
        total = np.zeros_like(self.net)
        for amount, column in zip(self.amounts, self.columns, strict=True):
            if column.owner != symbol:
                total += amount * column.values
        return total

    def explains(self, energy: float, width: float) -> bool:
        """Whether less than half of what is within half a width of an energy is left over, or less than 4 sigma."""
        window = np.abs(self.energies - energy) <= max(width / 2, self.energies[1] - self.energies[0])
        there, left = float(self.net[window].sum()), float((self.net - self.without(""))[window].sum())
        return left < 0.5 * there or left < 4 * float(np.sqrt((self.sigma[window] ** 2).sum()))


def grown(spectrum: Spectrum, detector: Detector, by_element: dict[str, tuple[Column, ...]]) -> XrayModel:
    """Elements join while they pay, and leave where others do as well.

    Parameters
    ----------
    spectrum : Spectrum
    detector : Detector
    by_element : dict of str to tuple of Column
        From :func:`cubeseg.spectroscopy.xrf_model.columns_of`.
    """
    net, sigma = _net(spectrum, detector)
    fixed = [pile_up(detector.true(spectrum.energies), net), *scatter_columns(spectrum.energies, detector)]
    columns = [*fixed, *(column for own in by_element.values() for column in own)]
    places: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        if column.owner in by_element:
            places.setdefault(column.owner, []).append(place)
    weighted = np.stack([column.values for column in columns], axis=1) / sigma[:, None]
    gram, moment = weighted.T @ weighted, weighted.T @ (net / sigma)
    power = float(((net / sigma) ** 2).sum())
    norms = np.maximum(np.diag(gram), 1e-300)
    basis = list(range(len(fixed)))
    chosen: list[str] = []
    now = fitted(gram, moment, power, basis)
    while len(chosen) < _MOST:
        left = moment - gram[:, basis] @ now.amounts
        gain = np.maximum(left, 0) ** 2 / norms
        promising = sorted((s for s in places if s not in chosen), key=lambda s: -gain[places[s]].sum())[:8]
        tried = [(s, fitted(gram, moment, power, basis + places[s])) for s in promising]
        worth = [
            (now.misfit - fit.misfit) * _plausible(s, columns, places[s], fit, len(basis), detector) for s, fit in tried
        ]
        if not worth or max(worth) < GAIN:
            break
        symbol, now = tried[int(np.argmax(worth))]
        chosen.append(symbol)
        basis = basis + places[symbol]
    chosen, scores = _needed(gram, moment, power, list(range(len(fixed))), chosen, places)
    kept = [*range(len(fixed)), *(place for symbol in chosen for place in places[symbol])]
    final = fitted(gram, moment, power, kept)
    return XrayModel(
        scores, tuple(columns[place] for place in kept), final.amounts, spectrum.energies, net, sigma,
        final.misfit / len(net),
    )  # fmt: skip


def _needed(
    gram: Float64, moment: Float64, power: float, fixed: list[int], chosen: list[str], places: dict[str, list[int]]
) -> tuple[list[str], dict[str, float]]:
    """Elements without which the spectrum is explained worse, with their scores."""
    kept = list(chosen)
    while True:
        full = fitted(gram, moment, power, fixed + [p for s in kept for p in places[s]]).misfit
        lost = {
            symbol: fitted(gram, moment, power, fixed + [p for s in kept if s != symbol for p in places[s]]).misfit
            - full
            for symbol in kept
        }
        if not lost or min(lost.values()) >= GAIN:
            return kept, {symbol: float(np.sqrt(value)) for symbol, value in lost.items()}
        kept.remove(min(lost, key=lambda symbol: lost[symbol]))


def _plausible(
    symbol: str, columns: list[Column], places: list[int], fit: Fit, start: int, detector: Detector
) -> float:
    """1; less for a rare element, and for soft lines of one whose harder ones are excited and absent."""
    amounts: dict[str, float] = {}
    edges: dict[str, float] = {}
    for place, amount in zip(places, fit.amounts[start:], strict=True):
        column = columns[place]
        amounts[column.family] = amounts.get(column.family, 0.0) + float(amount)
        edges[column.family] = max(energy for _, energy, _ in column.lines)
    families = [family for family in "KLM" if family in amounts]
    for harder, softer in pairwise(families):
        if edges[harder] < _REACHED * detector.top and amounts[harder] < _HARDER * amounts[softer]:
            return 0.3
    return 1.0 if symbol in _COMMON else 0.7


def _net(spectrum: Spectrum, detector: Detector) -> tuple[Float64, Float64]:
    """The spectrum without background, and the noise that the model is measured with."""
    from scipy.ndimage import gaussian_filter1d

    step = float(np.median(np.diff(spectrum.energies)))
    fwhm = detector.fwhm(spectrum.energies) / step
    smooth = gaussian_filter1d(spectrum.mean, max(0.2 * float(np.median(fwhm)), 0.5))
    # the scale of the clipping is that of counts
    counts = counts_in(spectrum)
    net = spectrum.mean - snip(counts * smooth, 1.6 * fwhm) / counts
    variance = np.maximum(spectrum.variance, gaussian_filter1d(spectrum.variance, 2.0))
    sigma = np.sqrt(variance + (_FLOOR * smooth) ** 2 + (_SHIFT / step * np.gradient(smooth)) ** 2)
    floor = sigma[sigma > 0].min() if (sigma > 0).any() else 1.0
    sigma = np.maximum(sigma, floor)
    # what the electronics make of nothing is no line
    zero = spectrum.energies < ZERO_PEAK
    return np.where(zero, 0.0, net), np.where(zero, 1e6 * sigma.max(), sigma)


def counts_in(spectrum: Spectrum) -> float:
    """By what the mean must be multiplied to have the variance of counts."""
    total, noise = float(np.maximum(spectrum.mean, 0).sum()), float(spectrum.variance.sum())
    return total / noise if noise > 0 and total > 0 else 1.0


def fitted_again(spectrum: Spectrum, detector: Detector, model: XrayModel) -> XrayModel:
    """The same columns on another spectrum."""
    net, sigma = _net(spectrum, detector)
    values = np.stack([column.values for column in model.columns], axis=1) / sigma[:, None]
    fit = fitted(values.T @ values, values.T @ (net / sigma), float(((net / sigma) ** 2).sum()), range(values.shape[1]))
    return XrayModel({}, model.columns, fit.amounts, spectrum.energies, net, sigma, fit.misfit / len(net))
