"""What further training learns from when pixels were painted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.iterative import distances
from cubeseg.sampling.spectra import Sample
from cubeseg.training.corrections import Start
from cubeseg.training.lessons import Lesson

__all__ = ["PaintedLesson"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


class PaintedLesson(Lesson):
    """Adds painted pixels to every batch, and takes the prototypes from the classes as corrected."""

    def __init__(self, model: Any, sample: Sample, start: Start, weight: float, seed: int) -> None:
        super().__init__(model, sample)
        self._start, self._weight, self._rng = start, weight, np.random.default_rng(seed)
        rows = np.flatnonzero(start.painted & (start.labels > 0))
        self._taught = np.full(len(start.labels), -1, np.int32)
        self.classes = np.unique(np.concatenate([start.owner, start.labels[rows]]))
        self._taught[rows] = np.searchsorted(self.classes, start.labels[rows])
        self._by_class = [rows[start.labels[rows] == c] for c in np.unique(start.labels[rows])]

    def loss(self, chosen: NDArray[np.intp], progress: float) -> dict[str, Any]:
        """Every class that was painted is equally often in a batch."""
        each = max(1, len(chosen) // (4 * max(len(self._by_class), 1)))
        extra = [self._rng.choice(rows, min(each, len(rows)), replace=False) for rows in self._by_class]
        rows = np.concatenate([chosen, *extra])
        spectra, variance = self.sample.part(rows)
        terms: dict[str, Any] = self.model.loss(spectra, variance, progress, self._taught[rows], self._weight)
        return terms

    def recluster(self, codes: Float32) -> Int32:
        """Prototypes are the means of the clusters as corrected; corrections far from their class get one too."""
        start = self._start
        known = np.unique(start.clusters[start.clusters >= 0])
        prototypes = np.stack([codes[start.clusters == c].mean(axis=0) for c in known])
        owner = start.owner[known]
        squared = distances(codes, prototypes)
        spread = float(np.sqrt(squared.min(axis=1).mean() / codes.shape[1]))
        for rows in self._by_class:
            class_id = start.labels[rows[0]]
            far = rows[owner[squared[rows].argmin(axis=1)] != class_id]
            if len(far) > 2 or class_id not in start.owner:
                prototypes = np.concatenate([prototypes, codes[far].mean(axis=0, keepdims=True)])
                owner = np.append(owner, class_id)
        self.model.teach(prototypes.astype(np.float32), np.searchsorted(self.classes, owner).astype(np.int32), spread)
        return np.asarray(owner[distances(codes, prototypes).argmin(axis=1)] - 1, np.int32)
