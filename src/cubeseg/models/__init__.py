"""The methods: one file each, found by name; what they share is the protocol :class:`Model`.

A method that learns by gradient descent (``epochs`` > 0) also offers ``parameters()``, ``loss(...)`` and
``recluster(...)``, see :class:`cubeseg.models.deep.DeepModel`. One whose codes depend on the pixels around
(``reach`` > 0) learns from patches and finds its classes itself, see :class:`cubeseg.models.patchwise.PatchModel`. One
whose classes are not found by clustering its codes has ``classes_of_its_own`` and offers ``classes(codes)``, see
:class:`cubeseg.models.unmix.UnmixModel`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import DataError
from cubeseg.sampling.preprocess import Preprocessor
from cubeseg.sampling.spectra import Sample

__all__ = ["METHODS", "Model", "model_class", "preload", "restored"]

Float32 = NDArray[np.float32]

METHODS = {
    "deep": "cubeseg.models.deep:DeepModel",
    "global": "cubeseg.models.patchwise:PatchModel",
    "pca": "cubeseg.models.pca:PCAModel",
    "unmix": "cubeseg.models.unmix:UnmixModel",
}


class Model(Protocol):
    """A way from binned spectra to codes that K-means can cluster.

    `error_unit` is the reconstruction error of the median pixel of the cube that it was trained on; `reach` how many
    pixels on each side a code depends on; `classes_of_its_own` whether it offers ``classes(codes)``, so that its codes
    are not clustered.
    """

    method: str
    epochs: int
    reach: int
    classes_of_its_own: bool
    preprocessor: Preprocessor
    error_unit: float

    def start(self, sample: Sample) -> Generator[float, None, None] | None:
        """Learn what can be learned from the sample at once; where that is long, yield the part that is done."""

    def encode(self, spectra: Float32, variance: Float32 | None = None) -> tuple[Float32, Float32]:
        """Codes (n, d) and reconstruction errors (n,) of binned spectra (n, bins)."""

    def encode_around(
        self, spectra: Float32, variance: Float32 | None, usable: NDArray[np.bool_]
    ) -> tuple[Float32, Float32, Float32]:
        """Codes (y, x, d), errors (y, x) of binned spectra (y, x, bins) side by side; these as likelihoods see them.

        Asked for only where `reach` > 0.
        """

    def stretch(self, metric: Float32 | None) -> None:
        """From now on give codes times this matrix (d, d), in which distances are those of the classes; None: as is."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was learned, by name, for the result file."""

    def settings(self) -> dict[str, Any]:
        """Plain values that rebuilding needs beside the arrays."""


def model_class(method: str) -> Any:
    """The class of a method; its module, and with it torch, is imported only now."""
    module, name = METHODS[method].split(":")
    return getattr(import_module(module), name)


def preload() -> None:
    """Load what training needs, torch and its optimisers, which takes seconds the first time."""
    import torch

    # much of torch is loaded only when an optimiser is first made
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])


def restored(
    method: str, preprocessor: Any, config: Any, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]
) -> Any:
    """A trained model, rebuilt from what was stored.

    Raises
    ------
    ConfigError
        If there is no such method, or not the device that is asked for.
    DataError
        If the weights do not fit it.
    """
    make = model_class(method)
    try:
        model = make.restore(preprocessor, config, arrays, settings)
        spectrum = np.ones((1, 1, int(preprocessor.groups.max()) + 1), np.float32)
        # weights of another shape are found out now, not after an hour
        if make.reach:
            model.encode_around(spectrum, None, np.ones((1, 1), bool))
        else:
            model.encode(spectrum[0])
        return model
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the trained model in the result file is damaged ({line}); segment the cube again") from error
