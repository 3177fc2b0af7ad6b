"""The network of Deep Global Clustering: spectra to codes, codes that look at their neighbours, and back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["REACH", "PatchNetwork", "PatchSpec", "mean_shift", "pooled"]

# pixels on each side that a code depends on: two convolutions and one neighbourhood of the mean shift
_RADIUS = 2
REACH = 2 + _RADIUS


@dataclass(frozen=True)
class PatchSpec:
    """Sizes of a :class:`PatchNetwork`.

    Parameters
    ----------
    inputs : int
        Features of a spectrum.
    latent : int
        Dimension of a code before it is put on the sphere, which adds one.
    hidden : int
        Width of the spectral network.
    channels : int
        Of the convolutions.
    shifts : int
        Steps of the mean shift.
    """

    inputs: int
    latent: int
    hidden: int = 64
    channels: int = 24
    shifts: int = 5


class PatchNetwork(nn.Module):
    """Codes on the unit sphere for every pixel of patches.

    A spectral network sees one pixel's spectrum at a time (a linear path beside a self-normalising one, Klambauer et
    al. 2017, 1706.02515); two 3 x 3 convolutions add what the pixels around it say; a constant joins the code before
    it is put on the sphere, so that spectra near the mean have a place there too. Then a differentiable mean shift
    moves each code to where those of its neighbours are dense (Chang, Chen & Chen 2025, 2512.24172).

    Parameters
    ----------
    spec : PatchSpec
    """

    def __init__(self, spec: PatchSpec) -> None:
        super().__init__()
        self.spec = spec
        wide = 2 * spec.latent
        self.linear = nn.Linear(spec.inputs, spec.latent)
        self.spectral = _selu(spec.inputs, spec.hidden, wide, spec.latent)
        self.around = nn.Sequential(
            nn.Conv2d(spec.latent, spec.channels, 3, padding=1, bias=False),
            nn.SELU(),
            nn.Conv2d(spec.channels, spec.latent, 3, padding=1, bias=False),
        )
        self.bandwidth = nn.Parameter(torch.zeros(1))
        self.linear_back = nn.Linear(spec.latent, spec.inputs)
        self.back = _selu(spec.latent + 1, wide, spec.hidden, spec.inputs)
        for layer in self.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def start_from(self, components: Tensor, mean: Tensor, bandwidth: float = 1.0) -> None:
        """Let the linear paths be principal components (latent, inputs), and all other ones almost silent."""
        with torch.no_grad():
            self.linear.weight.copy_(components)
            self.linear.bias.copy_(-components @ mean)
            self.linear_back.weight.copy_(torch.linalg.pinv(components))
            self.linear_back.bias.copy_(mean)
            for path in (self.spectral, self.around, self.back):
                for weight in path[-1].parameters():
                    weight.mul_(0.01)
        self.set_bandwidth(bandwidth)

    def set_bandwidth(self, h: float) -> None:
        """Of the mean shift: h = softplus(parameter)."""
        with torch.no_grad():
            self.bandwidth.fill_(float(torch.tensor(max(h, 1e-3), dtype=torch.float64).expm1().log()))

    def codes(self, inputs: Tensor, seen: Tensor) -> Tensor:
        """Codes (b, latent + 1, y, x) of inputs (b, y, x, features); those not `seen` (b, y, x) say nothing."""
        alone = self.linear(inputs) + self.spectral(inputs)
        mask = seen[:, None].to(alone.dtype)
        plane = alone.movedim(-1, 1) * mask
        plane = plane + self.around(plane)
        pole = torch.ones_like(plane[:, :1])
        return functional.normalize(torch.cat([plane, pole], dim=1), dim=1)

    def forward(self, inputs: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes before and after the mean shift, (b, latent + 1, y, x) each, and its weights (b, 25, y, x)."""
        codes = self.codes(inputs, seen)
        return codes, *mean_shift(codes, seen, functional.softplus(self.bandwidth), self.spec.shifts)

    def decode(self, codes: Tensor) -> Tensor:
        """Features (n, inputs) that codes (n, latent + 1) stand for."""
        plane = codes[:, :-1] / codes[:, -1:].clamp_min(0.05)
        features: Tensor = self.linear_back(plane) + self.back(codes)
        return features


def mean_shift(codes: Tensor, seen: Tensor, bandwidth: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Move each code towards the neighbours (5 x 5) that are like it.

    z_i <- sum_j w_ij e_j / sum_j w_ij with w_ij = exp(-|e_j - z_i|^2 / 2 h^2), e_j the codes as they were: a softmax of
    e_j z_i / h^2, because codes have unit norm. The gradient flows through the last step only.

    Parameters
    ----------
    codes : Tensor, shape (b, d, y, x)
    seen : Tensor of bool, shape (b, y, x)
        Neighbours that are not seen have no weight; a pixel without any keeps its code.
    bandwidth : Tensor, scalar or shape (1,)
    steps : int

    Returns
    -------
    shifted : Tensor, shape (b, d, y, x)
        Of unit norm.
    weights : Tensor, shape (b, 25, y, x)
        Of the neighbours in the last step, row by row; their sum is 1.
    """
    b, d, height, width = codes.shape
    side = 2 * _RADIUS + 1
    near = functional.unfold(codes, side, padding=_RADIUS).view(b, d, side * side, height * width)
    there = functional.unfold(seen[:, None].to(codes.dtype), side, padding=_RADIUS)
    hidden = (1 - there) * -1e4
    alone = there.sum(dim=1, keepdim=True) == 0
    flat = codes.view(b, d, height * width)
    shifted = flat
    for step in range(steps):
        with torch.set_grad_enabled(torch.is_grad_enabled() and step == steps - 1):
            scores = torch.einsum("bdjn,bdn->bjn", near, shifted.detach()) / bandwidth.square()
            weights = torch.softmax(scores + hidden, dim=1)
            shifted = torch.einsum("bdjn,bjn->bdn", near, weights)
    shifted = functional.normalize(torch.where(alone, flat, shifted), dim=1)
    return shifted.view(b, d, height, width), weights.view(b, side * side, height, width)


def pooled(spectra: Tensor, weights: Tensor) -> Tensor:
    """Counts (y, x, bins) with those of alike neighbours added, by the weights (25, y, x) of the mean shift.

    The weighted mean, times the number of pixels that it is worth, 1 / sum w^2: so the outcome scatters as counts do.
    """
    height, width, _ = spectra.shape
    side = 2 * _RADIUS + 1
    wide = functional.pad(spectra, (0, 0, _RADIUS, _RADIUS, _RADIUS, _RADIUS))
    total = torch.zeros_like(spectra)
    for tap, weight in enumerate(weights):
        down, across = divmod(tap, side)
        total.addcmul_(wide[down : down + height, across : across + width], weight[..., None])
    return total / weights.square().sum(dim=0)[..., None].clamp_min(1e-6)


def _selu(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers += [nn.Linear(a, b), nn.SELU()] if i < len(widths) - 2 else [nn.Linear(a, b)]
    return nn.Sequential(*layers)
