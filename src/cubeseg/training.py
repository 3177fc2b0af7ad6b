"""The one training loop: a generator of frozen events that the viewer, the CLI and notebooks drive."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering import Clustering, align, iterative_kmeans
from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, CubeSegError, JobError
from cubeseg.events import FitEvent, Stage, on_bar, reported
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

__all__ = ["FitEvent", "Lesson", "block_bytes", "encode", "fit", "guarded", "read", "segment", "train"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


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
    with guarded(cube), limited(config.threads), _executor(config) as executor:
        return (yield from _fit(cube, config, make, executor))


@contextmanager
def guarded(cube: Cube) -> Iterator[None]:
    """What goes wrong inside becomes one line.

    Raises
    ------
    JobError
        For exhausted memory, files that can no longer be read, failing devices.
    """
    try:
        yield
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
    sample = yield from read(cube, config, executor)
    candidates = _candidates(config, len(sample.rows))
    own = getattr(make, "classes_of_its_own", False)
    sample = yield from _scale(sample, replace(config, scaling=sample.preprocessor.scaling) if own else config)
    yield FitEvent("train", on_bar("train", 0.0), "Preparing the model")
    model: Model = make(sample.preprocessor, config)
    steps = model.start(sample)
    if steps is not None:
        yield from reported(steps, "train", "Preparing the model", 0.0, 0.5)
    history: list[dict[str, float]] = []
    notes: list[str] = []
    preview: Int32 | None = None
    if model.epochs:
        preview = yield from train(Lesson(model, sample), config, history, notes)
    codes = yield from encode(model, sample, "cluster", on_bar("cluster", 0.0))
    if own:
        clustering, criteria = _classes_of(model, codes, notes)
    else:
        clustering, codes, criteria = yield from _clustered(codes, candidates, sample, model, config, notes, preview)
    usable = sample.usable
    # maps of the image take the place of the training spectra in memory
    del sample, codes
    labelling = labelled(cube, config, usable, model, clustering, block_bytes(config), executor)
    result = yield from passing(labelling, lambda step: FitEvent("label", on_bar("label", step[0]), step[1]))
    result.history, result.notes, result.criteria = history, notes, criteria
    return result


def _classes_of(model: Any, codes: Float32, notes: list[str]) -> tuple[Clustering, dict[str, dict[int, float]]]:
    """Of a model that brings its classes along."""
    clustering: Clustering = model.classes(codes)
    notes += model.notes
    return clustering, {"score": clustering.scores} if clustering.scores else {}


def _clustered(
    codes: Float32,
    candidates: range,
    sample: Sample,
    model: Model,
    config: FitConfig,
    notes: list[str],
    preview: Int32 | None,
) -> Generator[FitEvent, None, tuple[Clustering, Float32, dict[str, dict[int, float]]]]:
    candidates = _bounded(candidates, sample, notes)
    criteria: dict[str, dict[int, float]] = {}
    if config.refine and config.selection == "agreement" and len(candidates) > 1:
        steps = choose_number(codes, candidates, sample, model, config)
        chosen, criteria = yield from reported(steps, "cluster", "Looking for the number of classes", 0.0, 0.5)
        candidates = range(chosen, chosen + 1)
    clustering = yield from _cluster(codes, candidates, config)
    if not criteria:
        criteria = {"score": clustering.scores, "silhouette": clustering.scores}
    if config.refine and len(clustering.centroids) > 1:
        refining = refined(clustering, codes, sample, model, config)
        clustering = yield from reported(refining, "cluster", "Refining the classes", 0.5)
        codes = yield from encode(model, sample, "cluster", on_bar("cluster", 1.0))
    return _ordered(clustering, codes, sample, preview), codes, criteria


def block_bytes(config: FitConfig) -> int:
    """Size of the parts in which the cube is read."""
    return int(np.clip(config.memory // 64, 4 << 20, 64 << 20))


def read(cube: Cube, config: FitConfig, executor: Executor = HERE) -> Generator[FitEvent, None, Sample]:
    """Draw the training sample; its preprocessor is not fitted yet."""
    yield FitEvent("read", 0.0, "Reading the cube")
    bins = min(cube.n_bands, config.bins)
    limit = max(256, min(config.sample, config.memory // 3 // (4 * bins)))
    steps = draw_sample(
        cube,
        bins=config.bins,
        limit=limit,
        seed=config.seed,
        noise=config.noise,
        block_bytes=block_bytes(config),
        executor=executor,
    )
    return (yield from reported(steps, "read", "Reading the cube"))


def _scale(sample: Sample, config: FitConfig) -> Generator[FitEvent, None, Sample]:
    def event(name: str) -> FitEvent:
        return FitEvent("read", on_bar("read", 1.0), f"Looking for the best scaling: {name}")

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


class Lesson:
    """What :func:`train` needs beside the optimiser: the loss of some spectra, and a look at the codes now and then.

    Parameters
    ----------
    model : Model
        That learns by gradient descent.
    sample : Sample
    """

    def __init__(self, model: Any, sample: Sample) -> None:
        self.model, self.sample = model, sample

    def loss(self, chosen: NDArray[np.intp], progress: float) -> dict[str, Any]:
        """Loss terms (tensors) of some spectra of the sample, "total" among them; `progress` runs from 0 to 1."""
        terms: dict[str, Any] = self.model.loss(*self.sample.part(chosen), progress)
        return terms

    def recluster(self, codes: Float32) -> Int32:
        """Move the prototypes to where the codes (n, d) are now; returns labels (n,) 0.. for a preview."""
        labels: Int32 = self.model.recluster(codes)
        return labels


def train(
    lesson: Lesson, config: FitConfig, history: list[dict[str, float]], notes: list[str]
) -> Generator[FitEvent, None, Int32 | None]:
    """Gradient descent: the only training loop.

    Parameters
    ----------
    lesson : Lesson
    config : FitConfig
    history, notes : list
        Grow: the losses of every epoch, and what people should know.

    Yields
    ------
    FitEvent
        For every batch, and with losses for every epoch.

    Returns
    -------
    array of int32, shape (n,), or None
        The last preview's labels of the sample.

    Raises
    ------
    JobError
        If the loss is not finite in the first epoch.
    """
    import torch

    model, sample = lesson.model, lesson.sample
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
            terms = lesson.loss(chosen, progress)
            optimiser.zero_grad(set_to_none=True)
            terms["total"].backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            if not torch.isfinite(terms["total"]) or not torch.isfinite(norm):
                note = _broken(epoch, float(terms["total"].detach()), config)
                if epoch == 0:
                    raise JobError(note)
                model.reset(good)
                notes.append(f"{note}; the model of epoch {epoch} was kept")
                yield FitEvent("train", on_bar("train", 1.0), notes[-1], epoch, epochs)
                return labels
            optimiser.step()
            if config.schedule == "onecycle":
                schedule.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / per_epoch
            done = on_bar("train", progress)
            yield FitEvent("train", done, f"Training: epoch {epoch + 1} of {epochs}", epoch, epochs)
        if config.schedule == "plateau":
            schedule.step(sums["total"])
        good = model.snapshot()
        history.append({"epoch": epoch + 1} | sums)
        image = None
        if epoch == 0 or (epoch + 1) % every == 0 or epoch + 1 == epochs:
            model.survey(sample)
            codes = yield from encode(model, sample, "train", on_bar("train", (epoch + 1) / epochs))
            before, labels = labels, lesson.recluster(codes)
            quiet = quiet + 1 if before is not None and (before == labels).mean() >= config.settled else 0
            image = sample.image(labels + 1)
        message = f"Training: epoch {epoch + 1} of {epochs}"
        yield FitEvent("train", on_bar("train", (epoch + 1) / epochs), message, epoch + 1, epochs, sums, image)
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


def encode(model: Model, sample: Sample, stage: Stage, done: float) -> Generator[FitEvent, None, Float32]:
    """Codes (n, d) of the sample."""
    codes = []
    for start in range(0, len(sample.rows), 8192):
        codes.append(model.encode(*sample.part(slice(start, start + 8192)))[0])
        yield FitEvent(stage, done, "Encoding the training spectra")
    return np.concatenate(codes)


def _cluster(codes: Float32, candidates: range, config: FitConfig) -> Generator[FitEvent, None, Clustering]:
    def event(step: tuple[int, float]) -> FitEvent:
        part = 0.5 * (step[0] - candidates.start + 1) / len(candidates)
        return FitEvent("cluster", on_bar("cluster", part), f"Clustering: {step[0]} classes score {step[1]:.3f}")

    return (yield from passing(iterative_kmeans(codes, candidates, config.seed), event))


def _ordered(clustering: Clustering, codes: Float32, sample: Sample, preview: Int32 | None) -> Clustering:
    """Sort the centroids so that colours stay those of the last preview; without one, largest class first."""
    k = len(clustering.centroids)
    labels = clustering.evidence(codes, sample.spectra).argmax(axis=1).astype(np.int32)
    if preview is None:
        order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    else:
        order = np.argsort(align(labels, preview, k), kind="stable")
    return clustering.reordered(order)
