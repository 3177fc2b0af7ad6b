"""Which atoms, ions and molecules explain the lines of a spectrum at a redshift, and the evidence for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.spectroscopy.candidates import Candidate, Evidence, ranked
from cubeseg.spectroscopy.line_positions import positions
from cubeseg.spectroscopy.peaks import Peak, filtered
from cubeseg.spectroscopy.redshift import Redshift
from cubeseg.spectroscopy.rest_lines import RestLine, selected

__all__ = ["candidates"]

Float64 = NDArray[np.float64]

# where a line must lie, less is enough than where it may lie anywhere
_SEEN, _EXPECTED = 4.0, 6.0
_FAMILY = 5.0
_BOTH = ("H I", "He I", "Na D")
_AREA = float(np.sqrt(np.pi / (4 * np.log(2))))  # of a Gaussian of height and FWHM 1


@dataclass(frozen=True)
class _Measure:
    """Band, signal-to-noise ratio, height and FWHM in bands of what is at the place of a line."""

    band: int
    ratio: float
    height: float
    width: float


@dataclass(eq=False)
class _Spectrum:
    """A mean spectrum and what filters of several widths find in it."""

    mean: Float64
    variance: Float64
    made: dict[float, tuple[Float64, Float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        good = np.isfinite(self.mean) & np.isfinite(self.variance)
        index = np.arange(len(self.mean))
        worst = float(self.variance[good].max()) if good.any() else 1.0
        filled = np.interp(index, index[good], self.mean[good]) if good.any() else np.zeros(len(index))
        self.mean, self.variance = filled, np.where(good, self.variance, 100 * worst)

    def at(self, width: float) -> tuple[Float64, Float64]:
        """Signal-to-noise ratio and height of a line of some FWHM in bands, at every band."""
        if width not in self.made:
            self.made[width] = filtered(self.mean, self.variance, width)
        return self.made[width]


def candidates(
    axis: SpectralAxis,
    spectrum: tuple[Float64, Float64],
    rest: tuple[Float64, Float64],
    others: Sequence[tuple[Float64, Float64]],
    peaks: Sequence[Peak],
    redshift: Redshift,
) -> tuple[Candidate, ...]:
    """Families of lines that are there at a redshift, those that set the class apart first.

    Parameters
    ----------
    axis : SpectralAxis
    spectrum, rest : (array, array), each of shape (bands,)
        Mean and variance of the mean, of the class and of all pixels of other classes.
    others : sequence of (array, array)
        The same of each other class.
    peaks : sequence of Peak
        Of the class.
    redshift : Redshift

    Returns
    -------
    tuple of Candidate
        Of families with a line of five standard deviations or more.
    """
    bands = _width(axis, peaks, redshift)
    here, there = _Spectrum(*spectrum), _Spectrum(*rest)
    elsewhere = [_Spectrum(*other) for other in others]
    low, high = np.sort(axis.values[[0, -1]])
    table = [line for line in selected(None, 3) if line.rank < 3 or line.label in redshift.lines]
    table += selected(["sky"])
    at = positions(axis, [line.wavelength * (1 if line.kind == "sky" else 1 + redshift.value) for line in table])
    lines = [(line, float(x)) for line, x in zip(table, at, strict=True) if low <= x <= high]
    measured = {line.label: _measured(axis, line, x, here, peaks, bands) for line, x in lines}
    families: dict[str, list[tuple[RestLine, float]]] = {}
    for line, x in lines:
        families.setdefault(line.family, []).append((line, x))
    found = []
    for family, members in families.items():
        evidence = tuple(_evidence(axis, members, lines, measured, there, abs(axis.step)))
        seen = [line for line in evidence if line.seen]
        score = float(np.sqrt(sum(line.significance**2 for line in seen)))
        if score < _FAMILY:
            continue
        own = [measured[line.label] for line in seen]
        amount = sum(abs(line.height) for line in seen)
        typical = [_amount(other, own) for other in elsewhere]
        ratio = _ratio(amount, there, own)
        # the sky sets nothing apart
        rank = ranked(score, amount, [amount] if members[0][0].kind == "sky" else typical)
        found.append(Candidate(family, "", score, rank, amount, ratio, evidence))
    # only lines that are there can be in the way of others
    there_too = {line.label for one in found for line in one.seen}
    return tuple(
        replace(one, evidence=tuple(_with_rivals(line, there_too) for line in one.evidence))
        for one in sorted(found, key=lambda one: -one.rank)
    )


def _with_rivals(line: Evidence, seen: set[str]) -> Evidence:
    return replace(line, shared=tuple(label for label in line.shared if label in seen))


def _evidence(
    axis: SpectralAxis,
    members: Sequence[tuple[RestLine, float]],
    lines: Sequence[tuple[RestLine, float]],
    measured: dict[str, _Measure],
    there: _Spectrum,
    step: float,
) -> list[Evidence]:
    """What is at the place of each line of a family."""
    strongest = max(members, key=lambda one: abs(measured[one[0].label].ratio) * (one[0].height >= 0.3))[0]
    found = []
    for line, x in members:
        own = measured[line.label]
        sign = _sign(line, own.ratio)
        near = [
            (other, abs(y - x) / (own.width * step), measured[other.label])
            for other, y in lines
            if other.label != line.label and other.rank <= max(line.rank, 2)
        ]
        rivals = [other for other, far, _ in near if far < 1.5 and other.family != line.family]
        # in the wing of a line that is twice as high nothing can be told; within one width it is that line
        buried = any(far < 2.5 and abs(its.height) > 2 * abs(own.height) for _, far, its in near)
        hidden = any(far < 1 and abs(its.ratio) > 1.5 * abs(own.ratio) for _, far, its in near)
        wanted = abs(measured[strongest.label].ratio) * min(line.height / strongest.height, 1.0)
        seen = bool(sign * own.ratio > _SEEN and not hidden)
        area = own.height * own.width * _AREA
        ratio, height = there.at(own.width)
        other = float(height[own.band]) * own.width * _AREA
        compared = area / other if sign * ratio[own.band] > 2 and other * area > 0 else np.inf
        found.append(
            Evidence(
                line.label, x, seen, bool(wanted > _EXPECTED and not buried and not hidden), sign * own.ratio, area,
                float(compared) if seen else np.nan, tuple(rival.label for rival in rivals),
            )
        )  # fmt: skip
    return found


def _measured(
    axis: SpectralAxis, line: RestLine, x: float, here: _Spectrum, peaks: Sequence[Peak], bands: float
) -> _Measure:
    """The signal at the place of a line: that of a peak that was found there, else of the filter."""
    ratio, height = here.at(bands)
    band = _nearest(axis.index_of(x), ratio, line, bands)
    best = _Measure(band, float(ratio[band]), float(height[band]), bands)
    if line.kind == "sky":
        # what its subtraction leaves is only looked for among the peaks
        best = _Measure(axis.index_of(x), 0.0, 0.0, bands)
    step = abs(axis.step)
    for peak in peaks:
        sign = 1.0 if peak.kind == "emission" else -1.0
        if abs(peak.position - x) < max(peak.width / 3, step) and sign == _sign(line, sign):
            found = _Measure(peak.band, sign * peak.significance, peak.height, peak.width / step)
            if abs(found.ratio) > abs(best.ratio):
                best = found
    return best


def _sign(line: RestLine, ratio: float) -> float:
    """Direction in which a line must go: hydrogen, helium, sodium and what is left of the sky may go in either."""
    if line.kind == "sky" or line.family.startswith(_BOTH):
        return float(np.sign(ratio)) or 1.0
    return -1.0 if line.kind == "absorption" else 1.0


def _nearest(band: int, ratio: Float64, line: RestLine, bands: float) -> int:
    """Band of the strongest signal within a third of the width of where a line should be."""
    reach = max(1, round(bands / 3))
    low, high = max(band - reach, 0), min(band + reach + 1, len(ratio))
    part = ratio[low:high]
    if line.kind == "sky" or line.family.startswith(_BOTH):
        return low + int(np.abs(part).argmax())
    return low + int((-part if line.kind == "absorption" else part).argmax())


def _width(axis: SpectralAxis, peaks: Sequence[Peak], redshift: Redshift) -> float:
    """FWHM in bands of the peaks that are known lines; the narrower half, since blends are broad."""
    table = [line for line in selected(None, 2) if line.label in redshift.lines]
    at = positions(axis, [line.wavelength * (1 + redshift.value) for line in table])
    step = abs(axis.step)
    widths = [
        peak.width / step for x in at for peak in peaks if abs(peak.position - x) < max(peak.width / 2, 1.5 * step)
    ]
    return float(np.clip(np.percentile(widths, 25), 1.5, len(axis) / 8)) if widths else 2.5


def _amount(one: _Spectrum, lines: Sequence[_Measure]) -> float:
    """Signal in some lines, 0 where they go the other way."""
    areas = (np.sign(line.height) * one.at(line.width)[1][line.band] * line.width for line in lines)
    return float(max(sum(areas), 0.0)) * _AREA


def _ratio(amount: float, rest: _Spectrum, lines: Sequence[_Measure]) -> float:
    there = _amount(rest, lines)
    sure = sum(np.sign(line.height) * rest.at(line.width)[0][line.band] for line in lines) / np.sqrt(len(lines))
    return amount / there if there > 0 and sure > 2 else np.inf
