"""The one training loop: a generator of frozen events that the viewer, the CLI and notebooks drive."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import Clustering, align, assign, iterative_kmeans, kmeans
from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, CubeSegError, JobError
from cubeseg.likelihood import assign_counts, refine_counts
from cubeseg.mixture import shared_metric
from cubeseg.models import Model, model_class
from cubeseg.preprocess import usable_pixels
from cubeseg.sampling import Sample, draw_sample
from cubeseg.scaling import scaled
from cubeseg.segmentation import Segmentation, classes_from
from cubeseg.statistics import ClassSpectra

__all__ = ["FitEvent", "fit", "segment"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

Stage = Literal["read", "train", "cluster", "label"]
# where each stage begins and ends on the bar, by the time that they take on common cubes
_BAR: dict[str, tuple[float, float]] = {
    "read": (0.0, 0.1), "train": (0.1, 0.8), "cluster": (0.8, 0.9), "label": (0.9, 1.0),
}  # fmt: skip

_REFINEMENTS = 6


@dataclass(frozen=True, eq=False)
class FitEvent:
    """A step of a run.

    Attributes
    ----------
    stage : {"read", "train", "cluster", "label"}
    done : float
        The whole run's progress, 0 to 1.
    message : str
        What happens, for people.
    epoch, epochs : int
        Epochs finished and planned; 0 outside the training.
    losses : mapping of str to float
        Mean loss terms of the epoch just finished; empty within an epoch.
    labels : array of int32, shape (y, x), optional
        A preview of the labels, 0 = unusable.
    """

    stage: Stage
    done: float
    message: str
    epoch: int = 0
    epochs: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)
    labels: Int32 | None = None


def segment(cube: Cube, config: FitConfig | None = None, **options: Any) -> Segmentation:
    """Cluster a cube in one call.

    Parameters
    ----------
    cube : Cube
    config : FitConfig, optional
    **options
        Fields of :class:`FitConfig` where no `config` is given; ``clusters=8``, ``clusters="4:12"``.

    Returns
    -------
    Segmentation

    Raises
    ------
    ConfigError, DataError, JobError
    """
    steps = fit(cube, config or FitConfig.from_mapping(options))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Segmentation = stop.value
            return result


def fit(cube: Cube, config: FitConfig | None = None) -> Generator[FitEvent, None, Segmentation]:
    """Cluster a cube step by step; stop between any two steps by closing the generator.

    Reads the cube twice: once to draw the training sample, once to label every pixel and sum up the classes.

    Parameters
    ----------
    cube : Cube
    config : FitConfig, optional

    Yields
    ------
    FitEvent
        Many times a second.

    Returns
    -------
    Segmentation

    Raises
    ------
    ConfigError
        If more classes are asked for than there are usable pixels.
    DataError
        If the cube cannot be clustered or read.
    JobError
        If the training fails, with the epoch and the likely cause.
    """
    config = config or FitConfig()
    if config.clusters[0] > cube.n_pixels:
        raise ConfigError(f"{config.clusters[0]} classes were asked for, but the cube has {cube.n_pixels} pixels")
    try:
        return (yield from _fit(cube, config))
    except CubeSegError:
        raise
    except MemoryError as error:
        raise JobError("not enough memory; set a smaller 'memory' or crop the cube") from error
    except OSError as error:
        raise JobError(f"{cube.source.path or 'the cube'}: could not be read further ({error})") from error
    except RuntimeError as error:
        # torch reports exhausted memory and failing devices this way
        raise JobError(f"the computation failed: {str(error).splitlines()[0]}") from error


def _fit(cube: Cube, config: FitConfig) -> Generator[FitEvent, None, Segmentation]:
    block_bytes = int(np.clip(config.memory // 64, 4 << 20, 64 << 20))
    sample = yield from _read(cube, config, block_bytes)
    candidates = _candidates(config, len(sample.rows))
    sample = yield from _scale(sample, config)
    model: Model = model_class(config.method)(sample.preprocessor, config)
    model.start(sample)
    history: list[dict[str, float]] = []
    preview: Int32 | None = None
    if model.epochs:
        preview = yield from _train(model, sample, config, history)
    codes = yield from _encode(model, sample, "cluster", _at("cluster", 0.0))
    clustering = yield from _cluster(codes, candidates, config)
    if config.refine and len(clustering.centroids) > 1:
        if sample.preprocessor.likelihood == "multinomial":
            clustering = yield from _refine(clustering, codes, sample, config)
        else:
            clustering = yield from _shared(clustering, codes, model)
            codes = yield from _encode(model, sample, "cluster", _at("cluster", 1.0))
    clustering = _ordered(clustering, codes, sample, preview)
    return (yield from _label(cube, config, sample, model, clustering, history, block_bytes))


def _at(stage: Stage, part: float) -> float:
    start, end = _BAR[stage]
    return start + (end - start) * min(max(part, 0.0), 1.0)


def _read(cube: Cube, config: FitConfig, block_bytes: int) -> Generator[FitEvent, None, Sample]:
    yield FitEvent("read", 0.0, "Reading the cube")
    bins = min(cube.n_bands, config.bins)
    limit = max(256, min(config.sample, config.memory // 3 // (4 * bins)))
    steps = draw_sample(
        cube, bins=config.bins, limit=limit, seed=config.seed, noise=config.noise, block_bytes=block_bytes
    )
    while True:
        try:
            part = next(steps)
        except StopIteration as stop:
            sample: Sample = stop.value
            return sample
        yield FitEvent("read", _at("read", part), f"Reading the cube: {part:.0%}")


def _scale(sample: Sample, config: FitConfig) -> Generator[FitEvent, None, Sample]:
    steps = scaled(sample, config)
    while True:
        try:
            name = next(steps)
        except StopIteration as stop:
            chosen: Sample = stop.value[0]
            return chosen
        yield FitEvent("read", _at("read", 1.0), f"Looking for the best scaling: {name}")


def _candidates(config: FitConfig, n_spectra: int) -> range:
    low, high = config.clusters
    if low > n_spectra:
        raise ConfigError(f"{low} classes were asked for, but only {n_spectra} pixels can be used")
    return range(low, min(high, n_spectra) + 1)


def _train(
    model: Any, sample: Sample, config: FitConfig, history: list[dict[str, float]]
) -> Generator[FitEvent, None, Int32 | None]:
    """Gradient descent; returns the last preview's labels of the sample (n,)."""
    import torch

    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    n, epochs = len(sample.rows), model.epochs
    per_epoch = -(-n // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=max(per_epoch * epochs, 2), pct_start=0.1
    )
    rng = np.random.default_rng(config.seed)
    every = max(1, epochs // 10)
    labels: Int32 | None = None
    for epoch in range(epochs):
        sums: dict[str, float] = {}
        order = rng.permutation(n)
        for step in range(per_epoch):
            chosen = np.sort(order[step * config.batch : (step + 1) * config.batch])
            variance = None if sample.variance is None else sample.variance[chosen]
            progress = (epoch + step / per_epoch) / epochs
            terms = model.loss(sample.spectra[chosen], variance, progress)
            total = terms["total"]
            if not torch.isfinite(total):
                raise JobError(
                    f"the loss became {total.item()} in epoch {epoch + 1}; a lower learning rate than "
                    f"{config.learning_rate:g} or a look for broken pixels in the cube will help"
                )
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / per_epoch
            done = _at("train", progress)
            yield FitEvent("train", done, f"Training: epoch {epoch + 1} of {epochs}", epoch, epochs)
        history.append({"epoch": epoch + 1} | sums)
        image = None
        if epoch == 0 or (epoch + 1) % every == 0 or epoch + 1 == epochs:
            model.survey(sample)
            codes = yield from _encode(model, sample, "train", _at("train", (epoch + 1) / epochs))
            labels = model.recluster(codes)
            image = sample.image(labels + 1)
        message = f"Training: epoch {epoch + 1} of {epochs}"
        yield FitEvent("train", _at("train", (epoch + 1) / epochs), message, epoch + 1, epochs, sums, image)
    return labels


def _encode(model: Model, sample: Sample, stage: Stage, done: float) -> Generator[FitEvent, None, Float32]:
    codes = []
    for start in range(0, len(sample.rows), 8192):
        part = slice(start, start + 8192)
        codes.append(model.encode(sample.spectra[part], None if sample.variance is None else sample.variance[part])[0])
        yield FitEvent(stage, done, "Encoding the training spectra")
    return np.concatenate(codes)


def _cluster(codes: Float32, candidates: range, config: FitConfig) -> Generator[FitEvent, None, Clustering]:
    steps = iterative_kmeans(codes, candidates, config.seed)
    for done in range(len(candidates) + 1):
        try:
            k, score = next(steps)
        except StopIteration as stop:
            result: Clustering = stop.value
            return result
        part = 0.5 * (done + 1) / len(candidates)
        yield FitEvent("cluster", _at("cluster", part), f"Clustering: {k} classes score {score:.3f}")
    raise AssertionError("iterative_kmeans yields once per candidate")


def _refine(
    clustering: Clustering, codes: Float32, sample: Sample, config: FitConfig
) -> Generator[FitEvent, None, Clustering]:
    """Refine from several K-means solutions; the most likely classes win."""
    k = len(clustering.centroids)
    best = -np.inf
    message = "Refining the classes by the likelihood of their photons"
    for restart in range(_REFINEMENTS):
        start = clustering.centroids if restart == 0 else kmeans(codes, k, config.seed + restart, restarts=1)
        steps = refine_counts(sample.spectra, assign(codes, start, clustering.spread)[0], k)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                profiles, likelihood = stop.value
                break
            yield FitEvent("cluster", _at("cluster", 0.5 + 0.5 * restart / _REFINEMENTS), message)
        if likelihood > best:
            best, clustering = likelihood, replace(clustering, centroids=start, profiles=profiles)
    return clustering


def _shared(clustering: Clustering, codes: Float32, model: Model) -> Generator[FitEvent, None, Clustering]:
    """Let the model measure by the covariance inside the classes."""
    steps = shared_metric(codes, clustering.centroids)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            metric, centroids = stop.value
            break
        yield FitEvent("cluster", _at("cluster", 0.75), "Refining the classes by how their spectra scatter")
    model.stretch(metric)
    return replace(clustering, centroids=centroids, spread=1.0)


def _ordered(clustering: Clustering, codes: Float32, sample: Sample, preview: Int32 | None) -> Clustering:
    """Sort the centroids so that colours stay those of the last preview; without one, largest class first."""
    k = len(clustering.centroids)
    if clustering.profiles is not None:
        labels = assign_counts(sample.spectra, clustering.profiles)[0]
    else:
        labels = assign(codes, clustering.centroids, clustering.spread)[0]
    if preview is None:
        order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    else:
        order = np.argsort(align(labels, preview, k), kind="stable")
    return clustering.reordered(order)


def _label(
    cube: Cube,
    config: FitConfig,
    sample: Sample,
    model: Model,
    clustering: Clustering,
    history: list[dict[str, float]],
    block_bytes: int,
) -> Generator[FitEvent, None, Segmentation]:
    shape, prepare = cube.image_shape, sample.preprocessor
    labels = np.zeros(shape, np.int32)
    confidence, error = (np.full(shape, np.nan, np.float32) for _ in range(2))
    latent = np.full((*shape, clustering.centroids.shape[1]), np.nan, np.float32)
    spectra = ClassSpectra(cube.n_bands, len(clustering.centroids) + 1)
    seen = 0
    for block in cube.blocks(block_bytes):
        y, x = np.nonzero(usable_pixels(block, prepare.bands))
        rows, columns = y + block.rows.start, x + block.columns.start
        raw = np.ascontiguousarray(block.data[:, y, x].T)
        variance = None if block.variance is None else block.variance[:, y, x].T
        reduced, variance = prepare.reduce(raw, variance)
        codes, errors = model.encode(reduced, variance)
        if clustering.profiles is not None:
            found, sure = assign_counts(reduced, clustering.profiles)
        else:
            found, sure = assign(codes, clustering.centroids, clustering.spread)
        labels[rows, columns], confidence[rows, columns] = found + 1, sure
        error[rows, columns], latent[rows, columns] = errors, codes
        spectra.add(raw, found + 1)
        seen += block.mask.size
        part = seen / cube.n_pixels
        yield FitEvent("label", _at("label", part), f"Labelling all pixels: {part:.0%}")
    spectra.n[0] = int((labels == 0).sum())
    return Segmentation(
        labels=labels,
        classes=classes_from(range(1, len(clustering.centroids) + 1)),
        axis=cube.axis,
        spectra=spectra,
        confidence=confidence,
        reconstruction_error=error,
        latent=latent,
        config=config,
        model=model,
        centroids=clustering.centroids,
        profiles=clustering.profiles,
        spread=clustering.spread,
        history=history,
        scores=clustering.scores,
        spatial=cube.spatial,
        source=cube.source,
        unit=cube.unit,
        fingerprint=cube.source.fingerprint(),
    )
