"""The one training loop: a generator of frozen events that the viewer, the CLI and notebooks drive."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import Clustering, align, iterative_kmeans
from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, CubeSegError, JobError
from cubeseg.executor import HERE, Executor
from cubeseg.labelling import labelled
from cubeseg.models import Model, model_class
from cubeseg.rank import most_classes, noise_rank
from cubeseg.refinement import choose_number, refined
from cubeseg.sampling import Sample, draw_sample
from cubeseg.scaling import scaled
from cubeseg.segmentation import Segmentation
from cubeseg.steps import finish, passing
from cubeseg.threads import limited

__all__ = ["FitEvent", "fit", "segment"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Made = TypeVar("Made")

Stage = Literal["read", "train", "cluster", "label"]
# where each stage begins and ends on the bar, by the time that they take on common cubes
_BAR: dict[str, tuple[float, float]] = {
    "read": (0.0, 0.1), "train": (0.1, 0.8), "cluster": (0.8, 0.9), "label": (0.9, 1.0),
}  # fmt: skip


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
    return finish(fit(cube, config or FitConfig.from_mapping(options)))


def fit(cube: Cube, config: FitConfig | None = None) -> Generator[FitEvent, None, Segmentation]:
    """Cluster a cube step by step; stop between any two steps by closing the generator.

    Reads the cube twice: once to draw the training sample, once to label every pixel and sum up the classes. Pixels
    whose label spatial coherence changes are read once more.

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
    yield FitEvent("read", 0.0, "Loading the method")
    # torch comes with the methods that need it, and takes seconds
    make = model_class(config.method)
    try:
        with limited(config.threads), _executor(config) as executor:
            return (yield from _fit(cube, config, make, executor))
    except CubeSegError:
        raise
    except MemoryError as error:
        raise JobError("not enough memory; set a smaller 'memory' or crop the cube") from error
    except OSError as error:
        raise JobError(f"{cube.source.path or 'the cube'}: could not be read further ({error})") from error
    except RuntimeError as error:
        # torch reports exhausted memory and failing devices this way
        raise JobError(f"the computation failed: {str(error).splitlines()[0]}") from error


def _executor(config: FitConfig) -> AbstractContextManager[Executor]:
    if not config.scheduler:
        return nullcontext(HERE)
    from cubeseg.distributed import connected

    return connected(config.scheduler)


def _fit(
    cube: Cube, config: FitConfig, make: Callable[..., Any], executor: Executor
) -> Generator[FitEvent, None, Segmentation]:
    block_bytes = int(np.clip(config.memory // 64, 4 << 20, 64 << 20))
    sample = yield from _read(cube, config, block_bytes, executor)
    candidates = _candidates(config, len(sample.rows))
    sample = yield from _scale(sample, config)
    yield FitEvent("train", _at("train", 0.0), "Preparing the model")
    model: Model = make(sample.preprocessor, config)
    model.start(sample)
    history: list[dict[str, float]] = []
    notes: list[str] = []
    preview: Int32 | None = None
    if model.epochs:
        preview = yield from _train(model, sample, config, history, notes)
    codes = yield from _encode(model, sample, "cluster", _at("cluster", 0.0))
    candidates = _bounded(candidates, sample, notes)
    criteria: dict[str, dict[int, float]] = {}
    if config.refine and config.selection == "agreement" and len(candidates) > 1:
        steps = choose_number(codes, candidates, sample, model, config)
        chosen, criteria = yield from _reported(steps, "cluster", "Looking for the number of classes", 0.0, 0.5)
        candidates = range(chosen, chosen + 1)
    clustering = yield from _cluster(codes, candidates, config)
    if not criteria:
        criteria = {"score": clustering.scores, "silhouette": clustering.scores}
    if config.refine and len(clustering.centroids) > 1:
        refining = refined(clustering, codes, sample, model, config)
        clustering = yield from _reported(refining, "cluster", "Refining the classes", 0.5)
        codes = yield from _encode(model, sample, "cluster", _at("cluster", 1.0))
    clustering = _ordered(clustering, codes, sample, preview)
    usable = sample.usable
    # maps of the image take the place of the training spectra in memory
    del sample, codes
    labelling = labelled(cube, config, usable, model, clustering, block_bytes, executor)
    result = yield from passing(labelling, lambda step: FitEvent("label", _at("label", step[0]), step[1]))
    result.history, result.notes, result.criteria = history, notes, criteria
    return result


def _at(stage: Stage, part: float) -> float:
    start, end = _BAR[stage]
    return start + (end - start) * min(max(part, 0.0), 1.0)


def _read(cube: Cube, config: FitConfig, block_bytes: int, executor: Executor) -> Generator[FitEvent, None, Sample]:
    yield FitEvent("read", 0.0, "Reading the cube")
    bins = min(cube.n_bands, config.bins)
    limit = max(256, min(config.sample, config.memory // 3 // (4 * bins)))
    steps = draw_sample(
        cube,
        bins=config.bins,
        limit=limit,
        seed=config.seed,
        noise=config.noise,
        block_bytes=block_bytes,
        executor=executor,
    )
    return (yield from _reported(steps, "read", "Reading the cube"))


def _scale(sample: Sample, config: FitConfig) -> Generator[FitEvent, None, Sample]:
    def event(name: str) -> FitEvent:
        return FitEvent("read", _at("read", 1.0), f"Looking for the best scaling: {name}")

    return (yield from passing(scaled(sample, config), event))[0]


def _candidates(config: FitConfig, n_spectra: int) -> range:
    low, high = config.clusters
    if low > n_spectra:
        raise ConfigError(f"{low} classes were asked for, but only {n_spectra} pixels can be used")
    return range(low, min(high, n_spectra) + 1)


def _bounded(candidates: range, sample: Sample, notes: list[str]) -> range:
    """Leave out numbers of classes that the noise rules out."""
    if len(candidates) == 1 or sample.preprocessor.kind != "counts":
        return candidates
    rank = noise_rank(sample.spectra)
    most = max(most_classes(rank), candidates.start)
    if most < candidates.stop - 1:
        notes.append(f"only {rank} spectra stand out of the noise; no more than {most} classes were tried")
    return range(candidates.start, min(candidates.stop, most + 1))


def _train(
    model: Any, sample: Sample, config: FitConfig, history: list[dict[str, float]], notes: list[str]
) -> Generator[FitEvent, None, Int32 | None]:
    """Gradient descent; returns the last preview's labels of the sample (n,)."""
    import torch

    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    n, epochs = len(sample.rows), model.epochs
    per_epoch = -(-n // config.batch)
    schedule = _schedule(optimiser, config, max(per_epoch * epochs, 2))
    rng = np.random.default_rng(config.seed)
    every = max(1, epochs // 10)
    labels: Int32 | None = None
    quiet = 0
    good = model.snapshot()
    for epoch in range(epochs):
        sums: dict[str, float] = {}
        order = rng.permutation(n)
        for step in range(per_epoch):
            chosen = np.sort(order[step * config.batch : (step + 1) * config.batch])
            progress = (epoch + step / per_epoch) / epochs
            terms = model.loss(*sample.part(chosen), progress)
            optimiser.zero_grad(set_to_none=True)
            terms["total"].backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            if not torch.isfinite(terms["total"]) or not torch.isfinite(norm):
                note = _broken(epoch, float(terms["total"].detach()), config)
                if epoch == 0:
                    raise JobError(note)
                model.reset(good)
                notes.append(f"{note}; the model of epoch {epoch} was kept")
                yield FitEvent("train", _at("train", 1.0), notes[-1], epoch, epochs)
                return labels
            optimiser.step()
            if config.schedule == "onecycle":
                schedule.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / per_epoch
            done = _at("train", progress)
            yield FitEvent("train", done, f"Training: epoch {epoch + 1} of {epochs}", epoch, epochs)
        if config.schedule == "plateau":
            schedule.step(sums["total"])
        good = model.snapshot()
        history.append({"epoch": epoch + 1} | sums)
        image = None
        if epoch == 0 or (epoch + 1) % every == 0 or epoch + 1 == epochs:
            model.survey(sample)
            codes = yield from _encode(model, sample, "train", _at("train", (epoch + 1) / epochs))
            before, labels = labels, model.recluster(codes)
            quiet = quiet + 1 if before is not None and (before == labels).mean() >= config.settled else 0
            image = sample.image(labels + 1)
        message = f"Training: epoch {epoch + 1} of {epochs}"
        yield FitEvent("train", _at("train", (epoch + 1) / epochs), message, epoch + 1, epochs, sums, image)
        if quiet >= 2 and config.settled < 1:
            break
    return labels


def _schedule(optimiser: Any, config: FitConfig, steps: int) -> Any:
    from torch.optim import lr_scheduler

    if config.schedule == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.1, patience=5)
    return lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=steps, pct_start=0.1)


def _broken(epoch: int, loss: float, config: FitConfig) -> str:
    return (
        f"the loss became {loss:g} in epoch {epoch + 1}; a lower learning rate than {config.learning_rate:g} or a look "
        "for broken pixels in the cube will help"
    )


def _encode(model: Model, sample: Sample, stage: Stage, done: float) -> Generator[FitEvent, None, Float32]:
    codes = []
    for start in range(0, len(sample.rows), 8192):
        codes.append(model.encode(*sample.part(slice(start, start + 8192)))[0])
        yield FitEvent(stage, done, "Encoding the training spectra")
    return np.concatenate(codes)


def _cluster(codes: Float32, candidates: range, config: FitConfig) -> Generator[FitEvent, None, Clustering]:
    def event(step: tuple[int, float]) -> FitEvent:
        part = 0.5 * (step[0] - candidates.start + 1) / len(candidates)
        return FitEvent("cluster", _at("cluster", part), f"Clustering: {step[0]} classes score {step[1]:.3f}")

    return (yield from passing(iterative_kmeans(codes, candidates, config.seed), event))


def _reported(
    steps: Generator[float, None, Made], stage: Stage, message: str, begin: float = 0.0, end: float = 1.0
) -> Generator[FitEvent, None, Made]:
    """The steps of a part of the work as events; they yield how much of it is done."""

    def event(part: float) -> FitEvent:
        return FitEvent(stage, _at(stage, begin + (end - begin) * part), f"{message}: {part:.0%}")

    return passing(steps, event)


def _ordered(clustering: Clustering, codes: Float32, sample: Sample, preview: Int32 | None) -> Clustering:
    """Sort the centroids so that colours stay those of the last preview; without one, largest class first."""
    k = len(clustering.centroids)
    labels = clustering.evidence(codes, sample.spectra).argmax(axis=1).astype(np.int32)
    if preview is None:
        order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    else:
        order = np.argsort(align(labels, preview, k), kind="stable")
    return clustering.reordered(order)
