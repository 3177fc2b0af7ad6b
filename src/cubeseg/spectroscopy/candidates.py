"""What may have made a spectrum, and the lines that speak for and against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Candidate", "Evidence", "ranked"]


@dataclass(frozen=True)
class Evidence:
    """One line that a candidate leads to expect.

    Attributes
    ----------
    label : str
        ``"Pb Lα"``, ``"[O III] 5007"``.
    position : float
        In the unit of the axis.
    seen : bool
        Whether it is there.
    expected : bool
        Whether it would have to be there: strong enough to stand out from the noise.
    significance : float
        Of what is there and no other candidate explains, in standard deviations.
    height : float
        What is there: counts or flux per pixel summed over the line, negative in absorption.
    ratio : float
        Of the height to that in the rest; infinite where the rest has none, NaN where neither has.
    shared : tuple of str
        Lines of other candidates, or other peaks, at the same place.
    """

    label: str
    position: float
    seen: bool
    expected: bool
    significance: float
    height: float
    ratio: float
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """An element, ion or molecule that could explain part of a spectrum.

    Attributes
    ----------
    name : str
        ``"Pb"``, ``"[O III]"``.
    title : str
        ``"lead"``; empty where the name says it.
    score : float
        By how many standard deviations the spectrum is explained better with it than without it.
    rank : float
        What candidates are ordered by: the score, less for what other classes have as well.
    amount : float
        Counts or flux per pixel in its lines.
    ratio : float
        Of the amount to that in the rest.
    evidence : tuple of Evidence
        In the order of the axis.
    """

    name: str
    title: str
    score: float
    rank: float
    amount: float
    ratio: float
    evidence: tuple[Evidence, ...]

    @property
    def missing(self) -> tuple[Evidence, ...]:
        """Lines that would have to be there and are not."""
        return tuple(line for line in self.evidence if line.expected and not line.seen)

    @property
    def seen(self) -> tuple[Evidence, ...]:
        """Lines that are there."""
        return tuple(line for line in self.evidence if line.seen)


def ranked(score: float, amount: float, elsewhere: Sequence[float]) -> float:
    """Score of a candidate times 0.15 + 0.85 e, e being the share of its amount above the median of other classes.

    What every class has, such as the ground of a painting or the lines of the sky, comes last.
    """
    typical = float(np.median(elsewhere)) if len(elsewhere) else 0.0
    excess = float(np.clip(1 - typical / amount, 0, 1)) if amount > 0 else 0.0
    return score * (0.15 + 0.85 * excess)
