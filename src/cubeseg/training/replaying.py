"""From the record alone: train again as it says, do again what was done by hand, and compare the labels."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.config import FitConfig
from cubeseg.cube import Cube, Source
from cubeseg.editing.again import repeated
from cubeseg.editing.edits import counted
from cubeseg.editing.hierarchy import coarser
from cubeseg.editing.reclustering import reclustered, regrouped
from cubeseg.editing.relabel import recohered
from cubeseg.errors import ConfigError, DataError
from cubeseg.events import FitEvent
from cubeseg.io import reopen
from cubeseg.parallel.threads import allowed
from cubeseg.record.content import known_digest
from cubeseg.record.logbook import Entry, entry
from cubeseg.record.provenance import differences
from cubeseg.segmentation import Segmentation
from cubeseg.spectroscopy.calibration import chained, recalibrated
from cubeseg.steps import passing
from cubeseg.training.fitting import fit
from cubeseg.training.refining import RefineConfig, refine
from cubeseg.training.series import segment_series

__all__ = ["Replay", "redone", "replay", "source_of"]

# what another machine, device or version may change: the last digits, and with them a few pixels between two classes
_ELSEWHERE = 0.99


@dataclass(frozen=True, eq=False)
class Replay:
    """How a result came out when it was made again.

    Attributes
    ----------
    result : Segmentation
        Made again.
    labels : array of int32, shape (y, x)
        Of the recorded result.
    other : list of str
        What differs of versions, machine and device; one line each.
    content : str
        Empty where the cube holds what it held then; else what is known about it.
    missed : list of str
        Operations that could not be done again, and why.
    """

    result: Segmentation
    labels: NDArray[np.int32]
    other: list[str]
    content: str = ""
    missed: list[str] = field(default_factory=list)

    @property
    def same(self) -> int:
        """Pixels with the same label."""
        return int((self.result.labels == self.labels).sum())

    @property
    def agreement(self) -> float:
        """Part of all pixels that have the same label."""
        return self.same / max(self.labels.size, 1)

    @property
    def wanted(self) -> float:
        """Part of the pixels that must agree: all, or 99 % where versions, machine or device are others."""
        return _ELSEWHERE if self.other else 1.0

    @property
    def agrees(self) -> bool:
        """Whether the labels came out as recorded."""
        return self.agreement >= self.wanted


def source_of(result: Segmentation) -> Source:
    """How the cube was opened when the result was trained; it may have been calibrated since."""
    said = result.run.get("source")
    return Source.from_record(said) if said else result.source


def replay(result: Segmentation, cube: Cube) -> Generator[FitEvent, None, Replay]:
    """Train again from the recorded configuration and do again every operation of the log.

    Parameters
    ----------
    result : Segmentation
        As loaded; is not changed.
    cube : Cube
        Opened as the record says (:func:`source_of`).

    Yields
    ------
    FitEvent

    Returns
    -------
    Replay

    Raises
    ------
    DataError
        If the record does not hold what it takes, or the cube has another size.
    JobError
        If the training fails.
    """
    if result.log and result.log[0]["operation"] == "apply":
        raise DataError(
            f"{result.source.name}: was labelled by the model of {result.log[0]['from']}, not trained; replay the "
            "result of that cube, and apply it again"
        )
    if cube.image_shape != result.labels.shape:
        here, there = (" x ".join(map(str, shape)) for shape in (cube.image_shape, result.labels.shape))
        raise DataError(f"{cube.source.path or cube.name}: is {here} pixels, the result {there}; it is another cube")
    for number, said in enumerate(result.log, 1):
        if said["operation"] == "paint" and said.changes is None:
            raise DataError(
                f"{result.source.name}: operation {number} painted {said.get('pixels', 'some')} pixels, but the file "
                "is older than the record of them; it opens, but cannot be replayed"
            )
    config, share = _as_then(result), 0.7 if result.log else 1.0
    training = _trained(result, cube, config)
    made = yield from passing(training, lambda event: replace(event, done=share * event.done))
    made.config = result.config
    missed: list[str] = []
    for number, said in enumerate(result.log):
        begin = share + (1 - share) * number / len(result.log)
        told = FitEvent("label", begin, f"Doing again: {said['operation']}")

        def same(_: Any, told: FitEvent = told) -> FitEvent:
            return told

        yield told
        try:
            made = yield from passing(redone(made, said, cube), same)
        except ConfigError as error:
            missed.append(f"{said['operation']}: {error}")
        except (KeyError, TypeError, IndexError) as error:
            missed.append(f"{said['operation']}: its entry in the log is not whole ({error})")
    return Replay(made, result.labels, differences(result.run, made.run), _content(result, cube), missed)


def redone(result: Segmentation, said: Entry, cube: Cube) -> Generator[Any, None, Segmentation]:
    """Do an operation of the log on another segmentation of the same cube.

    Parameters
    ----------
    result : Segmentation
        May be changed.
    said : Entry
    cube : Cube

    Yields
    ------
    object
        Between steps.

    Raises
    ------
    ConfigError
        If it cannot be done there, as with classes that are not there.
    """
    edit = repeated(result, said)
    if edit is not None:
        edit.do()
        for part in edit.pixels:
            if part.sums is None:
                edit.count(part, (yield from counted(part, cube, result.labels.shape[1])))
        return result
    match said["operation"]:
        case "coarsen":
            return coarser(result, said["classes"])
        case "coherence":
            return (yield from recohered(result, cube, said["strength"]))
        case "recluster":
            grouping = regrouped(result, said["classes"], said.get("seed", 0))
            return (yield from reclustered(result, cube, grouping))
        case "refine":
            return (yield from refine(result, cube, config=_refinement(said)))
        case "calibrate":
            made = result.copy()
            made.axis = recalibrated(result.axis, said["axis"], Path(cube.source.path) if cube.source.path else None)
            made.source = replace(result.source, axis=chained(result.source.axis, said["axis"]))
            made.log.append(entry("calibrate", axis=said["axis"], before=result.source.axis))
            return made
    raise ConfigError(f"'{said['operation']}' is not known to this version")


def _refinement(said: Entry) -> RefineConfig:
    if "options" in said:
        return RefineConfig(**said["options"])
    # as it was written before all options were
    names = ("epochs", "learning_rate", "weight", "seed", "coherence")
    return RefineConfig(**{name: said[name] for name in names})


def _as_then(result: Segmentation) -> FitConfig:
    """The configuration, with what it left to the machine as it was then."""
    config, run = result.config, result.run
    if config.device == "auto" and run.get("device") == "cpu":
        config = replace(config, device="cpu")
    if not config.threads and run.get("threads", allowed()) != allowed():
        config = replace(config, threads=int(run["threads"]))
    return replace(config, scheduler="")


def _trained(result: Segmentation, cube: Cube, config: FitConfig) -> Generator[FitEvent, None, Segmentation]:
    """The result before anything was done to it by hand."""
    sources = [Source.from_record(said) for said in result.run.get("series", [])]
    if len(sources) < 2:
        return (yield from fit(cube, config))
    mine = source_of(result)
    gone = [s.path for s in sources if s != mine and not Path(s.path).exists()]
    if gone:
        raise DataError(
            f"{result.source.name}: its classes were learned from {len(sources)} cubes together, of which "
            f"{', '.join(gone)} can no longer be found; put them back there"
        )
    kept: dict[int, Segmentation] = {}

    def opened(source: Source) -> Callable[[], Cube]:
        return lambda: cube if source == mine else reopen(source)

    def keep(index: int, made: Segmentation) -> None:
        if sources[index] == mine:
            kept[index] = made

    outcome = yield from segment_series([opened(s) for s in sources], config, keep)
    if not kept:
        raise next(iter(outcome.failed.values()), DataError(f"{cube.name}: is no part of the series"))
    return next(iter(kept.values()))


def _content(result: Segmentation, cube: Cube) -> str:
    """What is known of another content of the cube's file."""
    then, now = result.run.get("sha256", ""), known_digest(cube.source.path)
    if then and now:
        return "" if then == now else f"SHA-256 {now[:12]}..., recorded {then[:12]}..."
    then, now = result.fingerprint, cube.source.fingerprint()
    return "" if then == now else f"SHA-256 of samples {now[:12] or 'none'}..., recorded {then[:12] or 'none'}..."
