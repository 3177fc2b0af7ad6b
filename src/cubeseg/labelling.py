"""The last pass over a cube: every pixel gets a class, and the classes their spectra."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.bundle import StoredModel
from cubeseg.clustering import Clustering
from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.executor import HERE, Executor
from cubeseg.hierarchy import merge_tree
from cubeseg.models import Model
from cubeseg.relabel import accumulate, moved
from cubeseg.segmentation import Segmentation, classes_from
from cubeseg.spatial import coherent, strength_of
from cubeseg.statistics import ClassSpectra
from cubeseg.steps import passing

__all__ = ["labelled"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

# what a class may at most be less likely than the best one, in nats; fits half precision, and nothing overturns it
_FAINTEST = -1000.0


def labelled(
    cube: Cube,
    config: FitConfig,
    usable: Bool,
    model: Model,
    clustering: Clustering,
    block_bytes: int,
    executor: Executor = HERE,
) -> Generator[tuple[float, str], None, Segmentation]:
    """Read the cube once more and label every usable pixel; those that coherence changes are read again.

    Parameters
    ----------
    cube : Cube
    config : FitConfig
    usable : array of bool, shape (y, x)
        Which pixels are to be labelled.
    model : Model
    clustering : Clustering
        Of the model's codes.
    block_bytes : int
        Size of the parts in which the cube is read.
    executor : Executor
        Where they are read and labelled.

    Yields
    ------
    (float, str)
        The part that is done, 0 to 1, and what is done.

    Returns
    -------
    Segmentation
    """
    shape, k = cube.image_shape, len(clustering.centroids)
    error = np.full(shape, np.nan, np.float32)
    # three digits are enough for maps of codes, which are the largest of all maps
    half = np.float16 if np.abs(clustering.centroids).max() < 1000 else np.float32
    latent = np.full((*shape, clustering.centroids.shape[1]), np.nan, half)
    evidence = np.zeros((k, *shape), np.float16)
    spectra = ClassSpectra(cube.n_bands, k + 1)
    alone = np.zeros(shape, np.int32)
    share, done = 1.0 if config.coherence == 0 else 0.6, 0.0
    with closing(executor.map(_Labeller(model, clustering, config), cube, _asked(cube, usable, block_bytes))) as parts:
        for part in parts:
            if part is not None:
                at = (part.y, part.x)
                latent[at], error[at], alone[at] = part.latent, part.error, part.labels
                evidence[:, *at] = part.evidence
                accumulate(spectra, part.spectra)
                done = min(done + part.size / cube.n_pixels, 1.0)
            yield share * done, f"Labelling all pixels: {done:.0%}"
    spectra.n[0] = int((alone == 0).sum())
    strength = strength_of(evidence, usable, latent) if config.coherence == "auto" else float(config.coherence)
    steps = coherent(evidence, usable, strength, latent)
    labels, confidence = yield from passing(steps, lambda part: (share, f"Making the labels coherent: {part:.0%}"))
    # every pixel for itself: what was found before halves were rounded stays
    labels = alone if strength == 0 else np.where(usable, labels + 1, 0).astype(np.int32)
    moving = moved(spectra, cube, alone, labels, executor)
    message = "Moving the spectra of changed pixels"
    yield from passing(moving, lambda part: (share + (1 - share) * part, f"{message}: {part:.0%}"))
    centres = [
        latent[labels == c].mean(axis=0, dtype=np.float64) if (labels == c).any() else clustering.centroids[c - 1]
        for c in range(1, k + 1)
    ]
    return Segmentation(
        labels=labels,
        classes=classes_from(range(1, k + 1)),
        axis=cube.axis,
        spectra=spectra,
        confidence=np.where(usable, confidence, np.float32(np.nan)),
        reconstruction_error=error / np.float32(max(float(np.nanmedian(error)), 1e-12)),
        latent=latent,
        evidence=evidence,
        coherence=strength,
        lineage=np.arange(1, k + 1, dtype=np.int32),
        tree=merge_tree(np.stack(centres).astype(np.float32)),
        config=config,
        model=model,
        centroids=clustering.centroids,
        profiles=clustering.profiles,
        spread=clustering.spread,
        spatial=cube.spatial,
        source=cube.source,
        unit=cube.unit,
        fingerprint=cube.source.fingerprint(),
    )


# rows, columns, and which pixels (height, width) are usable
_Asked = tuple[slice, slice, Bool]


def _asked(cube: Cube, usable: Bool, block_bytes: int) -> Iterator[_Asked]:
    for rows, columns in cube.places(block_bytes):
        yield rows, columns, usable[rows, columns]


@dataclass(frozen=True, eq=False)
class _Part:
    """The usable pixels (y, x) of a block of so many pixels, labelled 1..K, and the sums of their classes."""

    size: int
    y: NDArray[np.intp]
    x: NDArray[np.intp]
    latent: Float32
    error: Float32
    labels: Int32
    evidence: NDArray[np.float16]
    spectra: ClassSpectra


@dataclass(frozen=True, eq=False)
class _Labeller:
    """Reads a block and labels it."""

    model: Model | StoredModel
    clustering: Clustering
    config: FitConfig

    def __getstate__(self) -> dict[str, Any]:
        """What travels: the model as arrays, rebuilt where it is used, on whatever device is there."""
        model, config = self.model, self.config
        if not isinstance(model, StoredModel):
            config = config if config.device == "cpu" else replace(config, device="auto")
            model = StoredModel(model.method, model.preprocessor, config, model.arrays(), model.settings())
        return {"model": model, "clustering": self.clustering, "config": config}

    def __call__(self, cube: Cube, asked: _Asked) -> _Part:
        rows, columns, usable = asked
        block = cube.block(rows, columns)
        y, x = np.nonzero(usable)
        raw = np.ascontiguousarray(block.data[:, y, x].T)
        variance = None if block.variance is None else block.variance[:, y, x].T
        reduced, variance = self.model.preprocessor.reduce(raw, variance)
        latent, error = self.model.encode(reduced, variance)
        found = self.clustering.evidence(latent, reduced)
        evidence = np.maximum(found - found.max(axis=1, keepdims=True), _FAINTEST).T.astype(np.float16)
        labels = (found.argmax(axis=1) + 1).astype(np.int32)
        spectra = ClassSpectra(cube.n_bands, found.shape[1] + 1)
        spectra.add(raw, labels)
        return _Part(usable.size, y + rows.start, x + columns.start, latent, error, labels, evidence, spectra)
