"""Loss terms on memberships of patches: agreement of two views, sure memberships, balance; and the published set."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["balance_loss", "consistency_loss", "published_losses", "unsureness"]

_TINY = 1e-8


def consistency_loss(first: Tensor, second: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence of the memberships (n, K) that the same pixels got in two views."""
    difference = (first + _TINY).log() - (second + _TINY).log()
    return 0.5 * ((first - second) * difference).sum(dim=1).mean()


def unsureness(memberships: Tensor) -> Tensor:
    """Mean entropy in nats of memberships (n, K): the half of the information that wants sure answers."""
    return -torch.xlogy(memberships, memberships + _TINY).sum(dim=1).mean()


def balance_loss(usage: Tensor, prior: Tensor) -> Tensor:
    """Divergence of the classes' shares (K,) from a prior (K,): the half that wants all of them in use.

    Together with :func:`unsureness` the information of spectra about classes is maximised (RIM, Gomes et al. 2010;
    IMSAT, Hu et al. 2017, 1702.08720). The prior need not be uniform.
    """
    return torch.xlogy(usage, (usage + _TINY) / (prior + _TINY)).sum()


def published_losses(codes: Tensor, memberships: Tensor, other: Tensor, centroids: Tensor) -> dict[str, Tensor]:
    """The published terms (Chang, Chen & Chen 2025, 2512.24172, and its code of 31 December 2025), with their weights.

    Their "bal" is the entropy of the mean membership, added, which pushes towards one class; "unif" the likelihood of
    randomly permuted balanced labels, in expectation the cross-entropy with the uniform distribution; "cons" compares
    what lies at the same place of the two crops, wherever that is in the image.

    Parameters
    ----------
    codes : Tensor, shape (n, d)
        Of the first view, then of the second one.
    memberships : Tensor, shape (n, K)
        Of the first view, then of the second one.
    other : Tensor, shape (n, K)
        Those at the same array index of the other view.
    centroids : Tensor, shape (K, d)
    """
    mean, k = memberships.mean(dim=0), len(centroids)
    logs = (memberships + _TINY).log()
    permuted = torch.arange(len(logs), device=logs.device)[torch.randperm(len(logs))] % k
    return {
        "compactness": 2 * (memberships * (1 - codes @ centroids.T)).sum(dim=1).mean(),
        "orthogonality": 0.001 * (centroids @ centroids.T - torch.eye(k, device=codes.device)).square().sum(),
        "balance": -2 * torch.xlogy(mean, mean + _TINY).sum(),
        "uniformity": -2 * logs.gather(1, permuted[:, None].to(logs.device)).mean(),
        "consistency": 0.5 * ((memberships - other) * (logs - (other + _TINY).log())).sum(dim=1).mean(),
    }
