"""Spatial coherence: a Potts model on the classes' log-likelihoods, solved by mean field."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Context", "Grid", "agreement", "coherent", "strength_of"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

# from the classes' log-likelihoods (n, k) to what the pixels around a pixel add to them (n, k)
Context = Callable[[Float32], Float32]

STRONGEST = 1.0


def agreement(first: NDArray[np.int32], second: NDArray[np.int32], k: int) -> float:
    """Mutual information, in nats, of the labels 0..k-1 of pairs of neighbouring pixels, shape (m,) each.

    Neighbours mostly show the same material with other noise and other light. Classes that follow the material agree
    between neighbours; classes that follow noise do not. So this scores a clustering without labels; it rewards
    agreement, and many classes of comparable size over one for everything.
    """
    table = np.zeros((k, k))
    np.add.at(table, (first, second), 1.0)
    table = (table + table.T) / max(2 * len(first), 1)
    margin = table.sum(axis=1)
    seen = table > 0
    return float((table[seen] * np.log(table[seen] / np.outer(margin, margin)[seen])).sum())


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
    evidence: NDArray[np.floating], usable: Bool, strength: float, rounds: int = 8
) -> Generator[float, None, tuple[NDArray[np.int32], Float32]]:
    """Labels that agree with their pixel's spectrum and with the pixels around it.

    Mean-field inference (Besag 1986 for the model; Zhang 1992 for the solution) of p(labels) ~ exp(sum_i log L_i(c_i) +
    strength * number of equal pairs among the eight neighbours). What a spectrum says is weighed in nats against
    what its neighbours say, so a thin line or a single bright pixel whose spectrum is clear stays, at any strength
    below its own evidence; that makes it aware of edges without a second parameter.

    Parameters
    ----------
    evidence : array, shape (k, y, x)
        Logarithms of the posterior odds of the classes, up to a constant per pixel.
    usable : array of bool, shape (y, x)
        Pixels to label; the others neither get a label nor speak to their neighbours.
    strength : float
        Nats per agreeing neighbour; 0 = every pixel for itself.
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
        Posterior of the label.
    """
    belief = _softmax(evidence.astype(np.float32)) * usable
    if strength > 0:
        for done in range(rounds):
            message = around(belief)
            message *= np.float32(strength)
            message += evidence
            belief = _softmax(message)
            belief *= usable
            yield (done + 1) / rounds
    labels = belief.argmax(axis=0).astype(np.int32)
    return labels, np.take_along_axis(belief, labels[None], 0)[0]


def strength_of(evidence: NDArray[np.floating], usable: Bool) -> float:
    """The strength that the image itself suggests: that of largest pseudo-likelihood (Besag 1975), at most 1.

    How often do neighbours agree where the spectra leave no doubt? Only such pixels are asked, so that noise does not
    pass for a rough picture; in a picture without any order the answer is 0.

    Parameters
    ----------
    evidence : array, shape (k, y, x)
    usable : array of bool, shape (y, x)
    """
    from scipy.optimize import minimize_scalar

    belief = _softmax(evidence.astype(np.float32)) * usable
    votes = around(belief)
    sure = usable & (belief.max(axis=0) > 0.9)
    y, x = np.nonzero(sure)
    if len(y) < 100 or len(evidence) < 2:
        return 0.0
    few = np.random.default_rng(0).permutation(len(y))[:4000]
    y, x = y[few], x[few]
    seen, own = votes[:, y, x].astype(np.float64), belief[:, y, x].argmax(axis=0)

    def surprise(strength: float) -> float:
        scores = strength * seen
        top = scores.max(axis=0)
        logs = top + np.log(np.exp(scores - top).sum(axis=0))
        return float((logs - scores[own, np.arange(len(own))]).mean())

    found = minimize_scalar(surprise, bounds=(0.0, STRONGEST), method="bounded", options={"xatol": 0.02})
    return round(float(found.x), 2) if surprise(float(found.x)) < surprise(0.0) else 0.0


def around(belief: Float32) -> Float32:
    """Sums over the eight neighbours, shape (k, y, x)."""
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
