"""Where the spectral network starts: components of spectra whose noise neighbours have averaged out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeseg.sampling.patches import Patches

__all__ = ["smooth_components"]

Float32 = NDArray[np.float32]


def smooth_components(patches: Patches, mean: Float32, n: int) -> Float32:
    """Leading directions (n, inputs) of features that are averaged over 5 x 5 pixels.

    Parameters
    ----------
    patches : Patches
        With a fitted preprocessor.
    mean : array, shape (inputs,)
        Of the features.
    n : int
    """
    products = np.zeros((len(mean), len(mean)))
    for w in patches.kept:
        usable = patches.usable[w]
        variance = None if patches.variance is None else patches.variance[w][usable]
        centred = np.zeros((*usable.shape, len(mean)), np.float32)
        centred[usable] = patches.preprocessor.features(patches.spectra[w][usable], variance).inputs - mean
        weight = np.maximum(_averaged(usable[..., None].astype(np.float32)), 1e-6)
        smooth = (_averaged(centred) / weight)[usable]
        products += smooth.T @ smooth
    vectors = np.linalg.eigh(products)[1][:, ::-1][:, :n].T
    signs = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)])
    return np.asarray(vectors * signs[:, None], np.float32)


def _averaged(maps: Float32) -> Float32:
    """Means over 5 x 5 pixels of maps (y, x, n), zero beyond the border."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(maps, (5, 5, 1), mode="constant"))
