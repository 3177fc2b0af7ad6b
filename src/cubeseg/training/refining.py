"""Learning from corrections: a segmentation, some painted pixels, and a new segmentation in which alike pixels follow.

What holds, whatever the spectra say:

* painted pixels keep the label that they were given;
* pixels of locked classes keep theirs, and no other pixel joins a locked class unless it is painted so;
* merged classes stay one, pixels of deleted classes stay without a class, and those that look like them join them;
* ids, names, colours, notes, the order of the classes and their locks.

A label that the model never had becomes a class of its own. The classes are refined with painted pixels held
(:mod:`cubeseg.training.corrections`) and every pixel is labelled again. If asked for (``epochs``), and where labels
come from codes, the encoder is trained on with the losses of the first training and the cross-entropy of the painted
pixels (:func:`cubeseg.models.losses.taught_loss`), the classes are refined once more, and what neighbours agree on
better is kept. On nine cubes that did as much harm as good, so it is off.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.constraints import FREE, Constraints
from cubeseg.config import FitConfig, Ramp
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, DataError
from cubeseg.events import FitEvent, on_bar, reported
from cubeseg.models import model_class, restored
from cubeseg.parallel.threads import limited
from cubeseg.record.logbook import Changes, entry
from cubeseg.record.provenance import Stopwatch
from cubeseg.sampling.spectra import Sample
from cubeseg.segmentation import ClassInfo, Segmentation, class_colour
from cubeseg.steps import passing
from cubeseg.training.corrections import Start, corrected
from cubeseg.training.fitting import block_bytes, encode, guarded, read, train
from cubeseg.training.known_codes import KnownCodes, of_codes
from cubeseg.training.labelling import Found, Rules, labelled
from cubeseg.training.painted_lesson import PaintedLesson

__all__ = ["RefineConfig", "refine"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

# so many spectra of a class are enough to know it by
_FEW, _ENOUGH = 8, 64


@dataclass(frozen=True)
class RefineConfig:
    """Options of :func:`refine`.

    Parameters
    ----------
    epochs : int
        Further passes over the training spectra, for methods that are trained and label by codes; 0 = none.
    learning_rate : float
    weight : float
        Of the painted pixels' cross-entropy beside the reconstruction.
    seed : int, optional
        That of the first run where not given; the same seed gives the same labels on the same machine.
    coherence : float, optional
        Strength of the spatial coherence; that of the result where not given.
    device, threads, memory
        As for :class:`cubeseg.FitConfig`; those of the first run where not given.
    """

    epochs: int = 0
    learning_rate: float = 3e-4
    weight: float = 0.3
    seed: int | None = None
    coherence: float | None = None
    device: str = ""
    threads: int | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ConfigError(f"epochs must not be negative, not {self.epochs}")
        if self.weight < 0:
            raise ConfigError(f"weight must not be negative, not {self.weight}")

    def run(self, first: FitConfig) -> FitConfig:
        """The configuration of the further training: that of the first one, with the weights of its end."""
        given = {n: getattr(self, n) for n in ("seed", "threads", "memory") if getattr(self, n) is not None}
        return replace(
            first,
            **given,
            device=self.device or first.device,
            coherence=first.coherence if self.coherence is None else self.coherence,
            epochs=max(self.epochs, 1),
            learning_rate=self.learning_rate,
            beta=Ramp(first.beta.high, first.beta.high),
            gamma=Ramp(first.gamma.high, first.gamma.high),
            schedule="onecycle",
            scheduler="",
        )


def refine(
    result: Segmentation, cube: Cube, corrections: NDArray[Any] | None = None, config: RefineConfig | None = None
) -> Generator[FitEvent, None, Segmentation]:
    """Learn from painted pixels, step by step; stop between any two steps by closing the generator.

    Parameters
    ----------
    result : Segmentation
        Is not changed. Its painted pixels count.
    cube : Cube
        That was segmented.
    corrections : array of int, shape (y, x), optional
        Further painted pixels, 0 = not painted; an id without a class starts one.
    config : RefineConfig, optional

    Yields
    ------
    FitEvent
        As :func:`cubeseg.fit` does.

    Returns
    -------
    Segmentation

    Raises
    ------
    ConfigError
        For options that make no sense.
    DataError
        If nothing was painted, the cube is another one, or the result holds no model.
    JobError
        If the training fails.
    """
    config = config or RefineConfig()
    watch, base = Stopwatch(), _painted(result, corrections)
    if cube.image_shape != result.labels.shape or cube.n_bands != len(result.axis):
        raise DataError(f"{cube.name}: is not the cube that was segmented, its size differs")
    run = config.run(result.config)
    yield FitEvent("read", 0.0, "Loading the method")
    make = model_class(result.model.method)
    if config.epochs and make.reach:
        raise ConfigError(
            f"method '{result.model.method}' learns from corrections without further epochs; leave them out"
        )
    with guarded(cube), limited(run.threads):
        made = yield from _refine(base, cube, config, run)
    made.log[-1]["seconds"] = watch.seconds
    return made


def _painted(result: Segmentation, corrections: NDArray[Any] | None) -> Segmentation:
    """A copy with the corrections in it."""
    if result.model is None:
        raise DataError("this segmentation holds no trained model; segment the cube again")
    base = result.copy()
    painted = np.zeros(base.labels.shape, bool) if base.painted is None else base.painted
    if corrections is not None:
        given = np.asarray(corrections)
        if given.shape != base.labels.shape:
            raise DataError(f"the corrections are {_size(given)} pixels, the result {_size(base.labels)}")
        if given.size and int(given.min()) < 0:
            raise DataError("labels cannot be negative")
        new = given > 0
        there = {c.id for c in base.classes}
        for class_id in np.unique(given[new]):
            if int(class_id) not in there:
                base.classes.append(ClassInfo(int(class_id), f"class {class_id}", class_colour(int(class_id))))
        where = np.flatnonzero(new)
        changes = Changes(where, base.labels[new], given[new].astype(np.int32))
        base.labels[new] = given[new]
        painted = painted | new
        if new.any():
            ids = np.unique(given[new]).astype(int).tolist()
            base.log.append(entry("paint", changes, pixels=len(where), labels=ids))
    base.painted = painted
    if not painted.any():
        raise DataError("nothing was painted, so there is nothing to learn; paint some pixels with their right class")
    return base


def _refine(
    base: Segmentation, cube: Cube, config: RefineConfig, run: FitConfig
) -> Generator[FitEvent, None, Segmentation]:
    assert base.painted is not None
    usable = np.isfinite(base.reconstruction_error)
    sample = yield from read(cube, run)
    sample = replace(sample, preprocessor=_same_bands(cube, sample, base.model.preprocessor))
    gridded = len(sample.rows)
    sample = yield from _with_corrections(sample, base, cube, usable, run)
    locked = tuple(c.id for c in base.classes if c.locked)
    start = _start(base, sample, locked, gridded)
    yield FitEvent("train", on_bar("train", 0.0), "Preparing the model")

    def as_first() -> Any:
        known = base.model
        return restored(known.method, known.preprocessor, run, known.arrays(), known.settings())

    model = seer = as_first()
    if model.reach:
        sample, seer = of_codes(sample, base, model), KnownCodes()
    # the metric is found anew, from the codes as they are
    model.stretch(None)
    codes = yield from encode(seer, sample, "train", on_bar("train", 0.0))
    found = yield from reported(corrected(start, codes, sample, seer, run), "train", "Learning from the corrections")
    history: list[dict[str, float]] = []
    notes: list[str] = []
    # counts are labelled by themselves, not by their codes
    if config.epochs and model.epochs and sample.preprocessor.likelihood != "multinomial":
        lesson = PaintedLesson(model, sample, start, config.weight, run.seed)
        model.resume(sample)
        lesson.recluster(codes)
        yield from train(lesson, run, history, notes)
        codes = yield from encode(model, sample, "cluster", on_bar("cluster", 0.0))
        steps = corrected(start, codes, sample, model, run)
        other = yield from reported(steps, "cluster", "Learning from the corrections again")
        if other.score > found.score:
            found = other
        else:
            model = as_first()
            model.stretch(None)
            notes.append("the encoder stayed as it was: neighbours agreed less on the classes after further training")
        del lesson
    if found.metric is not None:
        model.stretch(found.metric)
    del sample, codes, start
    rules = _rules(base, usable, locked, found.owner, config)
    labelling = labelled(cube, run, usable, model, found.clustering, block_bytes(run), rules=rules)
    made = yield from passing(labelling, lambda step: FitEvent("label", on_bar("label", step[0]), step[1]))
    return _finished(made, base, config, run, history, notes)


def _same_bands(cube: Cube, sample: Sample, known: Any) -> Any:
    """The preprocessor of the model, if it suits the sample."""
    drawn = sample.preprocessor
    if not (np.array_equal(drawn.bands, known.bands) and np.array_equal(drawn.groups, known.groups)):
        raise DataError(
            f"{cube.name}: holds data in other bands than the cube that the model was trained on; a result that was "
            "applied to another axis is not refined itself: refine the first one, and apply that"
        )
    return known


def _with_corrections(
    sample: Sample, base: Segmentation, cube: Cube, usable: Bool, run: FitConfig
) -> Generator[FitEvent, None, Sample]:
    """The sample with painted pixels, and some of every class that is too small to be in it."""
    assert base.painted is not None
    rng = np.random.default_rng(run.seed)
    drawn = np.zeros(base.labels.shape, bool)
    drawn[sample.rows, sample.columns] = True
    wanted = np.zeros(base.labels.shape, bool)
    missing = usable & ~drawn & (base.labels > 0)
    most = max(run.sample // 4, _ENOUGH)
    painted = np.flatnonzero(missing & base.painted)
    wanted.flat[painted if len(painted) <= most else rng.choice(painted, most, replace=False)] = True
    members = np.bincount(base.labels[drawn], minlength=max(c.id for c in base.classes) + 1)
    for info in base.classes:
        if members[info.id] < _FEW:
            own = np.flatnonzero(missing & ~wanted & (base.labels == info.id))
            wanted.flat[own if len(own) <= _ENOUGH else rng.choice(own, _ENOUGH, replace=False)] = True
    if not wanted.any():
        return sample
    rows, columns = [sample.rows], [sample.columns]
    spectra, variance = [sample.spectra], [] if sample.variance is None else [sample.variance]
    for down, across in cube.places(block_bytes(run)):
        y, x = np.nonzero(wanted[down, across])
        if not len(y):
            continue
        yield FitEvent("read", on_bar("read", 1.0), "Reading the corrected pixels")
        block = cube.block(down, across)
        stored = None if block.variance is None else block.variance[:, y, x].T
        binned, scatter = sample.preprocessor.reduce(np.ascontiguousarray(block.data[:, y, x].T), stored)
        rows.append(y + down.start)
        columns.append(x + across.start)
        spectra.append(binned)
        if scatter is not None:
            variance.append(scatter)
    return replace(
        sample,
        rows=np.concatenate(rows),
        columns=np.concatenate(columns),
        spectra=np.concatenate(spectra),
        variance=np.concatenate(variance) if variance else None,
    )


def _start(base: Segmentation, sample: Sample, locked: tuple[int, ...], gridded: int) -> Start:
    """Classes, clusters and constraints of the sample as corrected."""
    assert base.painted is not None
    at = (sample.rows, sample.columns)
    labels = base.labels[at].astype(np.int32)
    painted = base.painted[at]
    owner = base.lineage if base.evidence.size else np.zeros(0, np.int32)
    # a class that was made by hand, or whose clusters are not known, is one cluster until more is learned
    made = np.setdiff1d(labels[~painted & (labels > 0)], owner)
    owner = np.concatenate([owner, made]).astype(np.int32)
    clusters = np.full(len(labels), -1, np.int32)
    for class_id in np.unique(labels):
        own = np.flatnonzero(owner == class_id)
        rows = np.flatnonzero(labels == class_id)
        if len(own) == 1:
            clusters[rows] = own[0]
        elif len(own):
            seen = base.evidence[own][:, sample.rows[rows], sample.columns[rows]]
            clusters[rows] = own[seen.astype(np.float32).argmax(axis=0)]
    kept = np.flatnonzero(np.bincount(clusters[clusters >= 0], minlength=len(owner)) > 0)
    number = np.full(len(owner) + 1, -1, np.int32)
    number[kept] = np.arange(len(kept))
    fixed = np.where(painted | np.isin(labels, locked), labels, FREE).astype(np.int32)
    owner = owner[kept]
    return Start(labels, number[clusters], owner, painted, Constraints(owner, fixed, locked), gridded)


def _rules(base: Segmentation, usable: Bool, locked: tuple[int, ...], owner: Int32, config: RefineConfig) -> Rules:
    """How the clusters become labels."""
    assert base.painted is not None
    painted, old, confidence = base.painted, base.labels, base.confidence
    held = painted | np.isin(old, locked)
    fixed = np.where(held | ~usable, old, FREE).astype(np.int32)
    # pixels that had no class, other than by deleting one, follow corrections only
    loose = usable & ~painted & (old == 0) if 0 not in owner else np.zeros_like(painted)
    taught = np.unique(old[painted])

    def settle(found: Found) -> Found:
        stay = loose & ~np.isin(found.labels, taught)
        sure = np.where(held, confidence, np.where(stay, 0, found.confidence))
        sure = np.where(painted & usable, 1, sure).astype(np.float32)
        return replace(found, labels=np.where(stay, 0, found.labels).astype(np.int32), confidence=sure)

    strength = base.coherence if config.coherence is None else config.coherence
    return Rules(owner, fixed, locked, strength, settle=settle)


def _finished(
    made: Segmentation,
    base: Segmentation,
    config: RefineConfig,
    run: FitConfig,
    history: list[dict[str, float]],
    notes: list[str],
) -> Segmentation:
    """The new labels with all that stays as it was."""
    assert base.painted is not None
    made.spectra.grow(max(c.id for c in base.classes) + 1)
    epochs = len(base.history)
    operation = entry(
        "refine",
        painted=int(base.painted.sum()),
        pixels=int((made.labels != base.labels).sum()),
        seed=run.seed,
        coherence=made.coherence,
        options=asdict(config),
    )
    return replace(
        made,
        classes=base.classes,
        # the components stay; the classes are no longer theirs
        unmixed=None if base.unmixed is None else replace(base.unmixed, classes=False),
        painted=base.painted,
        config=base.config,
        history=[*base.history, *(h | {"epoch": epochs + h["epoch"]} for h in history)],
        criteria=base.criteria,
        spatial=base.spatial,
        source=base.source,
        unit=base.unit,
        fingerprint=base.fingerprint,
        run=base.run,
        notes=[*base.notes, *notes],
        log=[*base.log, operation],
    )


def _size(array: NDArray[Any]) -> str:
    return " x ".join(str(n) for n in array.shape)
