"""A tour for those who are here for the first time: its steps, and where somebody is on it. No Qt."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal

from cubeseg.errors import CubeSegError
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, ignore, one

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["STEPS", "Start", "Step", "Tour", "remember", "was_offered"]


@dataclass(frozen=True)
class Start:
    """What there was when a step began."""

    pixel: Any = None
    result: Any = None
    selected: tuple[int, ...] = ()
    last: Any = None
    written: int = 0


@dataclass(frozen=True)
class Step:
    """One step of the tour.

    Attributes
    ----------
    text, do : str
        A sentence on what this is, and what to do.
    widget : str
        The object name of what is framed; empty for nothing.
    done : callable
        Whether it has been done, by what there was at the start of the step and what there is now.
    needs : {"cube", "result"}
        What there must be.
    seen : str
        The object name of a widget; once it can be seen, the step is done too.
    """

    text: str
    do: str
    widget: str
    done: Callable[[Start, Start], bool]
    needs: Literal["cube", "result"] = "result"
    seen: str = ""


STEPS = (
    Step(
        "This is an X-ray scan of a small portrait: every pixel of the image has a spectrum.",
        "Click on the face. Its spectrum is drawn below, in Spectra.",
        "cubeseg.spectra",
        lambda before, now: now.pixel is not None and now.pixel is not before.pixel,
        "cube",
    ),
    Step(
        "A run groups pixels with like spectra into classes. Deep clustering takes some minutes, a quick look seconds.",
        "Choose Quick look in the list, and press Run.",
        "cubeseg.train",
        lambda before, now: now.result is not None and now.result is not before.result,
        "cube",
    ),
    Step(
        "Every colour is a class. The table has their sizes, the plot their mean spectra.",
        "Choose a class: a row of the table, or a click on the image.",
        "cubeseg.classes.table",
        lambda before, now: bool(now.selected) and now.selected != before.selected,
    ),
    Step(
        "You know more than the program: two classes may be one paint.",
        "Choose a second row with Ctrl held down, and press Merge. Or paint with napari's brush.",
        "cubeseg.classes.button.merge",
        lambda before, now: now.last is not None and now.last is not before.last,
    ),
    Step(
        "Nothing that you do is final: strokes, sliders and buttons are steps of one history.",
        "Press Undo, or Ctrl+Z.",
        "cubeseg.classes.button.undo",
        lambda before, now: now.last is not before.last,
    ),
    Step(
        "What is a class made of? The lines of elements can be marked in the plot, and a class explained.",
        "Press Lines… above the plot, and write Pb, Hg. Then open the tab Explain, and press Explain.",
        "cubeseg.spectra.tools",
        lambda before, now: False,
        seen="cubeseg.spectra.mark",
    ),
    Step(
        "A report is one page with the map, the spectra and all that you did; other formats are for other programs.",
        "Scroll the list of formats down, tick Report, HTML, and press Export.",
        "cubeseg.export",
        lambda before, now: now.written > before.written,
    ),
)
"""The steps, one after the other."""

_RUN = 1


class Tour:
    """Where somebody is on the tour; it goes on by itself when a step has been done.

    Parameters
    ----------
    session : Session
    """

    changed = Signal()
    """Another step, the end, or something is missing or there again."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.at: int | None = None
        self.opening = False
        self._written = 0
        self._start = Start()
        session.exports.written.connect(self._exported)
        for signal in (session.cube_changed, session.pixel_changed, session.result_changed, session.run_changed,
                       session.selection_changed, session.classes_changed):  # fmt: skip
            signal.connect(self.look)

    @property
    def step(self) -> Step | None:
        """The present step; None at the end, and where no tour is under way."""
        return STEPS[self.at] if self.at is not None and self.at < len(STEPS) else None

    @property
    def over(self) -> bool:
        """Whether the last step has been done, and nothing has been closed yet."""
        return self.at == len(STEPS)

    @property
    def missing(self) -> bool:
        """Whether the cube that the tour is about has been closed."""
        return self.step is not None and not self.opening and self._session.cube is None

    def start(self) -> None:
        """Begin, with the sample painting."""
        remember()
        self._go(0)
        self.open()

    def open(self) -> None:
        """Open the sample painting, in the background, or make it the active cube."""
        from napari_cubeseg import samples

        session = self._session
        there = [layer for layer in our.cube_layers(session.viewer) if samples.holds(our.cube_of(layer))]
        if there:
            session.use_cube(there[-1])
            return
        if self.opening:
            return
        self.opening = True

        def opened(layers: Sequence[Any]) -> None:
            self.opening = False
            for layer in layers:
                session.add(layer)
            session.viewer.reset_view()
            self._go(self.at)

        def failed(error: CubeSegError) -> None:
            from napari.utils.notifications import show_error

            self.opening = False
            show_error(str(error))
            self.stop()

        session.runner(lambda: one(samples.painting), Control(), ignore, opened, failed, ignore)
        self.changed.emit()

    def next(self) -> None:
        """Go on without doing what the step asks for."""
        if self.at is not None:
            self._go(self.at + 1 if self.at < len(STEPS) else None)

    def stop(self) -> None:
        """Leave the tour, or what offers it."""
        remember()
        self._go(None)

    def look(self) -> None:
        """Go on if the step has been done."""
        step = self.step
        if step is None or self.opening:
            return
        if self._session.cube is not None and step.needs == "result" and self._session.result is None:
            # the classes were closed, or passed over: they are what follows is about
            if not self._session.running:
                self._go(_RUN)
        elif step.done(self._start, self._now()):
            self._go((self.at or 0) + 1)
            return
        self.changed.emit()

    def _go(self, at: int | None) -> None:
        self.at, self._start = at, self._now()
        self.changed.emit()

    def _now(self) -> Start:
        session = self._session
        last = None if session.workbench is None else session.workbench.history.last
        return Start(session.pixel, session.result, session.selected, last, self._written)

    def _exported(self, paths: Sequence[Path]) -> None:
        self._written += bool(paths)
        self.look()


def was_offered() -> bool:
    """Whether the tour has been offered to this user."""
    return _mark().is_file()


def remember() -> None:
    """Do not offer the tour again."""
    # where nothing can be remembered, it is offered again
    with suppress(OSError):
        _mark().parent.mkdir(parents=True, exist_ok=True)
        _mark().touch()


def _mark() -> Path:
    import platformdirs

    folder = os.environ.get("CUBESEG_SETTINGS") or platformdirs.user_config_dir("napari-cubeseg", appauthor=False)
    return Path(folder) / "tour-offered"
