"""How many independent spectra a cube of counts holds: singular values above what photon noise alone reaches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["most_classes", "noise_rank"]

# eigenvalues of finite samples scatter about the edge; sparse counts have heavier tails than normal noise
_MARGIN = 1.06


def noise_rank(counts: NDArray[np.float32]) -> int:
    """Number of components of counts that stand out of the Poisson noise.

    Each count is divided by the root of its expectation under independence of pixel and band (optimal scaling, Keenan &
    Kotula 2004), so that the noise has unit variance; eigenvalues of the second moments above the Marchenko-Pastur edge
    (1 + sqrt(bands/n))^2 are counted.

    Parameters
    ----------
    counts : array, shape (n, bins)
    """
    counts = counts[:: max(1, len(counts) // 16384)]
    totals, shares = counts.sum(axis=1, dtype=np.float64), counts.sum(axis=0, dtype=np.float64)
    # a band with a handful of photons in the whole image says nothing, and is far from normal
    kept = shares >= 5
    if not kept.any():
        return 0
    shares = shares / shares.sum()
    moments = np.zeros((int(kept.sum()), int(kept.sum())))
    for start in range(0, len(counts), 2048):
        part = slice(start, start + 2048)
        scale = np.sqrt(np.maximum(np.outer(totals[part], shares[kept]), 1e-12))
        scaled = (counts[part][:, kept] / scale).astype(np.float32)
        moments += scaled.T @ scaled
    edge = (1 + np.sqrt(kept.sum() / len(counts))) ** 2
    return int((np.linalg.eigvalsh(moments / len(counts)) > _MARGIN * edge).sum())


def most_classes(rank: int) -> int:
    """The most classes that so many independent spectra make plausible: each alone, and mixtures of two."""
    return max(1, rank * (rank + 1) // 2)
