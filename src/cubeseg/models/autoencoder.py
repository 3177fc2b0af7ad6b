"""The per-pixel autoencoder of Deep Spectral Clustering and its likelihoods.

Architecture after Bombini et al. (arXiv 2401.17695, MLST 5 035024): an encoder of halving widths, a tanh
bottleneck, two heads for the mean and the log-variance of the code, a mirrored decoder. Where the
published code departs from its own references, this follows the references: LeCun-normal initial weights
for SELU (Klambauer et al. 2017, 1706.02515) and a likelihood that fits the detector's noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Autoencoder", "Codes", "Likelihood", "NetworkSpec", "reconstruction_loss"]

Likelihood = Literal["multinomial", "gaussian"]

_LOG2E = 1.4426950408889634


class Codes(NamedTuple):
    """Mean and log-variance of the latent code, each of shape (n, latent)."""

    mean: Tensor
    log_variance: Tensor


@dataclass(frozen=True)
class NetworkSpec:
    """Everything needed to rebuild the network before its weights are loaded.

    `inputs` and `outputs` are the widths of what goes in and of what is reconstructed. `bounded`: codes are cut to
    [-1, 1] and outputs lie in [0, 1], as published. `linear`: a linear path runs beside encoder and decoder, which
    can start from principal components, so that the network only has to learn what they leave.
    """

    inputs: int
    outputs: int
    likelihood: Likelihood
    block: Literal["snn", "dnn"] = "snn"
    layers: int = 3
    encoding: int = 32
    latent: int = 6
    dropout: float = 0.0
    bounded: bool = False
    linear: bool = False

    def widths(self) -> list[int]:
        """Hidden widths of the encoder: halving from the input, never below the encoding."""
        halved = [self.inputs // 2**n for n in range(1, self.layers)]
        return [w for w in halved if w > self.encoding] + [self.encoding]


class Autoencoder(nn.Module):
    """Encoder to (mean, log-variance), decoder to the parameters of the likelihood.

    For "multinomial" the decoder gives log-probabilities over the bands (the pixel's intensity is free);
    for "gaussian" the expected values themselves.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = spec.widths()
        self.encoder = nn.Sequential(*_blocks([spec.inputs, *widths], spec), nn.Tanh())
        self.mean_head = nn.Linear(widths[-1], spec.latent)
        self.log_variance_head = nn.Linear(widths[-1], spec.latent)
        mirrored = [spec.latent, *reversed(widths)]
        self.decoder = nn.Sequential(*_blocks(mirrored, spec), nn.Linear(mirrored[-1], spec.outputs))
        self.linear_encoder = nn.Linear(spec.inputs, spec.latent) if spec.linear else None
        self.linear_decoder = nn.Linear(spec.latent, spec.outputs) if spec.linear else None
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if spec.block == "snn" else "relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.log_variance_head.weight.mul_(0.01)
            self.log_variance_head.bias.fill_(-4.0)

    def start_from(self, mean_output: Tensor) -> None:
        """Let the untrained decoder give the mean spectrum, so that training starts at the differences."""
        last = self.decoder[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.copy_(mean_output)
            last.weight.mul_(0.1)

    def start_from_components(self, components: Tensor, mean: Tensor) -> None:
        """Let the linear path be principal components (latent, inputs) of inputs that are also the outputs.

        Codes start with unit variance where `components` are scaled by their standard deviations' inverse; the network
        starts almost silent.
        """
        assert self.linear_encoder is not None
        assert self.linear_decoder is not None
        last = self.decoder[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            self.linear_encoder.weight.copy_(components)
            self.linear_encoder.bias.copy_(-components @ mean)
            self.linear_decoder.weight.copy_(torch.linalg.pinv(components))
            self.linear_decoder.bias.copy_(mean)
            self.mean_head.weight.mul_(0.01)
            last.weight.mul_(0.01)
            last.bias.zero_()

    def encode(self, inputs: Tensor) -> Codes:
        """Codes of the inputs (n, inputs)."""
        hidden = self.encoder(inputs)
        return Codes(self._mean(inputs, hidden), self.log_variance_head(hidden).clamp(-12.0, 4.0))

    def means(self, inputs: Tensor) -> Tensor:
        """Means of the codes of the inputs (n, inputs), all that is needed once the network has learned."""
        return self._mean(inputs, self.encoder(inputs))

    def decode(self, codes: Tensor) -> Tensor:
        """Log-probabilities (multinomial) or expected values (gaussian) of shape (n, outputs)."""
        outputs = self.outputs(codes)
        return outputs.log_softmax(dim=1) if self.spec.likelihood == "multinomial" else outputs

    def outputs(self, codes: Tensor) -> Tensor:
        """Log-probabilities up to a constant for each pixel (multinomial), or expected values (gaussian)."""
        outputs: Tensor = self.decoder(codes)
        if self.linear_decoder is not None:
            outputs = outputs + self.linear_decoder(codes)
        return outputs.sigmoid() if self.spec.bounded else outputs

    def _mean(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        mean: Tensor = self.mean_head(hidden)
        if self.linear_encoder is not None:
            mean = mean + self.linear_encoder(inputs)
        return nn.functional.hardtanh(mean) if self.spec.bounded else mean

    def forward(self, inputs: Tensor, noise: Tensor | None = None) -> tuple[Codes, Tensor, Tensor]:
        """Encode, sample (where `noise` ~ N(0,1) of shape (n, latent) is given), decode.

        Returns
        -------
        codes, sampled code, reconstruction
        """
        codes = self.encode(inputs)
        sampled = codes.mean if noise is None else codes.mean + noise * (0.5 * codes.log_variance).exp()
        return codes, sampled, self.decode(sampled)


def reconstruction_loss(likelihood: Likelihood, reconstruction: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of each pixel up to terms that do not depend on the model.

    Parameters
    ----------
    likelihood : {"multinomial", "gaussian"}
        Multinomial: Kullback-Leibler divergence of the counts from the model times the number of counts,
        so half the Poisson deviance with free intensity. Gaussian: half the squared residuals of
        targets that are already in units of their noise.
    reconstruction : Tensor, shape (n, bands)
        Log-probabilities or expected values.
    target : Tensor, shape (n, bands)
        Counts or values.

    Returns
    -------
    Tensor, shape (n,)
    """
    if likelihood == "multinomial":
        total = target.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return (torch.xlogy(target, target / total) - target * reconstruction).sum(dim=1)
    return 0.5 * (reconstruction - target).square().sum(dim=1)


class _SELU(nn.SELU):
    """In inference mode in place and with 2^x in place of the exact e^x - 1, which takes most of the time."""

    SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_inference_mode_enabled():
            return super().forward(x)
        most = self.SCALE * self.ALPHA
        below = (x * _LOG2E).exp2_().clamp_max_(1.0)
        return x.clamp_min_(0.0).mul_(self.SCALE).add_(below, alpha=most).sub_(most)


def _blocks(widths: list[int], spec: NetworkSpec) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers.append(nn.Linear(fan_in, fan_out))
        layers.append(_SELU() if spec.block == "snn" else nn.ReLU())
        if spec.dropout:
            layers.append(nn.AlphaDropout(spec.dropout) if spec.block == "snn" else nn.Dropout(spec.dropout))
    return layers
