"""Jobs in worker threads; everything they report arrives in the main thread."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from napari.qt import threading as napari_threading
from qtpy.QtCore import QThreadPool
from superqt.utils import create_worker

from cubeseg.errors import CubeSegError, JobError
from napari_cubeseg.jobs import Cancelled, Control, Steps, controlled
from napari_cubeseg.warming import leave_triton_out

__all__ = ["run_in_thread"]

# Qt has one thread for each core; runs that pause and reads that do not come back would keep all others waiting
_THREADS = 32


def run_in_thread(
    make: Callable[[], Steps],
    control: Control,
    on_event: Callable[[Any], None],
    on_done: Callable[[Any], None],
    on_error: Callable[[CubeSegError], None],
    on_cancelled: Callable[[], None],
    title: str = "",
) -> None:
    """Run a core generator in a thread (see :class:`napari_cubeseg.jobs.Runner`).

    Long jobs, those with a title, are made known to napari, which asks before it closes on them; napari keeps
    its workers for the life of the viewer, so the many short ones are not.
    """

    def returned(outcome: _Outcome) -> None:
        if isinstance(outcome.error, Cancelled):
            on_cancelled()
        elif outcome.error is not None:
            on_error(outcome.error if isinstance(outcome.error, CubeSegError) else JobError(str(outcome.error)))
        else:
            on_done(outcome.value)

    leave_triton_out()
    pool = QThreadPool.globalInstance()
    if pool is not None:
        pool.setMaxThreadCount(max(pool.maxThreadCount(), _THREADS))
    # napari keeps the workers of long jobs for good, and so whatever they hold: it is taken from them in the end
    held = [controlled(make, control)]

    def ended() -> None:
        for steps in held:
            steps.close()
        _Warnings.let_go()
        for signal, slot in slots:
            signal.disconnect(slot)
        held.clear()
        slots.clear()

    _Warnings.hold()
    create = napari_threading.create_worker if title else create_worker
    worker = create(_Titled(_driven, title), held, _start_thread=False, _ignore_errors=True)
    slots = [(worker.yielded, on_event), (worker.returned, returned)]
    for signal, slot in slots:
        signal.connect(slot)
    worker.finished.connect(ended)
    worker.start()


class _Warnings:
    """Python's way to show warnings, which each worker replaces for as long as it works.

    Of two that overlap, the second would put back what the first had put there, whose window may be gone by then: every
    warning would be an error. So it is put back once none works any more; in the main thread, like all here.
    """

    _count = 0
    _before: warnings.catch_warnings[None] | None = None

    @classmethod
    def hold(cls) -> None:
        if not cls._count:
            cls._before = warnings.catch_warnings()
            cls._before.__enter__()
        cls._count += 1

    @classmethod
    def let_go(cls) -> None:
        cls._count -= 1
        if not cls._count and cls._before is not None:
            cls._before.__exit__(None, None, None)
            cls._before = None


class _Outcome(NamedTuple):
    """What came of a job; a failure too is returned, since napari's own ear for errors fails under PySide6."""

    value: Any = None
    error: Exception | None = None


def _driven(title: str, held: list[Steps]) -> Steps:
    try:
        return _Outcome((yield from held[0]))
    except Exception as error:
        return _Outcome(error=error)


class _Titled(partial[Any]):
    """A function whose title napari shows when it asks before closing."""

    def __new__(cls, function: Callable[..., Any], title: str) -> _Titled:
        return super().__new__(cls, function, title)

    def __repr__(self) -> str:
        return str(self.args[0])
