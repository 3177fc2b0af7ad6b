"""How well determined components are: the same fit of other draws from other starts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["matched", "spread_of"]

Float = NDArray[np.floating]


def matched(components: Float, others: Float) -> NDArray[np.intp]:
    """Which of the others is most like each component: one to one, by their cosines (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    unit = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30) for x in (components, others)]
    return np.asarray(linear_sum_assignment(-(unit[0] @ unit[1].T))[1], np.intp)


def spread_of(components: Float, restarts: list[Float]) -> Float:
    """Standard deviation (k, bands) of components over restarts that have been brought to the same order and length.

    Zero without restarts.
    """
    if not restarts:
        return np.zeros_like(components)
    squares = np.zeros(components.shape)
    for others in restarts:
        there = others[matched(components, others)]
        length = (there * components).sum(axis=1) / np.maximum((there**2).sum(axis=1), 1e-30)
        squares += (there * length[:, None] - components) ** 2
    return np.asarray(np.sqrt(squares / len(restarts)))
