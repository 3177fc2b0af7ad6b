"""Class spectra follow what was painted: pixels are read from the cube in the background, or once it is open again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error

from cubeseg.cube import Cube
from cubeseg.editing import edits
from cubeseg.editing.edits import Edit, Pixels
from cubeseg.editing.relabel import gained
from cubeseg.errors import CubeSegError
from cubeseg.segmentation import Segmentation
from cubeseg.statistics import ClassSpectra
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, Runner, ignore

__all__ = ["Counting"]


class Counting:
    """Reads what was painted on one labels layer, in the order in which it was painted.

    What cannot be read, because the cube is closed or gone, waits; it also waits in the layer when nothing works on
    that any more.

    Parameters
    ----------
    layer : Labels
    cube : callable
        Gives the cube, or None where it is not open.
    runner : callable
        Gives the runner of jobs.
    changed : callable
        Called when spectra are others.
    """

    def __init__(
        self,
        layer: Labels,
        cube: Callable[[], Cube | None],
        runner: Callable[[], Runner],
        changed: Callable[[], None],
    ) -> None:
        self._layer, self._cube, self._runner, self._changed = layer, cube, runner, changed
        self._queue: deque[tuple[Edit, Pixels]] = deque()
        self._unread: list[tuple[Edit, Pixels]] = layer.metadata[our.KEY].pop("unread", [])
        # made while their cube was closed
        self._behind: list[Segmentation] = layer.metadata[our.KEY].setdefault("behind", [])
        self._control = Control()
        self._reading: tuple[Edit, Pixels] | None = None
        self._waiting: list[Callable[[], None]] = []

    @property
    def settled(self) -> bool:
        """Whether the spectra hold all that was painted, as far as it can be read."""
        return not self._queue and self._reading is None

    @property
    def complete(self) -> bool:
        """Whether they hold all of it."""
        return self.settled and not self._unread

    def when_settled(self, then: Callable[[], None]) -> None:
        """Call back once they do; now if so already."""
        if self.settled:
            then()
        else:
            self._waiting.append(then)

    def stop(self) -> None:
        """Read no further."""
        self._control.cancel()
        left = [*self._unread, *self._queue] + ([] if self._reading is None else [self._reading])
        self._queue.clear()
        if left:
            self._layer.metadata[our.KEY]["unread"] = left

    def read(self, edit: Edit) -> None:
        """Count what an edit has changed."""
        self._queue.extend((edit, part) for part in edit.pixels if part.sums is None)
        self._go_on()

    def replaced(self, made: Segmentation) -> None:
        """Take note of a segmentation whose spectra may lack what could not be read."""
        if self._unread or self._cube() is None:
            self._behind.append(made)

    def catch_up(self) -> None:
        """Read what could not be read before, where the cube has come."""
        cube = self._cube()
        if cube is not None and (self._unread or self._behind):
            self._queue.extend(self._unread)
            self._unread.clear()
            self._go_on()
            self.when_settled(lambda: self._count_anew(cube))

    def _go_on(self) -> None:
        if self._reading is not None:
            return
        cube = self._cube()
        if cube is None:
            # only the numbers follow, until it is opened again
            self._unread.extend(self._queue)
            self._queue.clear()
        # what was undone meanwhile need not be read
        while self._queue and (not self._queue[0][1].wanted or self._queue[0][1].sums is not None):
            self._queue.popleft()
        if not self._queue or cube is None:
            waiting, self._waiting = self._waiting, []
            for then in waiting:
                then()
            return
        edit, part = self._reading = self._queue.popleft()
        width = edit.result.labels.shape[1]

        def counted(sums: Any) -> None:
            self._reading = None
            edit.count(part, sums)
            self._changed()
            self._go_on()

        def failed(error: CubeSegError) -> None:
            self._unread += [(edit, part), *self._queue]
            self._queue.clear()
            self._reading = None
            show_error(f"{error}; the spectra of the classes do not follow what was painted")
            self._go_on()

        def stopped() -> None:
            self._reading = None

        same = replace(part)
        self._runner()(lambda: edits.counted(same, cube, width), self._control, ignore, counted, failed, stopped)

    def _count_anew(self, cube: Cube) -> None:
        """Read all pixels of the segmentations that are behind, one after another."""
        if not self._behind:
            return
        made = self._behind.pop()
        labels = made.labels.copy()

        def gains() -> Generator[float, None, ClassSpectra]:
            new = labels[labels != 0]
            found = yield from gained(cube, np.nonzero(labels), np.zeros_like(new), new)
            # what has no class was never read for it
            for name in ("total", "squares", "finite"):
                getattr(found, name)[0] = getattr(made.spectra, name)[0]
            return found

        def take(spectra: ClassSpectra) -> None:
            if np.array_equal(labels, made.labels):
                spectra.grow(len(made.spectra.n))
                spectra.n = made.spectra.n.copy()
                made.spectra = spectra
                self._changed()
            else:
                # painted on meanwhile
                self._behind.append(made)
            self._count_anew(cube)

        def failed(error: CubeSegError) -> None:
            self._behind.append(made)
            show_error(f"{error}; the spectra of the classes are behind the map")
            self._changed()

        def counted(spectra: ClassSpectra) -> None:
            self.when_settled(lambda: take(spectra))

        def stopped() -> None:
            self._behind.append(made)

        self._runner()(gains, self._control, ignore, counted, failed, stopped)
