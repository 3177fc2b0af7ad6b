"""The one training loop, and the lessons that it takes: spectra of a sample, or patches of cubes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.config import FitConfig
from cubeseg.errors import JobError, first_line
from cubeseg.events import FitEvent, Stage, on_bar
from cubeseg.metrics import information
from cubeseg.models import Model
from cubeseg.sampling.crops import two_crops
from cubeseg.sampling.patches import Patches
from cubeseg.sampling.spectra import Sample

__all__ = ["Lesson", "Look", "PatchLesson", "encode", "train"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

# pairs of crops in a step, looks that must agree before the training ends, and by how much
_PAIRS, _SETTLED = 4, 0.98
# steps between two looks: an epoch
_STEPS = 12


@dataclass(frozen=True, eq=False)
class Look:
    """Labels (n,) 0.. of what is looked at, spread over the image (y, x) with 0 = none, and measures to write down."""

    labels: Int32
    image: Int32 | None
    measures: dict[str, float] = field(default_factory=dict)


class Lesson:
    """What :func:`train` needs beside the optimiser.

    Parameters
    ----------
    model : Model
        That learns by gradient descent.
    sample : Sample
    """

    def __init__(self, model: Any, sample: Sample) -> None:
        self.model, self.sample = model, sample

    def __len__(self) -> int:
        """Number of things of which each is seen once an epoch."""
        return len(self.sample.rows)

    def batch(self, config: FitConfig) -> int:
        """How many of them make a step."""
        return config.batch

    def loss(self, chosen: NDArray[np.intp], progress: float) -> dict[str, Any]:
        """Loss terms (tensors) of some of them, "total" among these; `progress` runs from 0 to 1."""
        terms: dict[str, Any] = self.model.loss(*self.sample.part(chosen), progress)
        return terms

    def recluster(self, codes: Float32) -> Int32:
        """Move the prototypes to where the codes (n, d) are now; returns labels (n,) 0.. for a preview."""
        labels: Int32 = self.model.recluster(codes)
        return labels

    def renew(self) -> Generator[float, None, None]:
        """Before an epoch: exchange what is held in memory, step by step."""
        yield from ()

    def looks(self, epoch: int, epochs: int) -> bool:
        """Whether to look at the whole after this epoch (0..)."""
        return epoch == 0 or (epoch + 1) % max(1, epochs // 10) == 0 or epoch + 1 == epochs

    def look(self, progress: float) -> Generator[FitEvent, None, Look]:
        """What the model makes of all of it."""
        self.model.survey(self.sample)
        codes = yield from encode(self.model, self.sample, "train", on_bar("train", progress))
        labels = self.recluster(codes)
        return Look(labels, self.sample.image(labels + 1))

    def same(self, before: Int32, now: Int32, config: FitConfig) -> bool:
        """Whether two looks agree so well that more training would change little."""
        return bool(config.settled < 1 and (before == now).mean() >= config.settled)


class PatchLesson(Lesson):
    """Pairs of overlapping crops of windows that are exchanged as the training goes on.

    Parameters
    ----------
    model : PatchModel
    patches : Patches
    seed : int
    """

    def __init__(self, model: Any, patches: Patches, seed: int) -> None:
        self.model, self.patches = model, patches
        self._rng = np.random.default_rng([seed, 14])
        self._before: Int32 | None = None

    def __len__(self) -> int:
        return _STEPS * _PAIRS

    def batch(self, config: FitConfig) -> int:
        """Pairs of crops."""
        return _PAIRS

    def loss(self, chosen: NDArray[np.intp], progress: float) -> dict[str, Any]:
        """Loss terms of two new crops of each of some windows."""
        patches = self.patches
        crops = [two_crops(patches.side, patches.config.patch, self._rng) for _ in chosen]
        windows = self._rng.choice(len(patches), len(chosen), replace=len(patches) < len(chosen))
        terms: dict[str, Any] = self.model.loss(patches, windows, crops, progress)
        return terms

    def renew(self) -> Generator[float, None, None]:
        """Read other windows in the place of some."""
        yield from self.patches.renew()

    def looks(self, epoch: int, epochs: int) -> bool:
        """Always: it takes little."""
        return True

    def look(self, progress: float) -> Generator[FitEvent, None, Look]:
        """Labels of the windows that stay, and how much they tell about those of the look before."""
        yield FitEvent("train", on_bar("train", progress), "Looking at the classes")
        codes = self.model.look(self.patches, self.patches.kept)
        labels: Int32 = self.model.measure(codes)
        # what is moved late has no time to find its place
        revived = self.model.revive(codes) if progress < 0.7 else 0
        used = np.bincount(labels, minlength=1) > 0
        measures = {"classes in use": float(used.sum()), "revived": float(revived)}
        if self._before is not None:
            measures["nmi"], measures["vi"] = information(self._before, labels)
        self._before = labels
        return Look(labels, self._image(labels), measures)

    def same(self, before: Int32, now: Int32, config: FitConfig) -> bool:
        """By mutual information, for which it does not matter what the classes are called."""
        return bool(config.settled < 1 and information(before, now)[0] >= _SETTLED)

    def _image(self, labels: Int32) -> Int32 | None:
        """The windows' labels in the picture of the first cube."""
        patches = self.patches
        image, done = np.zeros(patches.cubes[0].image_shape, np.int32), 0
        for w in patches.kept:
            usable = patches.usable[w]
            y, x = np.nonzero(usable)
            part = labels[done : done + len(y)] + 1
            done += len(y)
            cube, top, left = patches.places[w]
            if cube == 0:
                image[y + top, x + left] = part
        return image


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
        The labels of the last look.

    Raises
    ------
    JobError
        If the loss is not finite in the first epoch.
    MemoryError, RuntimeError
        If memory or device fail in the first epoch; later, the model so far is kept.
    """
    import torch

    model = lesson.model
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    n, epochs, batch = len(lesson), model.epochs, lesson.batch(config)
    per_epoch = -(-n // batch)
    schedule = _schedule(optimiser, config, max(per_epoch * epochs, 2))
    rng = np.random.default_rng(config.seed)
    labels: Int32 | None = None
    quiet = 0
    good = model.snapshot()
    for epoch in range(epochs):
        sums: dict[str, float] = {}
        for _ in lesson.renew() if epoch else ():
            yield FitEvent("train", on_bar("train", epoch / epochs), "Reading other patches", epoch, epochs)
        order = rng.permutation(n)
        for step in range(per_epoch):
            chosen = np.sort(order[step * batch : (step + 1) * batch])
            progress = (epoch + step / per_epoch) / epochs
            failure = ""
            try:
                terms = lesson.loss(chosen, progress)
                optimiser.zero_grad(set_to_none=True)
                terms["total"].backward()
                norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                if not torch.isfinite(terms["total"]) or not torch.isfinite(norm):
                    failure = _broken(epoch, float(terms["total"].detach()), config)
            except (MemoryError, RuntimeError) as error:
                if epoch == 0:
                    raise
                # torch tells of exhausted memory and of devices that fail by a RuntimeError
                failure = f"the training stopped in epoch {epoch + 1} ({first_line(error)})"
            if failure:
                if epoch == 0:
                    raise JobError(failure)
                model.reset(good)
                notes.append(f"{failure}; the model of epoch {epoch} was kept")
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
        if lesson.looks(epoch, epochs):
            look = yield from lesson.look((epoch + 1) / epochs)
            before, labels, image = labels, look.labels, look.image
            history[-1] |= look.measures
            quiet = quiet + 1 if before is not None and lesson.same(before, labels, config) else 0
        message = f"Training: epoch {epoch + 1} of {epochs}"
        yield FitEvent("train", on_bar("train", (epoch + 1) / epochs), message, epoch + 1, epochs, sums, image)
        if quiet >= 2:
            break
    return labels


def _schedule(optimiser: Any, config: FitConfig, steps: int) -> Any:
    from torch.optim import lr_scheduler

    if config.schedule == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.1, patience=5)
    # it divides by pct_start * steps - 1
    rise = 0.2 if steps == 10 else 0.1
    return lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=steps, pct_start=rise)


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
