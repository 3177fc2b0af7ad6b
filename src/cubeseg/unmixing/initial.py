"""Components to start from: the most extreme spectra of a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["extreme", "largest_simplex", "projected", "vertex_components"]

Float = NDArray[np.floating]
Places = NDArray[np.intp]


def extreme(spectra: Float, k: int, beside: int = 1) -> tuple[Places, Float]:
    """Successive projection (Araújo et al. 2001): the longest spectrum, then the longest of what it does not explain.

    Parameters
    ----------
    spectra : array, shape (n, d)
        All of about the same brightness, so that the longest are the purest.
    k : int
        At most the rank of the spectra.
    beside : int
        Each component is the median of so many spectra that point furthest its way, against noise and outliers
        (smoothed, after Nadisic, Gillis & Kervazo 2023).

    Returns
    -------
    places : array of int, shape (k,)
        The most extreme spectrum of each component.
    components : array, shape (k, d)
    """
    rest = np.array(spectra, dtype=np.float64)
    places, found = [], []
    for _ in range(k):
        longest = int(np.einsum("nd,nd->n", rest, rest).argmax())
        way = rest[longest] / max(float(np.linalg.norm(rest[longest])), 1e-30)
        if beside > 1:
            furthest = np.argpartition(-(rest @ way), min(beside, len(rest)) - 1)[:beside]
            found.append(np.median(spectra[furthest], axis=0))
            way = np.median(rest[furthest], axis=0)
            way /= max(float(np.linalg.norm(way)), 1e-30)
        else:
            found.append(spectra[longest])
        places.append(longest)
        rest -= np.outer(rest @ way, way)
    return np.array(places, np.intp), np.array(found).reshape(k, spectra.shape[1])


def projected(spectra: Float, k: int) -> Float:
    """Coordinates (n, k) on the leading singular vectors, each divided so that all lie in one plane.

    The projective projection of vertex component analysis: brightness drops out.
    """
    vectors = np.linalg.eigh(spectra.T.astype(np.float64) @ spectra)[1][:, ::-1][:, :k]
    scores = spectra @ vectors
    depth = scores @ scores.mean(axis=0)
    kept = np.maximum(depth, 1e-3 * np.median(np.abs(depth)) + 1e-30)
    return np.asarray(scores / kept[:, None])


def vertex_components(spectra: Float, k: int, seed: int) -> Places:
    """Vertex component analysis (Nascimento & Bioucas-Dias 2005): where the k components are in the spectra (n, d)."""
    rng = np.random.default_rng(seed)
    points = projected(spectra, k)
    corners = np.zeros((k, k))
    corners[-1, 0] = 1
    places = []
    for step in range(k):
        way = rng.standard_normal(k)
        way -= corners @ (np.linalg.pinv(corners) @ way)
        places.append(int(np.abs(points @ way).argmax()))
        corners[:, step] = points[places[-1]]
    return np.array(places, np.intp)


def largest_simplex(spectra: Float, k: int, seed: int, rounds: int = 30) -> Places:
    """N-FINDR (Winter 1999): the k spectra of largest simplex, by exchange of one at a time, from a random start."""
    rng = np.random.default_rng(seed)
    points = projected(spectra, k)
    places = rng.choice(len(spectra), k, replace=False)
    for _ in range(rounds):
        changed = False
        for corner in range(k):
            others = np.delete(points[places], corner, axis=0)
            # the volume is linear in one corner: the part that the others do not span
            normal = np.linalg.svd(others, full_matrices=True)[2][-1] if k > 1 else np.ones(1)
            size = np.abs(points @ normal)
            best = int(size.argmax())
            if size[best] > size[places[corner]] * (1 + 1e-9):
                places[corner], changed = best, True
        if not changed:
            break
    return np.asarray(places, np.intp)
