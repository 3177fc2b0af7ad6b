"""Scores of a label image against a truth: permutation-free, computed where the truth is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import DataError

__all__ = ["information", "score", "stability"]


def score(labels: NDArray[Any], truth: NDArray[Any]) -> dict[str, float]:
    """Compare a label image with a truth of the same shape.

    Parameters
    ----------
    labels : array of int, shape (y, x)
        0 (unassigned) counts as a cluster of its own where the truth is labelled.
    truth : array of int, shape (y, x)
        0 = not labelled, left out.

    Returns
    -------
    dict
        "ari" (Hubert & Arabie 1985), "nmi" (arithmetic mean), "accuracy" and "miou" after the best one-to-one
        matching (Hungarian method), "n_clusters" found in the labelled part.

    Raises
    ------
    DataError
        If the shapes differ or nothing is labelled.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    if labels.shape != truth.shape:
        raise DataError(f"the truth is {_size(truth)} pixels, the result {_size(labels)}; they must agree")
    known = truth > 0
    if not known.any():
        raise DataError("the truth labels no pixel (it is 0 everywhere)")
    found, wanted = labels[known].astype(np.int64), truth[known].astype(np.int64)
    table = contingency(found, wanted)
    rows, columns = matched(table)
    hits = table[rows, columns]
    union = table.sum(axis=1)[rows] + table.sum(axis=0)[columns] - hits
    return {
        "ari": float(adjusted_rand_score(wanted, found)),
        "nmi": float(normalized_mutual_info_score(wanted, found)),
        "accuracy": float(hits.sum() / found.size),
        "miou": float((hits / union).sum() / table.shape[1]),
        "n_clusters": int(np.unique(found[found > 0]).size),
    }


def contingency(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of pixels of each cluster (rows) in each true class (columns), empty ones left out."""
    _, f = np.unique(found, return_inverse=True)
    _, w = np.unique(wanted, return_inverse=True)
    table = np.zeros((f.max() + 1, w.max() + 1), np.int64)
    np.add.at(table, (f, w), 1)
    return table


def matched(table: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """One-to-one matching of rows and columns with the most pixels on it."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    return rows, columns


def _size(array: NDArray[Any]) -> str:
    return " x ".join(str(n) for n in array.shape)


def stability(labellings: Sequence[NDArray[np.int32]]) -> float:
    """Mean adjusted Rand index between all pairs of labellings, shape (n,) each; 1 where there is only one."""
    from sklearn.metrics import adjusted_rand_score

    pairs = [adjusted_rand_score(a, b) for i, a in enumerate(labellings) for b in labellings[:i]]
    return float(np.mean(pairs)) if pairs else 1.0


def information(first: NDArray[np.int32], second: NDArray[np.int32]) -> tuple[float, float]:
    """How much two labellings, shape (n,) each, tell about each other.

    Returns
    -------
    nmi : float
        Normalised mutual information (arithmetic mean), 0 to 1; 1 where both have one class only.
    vi : float
        Variation of information in nats (Meila 2007); 0 = the same.
    """
    table = contingency(first.astype(np.int64), second.astype(np.int64)) / max(first.size, 1)

    def entropy(shares: NDArray[np.float64]) -> float:
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum())

    each = entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    shared = sum(each) - entropy(table.ravel())
    return (2 * shared / sum(each) if sum(each) > 1e-12 else 1.0), max(sum(each) - 2 * shared, 0.0)
