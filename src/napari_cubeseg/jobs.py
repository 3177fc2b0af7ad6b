"""Jobs without Qt: a core generator that can be paused and cancelled, and the way to run it at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any, Protocol

from cubeseg.errors import CubeSegError, JobError

__all__ = ["Control", "Runner", "Steps", "controlled", "ignore", "in_turns", "one", "run_now"]

Steps = Generator[Any, None, Any]


class Control:
    """The handle of a running job."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()

    def cancel(self) -> None:
        """Stop between the next two steps, also when paused."""
        self._cancelled.set()
        self._go_on.set()

    def pause(self) -> None:
        """Wait between the next two steps."""
        self._go_on.clear()

    def resume(self) -> None:
        """Go on."""
        self._go_on.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancelled.is_set()

    @property
    def paused(self) -> bool:
        """Whether it was asked to wait."""
        return not self._go_on.is_set()

    def wait(self) -> None:
        """Block while paused (worker's thread)."""
        self._go_on.wait()


class Runner(Protocol):
    """Runs a generator and reports in the main thread; exactly one of the last three is called, last."""

    def __call__(
        self,
        make: Callable[[], Steps],
        control: Control,
        on_event: Callable[[Any], None],
        on_done: Callable[[Any], None],
        on_error: Callable[[CubeSegError], None],
        on_cancelled: Callable[[], None],
        title: str = "",
    ) -> None:
        """Start; jobs with a title are long ones, which the user should know of."""


def one(work: Callable[[], Any]) -> Steps:
    """A job of a single step."""
    yield None
    return work()


def ignore(*_: Any) -> None:
    """What to do about reports that nobody waits for."""


def in_turns(runner: Runner, control: Control, parts: Iterator[None]) -> None:
    """Do in the main thread what only it may do, with a turn of the window between any two parts."""

    def go_on(_: Any = None) -> None:
        if not control.cancelled and any(True for _ in islice(parts, 1)):
            runner(lambda: one(ignore), control, ignore, go_on, ignore, ignore)

    go_on()


class Cancelled(Exception):
    """Internal: the job was cancelled."""


def controlled(make: Callable[[], Steps], control: Control, interval: float = 0.04) -> Steps:
    """Drive a core generator: stop when cancelled, wait when paused, drop events that come too fast to be seen.

    Events with ``losses`` or ``labels`` are never dropped.

    Raises
    ------
    Cancelled
    CubeSegError
        Whatever goes wrong; never a RuntimeError, which Qt's workers swallow.
    """
    steps = make()
    last = 0.0
    try:
        while True:
            control.wait()
            if control.cancelled:
                raise Cancelled
            try:
                event = next(steps)
            except StopIteration as stop:
                return stop.value
            now = time.monotonic()
            matters = getattr(event, "losses", None) or getattr(event, "labels", None) is not None
            if matters or now - last >= interval:
                last = now
                yield event
    except (CubeSegError, Cancelled):
        raise
    except Exception as error:
        text = (str(error).splitlines() or [""])[0]
        raise JobError(f"unexpected {type(error).__name__}: {text}") from error
    finally:
        steps.close()


def run_now(
    make: Callable[[], Steps],
    control: Control,
    on_event: Callable[[Any], None],
    on_done: Callable[[Any], None],
    on_error: Callable[[CubeSegError], None],
    on_cancelled: Callable[[], None],
    title: str = "",
) -> None:
    """Run in the calling thread; for scripts and tests without a window."""
    steps = controlled(make, control, interval=0.0)
    try:
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                result = stop.value
                break
            on_event(event)
    except Cancelled:
        on_cancelled()
    except CubeSegError as error:
        on_error(error)
    else:
        on_done(result)
