"""Loss terms on the latent codes: the prior's and the clusters'."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "CLUSTERING_LOSSES", "Allowance", "deep_kmeans_loss", "mmd", "prototype_loss", "soft_silhouette_loss",
    "taught_loss",
]  # fmt: skip


class Allowance:
    """A factor on the clustering terms: as much as the reconstruction bears (GECO, Rezende & Viola 2018, 1810.00597).

    It shrinks while the reconstruction, as a running mean, is worse than its best by more than the slack, and grows
    otherwise.

    Parameters
    ----------
    slack : float
        How much worse than at its best the reconstruction may become; 1.02 = by 2 %.
    rise : float
        Of the factor's logarithm in a step, at most; it falls by 0.1 at most.
    most : float
        Largest factor.
    """

    def __init__(self, slack: float, rise: float, most: float) -> None:
        self._slack, self._rise, self._most = slack, rise, most
        self._factor, self._best = 1.0, float("inf")
        self._smooth: float | None = None

    def __call__(self, reconstruction: float) -> float:
        """The factor after a step with this reconstruction loss."""
        self._smooth = reconstruction if self._smooth is None else 0.95 * self._smooth + 0.05 * reconstruction
        self._best = min(self._best, self._smooth)
        excess = self._smooth / max(self._slack * self._best, 1e-12) - 1
        self._factor = float(np.clip(self._factor * np.exp(-np.clip(excess, -self._rise, 0.1)), 1e-3, self._most))
        return self._factor


def mmd(codes: Tensor, prior: Tensor) -> Tensor:
    """Maximum mean discrepancy between codes and samples of the prior, unbiased.

    A sum of inverse multiquadric kernels over scales around the prior's own mean squared distance 2d, as in
    WAE (Tolstikhin et al. 2018, 1711.01558), so that the term reacts at any distance; a single Gaussian of
    fixed width, as in the published code, does not. Used as InfoVAE does (Zhao et al. 2019, 1706.02262).

    Parameters
    ----------
    codes, prior : Tensor, shape (n, d) and (m, d)

    Returns
    -------
    Tensor, scalar
    """
    d = codes.shape[1]
    n, m = codes.shape[0], prior.shape[0]
    if n < 2 or m < 2:
        return codes.sum() * 0.0
    codes_d, prior_d, cross_d = (_squared(a, b) for a, b in ((codes, codes), (prior, prior), (codes, prior)))
    total = codes.new_zeros(())
    for scale in (0.1, 0.3, 1.0, 3.0, 10.0):
        c = 2.0 * d * scale
        inside = (c / (c + codes_d)).sum() - n
        prior_inside = (c / (c + prior_d)).sum() - m
        total = total + inside / (n * (n - 1)) + prior_inside / (m * (m - 1)) - 2 * (c / (c + cross_d)).mean()
    return total / 5


def soft_silhouette_loss(codes: Tensor, centroids: Tensor, progress: float = 1.0, sharpness: float = 8.0) -> Tensor:
    """(1 - S)/2 with the simplified silhouette S against global centroids, differentiable, O(n K).

    The simplified silhouette takes distances to centroids for mean distances to members (Hruschka et al.
    2004; Vendramin et al. 2010): s_k = (b_k - a_k)/max(a_k, b_k) with a_k the distance to centroid k and b_k
    that to the nearest other one. Memberships are a softmax of the distances relative to their own mean
    (deep k-means, Fard et al. 2018, 1806.10069), so the value does not change when the space is scaled.

    Parameters
    ----------
    codes : Tensor, shape (n, d)
    centroids : Tensor, shape (K, d), K >= 2
        Not moved by this loss: the caller owns them.
    progress : float
        Not used here.
    sharpness : float
        Large values approach hard assignment.

    Returns
    -------
    Tensor, scalar in [0, 1]
    """
    distances = _squared(codes, centroids).clamp_min(1e-12).sqrt()
    scale = distances.min(dim=1).values.mean().detach().clamp_min(1e-6)
    memberships = torch.softmax(-sharpness * distances / scale, dim=1)
    nearest, index = distances.topk(2, dim=1, largest=False)
    is_first = torch.zeros_like(distances, dtype=torch.bool).scatter_(1, index[:, :1], True)
    other = torch.where(is_first, nearest[:, 1:2], nearest[:, :1])
    silhouette = (other - distances) / torch.maximum(other, distances)
    return 0.5 * (1 - (memberships * silhouette).sum(dim=1).mean())


def deep_kmeans_loss(codes: Tensor, centroids: Tensor, progress: float = 1.0) -> Tensor:
    """Distance to the centroids, weighted by an annealed softmax (Deep k-Means, Fard et al. 2018, 1806.10069).

    sum_k ||z - c_k||^2 softmax_k(-a ||z - c_k||^2), in units of the mean squared distance between centroids, so that
    shrinking the whole space does not help; a rises from 1 to 32 with the training.

    Parameters
    ----------
    codes : Tensor, shape (n, d)
    centroids : Tensor, shape (K, d), K >= 2
        Not moved by this loss.
    progress : float
        Point of the training, 0 to 1.

    Returns
    -------
    Tensor, scalar >= 0
    """
    unit = _squared(centroids, centroids).sum() / (len(centroids) * (len(centroids) - 1))
    distances = _squared(codes, centroids) / unit.clamp_min(1e-12)
    weights = torch.softmax(-(32.0**progress) * distances, dim=1)
    return (weights * distances).sum(dim=1).mean()


def prototype_loss(codes: Tensor, centroids: Tensor, progress: float = 1.0, sharpness: float = 8.0) -> Tensor:
    """Cross-entropy of the memberships against sharpened ones (DEC, Xie et al. 2016, 1511.06335).

    Memberships are a softmax of distances relative to their own mean; targets are their squares over the cluster
    masses, which pull towards the surer class and keep large classes from swallowing small ones.

    Parameters
    ----------
    codes : Tensor, shape (n, d)
    centroids : Tensor, shape (K, d), K >= 2
        Not moved by this loss.
    progress : float
        Not used here.
    sharpness : float

    Returns
    -------
    Tensor, scalar >= 0
    """
    distances = _squared(codes, centroids).clamp_min(1e-12).sqrt()
    scale = distances.min(dim=1).values.mean().detach().clamp_min(1e-6)
    logs = torch.log_softmax(-sharpness * distances / scale, dim=1)
    with torch.no_grad():
        sharper = (2 * logs).exp() / logs.exp().sum(dim=0).clamp_min(1e-6)
        targets = sharper / sharper.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return (torch.xlogy(targets, targets) - targets * logs).sum(dim=1).mean()


def taught_loss(codes: Tensor, prototypes: Tensor, owner: Tensor, wanted: Tensor, spread: float) -> Tensor:
    """Cross-entropy of what the prototypes say about codes whose class is known.

    A softmax of -d^2 / (2 s^2), summed over the prototypes of each class (prototypical networks, Snell et al. 2017,
    1703.05175, with prototypes that come from all pixels of a class, not only from the taught ones).

    Parameters
    ----------
    codes : Tensor, shape (n, d)
    prototypes : Tensor, shape (k, d)
        Not moved by this loss.
    owner : Tensor of int, shape (k,)
        The class of each prototype, 0...
    wanted : Tensor of int, shape (n,)
        The class of each code.
    spread : float
        s, per dimension.

    Returns
    -------
    Tensor, scalar >= 0
    """
    logs = torch.log_softmax(-0.5 * _squared(codes, prototypes) / spread**2, dim=1)
    mine = owner[None] == wanted[:, None]
    # a class without a prototype asks for nothing
    known = mine.any(dim=1)
    if not bool(known.any()):
        return codes.sum() * 0.0
    return -logs[known].masked_fill(~mine[known], -torch.inf).logsumexp(dim=1).mean()


CLUSTERING_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "silhouette": soft_silhouette_loss,
    "kmeans": deep_kmeans_loss,
    "prototypes": prototype_loss,
}


def _squared(a: Tensor, b: Tensor) -> Tensor:
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_min(0.0)
