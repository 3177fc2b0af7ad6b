"""Principal components of the noise-aware inputs: the quick look, and the baseline to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.config import FitConfig
from cubeseg.sampling.preprocess import Preprocessor
from cubeseg.sampling.spectra import Sample

__all__ = ["PCAModel"]

Float32 = NDArray[np.float32]


class PCAModel:
    """Projection on the leading eigenvectors of the sample's covariance; nothing is trained in epochs."""

    method = "pca"
    epochs = 0
    reach = 0
    classes_of_its_own = False

    def __init__(self, preprocessor: Preprocessor, config: FitConfig) -> None:
        self.preprocessor = preprocessor
        self.config = config
        self.mean: Float32 = np.zeros(preprocessor.n_inputs, np.float32)
        self.components: Float32 = np.zeros((0, preprocessor.n_inputs), np.float32)
        self.metric: Float32 | None = None
        self.error_unit = 1.0

    def start(self, sample: Sample) -> None:
        """Find the components, from covariances summed in parts so that no copy of the sample is made."""
        n, width = len(sample.spectra), self.preprocessor.n_inputs
        total, products = np.zeros(width), np.zeros((width, width))
        for start in range(0, n, 4096):
            part = slice(start, start + 4096)
            variance = None if sample.variance is None else sample.variance[part]
            inputs = self.preprocessor.features(sample.spectra[part], variance).inputs
            total += inputs.sum(axis=0)
            products += inputs.T @ inputs
        mean = total / n
        vectors = np.linalg.eigh(products / n - np.outer(mean, mean))[1]
        leading = vectors[:, ::-1][:, : min(self.config.latent, width)].T
        signs = np.sign(leading[np.arange(len(leading)), np.abs(leading).argmax(axis=1)])
        self.mean, self.components = mean.astype(np.float32), (leading * signs[:, None]).astype(np.float32)

    def stretch(self, metric: Float32 | None) -> None:
        """From now on :meth:`encode` gives scores times this matrix (d, d)."""
        self.metric = metric

    def encode(self, spectra: Float32, variance: Float32 | None = None) -> tuple[Float32, Float32]:
        """Scores (n, components) and mean squared residuals (n,) of binned spectra."""
        centred = self.preprocessor.features(spectra, variance).inputs - self.mean
        codes = centred @ self.components.T
        residual = np.mean(centred**2, axis=1) - np.sum(codes**2, axis=1) / centred.shape[1]
        if self.metric is not None:
            codes = codes @ self.metric
        return codes.astype(np.float32), np.maximum(residual, 0).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Mean and components, and the metric of the classes where one was found."""
        metric = {} if self.metric is None else {"metric": self.metric}
        return {"mean": self.mean, "components": self.components} | metric

    def settings(self) -> dict[str, Any]:
        """What :meth:`restore` needs beside the arrays."""
        return {"error_unit": self.error_unit}

    @classmethod
    def restore(
        cls,
        preprocessor: Preprocessor,
        config: FitConfig,
        arrays: dict[str, NDArray[Any]],
        settings: dict[str, Any],
    ) -> PCAModel:
        """Rebuild from what was stored."""
        model = cls(preprocessor, config)
        model.mean, model.components, model.metric = arrays["mean"], arrays["components"], arrays.get("metric")
        model.error_unit = float(settings.get("error_unit", 1.0))
        return model
