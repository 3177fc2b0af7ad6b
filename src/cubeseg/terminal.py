"""Long jobs on a terminal: a bar while they run, silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TypeVar

from cubeseg.events import FitEvent

__all__ = ["driven"]

Made = TypeVar("Made")


def driven(steps: Generator[FitEvent, None, Made]) -> Made:
    """Drive a long job to its end with a bar; returns what it made."""
    progress = _Progress()
    try:
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                made: Made = stop.value
                return made
            progress.show(event.done, event.message)
    finally:
        progress.end()


class _Progress:
    """A bar on a terminal, silence in a pipe."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._last = ""

    def show(self, done: float, message: str) -> None:
        filled = round(24 * done)
        text = f"[{'#' * filled}{'.' * (24 - filled)}] {done:4.0%} {message}"
        if self._on and text != self._last:
            print(f"\r{text:<79}", end="", file=sys.stderr, flush=True)
            self._last = text

    def end(self) -> None:
        if self._last:
            print(f"\r{'':<79}\r", end="", file=sys.stderr, flush=True)
