"""Why a class is one: where its spectrum differs from the others, its peaks, and what they could be.

Three steps, each in a module of its own: ranges of bands that set the class apart
(:mod:`cubeseg.spectroscopy.contrast`), peaks that stand out from the noise (:mod:`cubeseg.spectroscopy.peaks`), and
candidates that explain them: elements on an axis of X-ray energies (:mod:`cubeseg.spectroscopy.elements`), atoms, ions
and molecules at a common redshift elsewhere (:mod:`cubeseg.spectroscopy.redshift`,
:mod:`cubeseg.spectroscopy.species`). All of it is a suggestion: lines overlap, and only the lines of the tables are
known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.errors import DataError
from cubeseg.segmentation import Segmentation
from cubeseg.spectroscopy import elements as xray
from cubeseg.spectroscopy import species
from cubeseg.spectroscopy.candidates import Candidate
from cubeseg.spectroscopy.contrast import Group, Window, group_of, most_alike, windows
from cubeseg.spectroscopy.lines import element, holds_xrays, tells_wavelengths
from cubeseg.spectroscopy.peaks import Peak, find_peaks, noise_of, structure_variance
from cubeseg.spectroscopy.redshift import Redshift, find_redshift
from cubeseg.spectroscopy.rest_lines import rest_lines
from cubeseg.spectroscopy.wording import of_candidate, of_peaks, of_windows, times
from cubeseg.spectroscopy.xrf_fit import ZERO_PEAK, Spectrum
from cubeseg.spectroscopy.xrf_model import Detector

__all__ = ["Basis", "Explanation", "explain", "prepare"]

Float64 = NDArray[np.float64]

_LIGHT = 2.99792458e17  # nm/s
_KEV = {"eV": 1e-3, "keV": 1.0, "MeV": 1e3}
# FWHM in bands that are tried where the resolution is not known
_WIDTHS = (2.5, 4.0, 7.0, 12.0, 20.0)
# median over maximum of a spectrum that is more than lines
_CONTINUUM = 0.1
# classes of fewer pixels know their scatter too badly
_FEW = 5
_FEWEST_BANDS = 16
# candidates that get a sentence: at most so many, not far behind the first or stronger than in the rest
_TOLD, _WORTH = 5, 0.25


@dataclass(frozen=True, eq=False)
class Basis:
    """What the explanations of all classes of a result share; :func:`prepare` makes it.

    Attributes
    ----------
    groups : dict of int to Group
        Of every class with pixels.
    counts : bool
        Whether the spectra are counts of photons.
    detector : Detector, optional
        Of X-ray spectra.
    """

    groups: dict[int, Group]
    counts: bool
    detector: Detector | None = None


@dataclass(frozen=True, eq=False)
class Explanation:
    """What sets a class apart and what it could be.

    Attributes
    ----------
    class_id : int
    name : str
    pixels : int
    level : float
        Sum of the mean spectrum over that of the rest; NaN where that makes no sense.
    windows : tuple of Window
        Ranges that differ from all other pixels, the clearest first: amounts where counts are compared, shapes (after
        division by `level`) elsewhere.
    alike : int or None
        The most similar class.
    windows_alike : tuple of Window
        Ranges that differ from that class.
    peaks : tuple of Peak
        Of the class mean.
    candidates : tuple of Candidate
        The likeliest first.
    unexplained : tuple of Peak
        That no candidate accounts for.
    redshift : Redshift or None
    detector : Detector or None
    text : tuple of str
        The same in sentences.
    """

    class_id: int
    name: str
    pixels: int
    level: float
    windows: tuple[Window, ...]
    alike: int | None
    windows_alike: tuple[Window, ...]
    peaks: tuple[Peak, ...]
    candidates: tuple[Candidate, ...]
    unexplained: tuple[Peak, ...]
    redshift: Redshift | None
    detector: Detector | None
    text: tuple[str, ...]


def prepare(
    result: Segmentation,
    *,
    elements: Sequence[str] | None = None,
    anode: str | None = None,
    counts: bool | None = None,
) -> Basis:
    """What :func:`explain` needs for every class of a result; some seconds for X-ray spectra.

    Parameters
    ----------
    result : Segmentation
    elements : sequence of str, optional
        Elements that can be there; all where None.
    anode : str, optional
        Element of the X-ray tube, or the energy of the beam in keV (``"10.0"``); "" for none; found where None.
    counts : bool, optional
        Whether the spectra are counts; told from their unit and values where None.

    Raises
    ------
    ConfigError
        If there is no such element.
    DataError
        If the result has no class spectra.
    """
    spectra = result.spectra
    filled = [c.id for c in result.classes if result.pixels(c.id) and spectra.finite[c.id].any()]
    if not filled:
        raise DataError("explain: the result has no spectra of its classes; open its cube to have them")
    are_counts = _are_counts(result) if counts is None else counts
    groups = {label: group_of(spectra, [label], are_counts) for label in filled}
    detector = None
    if _resolves_xrays(result.axis):
        if anode and not Detector(anode=anode).beam:
            anode = element(anode)
        everything = _spectrum(result.axis, group_of(spectra, filled, are_counts))
        detector = xray.calibrate(everything, elements, anode)
    return Basis(groups, are_counts, detector)


def explain(
    result: Segmentation,
    class_id: int,
    *,
    elements: Sequence[str] | None = None,
    anode: str | None = None,
    redshift: float | tuple[float, float] | None = None,
    counts: bool | None = None,
    n: int = 5,
    basis: Basis | None = None,
) -> Explanation:
    """Say what sets a class apart and what it could be.

    Parameters
    ----------
    result : Segmentation
    class_id : int
    elements, anode, counts
        As for :func:`prepare`; `anode` and `counts` are those of `basis` where that is given.
    redshift : float or (float, float), optional
        Of the source, or its range; found where None.
    n : int
        How many windows to report.
    basis : Basis, optional
        From :func:`prepare`, to explain several classes of one result without doing it again.

    Returns
    -------
    Explanation

    Raises
    ------
    ConfigError
        If there is no such class or element.
    DataError
        If the class has no pixels, or the result no spectra.
    """
    info = result.info(class_id)
    basis = basis or prepare(result, elements=elements, anode=anode, counts=counts)
    if class_id not in basis.groups:
        raise DataError(f"explain: '{info.name}' has no pixels, so it has no spectrum")
    axis, group = result.axis, basis.groups[class_id]
    others = {label: other for label, other in basis.groups.items() if label != class_id}
    rest = group_of(result.spectra, list(others), basis.counts) if others else None
    alike = most_alike(group, others)
    shift: Redshift | None = None
    if basis.detector is not None:
        peaks, found, unexplained = _xray(axis, group, rest, list(others.values()), basis, basis.detector, elements)
        component = _component(result, class_id, group)
        if component is not None and found:
            # purer than the mean, but what the fit got wrong is in it too: nothing that the mean does not show
            shown = [one.name for one in found]
            found = _xray(axis, component, rest, list(others.values()), basis, basis.detector, shown)[1] or found
    else:
        peaks, found, unexplained, shift = _optical(axis, group, rest, list(others.values()), basis, redshift)
    made = Explanation(
        class_id, info.name, group.n, _level(group, rest) if rest else float("nan"),
        _windows(axis, group, rest, basis, n), alike,
        _windows(axis, group, others[alike] if alike is not None else None, basis, n),
        peaks, found, unexplained, shift, basis.detector, (),
    )  # fmt: skip
    return replace(made, text=_text(result, made, bool(others)))


def _component(result: Segmentation, class_id: int, group: Group) -> Group | None:
    """The component of an unmixed class in place of its mean, which holds other components too."""
    found = result.component_of(class_id)
    if found is None:
        return None
    values, spread = found
    uncertain = group.n * np.where(np.isfinite(spread), spread, 0) ** 2
    return replace(group, mean=np.where(np.isfinite(values), values, group.mean), variance=group.variance + uncertain)


def _resolves_xrays(axis: SpectralAxis) -> bool:
    """Whether peaks of a detector can be told on an axis: some bands of X-ray energies, about evenly spaced."""
    steps = np.abs(np.diff(axis.values))
    return holds_xrays(axis) and len(axis) >= _FEWEST_BANDS and bool(steps.max() < 2 * steps.min())


def _windows(axis: SpectralAxis, group: Group, other: Group | None, basis: Basis, n: int) -> tuple[Window, ...]:
    if other is None:
        return ()
    # of counts and of bare lines the amount tells; where there is a continuum its brightness would hide the shape
    level = _level(group, other)
    shape = not basis.counts and 0.02 < level < 50 and _continuous(group) and _continuous(other)
    return windows(axis, group, other, n, level if shape else 1.0)


def _xray(
    axis: SpectralAxis, group: Group, rest: Group | None, others: Sequence[Group], basis: Basis, detector: Detector,
    elements: Sequence[str] | None,
) -> tuple[tuple[Peak, ...], tuple[Candidate, ...], tuple[Peak, ...]]:  # fmt: skip
    unit = _KEV[axis.unit]
    step = np.abs(np.gradient(axis.values)) * unit
    fwhm = np.maximum(detector.fwhm(detector.true(axis.values * unit)) / step, 1.5)
    many = float(group.n) if basis.counts else 0.0
    peaks = find_peaks(axis, group.mean, _error(group), (fwhm,), absorption=False, counts=many)
    spectra = [_spectrum(axis, one) for one in (group, rest or _nothing(group), *others)]
    found, model = xray.candidates(spectra[0], spectra[1], spectra[2:], detector, elements)
    moved = tuple(
        replace(one, evidence=tuple(replace(line, position=line.position / unit) for line in one.evidence))
        for one in found
    )
    left = tuple(
        peak
        for peak in peaks
        if peak.position * unit > ZERO_PEAK and not model.explains(peak.position * unit, peak.width * unit)
    )
    return peaks, moved, left


def _optical(
    axis: SpectralAxis, group: Group, rest: Group | None, others: Sequence[Group], basis: Basis,
    redshift: float | tuple[float, float] | None,
) -> tuple[tuple[Peak, ...], tuple[Candidate, ...], tuple[Peak, ...], Redshift | None]:  # fmt: skip
    many = float(group.n) if basis.counts else 0.0
    peaks = find_peaks(axis, group.mean, _narrow(group, basis), _WIDTHS, counts=many)
    shift = find_redshift(axis, peaks, redshift) if peaks and tells_wavelengths(axis) else None
    if shift is None or not (shift.sure or redshift is not None or _of_the_header(axis, shift)):
        return peaks, (), peaks, None
    pairs = [(one.mean, _narrow(one, basis)) for one in (group, rest or _nothing(group), *others)]
    found = species.candidates(axis, pairs[0], pairs[1], pairs[2:], peaks, shift)
    seen = [line.position for one in found for line in one.seen]
    left = tuple(peak for peak in peaks if not any(abs(at - peak.position) < peak.width for at in seen))
    return peaks, found, left, shift


def _of_the_header(axis: SpectralAxis, shift: Redshift) -> bool:
    """Whether one line is enough, since it is the one whose rest frequency the file gives."""
    return axis.rest > 0 and any(
        abs(_LIGHT / line.wavelength / axis.rest - 1) < 1e-4 for line in rest_lines() if line.label in shift.lines
    )


def _spectrum(axis: SpectralAxis, group: Group) -> Spectrum:
    """The mean spectrum of a group on rising energies in keV, bands without values left empty and uncertain."""
    error = _error(group)
    good = np.isfinite(group.mean) & np.isfinite(error)
    worst = float(error[good].max()) if good.any() else 1.0
    mean, variance = np.where(good, group.mean, 0.0), np.where(good, error, 1e4 * worst)
    rising = np.argsort(axis.values)
    return Spectrum(axis.values[rising] * _KEV[axis.unit], mean[rising], variance[rising])


def _error(group: Group) -> Float64:
    """Variance of the mean; that of its own roughness where there are too few pixels to know it."""
    if group.n >= _FEW:
        return group.error
    return np.maximum(group.error, noise_of(group.mean) ** 2)


def _narrow(group: Group, basis: Basis) -> Float64:
    """Variance of the mean that lines must stand out from."""
    return _error(group) if basis.counts else structure_variance(group.mean, _error(group))


def _nothing(group: Group) -> Group:
    """What a class is compared with where there is no other."""
    return Group(group.n, np.zeros_like(group.mean), group.variance)


def _level(one: Group, other: Group) -> float:
    here, there = float(np.nansum(one.mean)), float(np.nansum(other.mean))
    return here / there if here > 0 and there > 0 else float("nan")


def _continuous(group: Group) -> bool:
    """Whether most bands hold a signal, not only some lines."""
    values = np.abs(group.mean[np.isfinite(group.mean)])
    return bool(values.size and np.median(values) > _CONTINUUM * values.max())


def _are_counts(result: Segmentation) -> bool:
    """Whether the sums of the classes are whole numbers of photons."""
    unit = result.unit.lower()
    if not (holds_xrays(result.axis) or unit.startswith(("count", "photon"))):
        return False
    total = result.spectra.total[1:]
    return bool(total.size and (total >= 0).all() and np.abs(total - np.round(total)).max() < 1e-3)


def _text(result: Segmentation, made: Explanation, compared: bool) -> tuple[str, ...]:
    axis = result.axis
    lines = [f"{made.name}: {made.pixels} pixels"]
    if np.isfinite(made.level):
        lines[0] += f", in all {times(made.level)} the rest"
    if compared:
        lines.append(of_windows(axis, made.windows, "the rest", made.candidates))
    if made.alike is not None:
        other = result.info(made.alike).name
        lines.append(f"most like {other}; {of_windows(axis, made.windows_alike, other, made.candidates)}")
    if made.redshift is not None and axis.kind != "velocity":
        z, many = made.redshift, len(made.redshift.lines)
        lines.append(f"redshift {z.value:.5f} +- {z.error:.5f} from {many} line{'s' if many > 1 else ''}")
    told = [one for one in made.candidates if one.rank >= _WORTH * made.candidates[0].rank or one.ratio > 1.1][:_TOLD]
    lines += [of_candidate(axis, one, not compared) for one in told]
    if more := [one.name for one in made.candidates if one not in told]:
        lines.append(f"also there, less sure or no more than elsewhere: {', '.join(more)}")
    if made.unexplained:
        lines.append(of_peaks(axis, made.unexplained))
    if not made.peaks:
        lines.append("no peak stands out from the noise")
    if made.detector is not None:
        lines += _of_detector(made.detector, axis)
    return tuple(lines)


def _of_detector(detector: Detector, axis: SpectralAxis) -> list[str]:
    lines = []
    if detector.anode:
        source = f"a beam of {detector.anode} keV" if detector.beam else f"a tube of {detector.anode}"
        lines.append(f"the lines of {source} are scattered into the spectrum")
    middle = float(np.median(axis.values)) * _KEV[axis.unit]
    off = float(detector.true(np.array([middle]))[0]) - middle
    if abs(off) > abs(axis.step) * _KEV[axis.unit]:
        lines.append(f"the energies seem to be wrong by {off * 1000:+.0f} eV at {middle:.1f} keV; calibrate the axis")
    return lines
