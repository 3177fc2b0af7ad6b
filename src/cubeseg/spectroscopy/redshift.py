"""The redshift at which the peaks of a spectrum are lines that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.spectroscopy.conversion import converted
from cubeseg.spectroscopy.line_positions import doppler
from cubeseg.spectroscopy.peaks import Peak
from cubeseg.spectroscopy.rest_lines import RestLine, selected

__all__ = ["Redshift", "find_redshift", "vacuum_wavelengths"]

Float64 = NDArray[np.float64]

_WEIGHTS = {1: 1.0, 2: 0.5, 3: 0.2}
# of the strongest peaks, and of chance spectra that the best redshift has to beat
_PEAKS, _CHANCES = 15, 25
# matched lines may lie this far from their place, in widths of the peak and in c (100 km/s)
_SLACK, _KINEMATIC = 0.35, 3.3e-4
# a line that is wider than this (c, 6000 km/s) is a band of a solid or a molecule
_BROADEST = 0.02
_MISSED, _FAR = 0.6, 0.15
# hydrogen and helium absorb in stars what they emit in gas
_BOTH = ("H I", "He I", "Na D")


@dataclass(frozen=True)
class Redshift:
    """A redshift and how sure it is.

    Attributes
    ----------
    value, error : float
        z and its standard error from the scatter of the lines.
    lines : tuple of str
        Labels of the lines that fit peaks.
    score : float
        Sum of the weights of those lines, less for lines of the same families that are missing.
    chance : float
        The best score that as many peaks at random places reached.
    """

    value: float
    error: float
    lines: tuple[str, ...]
    score: float
    chance: float

    @property
    def sure(self) -> bool:
        """Whether two lines or more fit, and more than by chance."""
        return len(self.lines) > 1 and self.score > self.chance


def vacuum_wavelengths(axis: SpectralAxis) -> Float64:
    """Vacuum wavelengths of the bands in nm, shape (bands,).

    Raises
    ------
    ConfigError
        If the axis cannot tell them.
    """
    return converted(axis, "nm", medium="vacuum", rest=axis.rest or None).values


def find_redshift(
    axis: SpectralAxis, peaks: Sequence[Peak], redshift: float | tuple[float, float] | None = None
) -> Redshift | None:
    """The redshift that makes most of the strongest peaks lines of the table.

    Each pair of a peak and a line proposes one; the one whose lines, weighted by how common they are and by the
    significance of the peaks, add up to most is taken.

    Parameters
    ----------
    axis : SpectralAxis
    peaks : sequence of Peak
    redshift : float or (float, float), optional
        The redshift, of which velocities of 900 km/s may still be added, or its range; None: from 0 to 7, or 0.02
        where the axis has a rest frequency.

    Returns
    -------
    Redshift or None
        None where no line fits any peak.
    """
    low, high = _range(axis, redshift)
    waves = vacuum_wavelengths(axis)
    bands = np.arange(len(axis))
    slope = np.abs(np.gradient(np.log(waves)))
    narrow = [p for p in peaks if slope[p.band] * p.width / _step(axis, p.band) < _BROADEST]
    strongest = sorted(narrow, key=lambda p: -p.significance)[:_PEAKS]
    if not strongest:
        return None
    places = np.array([np.interp(_between(axis, p), bands, np.log(waves)) for p in strongest])
    widths = np.array([slope[p.band] * p.width / _step(axis, p.band) for p in strongest])
    slack = np.maximum(np.maximum(_SLACK * widths, slope[[p.band for p in strongest]]), _KINEMATIC)
    sure = np.sqrt(np.minimum([p.significance for p in strongest], 25.0) / 5)
    emits = np.array([p.kind == "emission" for p in strongest])
    ends = np.sort(np.log(waves[[0, -1]]))
    lines = [
        line
        for line in selected(None, 2)
        if ends[0] - np.log1p(high) <= np.log(line.wavelength) <= ends[1] - np.log1p(low)
    ]
    if not lines:
        return None
    rng = np.random.default_rng(0)
    best = _best(places, slack, sure, emits, lines, ends, low, high)
    if best is None:
        return None
    score, z, matched = best
    first, last = float(ends[0]), float(ends[1])
    chances = [
        _best(rng.uniform(first, last, len(places)), slack, sure, emits, lines, ends, low, high)
        for _ in range(_CHANCES)
    ]
    chance = max((found[0] for found in chances if found is not None), default=0.0)
    # a peak in which two lines of the table come together says less of where either is
    alone = [(p, k) for p, k in matched if not _blended(lines, k, widths[p])] or matched
    offsets = np.array([places[p] - np.log(lines[k].wavelength) for p, k in alone])
    weights = np.array([(min(strongest[p].significance, 25.0) / widths[p]) ** 2 for p, _ in alone])
    mean = float((weights * offsets).sum() / weights.sum())
    spread = float(np.sqrt((weights * (offsets - mean) ** 2).sum() / weights.sum() / max(len(offsets) - 1, 1)))
    error = max(spread, float(1 / np.sqrt(weights.sum()))) * np.exp(mean)
    value = float(np.expm1(mean)) if low <= np.expm1(mean) <= high else z
    return Redshift(value, float(error), tuple(lines[k].label for _, k in matched), score, chance)


def _blended(lines: list[RestLine], k: int, width: float) -> bool:
    own = np.log(lines[k].wavelength)
    return any(abs(np.log(other.wavelength) - own) < width for i, other in enumerate(lines) if i != k)


def _range(axis: SpectralAxis, redshift: float | tuple[float, float] | None) -> tuple[float, float]:
    if redshift is None:
        return (-0.02, 0.02) if axis.rest or axis.kind == "velocity" else (-0.003, 7.0)
    if isinstance(redshift, tuple):
        low, high = (doppler(z) - 1 for z in redshift)
        return min(low, high), max(low, high)
    near = 0.003 * doppler(redshift)
    return redshift - near, redshift + near


def _best(
    places: Float64, slack: Float64, sure: Float64, emits: NDArray[np.bool_], lines: list[RestLine], ends: Float64,
    low: float, high: float,
) -> tuple[float, float, list[tuple[int, int]]] | None:  # fmt: skip
    """Best score, its redshift, and the pairs of peak and line."""
    rest = np.log([line.wavelength for line in lines])
    weights = np.array([_WEIGHTS[line.rank] for line in lines])
    emitted = np.array([line.kind != "absorption" for line in lines])
    both = np.array([line.family.startswith(_BOTH) for line in lines])
    able = (emits[:, None] == emitted) | both
    proposed = (places[:, None] - rest)[able]
    proposed = proposed[(proposed >= np.log1p(low)) & (proposed <= np.log1p(high))]
    if not len(proposed):
        return None
    shifts = np.unique(np.round(proposed / 1e-4)) * 1e-4
    families = np.array([line.family for line in lines])
    heights = np.array([line.height for line in lines])
    same = (families[:, None] == families) & (heights[:, None] >= 0.3 * heights)
    best: tuple[float, float] | None = None
    for part in np.array_split(shifts, max(1, len(shifts) // 200)):
        # (shifts, peaks, lines)
        near = (np.abs(places[:, None] - rest - part[:, None, None]) <= slack[:, None] + 1e-4) & able
        worth = near * weights * sure[:, None]
        by_peak, by_line = worth.max(axis=2), worth.max(axis=1)
        total = np.minimum(by_peak.sum(axis=1), by_line.sum(axis=1))
        found = by_line > 0
        there = (rest + part[:, None] >= ends[0]) & (rest + part[:, None] <= ends[1])
        # a line as strong as one of its family that is found must be found too
        demanded = (found @ same.T.astype(float) > 0) & there & ~found
        total -= _MISSED * (demanded * weights).sum(axis=1) + _FAR * np.abs(part)
        at = int(total.argmax())
        if best is None or total[at] > best[0] + 1e-9 or (total[at] > best[0] - 1e-9 and abs(part[at]) < abs(best[1])):
            best = float(total[at]), float(part[at])
    if best is None:
        return None
    near = (np.abs(places[:, None] - rest - best[1]) <= slack[:, None] + 1e-4) & able
    pairs, used = [], set()
    for peak in np.argsort(-sure):
        free = [int(k) for k in np.flatnonzero(near[peak]) if int(k) not in used]
        if free:
            line = max(free, key=lambda k: weights[k] - abs(places[peak] - rest[k] - best[1]))
            used.add(line)
            pairs.append((int(peak), line))
    return (best[0], float(np.expm1(best[1])), pairs) if pairs else None


def _step(axis: SpectralAxis, band: int) -> float:
    return float(abs(np.gradient(axis.values)[band]))


def _between(axis: SpectralAxis, peak: Peak) -> float:
    """The place of a peak in bands."""
    values = axis.values if axis.values[0] < axis.values[-1] else -axis.values
    position = peak.position if axis.values[0] < axis.values[-1] else -peak.position
    return float(np.interp(position, values, np.arange(len(values))))
