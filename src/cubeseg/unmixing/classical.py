"""The usual ways to components, for comparison and as quick choices."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from cubeseg.unmixing.abundances import Abundances
from cubeseg.unmixing.initial import extreme, largest_simplex, vertex_components

__all__ = ["CLASSICAL", "classical_components"]

Float = NDArray[np.floating]

CLASSICAL = ("nmf", "nmf-kl", "ica", "mcr-als", "vca", "n-findr")


def classical_components(way: str, spectra: Float, k: int, seed: int = 0) -> Float:
    """Components (k, bands) of spectra (n, bands).

    "nmf" and "nmf-kl": non-negative matrix factorisation of scikit-learn (NNDSVD start; Frobenius norm,
    Kullback-Leibler divergence). "ica": scikit-learn's FastICA; absolute values of the mixing matrix. "mcr-als":
    alternating non-negative least squares from the most extreme spectra. "vca", "n-findr": the purest spectra.

    Raises
    ------
    ValueError
        For an unknown way.
    """
    spectra = np.asarray(spectra, np.float64)
    if way == "vca":
        return np.maximum(spectra[vertex_components(spectra, k, seed)], 0)
    if way == "n-findr":
        return np.maximum(spectra[largest_simplex(spectra, k, seed)], 0)
    if way == "mcr-als":
        return _als(np.maximum(spectra, 0), k)
    with warnings.catch_warnings():
        # a factorisation that is cut off after so many rounds is what is compared with
        warnings.simplefilter("ignore")
        if way == "ica":
            from sklearn.decomposition import FastICA

            made = FastICA(k, random_state=seed, whiten="unit-variance", max_iter=500).fit(spectra)
            return np.asarray(np.abs(made.mixing_.T))
        if way in ("nmf", "nmf-kl"):
            from sklearn.decomposition import NMF

            kind = {"solver": "mu", "beta_loss": "kullback-leibler"} if way == "nmf-kl" else {"solver": "cd"}
            model = NMF(
                k, init="nndsvda" if k <= min(spectra.shape) else "random", max_iter=500, random_state=seed, **kind
            )
            model.fit(np.maximum(spectra, 0))
            return np.asarray(model.components_)
    raise ValueError(f"there is no way '{way}'")


def _als(spectra: Float, k: int, rounds: int = 100) -> Float:
    """Multivariate curve resolution by alternating least squares (Tauler 1995), both sides not negative."""
    lengths = np.linalg.norm(spectra, axis=1, keepdims=True)
    rank = min(k, *spectra.shape)
    components = extreme(spectra / np.maximum(lengths, 1e-12), rank)[1]
    before = np.inf
    for _ in range(rounds):
        amounts = Abundances(components, np.ones(spectra.shape[1]), False, False)(spectra.astype(np.float32))
        columns = Abundances(amounts.T, np.ones(len(spectra)), False, False)(spectra.T.astype(np.float32))
        components = columns.T.astype(np.float64)
        components /= np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-12)
        misfit = float(((spectra - amounts @ columns.T) ** 2).sum())
        if misfit > before * (1 - 1e-6):
            break
        before = misfit
    return np.asarray(components)
