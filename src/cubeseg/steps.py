"""Work that is done step by step: generators that yield progress and return what they made."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

__all__ = ["finish", "passing"]

Step = TypeVar("Step")
Event = TypeVar("Event")
Made = TypeVar("Made")


def finish(steps: Generator[Any, None, Made]) -> Made:
    """Run to the end and give what was made."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            made: Made = stop.value
            return made


def passing(steps: Generator[Step, None, Made], seen: Callable[[Step], Event]) -> Generator[Event, None, Made]:
    """The same work, its steps told in another way."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            made: Made = stop.value
            return made
        yield seen(step)
