"""Explanations of a class in sentences: suggestions, with what speaks for and against them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cubeseg.axis import SpectralAxis
from cubeseg.spectroscopy.candidates import Candidate, Evidence
from cubeseg.spectroscopy.contrast import Window
from cubeseg.spectroscopy.peaks import Peak

__all__ = ["of_candidate", "of_peaks", "of_windows", "place", "times"]

# a ratio nearer to 1 than this is no difference
_EQUAL = 0.1


def place(axis: SpectralAxis, value: float) -> str:
    """A value of the axis without its unit, with the digits that its bands justify."""
    near = axis.values[max(axis.index_of(value) - 1, 0) : axis.index_of(value) + 2]
    step = float(np.abs(np.diff(near)).min()) if len(near) > 1 else 1.0
    return f"{value:.{max(0, -int(np.floor(np.log10(step))))}f}"


def times(ratio: float) -> str:
    """How strong something is compared with the rest: ``"30 % stronger than"``, ``"4.2 times as strong as"``."""
    if not np.isfinite(ratio):
        return "not found"
    if abs(ratio - 1) < _EQUAL:
        return "as strong as"
    if ratio >= 1.95:
        return f"{ratio:.0f} times as strong as" if ratio >= 9.5 else f"{ratio:.1f} times as strong as"
    change = f"{abs(ratio - 1) * 100:.0f} %"
    return f"{change} stronger than" if ratio > 1 else f"{change} weaker than"


def of_windows(axis: SpectralAxis, windows: Sequence[Window], whom: str, candidates: Sequence[Candidate] = ()) -> str:
    """One sentence for the windows that tell a class from `whom`."""
    parts = []
    for higher, word in ((True, "stronger"), (False, "weaker")):
        mine = [window for window in windows if (window.effect > 0) == higher]
        if mine:
            parts.append(f"{word} at {_listed([_window(axis, window, candidates) for window in mine])}")
    if not parts:
        return f"not told from {whom} by any range of the spectrum"
    return f"told from {whom} by being {'; '.join(parts)}"


def of_candidate(axis: SpectralAxis, candidate: Candidate, alone: bool = False) -> str:
    """One sentence for a candidate: the lines seen, their strength, what is missing and what is shared.

    Parameters
    ----------
    axis : SpectralAxis
    candidate : Candidate
    alone : bool
        Whether there is no rest to compare with.
    """
    seen, missing = candidate.seen, candidate.missing
    head = f"could be {candidate.name}" + (f" ({candidate.title})" if candidate.title else "")
    unit = axis.display_unit
    parts = []
    if seen:
        main = sorted(sorted(seen, key=lambda line: -line.significance)[:4], key=lambda line: line.position)
        text = f"{_lines(axis, main, candidate.name)} {unit} seen"
        if not alone:
            text += f", {_against(candidate.ratio)}"
        parts.append(text)
    if missing:
        parts.append(f"{_lines(axis, missing[:3], candidate.name)} {unit} expected and not seen")
    shared = [line for line in seen if line.shared]
    if shared:
        others = list(dict.fromkeys(name for line in shared for name in line.shared[:2]))[:3]
        which = _listed([_short(line, candidate.name) for line in shared[:3]])
        parts.append(f"{which} may be {_listed(others)} in part")
    return f"{head}: {'; '.join(parts)}"


def of_peaks(axis: SpectralAxis, peaks: Sequence[Peak], n: int = 5) -> str:
    """One sentence for peaks that no candidate explains."""
    strongest = sorted(sorted(peaks, key=lambda peak: -peak.significance)[:n], key=lambda peak: peak.position)
    names = [f"{place(axis, peak.position)}" + (" (a dip)" if peak.kind == "absorption" else "") for peak in strongest]
    more = len(peaks) - len(strongest)
    return f"not explained: {_listed(names)} {axis.display_unit}".rstrip() + (f" and {more} weaker" if more else "")


def _against(ratio: float) -> str:
    return "not found in the rest" if not np.isfinite(ratio) else f"{times(ratio)} in the rest"


def _window(axis: SpectralAxis, window: Window, candidates: Sequence[Candidate]) -> str:
    unit = axis.display_unit
    where = place(axis, window.low)
    if window.last > window.first:
        where += f" to {place(axis, window.high)}"
    inside = [
        (abs(line.height), line.label)
        for one in candidates
        for line in one.seen
        if window.low <= line.position <= window.high
    ]
    named = [label for _, label in sorted(inside, reverse=True)[:2]]
    if np.isfinite(window.ratio) and window.ratio > 0 and abs(window.ratio - 1) >= 0.005:
        size = f"x{window.ratio:.1f}" if window.ratio >= 2 else f"{(window.ratio - 1) * 100:+.0f} %"
        named.append(size)
    return f"{where} {unit}".rstrip() + (f" ({', '.join(named)})" if named else "")


def _lines(axis: SpectralAxis, lines: Sequence[Evidence], owner: str) -> str:
    named = [(_short(line, owner), place(axis, line.position)) for line in lines]
    # a label with a number needs a word before the next number
    return ", ".join(f"{label} at {at}" if label[-1].isdigit() else f"{label} {at}" for label, at in named)


def _short(line: Evidence, owner: str) -> str:
    """The label without the element that the sentence is about, unless only a number would be left."""
    short = line.label.removeprefix(f"{owner} ")
    return line.label if short[0].isdigit() else short


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "nothing"
