"""The generative model: components, times gates, times concentrations, added up and seen through noise.

What is known beforehand about components, and how they add up, are plugged in: see :data:`PRIORS` and
:data:`AGGREGATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["AGGREGATIONS", "PRIORS", "Aggregation", "Generative"]

_SOFT = 0.1


@dataclass(frozen=True)
class Aggregation:
    """How mixtures become measurements, and back to what adds up.

    `apply` works on tensors, `undo` on arrays; both are elementwise.
    """

    apply: Callable[[Tensor], Tensor]
    undo: Callable[[NDArray[np.floating]], NDArray[np.floating]]


AGGREGATIONS = {
    "linear": Aggregation(lambda mixed: mixed, lambda seen: seen),
    # depths add up, exp(-depth) is measured; what is darker than a ten-thousandth tells nothing more
    "absorbance": Aggregation(lambda mixed: torch.exp(-mixed), lambda seen: -np.log(np.clip(seen, 1e-4, None))),
}


def _volume(components: Tensor) -> Tensor:
    """Logarithm of the volume that unit components span (Leplat, Ang & Gillis 2019)."""
    gram = components @ components.T
    volume: Tensor = torch.logdet(gram + _SOFT * torch.eye(len(gram), device=gram.device))
    return volume


def _roughness(components: Tensor) -> Tensor:
    """Squared second differences along the bands."""
    if components.shape[1] < 3:
        return torch.zeros(())
    roughness: Tensor = components.diff(n=2, dim=1).square().sum()
    return roughness


def _spread(components: Tensor) -> Tensor:
    """Sum of the magnitudes of unit components: small where few bands hold all."""
    spread: Tensor = components.abs().sum() / float(components.shape[1]) ** 0.5
    return spread


PRIORS: dict[str, Callable[[Tensor], Tensor]] = {"volume": _volume, "smooth": _roughness, "sparse": _spread}


class Generative(nn.Module):
    """Components that learn, and how they make spectra.

    Parameters
    ----------
    components : array, shape (k, bands)
        To start from.
    known : int
        So many of the first stay as they are.
    positive : bool
    aggregation : str
        Key of :data:`AGGREGATIONS`.
    """

    fixed: Tensor
    scale: Tensor

    def __init__(
        self, components: NDArray[np.floating], known: int = 0, positive: bool = True, aggregation: str = "linear"
    ) -> None:
        super().__init__()
        self.positive, self.aggregation = positive, AGGREGATIONS[aggregation]
        free = torch.from_numpy(np.asarray(components[known:], np.float32))
        scale = free.abs().mean(dim=1, keepdim=True).clamp_min(1e-12)
        self.register_buffer("fixed", torch.from_numpy(np.asarray(components[:known], np.float32)))
        self.register_buffer("scale", scale)
        raw = free / scale
        if positive:
            # the inverse of softplus; nothing begins so close to zero that it cannot come back
            raw = raw.clamp_min(1e-3)
            raw = raw + torch.log(-torch.expm1(-raw))
        self.raw = nn.Parameter(raw)
        # how much more, or less, than its price a component's gates must pay
        self.bias = nn.Parameter(torch.zeros(len(components)))

    def components(self) -> Tensor:
        """All components, shape (k, bands)."""
        free = functional.softplus(self.raw) if self.positive else self.raw
        return torch.cat([self.fixed, self.scale * free])

    def forward(self, concentrations: Tensor, gates: Tensor) -> Tensor:
        """Expected spectra (n, bands); each gate enters once."""
        expected: Tensor = self.aggregation.apply((concentrations * gates) @ self.components())
        return expected

    def odds(self, concentrations: Tensor, weights: Tensor, price: float) -> Tensor:
        """Log-odds (n, k) of the gates: the energy that closing one would cost, less its price.

        The energy is half the squared part of a component's contribution that the others cannot take over, in units of
        the noise; so the gates follow from the spectra, and nothing is drawn.
        """
        weighted = self.components() * weights
        gram = weighted @ self.components().T
        eye = torch.eye(len(gram), device=gram.device) * gram.diagonal().mean().detach() * 1e-6
        alone = 1 / torch.linalg.inv(gram + eye).diagonal().clamp_min(1e-12)
        odds: Tensor = 0.5 * concentrations.square() * alone - price + self.bias
        return odds
