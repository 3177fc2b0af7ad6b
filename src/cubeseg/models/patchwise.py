"""Deep Global Clustering: one dictionary of classes for a cube or a series, learned from patches.

After Chang, Chen & Chen (arXiv 2512.24172), with what does not work there replaced: see "Deep Global Clustering" in
docs/how-it-works.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cubeseg.clustering.iterative import Clustering
from cubeseg.config import FitConfig
from cubeseg.models.deep import pick_device
from cubeseg.models.losses import Allowance
from cubeseg.models.patch_losses import balance_loss, consistency_loss, published_losses, unsureness
from cubeseg.models.patch_network import REACH, PatchNetwork, PatchSpec, pooled
from cubeseg.models.smooth_start import smooth_components
from cubeseg.sampling.crops import Crop, common
from cubeseg.sampling.patches import Patches
from cubeseg.sampling.preprocess import Preprocessor

__all__ = ["PatchModel"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

# how slowly the dictionary, the shares of its classes and their prior follow, per step
_FOLLOW, _SHARES, _PRIOR = 0.95, 0.9, 0.99
# part of the prior that is uniform; share below which a class is dead; part of the pixels that a view does not show
_UNIFORM, _DEAD, _HIDDEN = 0.1, 1e-3, 0.15
# of the terms about classes beside the reconstruction, at most
_WEIGHT = 0.03
_TEMPERATURE = 0.05
# least size of the dictionary
_ENTRIES = 16
# mean size of a code beside the constant that joins it, at the start
_SIZE = 0.7


class PatchModel:
    """The network, the dictionary, and what training them needs.

    Parameters
    ----------
    preprocessor : Preprocessor
    config : FitConfig
    spec : PatchSpec, optional
        Of a stored network; made from the configuration where not given.
    """

    method = "global"
    reach = REACH
    classes_of_its_own = False

    def __init__(self, preprocessor: Preprocessor, config: FitConfig, spec: PatchSpec | None = None) -> None:
        self.preprocessor, self.config = preprocessor, config
        self.device = pick_device(config.device)
        self.epochs = config.epochs
        torch.manual_seed(config.seed)
        self.spec = spec or PatchSpec(preprocessor.n_inputs, min(config.latent, preprocessor.n_inputs))
        self.network = PatchNetwork(self.spec).to(self.device)
        self.error_unit = 1.0
        # more than are asked for, so that a rare class need not share an entry; alike ones are merged in the end
        k, wide = config.clusters[1] if self.published else max(_ENTRIES, config.clusters[1]), self.spec.latent + 1
        self.dictionary = torch.nn.Parameter(functional.normalize(torch.randn(k, wide), dim=1).to(self.device))
        self.dictionary.requires_grad_(self.published)
        self.spread = _TEMPERATURE**0.5
        self.shares = torch.full((k,), 1 / k, device=self.device)
        self.prior = self.shares.clone()
        self._metric: Tensor | None = None
        self._rng = np.random.default_rng([config.seed, 13])
        self._loss_unit = 1.0
        self._allowed = Allowance(slack=1.05, rise=0.02, most=1.0)

    @property
    def published(self) -> bool:
        """Whether the published loss set is used, with its two owners of the centroids."""
        return self.config.objective == "published"

    def start(self, patches: Patches) -> None:
        """Principal components for the linear paths; the dictionary waits for :meth:`seed`."""
        sample = patches.sample()
        inputs = self.preprocessor.features(*sample.part(slice(None))).inputs
        mean = inputs.mean(axis=0)
        self._loss_unit = max(float(((inputs - mean) ** 2).mean()), 1e-12)
        if self.published:
            self.network.set_bandwidth(1.0)
            return
        components = smooth_components(patches, mean, self.spec.latent)
        scale = np.sqrt(max(float(np.square((inputs - mean) @ components.T).sum(axis=1).mean()), 1e-12)) / _SIZE
        components = np.ascontiguousarray(components / scale, dtype=np.float32)
        self.network.start_from(self._tensor(components), self._tensor(mean))
        near = self.preprocessor.features(sample.neighbours, sample.neighbour_variance).inputs
        own = self._single(inputs[sample.paired])
        squared = np.square(own - self._single(near)).sum(axis=1)
        # half of the weight is lost where codes differ by more than neighbours commonly do
        self.network.set_bandwidth(float(np.sqrt(np.median(squared))) if len(squared) else 1.0)

    def seed(self, centroids: Float32, codes: Float32) -> None:
        """Let the dictionary be these centroids (k, latent + 1) of codes (n, latent + 1)."""
        with torch.no_grad():
            self.dictionary.copy_(functional.normalize(self._tensor(centroids), dim=1))
        self.measure(codes)
        self.prior = (1 - _UNIFORM) * self.shares + _UNIFORM / len(self.dictionary)

    def measure(self, codes: Float32) -> NDArray[np.int32]:
        """Labels (n,) of codes; sets the spread of the classes and their shares."""
        labels, total = np.empty(len(codes), np.int32), 0.0
        for start in range(0, len(codes), 1 << 16):
            part = slice(start, start + (1 << 16))
            cosines = torch.from_numpy(codes[part]).to(self.device) @ self.dictionary.detach().T
            best = cosines.max(dim=1)
            labels[part] = best.indices.cpu().numpy()
            total += float((2 - 2 * best.values).sum())
        if not self.published:
            self.spread = max(float(np.sqrt(total / max(codes.size, 1))), 1e-3)
        k = len(self.dictionary)
        self.shares = self._tensor(np.bincount(labels, minlength=k) / max(len(labels), 1))
        return labels

    def revive(self, codes: Float32) -> int:
        """Move centroids without members to codes far from all others; returns how many were moved."""
        dead = np.flatnonzero(self.shares.cpu().numpy() < _DEAD)
        if self.published or not len(dead) or len(codes) < 2:
            return 0
        few = torch.from_numpy(codes[self._rng.choice(len(codes), min(4096, len(codes)), replace=False)])
        few = few.to(self.device)
        alive = np.setdiff1d(np.arange(len(self.dictionary)), dead)
        apart = (2 - 2 * few @ self.dictionary.detach()[alive].T).min(dim=1).values.clamp_min(0).cpu().numpy()
        moved = 0
        for k in dead:
            if apart.sum() < 1e-6 * len(apart):
                break
            chosen = int(self._rng.choice(len(apart), p=apart / apart.sum()))
            with torch.no_grad():
                self.dictionary[k] = few[chosen]
            apart = np.minimum(apart, (2 - 2 * few @ few[chosen]).clamp_min(0).cpu().numpy())
            moved += 1
        return moved

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the training loop optimises; the dictionary has another owner, unless as published."""
        return [*self.network.parameters(), *([self.dictionary] if self.published else [])]

    def loss(
        self,
        patches: Patches,
        windows: NDArray[np.intp],
        crops: Sequence[tuple[Crop, Crop]],
        progress: float,
    ) -> dict[str, Tensor]:
        """All terms for two crops each of some windows.

        Parameters
        ----------
        patches : Patches
        windows : array of int, shape (b,)
        crops : sequence of pairs of Crop
            Of these windows.
        progress : float
            Point of the training, 0 to 1.

        Returns
        -------
        dict
            "total" and its terms; "reconstruction" is relative to that of the mean spectrum.
        """
        self.network.train()
        views = [(w, crop) for side in (0, 1) for w, crop in zip(windows, (c[side] for c in crops), strict=True)]
        inputs, usable = self._views(patches, views)
        shown = usable & torch.from_numpy(self._rng.random(tuple(usable.shape)) >= _HIDDEN).to(self.device)
        raw, codes, _ = self.network(inputs, usable if self.published else shown)
        if not bool(usable.any()):
            zero = codes.sum() * 0.0
            return {"total": zero}
        member = torch.softmax(torch.einsum("bdyx,kd->bkyx", codes, self._unit()) / self._temperature, dim=1)
        flat, members = _listed(codes, usable), _listed(member, usable)
        if self.published:
            return self._published(raw, member, usable)
        difference = self.network.decode(flat) - inputs[usable]
        terms = {"reconstruction": difference.square().mean() / self._loss_unit}
        b, agreements = len(windows), []
        for i, (first, second) in enumerate(crops):
            here, there = common(first, second)
            one, two = (c.upright(member[j])[:, *at] for c, j, at in ((first, i, here), (second, b + i, there)))
            both = first.upright(usable[i])[here]
            if bool(both.any()):
                agreements.append(consistency_loss(one[:, both].T, two[:, both].T))
        zero = codes.new_zeros(())
        terms["consistency"] = torch.stack(agreements).mean() if agreements else zero
        terms["unsureness"] = unsureness(members)
        usage = members.mean(dim=0)
        shares = _SHARES * self.shares + (1 - _SHARES) * usage
        # the gradient of a batch that is a tenth of the running mean is a tenth of its own
        terms["balance"] = balance_loss(shares, self.prior) / (1 - _SHARES)
        weight = _WEIGHT * self._allowed(float(terms["reconstruction"].detach())) * min(1.0, progress / 0.1)
        terms["weight"] = torch.tensor(weight)
        clustering = terms["consistency"] + terms["unsureness"] + terms["balance"]
        self._follow(flat.detach(), members.detach(), shares.detach())
        return {"total": terms["reconstruction"] + weight * clustering} | terms

    def look(self, patches: Patches, windows: NDArray[np.intp]) -> Float32:
        """Codes (n, latent + 1) of the usable pixels of some windows."""
        found = []
        for w in windows:
            if not patches.usable[w].any():
                continue
            variance = None if patches.variance is None else patches.variance[w]
            codes, _, _ = self.encode_around(patches.spectra[w], variance, patches.usable[w])
            found.append(codes[patches.usable[w]])
        return np.concatenate(found) if found else np.zeros((0, self.spec.latent + 1), np.float32)

    def encode_around(
        self, spectra: Float32, variance: Float32 | None, usable: Bool
    ) -> tuple[Float32, Float32, Float32]:
        """Codes (y, x, d) and errors (y, x) of binned spectra (y, x, bins) side by side; these as likelihoods see them.

        Those of pixels nearer to the border than :attr:`reach` are exact only where the image ends there. Likelihoods
        see counts together with those of alike neighbours.
        """
        height, width, bins = spectra.shape
        noise = None if variance is None else variance.reshape(-1, bins)
        inputs = self._tensor(self.preprocessor.features(spectra.reshape(-1, bins), noise).inputs)
        there = torch.from_numpy(usable[None]).to(self.device)
        codes, errors, weights = self._encoded(inputs.view(1, height, width, -1), there)
        if not self.by_counts:
            return codes, errors, spectra
        with torch.inference_mode():
            seen = pooled(self._tensor(np.where(usable[..., None], spectra, 0)), weights[0])
        return codes, errors, seen.cpu().numpy()

    def encode(self, spectra: Float32, variance: Float32 | None = None) -> tuple[Float32, Float32]:
        """Codes (n, d) and errors (n,) of binned spectra (n, bins), each without neighbours."""
        found = [np.zeros((0, self.spec.latent + 1), np.float32)]
        errors = [np.zeros(0, np.float32)]
        for start in range(0, len(spectra), 4096):
            part = slice(start, start + 4096)
            inputs = self._tensor(
                self.preprocessor.features(spectra[part], None if variance is None else variance[part]).inputs
            )
            codes, error, _ = self._encoded(inputs[:, None, None], torch.ones(len(inputs), 1, 1, dtype=torch.bool))
            found.append(codes.reshape(len(inputs), -1))
            errors.append(error.ravel())
        return np.concatenate(found), np.concatenate(errors)

    def expected(self, codes: Float32) -> Float32:
        """Features (n, inputs) that codes (n, latent + 1) stand for."""
        self.network.eval()
        with torch.inference_mode():
            return np.asarray(self.network.decode(self._tensor(codes)).cpu().numpy())

    def stretch(self, metric: Float32 | None) -> None:
        """From now on give codes times this matrix (d, d)."""
        self._metric = None if metric is None else self._tensor(metric)

    @property
    def by_counts(self) -> bool:
        """Whether classes are told apart by the photons of pixels and their alike neighbours, not by codes alone."""
        return self.refines and self.preprocessor.likelihood == "multinomial"

    @property
    def refines(self) -> bool:
        """Whether classes are refined under the noise model of the data in the end."""
        return self.config.refine and not self.published

    @property
    def metric(self) -> Float32 | None:
        """What :meth:`stretch` was told."""
        return None if self._metric is None else self._metric.cpu().numpy()

    def clustering(self) -> Clustering:
        """The dictionary as classes of the codes, those of largest share first."""
        order = torch.argsort(self.shares, descending=True, stable=True)
        centroids = self._unit().detach()[order].cpu().numpy()
        # a softmax of cosines over a temperature is one of Gaussians on the sphere
        return Clustering(np.ascontiguousarray(centroids), float(np.sqrt(self._temperature)), {})

    def snapshot(self) -> dict[str, Any]:
        """Weights and dictionary to come back to."""
        kept = {name: value.clone() for name, value in self.network.state_dict().items()}
        return {"network": kept, "dictionary": self.dictionary.detach().clone(), "spread": self.spread}

    def reset(self, snapshot: dict[str, Any]) -> None:
        """Come back to them."""
        self.network.load_state_dict(snapshot["network"])
        with torch.no_grad():
            self.dictionary.copy_(snapshot["dictionary"])
        self.spread = snapshot["spread"]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Weights and dictionary, by name."""
        found = {f"network.{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}
        found["dictionary"] = self._unit().detach().cpu().numpy()
        return found if self._metric is None else found | {"metric": self._metric.cpu().numpy()}

    def settings(self) -> dict[str, Any]:
        """What :meth:`restore` needs beside the arrays."""
        return {"spec": asdict(self.spec), "error_unit": self.error_unit, "spread": self.spread, "reach": self.reach}

    @classmethod
    def restore(
        cls,
        preprocessor: Preprocessor,
        config: FitConfig,
        arrays: dict[str, NDArray[Any]],
        settings: dict[str, Any],
    ) -> PatchModel:
        """Rebuild a trained model from what was stored."""
        model = cls(preprocessor, config, PatchSpec(**settings["spec"]))
        prefix = "network."
        model.network.load_state_dict(
            {n.removeprefix(prefix): torch.from_numpy(a) for n, a in arrays.items() if n.startswith(prefix)}
        )
        model.dictionary = torch.nn.Parameter(model._tensor(arrays["dictionary"]), requires_grad=False)
        model.spread, model.error_unit = float(settings["spread"]), float(settings["error_unit"])
        if "metric" in arrays:
            model.stretch(arrays["metric"])
        return model

    @property
    def _temperature(self) -> float:
        return float(self.spread**2)

    def _unit(self) -> Tensor:
        return functional.normalize(self.dictionary, dim=1)

    def _encoded(self, inputs: Tensor, usable: Tensor) -> tuple[Float32, Float32, Tensor]:
        """Codes (..., d) and errors of inputs (b, y, x, features), the batch joined with the rows; and weights."""
        self.network.eval()
        with torch.inference_mode():
            _, moved, weights = self.network(inputs, usable.to(self.device))
            codes = moved.movedim(1, -1)
            flat = codes.reshape(-1, codes.shape[-1])
            error = (self.network.decode(flat) - inputs.reshape(len(flat), -1)).square().mean(dim=1)
            if self._metric is not None:
                flat = flat @ self._metric
            shape = (codes.shape[0] * codes.shape[1], codes.shape[2])
            return flat.view(*shape, -1).cpu().numpy(), error.view(shape).cpu().numpy(), weights

    def _views(self, patches: Patches, views: Sequence[tuple[int, Crop]]) -> tuple[Tensor, Tensor]:
        """Features (b, side, side, inputs) of crops and which of their pixels are usable."""
        spectra = np.stack([c.of(patches.spectra[w]) for w, c in views])
        usable = np.stack([c.of(patches.usable[w]) for w, c in views])
        bins = spectra.shape[-1]
        variance = None
        if patches.variance is not None:
            variance = np.stack([c.of(patches.variance[w]) for w, c in views]).reshape(-1, bins)
        inputs = self._tensor(self.preprocessor.features(spectra.reshape(-1, bins), variance).inputs)
        return inputs.view(*usable.shape, -1), torch.from_numpy(usable).to(self.device)

    def _single(self, inputs: Float32) -> Float32:
        """Codes (n, d) of inputs (n, features) before the mean shift, without neighbours."""
        with torch.inference_mode():
            one = self._tensor(inputs)[:, None, None]
            seen = torch.ones(one.shape[:3], dtype=torch.bool, device=self.device)
            return np.asarray(self.network.codes(one, seen)[:, :, 0, 0].cpu().numpy())

    def _follow(self, codes: Tensor, members: Tensor, shares: Tensor) -> None:
        """The dictionary and the prior follow the codes; this is their only owner."""
        with torch.no_grad():
            mass = members.sum(dim=0)
            means = members.T @ codes / mass.clamp_min(1e-6)[:, None]
            # a class that is absent from these patches stays where it is
            pull = (1 - _FOLLOW) * (mass / (mass + 0.01 * len(codes)))[:, None]
            self.dictionary.data = functional.normalize((1 - pull) * self.dictionary + pull * means, dim=1)
            self.shares = shares
            k = len(shares)
            self.prior = _PRIOR * self.prior + (1 - _PRIOR) * ((1 - _UNIFORM) * shares + _UNIFORM / k)

    def _published(self, raw: Tensor, member: Tensor, usable: Tensor) -> dict[str, Tensor]:
        """The published terms, and the second owner of the centroids."""
        members = _listed(member, usable)
        other = _listed(member.roll(len(member) // 2, 0), usable)
        terms = published_losses(_listed(raw, usable), members, other, self._unit())
        with torch.no_grad():
            mass, codes = members.sum(dim=0), _listed(raw, usable)
            means = members.T @ codes / mass.clamp_min(1e-6)[:, None]
            alive = (mass > 1e-3)[:, None]
            moved = torch.where(alive, 0.99 * self._unit() + 0.01 * means, self.dictionary)
            self.dictionary.data = functional.normalize(moved, dim=1)
            self.shares = members.mean(dim=0)
        return {"total": torch.stack(list(terms.values())).sum()} | terms

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)


def _listed(maps: Tensor, usable: Tensor) -> Tensor:
    """Maps (b, d, y, x) at the usable pixels, (n, d)."""
    return maps.movedim(1, -1)[usable]
