"""Which elements an X-ray spectrum shows: the instrument first, then candidates with their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.spectroscopy.candidates import Candidate, Evidence, ranked
from cubeseg.spectroscopy.xray import element_name
from cubeseg.spectroscopy.xrf_fit import GAIN, Spectrum, XrayModel, counts_in, fitted_again, grown
from cubeseg.spectroscopy.xrf_model import ANODES, Detector, columns_of

__all__ = ["calibrate", "candidates"]

Float64 = NDArray[np.float64]

_NOISES = (0.05, 0.07, 0.09, 0.12, 0.15)


def calibrate(spectrum: Spectrum, elements: Sequence[str] | None = None, anode: str | None = None) -> Detector:
    """Resolution, scattered tube lines and errors of the energy scale, from the spectrum of all classes together.

    Parameters
    ----------
    spectrum : Spectrum
    elements : sequence of str, optional
        Those that can be there; all where None.
    anode : str, optional
        Element of the tube, or the energy of the beam in keV; "" = none; found by itself where None.
    """
    coarse = spectrum.coarse()
    detector = Detector(anode=anode or "", top=_top(spectrum))
    if detector.beam:
        detector = replace(detector, top=min(detector.top, detector.beam))
    best: tuple[float, Detector, XrayModel] | None = None
    for noise in _NOISES:
        one = replace(detector, noise=noise)
        model = grown(coarse, one, columns_of(coarse.energies, one, elements))
        if best is None or model.misfit < best[0]:
            best = model.misfit, one, model
    assert best is not None
    _, detector, model = best
    if anode is None:
        detector, model = _tube(coarse, detector, model, elements)
    for _ in range(2):
        moved = _recalibrated(coarse, detector, model)
        other = grown(coarse, moved, columns_of(coarse.energies, moved, elements))
        if other.misfit > 0.98 * model.misfit:
            break
        detector, model = moved, other
    return detector


def candidates(
    spectrum: Spectrum,
    rest: Spectrum,
    others: Sequence[Spectrum],
    detector: Detector,
    elements: Sequence[str] | None = None,
) -> tuple[tuple[Candidate, ...], XrayModel]:
    """Elements that explain a class, those that set it apart first.

    Parameters
    ----------
    spectrum : Spectrum
        Of the class.
    rest : Spectrum
        Of all pixels of other classes together.
    others : sequence of Spectrum
        Of each other class.
    detector : Detector
        From :func:`calibrate`.
    elements : sequence of str, optional
        Those that can be there; all where None.

    Returns
    -------
    candidates : tuple of Candidate
        Ordered by :func:`cubeseg.spectroscopy.candidates.ranked`.
    model : XrayModel
    """
    spectrum, rest = spectrum.coarse(), rest.coarse()
    model = grown(spectrum, detector, columns_of(spectrum.energies, detector, elements))
    there = fitted_again(rest, detector, model)
    elsewhere = [fitted_again(other.coarse(), detector, model) for other in others]
    found = []
    for symbol, score in model.scores.items():
        amount = model.amount(symbol)
        rank = ranked(score, amount, [other.amount(symbol) for other in elsewhere])
        evidence = _evidence(symbol, spectrum, detector, model, there)
        ratio = _ratio(amount, there.amount(symbol), _uncertainty(there, symbol))
        found.append(Candidate(symbol, element_name(symbol), score, rank, amount, ratio, evidence))
    return tuple(sorted(found, key=lambda one: -one.rank)), model


def _top(spectrum: Spectrum) -> float:
    """The energy above which there is next to nothing."""
    counts = np.cumsum(np.maximum(spectrum.mean, 0)[::-1])
    above = np.searchsorted(counts, max(25 / counts_in(spectrum), 1e-5 * counts[-1]))
    return float(spectrum.energies[::-1][min(int(above), len(counts) - 1)])


def _tube(
    spectrum: Spectrum, detector: Detector, model: XrayModel, elements: Sequence[str] | None
) -> tuple[Detector, XrayModel]:
    """The anode whose scattered lines explain the spectrum better than elements do, if any."""
    library = columns_of(spectrum.energies, detector, elements)
    bands = len(spectrum.energies)
    best = detector, model, bands * model.misfit + GAIN * len(model.scores)
    for name, least in ANODES.items():
        tried = replace(detector, anode=name)
        # its own lines would be as good as what it scatters
        other = grown(spectrum, tried, {symbol: own for symbol, own in library.items() if symbol != name})
        cost = bands * other.misfit + GAIN * len(other.scores)
        if cost < best[2] - 100 and _scatters(other, least):
            best = tried, other, cost
    return best[:2]


def _scatters(model: XrayModel, least: float) -> bool:
    """Whether lines of a tube are what they should be: some lost energy, and Kβ is less than Kα."""
    compton = unshifted = alpha = beta = 0.0
    for amount, column in zip(model.amounts, model.columns, strict=True):
        if column.owner == "scatter":
            compton += float(amount) * ("Compton" in column.family)
            unshifted += float(amount) * ("Compton" not in column.family)
            alpha += float(amount) * ("Kα" in column.family)
            beta += float(amount) * ("Kβ" in column.family)
    return compton > least * unshifted > 0 and beta <= alpha


def _recalibrated(spectrum: Spectrum, detector: Detector, model: XrayModel) -> Detector:
    """One step of Gauss and Newton for the offset and the gain of the energy scale."""
    shape = sum((a * c.values for a, c in zip(model.amounts, model.columns, strict=True)), np.zeros(len(model.net)))
    slope = np.gradient(shape, spectrum.energies)
    design = np.stack([slope, slope * spectrum.energies], axis=1) / model.sigma[:, None]
    # half a band and half a percent are as much as calibrations are wrong
    prior = np.diag([1 / 0.01**2, 1 / 0.002**2])
    step = np.linalg.solve(design.T @ design + prior, design.T @ ((model.net - shape) / model.sigma))
    return replace(detector, offset=detector.offset + float(step[0]), gain=detector.gain + float(step[1]))


def _uncertainty(model: XrayModel, symbol: str) -> float:
    """Standard deviation of the amount of an element, all others given."""
    values = sum((c.values for c in model.columns if c.owner == symbol), np.zeros(len(model.net)))
    power = float(((values / model.sigma) ** 2).sum())
    return float(values.sum() / np.sqrt(power)) if power > 0 else np.inf


def _ratio(here: float, there: float, uncertain: float) -> float:
    if there < 2 * uncertain or there <= 0:
        return np.inf if here > 0 else np.nan
    return here / there


def _evidence(
    symbol: str, spectrum: Spectrum, detector: Detector, model: XrayModel, rest: XrayModel
) -> tuple[Evidence, ...]:
    """What is left at each group of lines when all others have had their share."""
    own = [(a, c) for a, c in zip(model.amounts, model.columns, strict=True) if c.owner == symbol]
    groups: dict[str, tuple[float, float]] = {}
    for amount, column in own:
        for label, energy, share in column.lines:
            groups[label] = (energy, groups.get(label, (energy, 0.0))[1] + amount * share)
    others, shape = model.without(symbol), sum((a * c.values for a, c in own), np.zeros_like(model.net))
    strongest = max((amount for _, amount in groups.values()), default=0.0)
    found = []
    for label, (energy, amount) in groups.items():
        at = (energy - detector.offset) / detector.gain
        window = np.abs(spectrum.energies - at) <= max(0.6 * float(detector.fwhm(energy)), 0.02)
        if not window.any() or amount < 0.02 * strongest:
            continue
        claimed, left = float(shape[window].sum()), float((model.net - others)[window].sum())
        noise = float(np.sqrt((model.sigma[window] ** 2).sum()))
        there = float((rest.net - rest.without(symbol))[window].sum())
        uncertain = float(np.sqrt((rest.sigma[window] ** 2).sum()))
        seen = left > 3 * noise and left > 0.3 * claimed
        shared = _shared(symbol, model, energy, window, max(left, 0.0))
        found.append(
            Evidence(label, at, seen, claimed > 5 * noise, left / noise, left, _ratio(left, there, uncertain), shared)
        )
    return tuple(sorted(found, key=lambda line: line.position))


def _shared(symbol: str, model: XrayModel, energy: float, window: NDArray[np.bool_], own: float) -> tuple[str, ...]:
    """Lines of others that give a third as much as one's own, or more, inside a window about an energy."""
    shares: dict[str, float] = {}
    for amount, column in zip(model.amounts, model.columns, strict=True):
        if column.owner != symbol:
            near = min(column.lines, key=lambda line: abs(line[1] - energy), default=None)
            name = near[0] if near else f"{column.owner} {column.family}".strip()
            shares[name] = shares.get(name, 0.0) + float(amount * column.values[window].sum())
    order = sorted(shares.items(), key=lambda item: -item[1])
    return tuple(name for name, share in order if share > own / 3 and share > 0)
