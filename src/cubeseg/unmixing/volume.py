"""Which of all components that explain the data equally well: those that enclose them most tightly."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.unmixing.abundances import nonnegative

__all__ = ["Enclosing", "tightest"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# softens the logarithm of the volume (Leplat, Ang & Gillis 2019)
_SOFT = 0.1
_SETTLED = 3e-5
# falling, as parts of the squared residuals
_WEIGHTS, _FIRST = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003), 0.1


@dataclass(frozen=True, eq=False)
class Enclosing:
    """Components of unit length, their amounts, and the weight of the volume for each spectrum (0 = none)."""

    components: Float64
    amounts: Float64
    weight: float


def tightest(
    spectra: NDArray[np.floating],
    start: NDArray[np.floating],
    allowed: float,
    known: int = 0,
    positive: bool = True,
    factor: float = 1.0,
    weight: float | None = None,
    rounds: int = 300,
) -> Generator[float, None, Enclosing]:
    """Minimum-volume factorisation: least squares plus a weight times log det(S S' + 0.1).

    The volume removes what non-negativity leaves open where no pixel is pure (Craig 1994; Miao & Qi 2007; Fu et al.
    2019). Its weight is the largest of some half decades that raises the squared residuals by no more than `allowed`,
    so nobody has to choose it.

    Parameters
    ----------
    spectra : array, shape (n, d)
        All of about the same brightness, in units in which their noise is alike.
    start : array, shape (k, d)
    allowed : float
        By how much the squared residuals may rise, as a part of those without the volume.
    known : int
        So many of the first components stay as they are.
    positive : bool
    factor : float
        On `allowed`; 0 switches the volume off.
    weight : float, optional
        Of the volume, for each spectrum, where it is known already.
    rounds : int
        At most.

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    Enclosing
    """
    x = np.ascontiguousarray(spectra, dtype=np.float32)
    if weight is not None:
        return (yield from _settle(x, start, weight, known, positive, 0.0, rounds))
    plain = yield from _settle(x, start, 0.0, known, positive, 0.0, rounds)
    best, base = plain, _squares(x, plain)
    if factor == 0 or len(start) < 2:
        return plain
    # up the half decades as long as the data bear it, or down until they do
    place, step = _WEIGHTS.index(_FIRST), 0
    while 0 <= place < len(_WEIGHTS):
        found = yield from _settle(x, start, _WEIGHTS[place] * base / len(x), known, positive, 0.5, rounds)
        borne = _squares(x, found) <= base * (1 + factor * allowed)
        best = found if borne else best
        if step and borne == (step > 0):
            break
        step = step or (-1 if borne else 1)
        place += step
    return best


def _settle(
    x: Float32, start: NDArray[np.floating], weight: float, known: int, positive: bool, done: float, rounds: int
) -> Generator[float, None, Enclosing]:
    s = np.array(start, dtype=np.float64)
    pulling = weight * len(x)
    s /= np.maximum(np.linalg.norm(s, axis=1, keepdims=True), 1e-30)
    c = nonnegative(s @ s.T, x @ s.astype(np.float32).T, None, 30)
    before = np.inf
    for turn in range(rounds):
        c = nonnegative(s @ s.T, x @ s.astype(np.float32).T, c, 3)
        pull = pulling * np.linalg.inv(s @ s.T + _SOFT * np.eye(len(s)))
        moments, wanted = c.T @ c + pull, (c.astype(np.float32).T @ x).astype(np.float64)
        for _ in range(2):
            for j in range(known, len(s)):
                if moments[j, j] <= 0:
                    continue
                new = s[j] + (wanted[j] - moments[j] @ s) / moments[j, j]
                s[j] = np.maximum(new, 0) if positive else new
        norms = np.linalg.norm(s, axis=1)
        norms[norms == 0] = 1.0
        s /= norms[:, None]
        c *= norms
        yield done
        if turn % 10 == 9:
            value = _squares(x, Enclosing(s, c, 0.0))
            if weight:
                value += pulling * float(np.linalg.slogdet(s @ s.T + _SOFT * np.eye(len(s)))[1])
            if abs(before - value) < _SETTLED * abs(before):
                break
            before = value
    return Enclosing(s, nonnegative(s @ s.T, x @ s.astype(np.float32).T, c, 30), weight)


def _squares(x: Float32, found: Enclosing) -> float:
    rest = x - found.amounts.astype(np.float32) @ found.components.astype(np.float32)
    return float(np.einsum("nd,nd->", rest, rest, dtype=np.float64))
