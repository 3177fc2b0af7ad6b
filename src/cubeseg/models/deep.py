"""Deep Spectral Clustering: an autoencoder whose codes are drawn to global cluster prototypes.

After Bombini et al. (arXiv 2401.17695): reconstruction + beta(t) MMD + gamma(t) clustering, summed or
multiplied. Unlike the published code, the clustering term has a gradient (a centroid-based soft silhouette),
and its centroids belong to the whole training set, not to one batch.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cubeseg.clustering.iterative import align, assign, iterative_kmeans
from cubeseg.config import FitConfig
from cubeseg.models.autoencoder import Autoencoder, NetworkSpec, reconstruction_loss
from cubeseg.models.losses import CLUSTERING_LOSSES, Allowance, mmd, taught_loss
from cubeseg.sampling.preprocess import Features, Preprocessor
from cubeseg.sampling.spectra import Sample
from cubeseg.steps import finish

__all__ = ["DeepModel", "pick_device"]

Float32 = NDArray[np.float32]

# what a curved decoder reaches spans more directions than the code has
_AXES = 8
# spectra that go through the network at once; what they need stays in the processor's cache
_BATCH = 512
_HALF_LOG2E = 0.7213475204444817


def pick_device(name: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "mps" into a device that is there.

    Raises
    ------
    ConfigError
        If the named device is not available.
    """
    from cubeseg.errors import ConfigError

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(d for d in ("cuda", "mps", "cpu") if there[d])
    if not there[name]:
        raise ConfigError(f"device: '{name}' is not available on this machine; use --device auto")
    return torch.device(name)


def _principal(inputs: Float32, n: int) -> tuple[Tensor, Tensor]:
    """Whitening principal components (n, features) of inputs (m, features), and their mean."""
    mean = inputs.mean(axis=0)
    values, vectors = np.linalg.eigh((inputs - mean).T.astype(np.float64) @ (inputs - mean) / len(inputs))
    order = np.argsort(-values)[:n]
    spread = np.sqrt(np.maximum(values[order], 1e-4 * values.max() + 1e-12))
    components = np.zeros((n, inputs.shape[1]), np.float32)
    components[: len(order)] = (vectors[:, order] / spread).T
    return torch.from_numpy(components), torch.from_numpy(mean)


class DeepModel:
    """The autoencoder with everything that its training and its use need.

    Parameters
    ----------
    preprocessor : Preprocessor
    config : FitConfig
    spec : NetworkSpec, optional
        Of a stored network; made from the configuration where not given.
    """

    method = "deep"
    reach = 0
    classes_of_its_own = False

    def __init__(self, preprocessor: Preprocessor, config: FitConfig, spec: NetworkSpec | None = None) -> None:
        self.preprocessor = preprocessor
        self.config = config
        self.device = pick_device(config.device)
        self.epochs = config.epochs
        torch.manual_seed(config.seed)
        self.spec = spec or NetworkSpec(
            preprocessor.n_inputs,
            preprocessor.n_bins if preprocessor.likelihood == "multinomial" else preprocessor.n_inputs,
            preprocessor.likelihood,
            config.block,
            config.layers,
            config.encoding,
            config.latent,
            config.dropout,
            config.bounded,
            config.linear and preprocessor.likelihood == "gaussian" and not config.bounded,
        )
        self.network = Autoencoder(self.spec).to(self.device)
        self.prototypes: Tensor | None = None
        self._previous: NDArray[np.int32] | None = None
        self._generator = torch.Generator().manual_seed(config.seed)
        self._loss_unit = 1.0
        self._allowed = Allowance(slack=1.02, rise=0.1, most=1e3)
        self._origin: Tensor | None = None
        self._axes: Tensor | None = None
        self._metric: Tensor | None = None
        self.error_unit = 1.0
        self._owner: Tensor | None = None
        self._spread = 1.0

    def start(self, sample: Sample) -> None:
        """Set the decoder's first answer to the mean spectrum and fix the unit of the reconstruction loss."""
        few = self._few(sample)
        output = self._measured(sample, few)
        if self.spec.bounded:
            output = output.clamp(1e-3, 1 - 1e-3).logit()
        if self.spec.linear:
            components, mean = _principal(few.inputs, self.spec.latent)
            self.network.start_from_components(components.to(self.device), mean.to(self.device))
        else:
            self.network.start_from(output.to(self.device))

    def resume(self, sample: Sample) -> None:
        """Make ready for more training of a trained network."""
        self._measured(sample, self._few(sample))

    def _few(self, sample: Sample) -> Features:
        return self.preprocessor.features(*sample.part(slice(None, None, max(1, len(sample.spectra) // 4096))))

    def _measured(self, sample: Sample, few: Features) -> Tensor:
        """Fix the unit of the reconstruction loss; returns the answer that the mean spectrum gives."""
        if self.spec.likelihood == "multinomial":
            mean = sample.spectra.sum(axis=0, dtype=np.float64)
            output = torch.from_numpy(np.log((mean + mean.sum() * 1e-6) / mean.sum()).astype(np.float32))
        else:
            output = torch.from_numpy(few.targets.mean(axis=0))
        targets = self._tensor(few.targets)
        rec = reconstruction_loss(self.spec.likelihood, output.to(self.device).expand_as(targets), targets)
        if self.config.reconstruction == "relative":
            self._loss_unit = max(float(rec.mean()), 1e-12)
        else:
            # the likelihood is half a sum over bands, the published term a mean
            self._loss_unit = self.spec.outputs / 2
        return output

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the training loop optimises."""
        return list(self.network.parameters())

    def loss(
        self,
        spectra: Float32,
        variance: Float32 | None,
        progress: float,
        taught: NDArray[np.int32] | None = None,
        weight: float = 1.0,
    ) -> dict[str, Tensor]:
        """All terms for one batch of binned spectra.

        Parameters
        ----------
        spectra, variance : arrays, shape (n, bins)
        progress : float
            Point of the training, 0 to 1, for beta(t) and gamma(t).
        taught : array of int, shape (n,), optional
            The class that people gave a spectrum, as :meth:`teach` numbers them; -1 for most.
        weight : float
            Of the term that makes the codes of taught spectra those of their class.

        Returns
        -------
        dict
            "total" and its terms; "reconstruction" is relative to that of the mean spectrum.
        """
        self.network.train()
        features = self.preprocessor.features(spectra, variance)
        inputs, targets = self._tensor(features.inputs), self._tensor(features.targets)
        variational = self.config.network == "infovae"
        rec, codes, sampled, output = self._reconstruction(inputs, targets, variational)
        terms = {"reconstruction": rec.mean() / self._loss_unit}
        total = terms["reconstruction"]
        beta = self.config.beta.at(progress) if variational else 0.0
        if beta > 0:
            prior = torch.randn(256, self.spec.latent, generator=self._generator).to(self.device)
            terms["mmd"] = mmd(sampled, prior)
            total = total + beta * terms["mmd"]
        gamma = self.config.gamma.at(progress)
        if gamma > 0 and self.prototypes is not None and len(self.prototypes) > 1:
            place = self._coordinates(codes, output)
            terms["clustering"] = CLUSTERING_LOSSES[self.config.clustering_loss](place, self.prototypes, progress)
            if self.config.weighting == "constrained":
                gamma *= self._allowed(float(terms["reconstruction"].detach()))
                terms["gamma"] = torch.tensor(gamma)
            if self.config.combine == "product":
                total = total * (1 + gamma * terms["clustering"]) / (1 + gamma)
            else:
                total = total + gamma * terms["clustering"]
        rows = np.flatnonzero(taught >= 0) if taught is not None else np.zeros(0, np.intp)
        if taught is not None and len(rows) and self.prototypes is not None and self._owner is not None:
            place = self._coordinates(codes, output)[torch.from_numpy(rows).to(self.device)]
            wanted = torch.from_numpy(taught[rows].astype(np.int64)).to(self.device)
            terms["corrections"] = taught_loss(place, self.prototypes, self._owner, wanted, self._spread)
            total = total + weight * terms["corrections"]
        return {"total": total} | terms

    def teach(self, prototypes: Float32, owner: NDArray[np.int32], spread: float) -> None:
        """Set the prototypes from outside, for training on corrections.

        Parameters
        ----------
        prototypes : array, shape (k, d)
            In the coordinates of :meth:`encode`.
        owner : array of int, shape (k,)
            The class 0.. of each; a class may have several.
        spread : float
            Standard deviation of codes about their prototype, per dimension.
        """
        self.prototypes = torch.from_numpy(prototypes).to(self.device)
        self._owner = torch.from_numpy(owner.astype(np.int64)).to(self.device)
        self._spread = max(spread, 1e-6)

    def snapshot(self) -> dict[str, Tensor]:
        """Weights to come back to."""
        return {name: value.clone() for name, value in self.network.state_dict().items()}

    def reset(self, snapshot: dict[str, Tensor]) -> None:
        """Come back to them."""
        self.network.load_state_dict(snapshot)

    def recluster(self, codes: Float32) -> NDArray[np.int32]:
        """Move the global prototypes to where the codes are now; ids follow those of the last call.

        Parameters
        ----------
        codes : array, shape (n, latent)
            Codes of the whole training sample.

        Returns
        -------
        array of int32, shape (n,)
            Labels 0.., for a preview.
        """
        found = finish(iterative_kmeans(codes, self.config.cluster_range, self.config.seed, coreset=3000, restarts=2))
        labels = assign(codes, found.centroids, found.spread)[0]
        ids = (
            np.arange(len(found.centroids), dtype=np.int32)
            if self._previous is None
            else align(labels, self._previous, len(found.centroids))
        )
        self.prototypes = torch.from_numpy(found.centroids).to(self.device)
        self._previous = ids[labels]
        return self._previous

    def survey(self, sample: Sample) -> None:
        """Find the principal axes of what the sample's codes decode to, in the metric of the noise.

        Distances along them are those between expected spectra (Hellinger's for counts), which a decoder does not
        keep between codes. Until this is called, and with ``coordinates = "latent"``, codes are used as they are.
        """
        if self.config.coordinates == "latent":
            return
        from scipy.linalg import eigh

        self.network.eval()
        # a few thousand spectra, evenly spaced over the image, fix a handful of axes well enough
        spaced = slice(None, None, max(1, len(sample.spectra) // 4096))
        inputs = self.preprocessor.features(*sample.part(spaced)).inputs
        with torch.no_grad():
            expected = self._expected(self.network.decode(self.network.encode(self._tensor(inputs)).mean))
            mean = expected.mean(dim=0)
            covariance = ((expected - mean).T @ (expected - mean) / len(expected)).cpu().numpy()
        width = self.spec.outputs
        leading = [max(0, width - max(self.spec.latent, _AXES)), width - 1]
        axes = torch.from_numpy(np.ascontiguousarray(eigh(covariance, subset_by_index=leading)[1][:, ::-1]))
        # eigenvectors come with either sign; the largest entry is made positive
        axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
        self._origin, self._axes = mean, axes.float().to(self.device)

    def stretch(self, metric: Float32 | None) -> None:
        """From now on :meth:`encode` gives codes times this matrix (d, d)."""
        self._metric = None if metric is None else torch.from_numpy(metric).to(self.device)

    def encode(self, spectra: Float32, variance: Float32 | None = None) -> tuple[Float32, Float32]:
        """Codes and reconstruction errors of binned spectra.

        Returns
        -------
        codes : array of float32, shape (n, latent)
        errors : array of float32, shape (n,)
            What the noise does not explain: squared residuals over their expectation for counts (1 = noise alone),
            otherwise their mean over the features.
        """
        self.network.eval()
        codes, errors = [], []
        with torch.inference_mode():
            for start in range(0, len(spectra), _BATCH):
                part = slice(start, start + _BATCH)
                features = self.preprocessor.features(spectra[part], None if variance is None else variance[part])
                code = self.network.means(self._tensor(features.inputs))
                place, error = self._seen(code, self._tensor(features.targets))
                codes.append((place if self._metric is None else place @ self._metric).cpu().numpy())
                errors.append(error.cpu().numpy())
        if not codes:
            width = self.spec.latent if self._axes is None else self._axes.shape[1]
            return np.zeros((0, width), np.float32), np.zeros(0, np.float32)
        return np.concatenate(codes), np.concatenate(errors)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Weights, by name."""
        found = {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        if self._metric is not None:
            found["coordinates.metric"] = self._metric.cpu().numpy()
        if self._axes is not None and self._origin is not None:
            found |= {"coordinates.axes": self._axes.cpu().numpy(), "coordinates.origin": self._origin.cpu().numpy()}
        return found

    def settings(self) -> dict[str, Any]:
        """What :meth:`restore` needs beside the arrays."""
        return {"spec": asdict(self.spec), "error_unit": self.error_unit}

    @classmethod
    def restore(
        cls,
        preprocessor: Preprocessor,
        config: FitConfig,
        arrays: dict[str, NDArray[Any]],
        settings: dict[str, Any],
    ) -> DeepModel:
        """Rebuild a trained model from what was stored."""
        model = cls(preprocessor, config, NetworkSpec(**settings["spec"]))
        tensors = {name: torch.from_numpy(value).to(model.device) for name, value in arrays.items()}
        model._metric = tensors.pop("coordinates.metric", None)
        model._axes, model._origin = tensors.pop("coordinates.axes", None), tensors.pop("coordinates.origin", None)
        model.network.load_state_dict(tensors)
        model.error_unit = float(settings.get("error_unit", 1.0))
        return model

    def _reconstruction(
        self, inputs: Tensor, targets: Tensor, variational: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        noise = None
        if variational:
            shape = (inputs.shape[0], self.spec.latent)
            noise = torch.randn(shape, generator=self._generator).to(self.device)
        codes, sampled, output = self.network(inputs, noise)
        return reconstruction_loss(self.spec.likelihood, output, targets), codes.mean, sampled, output

    def _coordinates(self, codes: Tensor, output: Tensor) -> Tensor:
        """Where K-means sees the spectra: decoded, on the surveyed axes, or the codes themselves."""
        if self._axes is None or self._origin is None:
            return codes
        return (self._expected(output) - self._origin) @ self._axes

    def _seen(self, codes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Where K-means sees codes, and what their decoded spectra leave unexplained of the targets (n, outputs)."""
        output = self.network.outputs(codes)
        if self.spec.likelihood != "multinomial":
            return self._coordinates(codes, output), (output - targets).square_().sum(dim=1) / self.spec.outputs
        # roots of the probabilities up to a factor, so that one exponential serves both
        roots = output.sub_(output.amax(dim=1, keepdim=True)).mul_(_HALF_LOG2E).exp2_()
        norm = torch.linalg.vector_norm(roots, dim=1, keepdim=True)
        if self._axes is not None and self._origin is not None:
            # this way round libraries take a third of the time for so few axes
            codes = (self._axes.T @ roots.T).T / norm - self._origin @ self._axes
        total = targets.sum(dim=1, keepdim=True).clamp_min_(1e-12)
        residuals = roots.square_().mul_(total / norm.square()).sub_(targets)
        return codes, torch.linalg.vector_norm(residuals, dim=1).square_() / total[:, 0]

    def _expected(self, output: Tensor) -> Tensor:
        """The decoder's answer in the metric of the noise: square roots of probabilities for counts."""
        return (0.5 * output).exp() if self.spec.likelihood == "multinomial" else output

    def _tensor(self, array: Float32) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)
