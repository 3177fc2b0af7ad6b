"""Gates that open or close components while a model learns: random, with a probability in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["probability_open", "random_gate"]

# the hard concrete distribution of Louizos, Welling & Kingma (2018): temperature, and how far it is stretched
_TEMPERATURE, _LOW, _HIGH = 2 / 3, -0.1, 1.1


def random_gate(odds: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A draw of hard concrete gates, 0 to 1, for the log-odds of being open; differentiable."""
    u = torch.rand(odds.shape, generator=generator).clamp(1e-6, 1 - 1e-6).to(odds.device)
    soft = torch.sigmoid((u.log() - (1 - u).log() + odds) / _TEMPERATURE)
    return (soft * (_HIGH - _LOW) + _LOW).clamp(0, 1)


def probability_open(odds: Tensor) -> Tensor:
    """Probability that a draw of :func:`random_gate` is above zero."""
    return torch.sigmoid(odds - _TEMPERATURE * math.log(-_LOW / _HIGH))
