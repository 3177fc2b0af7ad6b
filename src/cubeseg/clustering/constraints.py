"""What corrections demand of a clustering: who may belong where, and clusters that make up one class together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.spatial import Context

__all__ = ["FREE", "Constraints", "Prior", "pooled"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

FREE = -1
# nats by which a class that is out of the question is less likely: finite, so that sums and softmaxes stay finite
_OUT = -1e6


def pooled(evidence: Float32, owner: Int32, axis: int = 1) -> tuple[Int32, Float32]:
    """Log-likelihoods of classes from those of their clusters: the logarithm of the sum of the likelihoods.

    Parameters
    ----------
    evidence : array, shape (n, k), or (k, y, x) with ``axis=0``
        With the logarithms of the clusters' shares, where they have any.
    owner : array of int, shape (k,)
        The class of each cluster.
    axis : int
        Of the clusters.

    Returns
    -------
    classes : array of int32, shape (c,)
        In rising order.
    evidence : array of float32, shape (n, c) or (c, y, x)
    """
    classes = np.unique(owner).astype(np.int32)
    if len(classes) == len(owner):
        order = np.argsort(owner, kind="stable")
        whole = (order == np.arange(len(order))).all()
        return classes, evidence if whole else evidence.take(order, axis)
    parts = []
    for class_id in classes:
        own = evidence.take(np.flatnonzero(owner == class_id), axis)
        top = own.max(axis=axis, keepdims=True)
        parts.append(top.squeeze(axis) + np.log(np.exp(own - top).sum(axis=axis)))
    return classes, np.stack(parts, axis=axis).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Constraints:
    """Who may belong to which class.

    Attributes
    ----------
    owner : array of int32, shape (k,)
        The class of each cluster; a class may have several.
    fixed : array of int32, shape (n,)
        The class that a spectrum belongs to whatever it looks like; :data:`FREE` for all others.
    closed : tuple of int
        Classes that no free spectrum may join: locked ones.
    """

    owner: Int32
    fixed: Int32
    closed: tuple[int, ...] = ()

    @property
    def barred(self) -> Bool:
        """Clusters (n, k) that a spectrum cannot belong to."""
        free = self.fixed == FREE
        # a class that has no cluster asks nothing of the clusters of others
        held = ~free & np.isin(self.fixed, self.owner)
        barred = held[:, None] & (self.owner[None] != self.fixed[:, None])
        barred |= free[:, None] & np.isin(self.owner, self.closed)[None]
        return np.asarray(barred)

    def held(self, evidence: Float32) -> Float32:
        """The same log-likelihoods (n, k), with what is barred out of the question."""
        return np.where(self.barred, np.float32(_OUT), evidence)

    def told(self, evidence: Float32, context: Context | None) -> Float32:
        """Log-likelihoods (n, k) within the bounds, with what neighbours add to the classes."""
        evidence = self.held(evidence)
        return evidence if context is None else evidence + self.spread(context(self.pooled(evidence)))

    def pooled(self, evidence: Float32) -> Float32:
        """Log-likelihoods (n, c) of the classes."""
        return pooled(evidence, self.owner)[1]

    def spread(self, by_class: Float32) -> Float32:
        """What was found for the classes (n, c), for each of their clusters (n, k)."""
        return by_class[:, np.searchsorted(np.unique(self.owner), self.owner)]


@dataclass(frozen=True, eq=False)
class Prior:
    """What is known of clusters before the spectra are looked at.

    Attributes
    ----------
    centres : array, shape (k, width)
        Normalised spectra, or codes.
    pixels : array of float, shape (k,)
        How many pixels it counts as; NaN = to be found from the cluster's own members.
    """

    centres: NDArray[np.floating]
    pixels: NDArray[np.float64]
