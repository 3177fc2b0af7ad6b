"""Spatial coherence: a Potts model on the classes' log-likelihoods, solved by mean field."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Context", "Edges", "Grid", "agreement", "coherent", "strength_of"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

# from the classes' log-likelihoods (n, k) to what the pixels around a pixel add to them (n, k)
Context = Callable[[Float32], Float32]

STRONGEST = 1.0
_STRIP = 64  # rows


def agreement(first: NDArray[np.int32], second: NDArray[np.int32], k: int) -> float:
    """How well neighbouring pixels agree on their classes: a score of a clustering that needs no labels.

    Neighbours mostly show the same material with other noise and other light. Classes that follow the material agree
    between neighbours; classes that follow noise do not. The score is the mutual information of the labels of
    neighbours (nats; it rewards many classes of comparable size that agree) times the mean over classes of the
    probability that the neighbour of a member is a member (where a small class counts as much as a large one, so
    cutting a large class in two ragged parts does not pay for merging two small ones).

    Parameters
    ----------
    first, second : arrays of int, shape (m,)
        Labels 0..k-1 of pairs of neighbouring pixels.
    k : int
    """
    table = np.zeros((k, k))
    np.add.at(table, (first, second), 1.0)
    table = (table + table.T) / max(2 * len(first), 1)
    margin = table.sum(axis=1)
    seen = table > 0
    information = float((table[seen] * np.log(table[seen] / np.outer(margin, margin)[seen])).sum())
    return information * float((np.diag(table) / np.maximum(margin, 1e-12)).mean())


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixels of a sample on their own coarse grid, so that they have neighbours.

    Attributes
    ----------
    rows, columns : arrays of int, shape (n,)
        Place of each pixel on the grid.
    shape : (int, int)
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    shape: tuple[int, int]

    def context(self, evidence: Float32) -> Float32:
        """Logarithm of the prior that neighbours give, (n, k), for log-likelihoods (n, k); a :data:`Context`."""
        k = evidence.shape[1]
        image = np.zeros((k, *self.shape), np.float32)
        usable = np.zeros(self.shape, bool)
        image[:, self.rows, self.columns], usable[self.rows, self.columns] = evidence.T, True
        strength = np.float32(strength_of(image, usable))
        belief = _softmax(image) * usable
        for _ in range(3):
            message = around(belief) * strength
            belief = _softmax(message + image) * usable
        top = message.max(axis=0)
        message -= top + np.log(np.exp(message - top).sum(axis=0))
        return np.ascontiguousarray(message[:, self.rows, self.columns].T)


def coherent(
    evidence: NDArray[np.floating],
    usable: Bool,
    strength: float,
    codes: NDArray[np.floating] | None = None,
    rounds: int = 8,
) -> Generator[float, None, tuple[NDArray[np.int32], Float32]]:
    """Labels that agree with their pixel's spectrum and with the pixels around it.

    Mean-field inference (Besag 1986 for the model; Zhang 1992 for the solution) of p(labels) ~ exp(sum_i log L_i(c_i) +
    strength * sum over equal pairs of neighbours of w_ij). What a spectrum says is weighed in nats against what its
    neighbours say, so a thin line or a single bright pixel whose spectrum is clear stays. With `codes` the weights
    w_ij fall where spectra differ by more than neighbours commonly do (:class:`Edges`); otherwise they are 1.

    Parameters
    ----------
    evidence : array, shape (k, y, x)
        Logarithms of the posterior odds of the classes, up to a constant per pixel.
    usable : array of bool, shape (y, x)
        Pixels to label; the others neither get a label nor speak to their neighbours.
    strength : float
        Nats per agreeing neighbour, of which there are eight; 0 = every pixel for itself.
    codes : array, shape (y, x, d), optional
    rounds : int

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    labels : array of int32, shape (y, x)
        0..k-1; 0 where not usable.
    confidence : array of float32, shape (y, x)
        Posterior of the label; 0 where not usable.
    """
    labels, confidence = np.zeros(usable.shape, np.int32), np.zeros(usable.shape, np.float32)
    rounds = rounds if strength > 0 else 0
    typical = None if codes is None else Edges.typical(codes, usable)
    height = usable.shape[0]
    for top in range(0, height, _STRIP):
        # what lies further away than there are rounds cannot be felt, so strips with that margin give the same
        first, last = max(0, top - rounds), min(height, top + _STRIP + rounds)
        part, alive = evidence[:, first:last].astype(np.float32), usable[first:last]
        edges = None if codes is None or typical is None else Edges.of(codes[first:last], alive, typical)
        belief = _softmax(part) * alive
        for _ in range(rounds):
            message = around(belief, edges)
            message *= np.float32(strength)
            message += part
            belief = _softmax(message) * alive
        kept = slice(top, min(top + _STRIP, height))
        inner = belief[:, top - first : top - first + kept.stop - kept.start]
        labels[kept] = inner.argmax(axis=0)
        confidence[kept] = inner.max(axis=0)
        yield kept.stop / height
    return labels, confidence


def strength_of(evidence: NDArray[np.floating], usable: Bool, codes: NDArray[np.floating] | None = None) -> float:
    """The strength that the image itself suggests: that of largest pseudo-likelihood (Besag 1975), at most 1.

    How often do neighbours agree where the spectra leave no doubt? Only such pixels are asked, so that noise does not
    pass for a rough picture; in a picture without any order the answer is 0.

    Parameters
    ----------
    evidence : array, shape (k, y, x)
    usable : array of bool, shape (y, x)
    codes : array, shape (y, x, d), optional
        As for :func:`coherent`.
    """
    from scipy.optimize import minimize_scalar

    typical = None if codes is None else Edges.typical(codes, usable)
    height = usable.shape[0]
    # a few strips of a large image are enough
    tops = np.unique(np.linspace(0, max(height - _STRIP, 0), min(-(-height // _STRIP), 16)).astype(int))
    strips = [slice(top, top + _STRIP) for top in tops]

    def belief_in(rows: slice) -> tuple[Float32, NDArray[np.intp]]:
        belief = _softmax(evidence[:, rows].astype(np.float32)) * usable[rows]
        return belief, np.flatnonzero(usable[rows] & (belief.max(axis=0) > 0.9))

    # counted first, because what the neighbours of all of them say would take much memory
    ends = np.cumsum([0, *(len(belief_in(rows)[1]) for rows in strips)])
    if ends[-1] < 100 or len(evidence) < 2:
        return 0.0
    few = np.random.default_rng(0).permutation(ends[-1])[:4000]
    seen, own = np.empty((len(evidence), len(few))), np.empty(len(few), np.intp)
    for rows, first, last in zip(strips, ends[:-1], ends[1:], strict=True):
        here = (first <= few) & (few < last)
        belief, sure = belief_in(rows)
        edges = None if codes is None or typical is None else Edges.of(codes[rows], usable[rows], typical)
        at = sure[few[here] - first]
        seen[:, here] = around(belief, edges).reshape(len(evidence), -1)[:, at]
        own[here] = belief.reshape(len(evidence), -1)[:, at].argmax(axis=0)

    def surprise(strength: float) -> float:
        scores = strength * seen
        top = scores.max(axis=0)
        logs = top + np.log(np.exp(scores - top).sum(axis=0))
        return float((logs - scores[own, np.arange(len(own))]).mean())

    found = minimize_scalar(surprise, bounds=(0.0, STRONGEST), method="bounded", options={"xatol": 0.02})
    return round(float(found.x), 2) if surprise(float(found.x)) < surprise(0.0) else 0.0


@dataclass(frozen=True, eq=False)
class Edges:
    """Weights of the pairs of neighbours, 1 down to 0: exp(1 - d^2 / median d^2) where codes differ by more.

    Attributes
    ----------
    weights : tuple of arrays
        To the right (y, x-1), below (y-1, x), below right and below left (y-1, x-1).
    """

    weights: tuple[Float32, Float32, Float32, Float32]

    @staticmethod
    def typical(codes: NDArray[np.floating], usable: Bool) -> float:
        """Median squared difference of neighbours' codes (y, x, d) over the image, from at most a few rows of it."""
        rows = np.unique(np.linspace(0, len(usable) - 1, min(len(usable), 256)).astype(int))
        both = usable[rows, 1:] & usable[rows, :-1]
        few = codes[rows].astype(np.float32)
        squared = ((few[:, 1:] - few[:, :-1]) ** 2).sum(axis=2)[both]
        return float(np.median(squared)) if squared.size else 0.0

    @classmethod
    def of(cls, codes: NDArray[np.floating], usable: Bool, typical: float) -> Edges:
        """Weights for codes (y, x, d); `typical` is what :meth:`typical` gave."""
        codes = np.where(usable[..., None], codes, 0).astype(np.float32)
        scale = np.float32(max(typical, 1e-12))

        def weight(first: Float32, second: Float32) -> Float32:
            squared = ((first - second) ** 2).sum(axis=2)
            return np.asarray(np.exp(-np.maximum(squared / scale - 1, 0)))

        return cls((
            weight(codes[:, :-1], codes[:, 1:]), weight(codes[:-1], codes[1:]),
            weight(codes[:-1, :-1], codes[1:, 1:]), weight(codes[:-1, 1:], codes[1:, :-1]),
        ))  # fmt: skip


def around(belief: Float32, edges: Edges | None = None) -> Float32:
    """Weighted sums over the eight neighbours, shape (k, y, x)."""
    if edges is not None:
        total = np.zeros_like(belief)
        right, below, falling, rising = edges.weights
        for weight, near, far in (
            (right, np.s_[:, :, :-1], np.s_[:, :, 1:]),
            (below, np.s_[:, :-1], np.s_[:, 1:]),
            (falling, np.s_[:, :-1, :-1], np.s_[:, 1:, 1:]),
            (rising, np.s_[:, :-1, 1:], np.s_[:, 1:, :-1]),
        ):
            total[near] += weight * belief[far]
            total[far] += weight * belief[near]
        return total
    padded = np.pad(belief, ((0, 0), (1, 1), (0, 0)))
    rows = padded[:, :-2] + padded[:, 1:-1]
    rows += padded[:, 2:]
    padded = np.pad(rows, ((0, 0), (0, 0), (1, 1)))
    total = padded[:, :, :-2] + padded[:, :, 1:-1]
    total += padded[:, :, 2:]
    total -= belief
    return total


def _softmax(scores: Float32) -> Float32:
    scores = scores - scores.max(axis=0, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0, keepdims=True)
    return scores
