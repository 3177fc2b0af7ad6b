"""Codes that are known already: a sample in which they stand for the spectra.

A code that depends on the pixels around cannot be had from a pixel's spectrum. What learns from a sample of spectra
learns from a sample of such codes in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.sampling.spectra import Sample
from cubeseg.segmentation import Segmentation

__all__ = ["KnownCodes", "of_codes"]

Float32 = NDArray[np.float32]

_PAIRS = 6144


class KnownCodes:
    """In the place of a model: what it is given are codes already."""

    def encode(self, codes: Float32, variance: Float32 | None = None) -> tuple[Float32, Float32]:
        """The same codes, and errors of zero."""
        return codes, np.zeros(len(codes), np.float32)


def of_codes(sample: Sample, result: Segmentation, model: Any) -> Sample:
    """The pixels of a sample with their codes, as they are before the model stretches them, in the place of spectra.

    Parameters
    ----------
    sample : Sample
    result : Segmentation
        Of the same cube.
    model : Model
        That made its codes.
    """
    metric = model.metric

    def codes(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Float32:
        found = result.latent[rows, columns].astype(np.float32)
        return found if metric is None else np.asarray(found @ np.linalg.inv(metric), np.float32)

    height, width = sample.usable.shape
    turn = np.arange(len(sample.rows)) % 2
    below, right = sample.rows + turn, sample.columns + 1 - turn
    inside = (below < height) & (right < width)
    inside[inside] = np.isfinite(result.reconstruction_error[below[inside], right[inside]])
    paired = np.flatnonzero(inside)[:: max(1, int(inside.sum()) // _PAIRS)]
    return replace(
        sample,
        spectra=codes(sample.rows, sample.columns),
        variance=None,
        # Gaussian, whatever the noise of the spectra
        preprocessor=replace(sample.preprocessor, scaling="shape"),
        paired=paired,
        neighbours=codes(below[paired], right[paired]),
        neighbour_variance=None,
    )
