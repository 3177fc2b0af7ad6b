"""What long work tells about itself while it runs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from cubeseg.steps import passing

__all__ = ["FitEvent", "Stage", "on_bar", "reported"]

Made = TypeVar("Made")

Stage = Literal["read", "train", "cluster", "label", "write"]
# where each stage begins and ends on the bar, by the time that they take on common cubes
_BAR: dict[str, tuple[float, float]] = {
    "read": (0.0, 0.1), "train": (0.1, 0.8), "cluster": (0.8, 0.9), "label": (0.9, 1.0),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class FitEvent:
    """A step of a run.

    Attributes
    ----------
    stage : {"read", "train", "cluster", "label", "write"}
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
    labels: NDArray[np.int32] | None = None


def on_bar(stage: Stage, part: float) -> float:
    """Where on the whole run's bar a part of a stage lies."""
    start, end = _BAR[stage]
    return start + (end - start) * min(max(part, 0.0), 1.0)


def reported(
    steps: Generator[float, None, Made], stage: Stage, message: str, begin: float = 0.0, end: float = 1.0
) -> Generator[FitEvent, None, Made]:
    """The steps of a part of the work as events; they yield how much of it is done."""

    def event(part: float) -> FitEvent:
        return FitEvent(stage, on_bar(stage, begin + (end - begin) * part), f"{message}: {part:.0%}")

    return passing(steps, event)
