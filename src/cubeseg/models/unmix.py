"""Unmixing: components and abundances, as many as the data demand (after EB-gMCR, arXiv 2507.23600, repaired)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cubeseg.clustering.iterative import Clustering
from cubeseg.config import FitConfig
from cubeseg.errors import ConfigError
from cubeseg.models.gates import probability_open, random_gate
from cubeseg.models.generative import AGGREGATIONS, PRIORS, Generative
from cubeseg.sampling.preprocess import Preprocessor
from cubeseg.sampling.spectra import Sample
from cubeseg.unmixing.abundances import Abundances
from cubeseg.unmixing.finding import Evidence, find

__all__ = ["UnmixModel"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# spectra that components are looked for in
_MOST = 4096
# a component that carries less of all light than this is none
_LEAST = 1e-4


class UnmixModel:
    """Components in the unit of the data; codes are the abundances of a spectrum.

    Parameters
    ----------
    preprocessor : Preprocessor
    config : FitConfig
    """

    method = "unmix"
    reach = 0
    # its classes are its components, nothing is clustered
    classes_of_its_own = True

    def __init__(self, preprocessor: Preprocessor, config: FitConfig) -> None:
        self.preprocessor, self.config = preprocessor, config
        self.mixing = config.mixing
        self.counts = preprocessor.kind == "counts" and self.mixing.aggregation == "linear"
        self.epochs = 0
        width = preprocessor.n_bins
        self.components: Float64 = np.zeros((0, width))
        self.spread: Float64 = np.zeros((0, width))
        self.weights: Float64 = np.ones(width)
        self.names: list[str] = []
        self.sum_to_one = self.mixing.sum_to_one == "yes"
        self.metric: Float32 | None = None
        self.error_unit = 1.0
        self.scores: dict[int, float] = {}
        self.notes: list[str] = []
        self._solve: Abundances | None = None
        self._network: Generative | None = None
        self._generator = torch.Generator().manual_seed(config.seed)
        self._pull, self._level = 0.0, 1.0

    def start(self, sample: Sample) -> Generator[float, None, None]:
        """Find the number of components, and the components; yields the part that is done."""
        if self.preprocessor.kind == "signal" and self.mixing.positive and sample.variance is None:
            self.notes.append("the data are signed; components and abundances are not negative all the same")
        spaced = slice(None, None, -(-len(sample.spectra) // _MOST))
        known = self._known()
        evidence = self._evidence(sample, spaced, known)
        self.weights = self._weights(evidence)
        found = yield from find(evidence, self.mixing, self.config.clusters, self.config.seed)
        self.components, self.spread, self.scores = found.components, found.spread, found.scores
        self.names = [one.name for one in self.mixing.known]
        if self.mixing.sum_to_one == "auto" and self.preprocessor.kind == "shape" and not self.counts:
            self._sum_up(evidence.spectra)
        if self.mixing.way == "gates":
            self.notes.append(
                f"{found.rank} spectra stand out of the noise; {len(self.components)} components were found"
            )
        if self.mixing.way == "gates" and not found.settled:
            self.epochs = self.config.epochs
            self._network = Generative(self.components, len(known), self.mixing.positive, self.mixing.aggregation)
            self._pull = self._strength(found.weight)
            self._measure(evidence.spectra)
        self._settle()

    def _evidence(self, sample: Sample, spaced: slice, known: Float64) -> Evidence:
        spectra, variance = sample.part(spaced)
        linear = self._linear(spectra)
        noise = None
        if self.counts:
            noise = np.sqrt(np.maximum(spectra, 1.0))
        elif variance is not None and self.mixing.aggregation == "linear":
            good = np.isfinite(variance) & (variance > 0)
            middle = np.median(variance[good]) if good.any() else 1.0
            noise = np.sqrt(np.where(good, variance, 1e4 * middle))
        pairs = (self._linear(sample.spectra[sample.paired]), self._linear(sample.neighbours))
        return Evidence(linear, noise, self.counts, pairs, known)

    def _weights(self, evidence: Evidence) -> Float64:
        if self.counts:
            mean = evidence.spectra.mean(axis=0, dtype=np.float64)
            return np.asarray(1 / np.maximum(mean, 1e-3 * mean.mean() + 1e-12))
        if evidence.noise is None:
            return np.ones(evidence.spectra.shape[1])
        return np.asarray(1 / np.maximum(np.median(evidence.noise.astype(np.float64) ** 2, axis=0), 1e-30))

    def _known(self) -> Float64:
        """Known components in bins."""
        prepare = self.preprocessor
        made: list[Float64] = []
        for one in self.mixing.known:
            values = np.asarray([one.values], np.float32)
            if values.shape[1] <= int(prepare.bands.max()):
                raise ConfigError(
                    f"known component '{one.name}' has {values.shape[1]} values, the cube has more bands; "
                    "bring it to the cube's axis"
                )
            binned = self._linear(prepare.reduce(np.nan_to_num(values), None)[0])[0].astype(np.float64)
            if not (binned > 0).any():
                raise ConfigError(f"known component '{one.name}' has no value in the bands of the cube")
            if any(_cosine(binned, other) > 1 - 1e-6 for other in made):
                raise ConfigError(f"known component '{one.name}' is the same as another one; leave one of them out")
            made.append(binned)
        return np.array(made).reshape(len(made), prepare.n_bins)

    def _linear(self, spectra: Float32) -> Float32:
        """What adds up: the spectra themselves, or depths."""
        return np.asarray(AGGREGATIONS[self.mixing.aggregation].undo(spectra), np.float32)

    def _sum_up(self, spectra: Float32) -> None:
        """Let abundances sum to one where that leaves less than twice the squared residuals of free ones.

        No pixel need be pure: the components are first made so bright that free abundances sum to one on the average.
        """
        from scipy.optimize import nnls

        free = Abundances(self.components, self.weights, False, False)(spectra).astype(np.float64)
        left = float(((spectra - free @ self.components) ** 2).sum())
        balance = nnls(free, np.ones(len(free)))[0]
        factors = [np.ones(len(balance))]
        if not self.mixing.known and (balance > 0).all():
            # how bright a known component is, is known
            factors.insert(0, balance)
        for factor in factors:
            components = self.components / factor[:, None]
            summed = Abundances(components, self.weights, True, False)(spectra)
            if float(((spectra - summed @ components) ** 2).sum()) < 2 * left:
                self.components, self.spread = components, self.spread / factor[:, None]
                self.sum_to_one = True
                return

    def _strength(self, weight: float) -> float:
        """Weight of the prior in the loss, whose unit is the squared residual of a spectrum."""
        prior = self.mixing.prior
        if prior == "volume":
            return weight
        return 0.0 if prior == "none" else 1e-2 * self.mixing.strength

    def _settle(self) -> None:
        self._solve = Abundances(self.components, self.weights, self.sum_to_one, self.counts)

    def parameters(self) -> list[Any]:
        """What is learned."""
        assert self._network is not None
        return list(self._network.parameters())

    def loss(self, spectra: Float32, variance: Float32 | None, progress: float) -> dict[str, Any]:
        """Misfit under the noise, price of the open gates, prior of the components.

        The concentrations are those of largest likelihood for the components of this moment (variable projection), so
        they need no network of their own.
        """
        network = self._network
        assert network is not None
        components = network.components()
        now = components.detach().numpy().astype(np.float64)
        amounts = Abundances(now, self.weights, False, self.counts)(self._linear(spectra))
        concentrations, seen = torch.from_numpy(amounts), torch.from_numpy(np.ascontiguousarray(spectra))
        weights = torch.from_numpy(self.weights.astype(np.float32))
        with torch.no_grad():
            plain = network(concentrations, torch.ones_like(concentrations))
            noise = self._noise(seen, weights)
        price = float(np.log(max(len(now), 2)) + 0.5 * np.log(spectra.shape[1]))
        odds = network.odds(concentrations / noise.sqrt(), weights, price)
        expected = network(concentrations, random_gate(odds, self._generator))
        if self.counts:
            expected = expected + 1e-3 * seen.mean(dim=1, keepdim=True)
            misfit = (expected - seen * expected.log()).sum(dim=1)
            misfit = misfit - (plain + 1e-3 - seen * (plain + 1e-3).log()).sum(dim=1).detach()
        else:
            misfit = 0.5 * (weights * (seen - expected).square() / noise).sum(dim=1)
        terms = {"misfit": misfit.mean() / spectra.shape[1]}
        terms["gates"] = price * probability_open(odds).sum(dim=1).mean() / spectra.shape[1]
        total = terms["misfit"] + terms["gates"]
        if self._pull:
            unit = components / components.norm(dim=1, keepdim=True).clamp_min(1e-12)
            terms["prior"] = self._pull * PRIORS[self.mixing.prior](unit)
            total = total + 0.5 * terms["prior"]
        return {"total": total} | terms

    def _noise(self, seen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Variance (n, 1) of the weighted values of spectra: in proportion to their brightness where it is unknown."""
        if self.counts:
            return seen.sum(dim=1, keepdim=True) / self._level
        if self.preprocessor.kind == "signal":
            return torch.full((len(seen), 1), self._level)
        return self._level * (weights * seen.square()).mean(dim=1, keepdim=True).clamp_min(1e-12)

    def _measure(self, spectra: Float32) -> None:
        """How much the components leave of a sample: the level of the noise."""
        left = spectra - Abundances(self.components, self.weights, False, self.counts)(spectra) @ self.components
        power = float((spectra**2 * self.weights).sum())
        if self.counts:
            self._level = float(spectra.sum(axis=1).mean())
        elif self.preprocessor.kind == "signal":
            self._level = max(float((left**2 * self.weights).mean()), 1e-12)
        else:
            self._level = max(float((left**2 * self.weights).sum()) / max(power, 1e-30), 1e-12)

    def snapshot(self) -> dict[str, Any]:
        """Weights to come back to."""
        assert self._network is not None
        return {name: value.clone() for name, value in self._network.state_dict().items()}

    def reset(self, snapshot: dict[str, Any]) -> None:
        """Come back to them."""
        assert self._network is not None
        self._network.load_state_dict(snapshot)

    def survey(self, sample: Sample) -> None:
        """Take over what was learned."""
        assert self._network is not None
        with torch.no_grad():
            self.components = self._network.components().numpy().astype(np.float64)
        self._settle()

    def recluster(self, codes: Float32) -> NDArray[np.int32]:
        """The largest component of each spectrum, 0.., for a preview."""
        return np.asarray(codes.argmax(axis=1), np.int32)

    def classes(self, codes: Float32) -> Clustering:
        """One class for each component, the most abundant first; components that nothing uses are given up."""
        usage = self._usage(codes)
        known = len(self.mixing.known)
        order = np.argsort(-usage, kind="stable")
        order = order[(usage[order] >= _LEAST) | (order < known) | (np.arange(len(order)) == 0)]
        names = self.names + [""] * (len(self.components) - len(self.names))
        self.components, self.spread = self.components[order], self.spread[order]
        self.names = [names[j] for j in order]
        self._settle()
        codes = codes[:, order]
        largest = codes.argmax(axis=1)
        centres = [
            codes[largest == j].mean(axis=0) if (largest == j).any() else np.eye(len(order))[j]
            for j in range(len(order))
        ]
        return Clustering(np.array(centres, np.float32), 1.0, self.scores, largest=True)

    def _usage(self, codes: Float32) -> Float64:
        """The part of all light that is each component's: no union over spectra."""
        mass = (codes * self.components.sum(axis=1)).sum(axis=0, dtype=np.float64)
        return np.asarray(mass / max(float(mass.sum()), 1e-30))

    def stretch(self, metric: Float32 | None) -> None:
        """From now on :meth:`encode` gives abundances times this matrix (k, k)."""
        self.metric = metric

    def encode(self, spectra: Float32, variance: Float32 | None = None) -> tuple[Float32, Float32]:
        """Abundances (n, k) and residuals (n,) of binned spectra (n, bins)."""
        assert self._solve is not None
        linear = self._linear(spectra)
        codes = self._solve(linear)
        rest = linear - codes @ self.components.astype(np.float32)
        if self.counts:
            error = (rest**2).sum(axis=1) / np.maximum(spectra.sum(axis=1), 1e-12)
        else:
            error = (rest**2 * self.weights.astype(np.float32)).mean(axis=1)
        return codes if self.metric is None else codes @ self.metric, error.astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Components and the weights of the bins, by name."""
        metric = {} if self.metric is None else {"metric": self.metric}
        return {"components": self.components, "spread": self.spread, "weights": self.weights} | metric

    def settings(self) -> dict[str, Any]:
        """What :meth:`restore` needs beside the arrays."""
        return {"error_unit": self.error_unit, "sum_to_one": self.sum_to_one, "names": self.names}

    @classmethod
    def restore(
        cls,
        preprocessor: Preprocessor,
        config: FitConfig,
        arrays: dict[str, NDArray[Any]],
        settings: dict[str, Any],
    ) -> UnmixModel:
        """Rebuild from what was stored."""
        model = cls(preprocessor, config)
        model.components, model.spread = arrays["components"], arrays["spread"]
        model.weights, model.metric = arrays["weights"], arrays.get("metric")
        model.sum_to_one, model.names = bool(settings["sum_to_one"]), list(settings["names"])
        model.error_unit = float(settings.get("error_unit", 1.0))
        model._settle()
        return model


def _cosine(one: Float64, other: Float64) -> float:
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-30))
