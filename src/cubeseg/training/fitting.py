"""From a cube to its segmentation: a generator of frozen events that the viewer, the CLI and notebooks drive."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.iterative import Clustering, align, iterative_kmeans
from cubeseg.clustering.rank import most_classes, noise_rank
from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, CubeSegError, JobError, first_line
from cubeseg.events import FitEvent, on_bar, reported
from cubeseg.models import Model, model_class
from cubeseg.parallel.executor import HERE, Executor
from cubeseg.parallel.threads import limited
from cubeseg.record.provenance import Stopwatch
from cubeseg.sampling.patches import Patches
from cubeseg.sampling.probe import Probe, probe
from cubeseg.sampling.scaling import scaled
from cubeseg.sampling.spectra import Sample, draw_sample
from cubeseg.segmentation import Merge, Segmentation
from cubeseg.steps import finish, passing
from cubeseg.training.granularity import found_classes, seeded
from cubeseg.training.labelling import Rules, labelled
from cubeseg.training.lessons import Lesson, PatchLesson, encode, train
from cubeseg.training.refinement import choose_number, refined

__all__ = [
    "FitEvent",
    "Learned",
    "Lesson",
    "block_bytes",
    "encode",
    "executor_of",
    "fit",
    "guarded",
    "labelled_by",
    "learned_from_patches",
    "read",
    "segment",
    "train",
]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

# torch's words for it
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")


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
    watch = Stopwatch()
    yield FitEvent("read", 0.0, "Loading the method")
    # torch comes with the methods that need it, and takes seconds
    make = model_class(config.method)
    before = cube.source.fingerprint()
    with guarded(cube), limited(config.threads), executor_of(config) as executor:
        result = yield from _fit(cube, config, make, executor)
        result.run = watch.record(result.model, cube.source, config.seed, config.threads)
        if result.fingerprint != before:
            # what is mapped or open may be the old file still, the new one, or parts of both
            result.fingerprint, result.run["sha256"] = before, ""
            result.notes.append(f"{cube.name} was changed or taken away meanwhile: open the cube and run again")
        return result


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
    except OSError as error:
        raise JobError(f"{cube.source.path or 'the cube'}: could not be read further ({error})") from error
    except (MemoryError, RuntimeError) as error:
        # torch reports exhausted memory and failing devices by a RuntimeError
        said = first_line(error)
        if isinstance(error, MemoryError) or any(word in said.lower() for word in _NO_MEMORY):
            raise JobError("not enough memory; set a smaller 'memory' or crop the cube") from error
        raise JobError(f"the computation failed: {said}; if it happens again, try device 'cpu'") from error


def executor_of(config: FitConfig) -> AbstractContextManager[Executor]:
    """Where cubes are read and labelled."""
    if not config.scheduler:
        return nullcontext(HERE)
    from cubeseg.parallel.distributed import connected

    return connected(config.scheduler)


@dataclass(eq=False)
class Learned:
    """What labels a cube, and how it came about.

    Attributes
    ----------
    model : Model
    clustering : Clustering
        Of the model's codes.
    usable : array of bool, shape (y, x), or None
        Which pixels hold data, where that is known.
    rules : Rules
    history, notes, criteria, tree
        As in :class:`cubeseg.segmentation.Segmentation`; the tree is made of the labels where it is None.
    """

    model: Model
    clustering: Clustering
    usable: NDArray[np.bool_] | None
    rules: Rules = field(default_factory=Rules)
    history: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    criteria: dict[str, dict[int, float]] = field(default_factory=dict)
    tree: list[Merge] | None = None


def _fit(cube: Cube, config: FitConfig, make: Any, executor: Executor) -> Generator[FitEvent, None, Segmentation]:
    if make.reach:
        learned = yield from learned_from_patches([cube], [probe(cube)], config, make)
    else:
        learned = yield from _learned_from_pixels(cube, config, make, executor)
    return (yield from labelled_by(learned, cube, config, executor))


def labelled_by(
    learned: Learned, cube: Cube, config: FitConfig, executor: Executor = HERE
) -> Generator[FitEvent, None, Segmentation]:
    """Label every pixel of a cube with what was learned, from it or from others."""
    steps = labelled(
        cube, config, learned.usable, learned.model, learned.clustering, block_bytes(config), executor, learned.rules
    )
    result = yield from passing(steps, lambda step: FitEvent("label", on_bar("label", step[0]), step[1]))
    result.history, result.criteria, result.notes = learned.history, learned.criteria, list(learned.notes)
    result.tree = result.tree if learned.tree is None else list(learned.tree)
    return result


def learned_from_patches(
    cubes: Sequence[Cube], probes: Sequence[Probe], config: FitConfig, make: Any
) -> Generator[FitEvent, None, Learned]:
    """One dictionary of classes for some cubes on the same spectral axis.

    Parameters
    ----------
    cubes : sequence of Cube
    probes : sequence of Probe
        A first look at each.
    config : FitConfig
    make : class
        Of a model with ``reach`` > 0.

    Yields
    ------
    FitEvent

    Returns
    -------
    Learned

    Raises
    ------
    DataError
        If they do not fit each other, or hold nothing to cluster.
    JobError
        If the training fails.
    """
    patches = Patches(cubes, probes, config)
    yield from reported(patches.fill(), "read", "Reading patches")
    usable = int(patches.usable.sum())
    if config.clusters[0] > usable:
        raise ConfigError(f"{config.clusters[0]} classes were asked for, but only {usable} pixels can be used")
    sample = yield from _scale(patches.sample(), config)
    patches.preprocessor = sample.preprocessor
    del sample
    yield FitEvent("train", on_bar("train", 0.0), "Preparing the model")
    model = make(patches.preprocessor, config)
    model.start(patches)
    start = None
    if config.objective != "published":
        yield from reported(seeded(model, patches, config), "train", "Looking for the first classes", 0.0, 0.0)
        start = model.snapshot()
    history: list[dict[str, float]] = []
    notes: list[str] = []
    yield from train(PatchLesson(model, patches, config.seed), config, history, notes)
    found = yield from reported(found_classes(model, patches, config, start), "cluster", "Refining the classes")
    if not found.trained:
        notes.append("neighbours agree no more on the classes after the training; those from before it were taken")
    if int(found.owner.max()) < config.clusters[0]:
        notes.append(f"only {int(found.owner.max())} of {config.clusters[0]} classes hold pixels")
    # neighbours have been heard already
    strength = 0.0 if config.coherence == "auto" else float(config.coherence)
    rules = Rules(owner=found.owner, strength=strength)
    return Learned(model, found.clustering, None, rules, history, notes, found.criteria, found.tree)


def _learned_from_pixels(
    cube: Cube, config: FitConfig, make: Any, executor: Executor
) -> Generator[FitEvent, None, Learned]:
    sample = yield from read(cube, config, executor)
    candidates = _candidates(config, len(sample.rows))
    own = make.classes_of_its_own
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
    # maps of the image take the place of the training spectra in memory
    return Learned(model, clustering, sample.usable, history=history, notes=notes, criteria=criteria)


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
