"""EB-gMCR as its program has it (Chang & Chen, arXiv 2507.23600), to show beside ours what a time limit lets it reach.

Written anew from the paper and from what its program does where the two differ: gates are drawn at random also when the
result is read, they enter the mixture squared, and a component counts as used when any spectrum's draw uses it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_ENOUGH = 0.005
_NOISE = 0.1 * 32**0.5


@dataclass(frozen=True, eq=False)
class Published:
    """Components (k, d) in use, their concentrations (n, k), how well they explain, how long it took.

    Attributes
    ----------
    components, concentrations : array
    r2 : float
        Of the spectra, not of the concentrations.
    epochs : int
    """

    components: np.ndarray
    concentrations: np.ndarray
    r2: float
    epochs: int


class _Network(nn.Module):
    """Candidates, concentrations and the energies of their gates."""

    def __init__(self, d: int, candidates: int) -> None:
        super().__init__()
        n = candidates
        self.directions = nn.Parameter((0.1 * torch.randn(n, d)).abs())
        self.concentrations = _layers((d, 2 * n, 2 * n, n), nn.ReLU, 0.01)
        self.energies = _layers((d, 4 * n, 4 * n, 2 * n), nn.Tanh, 0.05)

    def components(self) -> Tensor:
        return functional.normalize(self.directions.abs(), dim=1)

    def forward(self, spectra: Tensor, tau: float, sharp: bool) -> tuple[Tensor, Tensor]:
        """Concentrations times gates, and the gates."""
        energies = self.energies(spectra).reshape(len(spectra), -1, 2)
        if not sharp:
            energies = energies + _NOISE * torch.randn_like(energies)
        gates = functional.gumbel_softmax(-energies, tau)[..., 0]
        if sharp:
            gates = (gates >= 0.9999994).to(gates.dtype)
        return self.concentrations(spectra).abs() * gates, gates


def _layers(widths: tuple[int, ...], act: type[nn.Module], spread: float) -> nn.Sequential:
    made: list[nn.Module] = []
    for before, after in pairwise(widths):
        linear = nn.Linear(before, after)
        nn.init.normal_(linear.weight, 0, spread)
        nn.init.zeros_(linear.bias)
        made += [linear, act()]
    return nn.Sequential(*made[:-1])


def published(spectra: np.ndarray, candidates: int, seconds: float, seed: int, least: float = 1.0) -> Published:
    """Train until the time is over; what is in use then.

    Parameters
    ----------
    spectra : array, shape (n, d)
    candidates : int
        Components to choose from; the paper's 1024.
    seconds : float
    seed : int
    least : float
        The weight of few components, relative to the squared error for each that is in use.
    """
    torch.manual_seed(seed)
    rows = torch.from_numpy(np.ascontiguousarray(spectra, np.float32))
    power, network = float((rows**2).mean()), _Network(rows.shape[1], candidates)
    optimiser = torch.optim.AdamW(network.parameters(), 5e-4, (0.9, 0.995), weight_decay=1e-3)
    size = 64 if len(rows) >= 256 else max(1, len(rows) // 4)
    weight, epochs, end = 0.0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        tau = max(0.4, 1 - 0.01 * (epochs // 100))
        for part in torch.randperm(len(rows)).split(size):
            amounts, gates = network(rows[part], tau, False)
            error = functional.mse_loss((amounts * gates) @ network.components(), rows[part])
            optimiser.zero_grad()
            (error + weight * gates.sum(dim=1).mean() / candidates).backward()
            optimiser.step()
        error, used, _ = _read(network, rows)
        target = 0.0 if error / power >= _ENOUGH else error * least * candidates / max(1, int(used.sum()))
        weight = 0.95 * weight + 0.05 * target
        epochs += 1
    error, used, amounts = _read(network, rows)
    components = network.components().detach()[used].numpy()
    spread = float(((rows - rows.mean()) ** 2).mean())
    return Published(components, amounts[:, used].numpy(), 1 - error / spread, epochs)


@torch.no_grad()
def _read(network: _Network, rows: Tensor) -> tuple[float, Tensor, Tensor]:
    """Squared error, which components any spectrum uses in one draw, their concentrations."""
    amounts, gates = network(rows, 0.01, True)
    error = float(functional.mse_loss((amounts * gates) @ network.components(), rows))
    return error, (gates > 0).any(dim=0), amounts * gates
