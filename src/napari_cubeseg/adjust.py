"""Coherence and granularity of the active segmentation: other labels from the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Labels
from napari.utils.notifications import show_error

from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from cubeseg.hierarchy import coarser
from cubeseg.relabel import recohered
from cubeseg.segmentation import Segmentation
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, Runner, Steps, ignore, one

__all__ = ["Adjustments"]


class Adjustments:
    """What the two sliders of the Classes panel do to one labels layer.

    Parameters
    ----------
    layer : Labels
        Holds a segmentation.
    cube : Cube or None
    runner : Runner
    replace : callable
        Called in the main thread with the segmentation that the layer is to hold from now on.
    progressed : callable
        Called in the main thread with the part of a job that is done; None when it has ended.
    """

    def __init__(
        self,
        layer: Labels,
        cube: Cube | None,
        runner: Runner,
        replace: Callable[[Segmentation], None],
        progressed: Callable[[float | None], None] = ignore,
    ) -> None:
        self._layer, self._cube, self._runner, self._replace = layer, cube, runner, replace
        self._progressed = progressed
        self._control = Control()
        self._fine = self.result
        self._seen = len(self.result.log)

    @property
    def result(self) -> Segmentation:
        """What the layer holds now."""
        found = our.result_of(self._layer)
        assert found is not None
        return found

    @property
    def range(self) -> tuple[int, int]:
        """Fewest and most classes that merging can give."""
        fine = self._finest()
        there = {c.id for c in fine.classes}
        return len(there) - sum({m.kept, m.gone} <= there for m in fine.tree), len(there)

    def coarsen(self, n: int) -> None:
        """Merge classes along the tree until `n` are left, or part them again; in the background."""
        fine = self._finest()

        def made() -> Segmentation:
            return fine if n == len(fine.classes) else coarser(fine, n)

        self._work(lambda: one(made), lambda result: self._show(result, fine), lambda: self.coarsen(n))

    def cohere(self, strength: float) -> None:
        """Label again with another strength, in the background; merged classes stay merged and can still be parted."""
        fine, n = self._finest(), len(self.result.classes)

        def steps() -> Steps:
            made = yield from recohered(fine, self._cube, strength)
            return made, made if n == len(made.classes) else coarser(made, n)

        self._work(steps, lambda both: self._show(both[1], both[0]), lambda: self.cohere(strength))

    def stop(self) -> None:
        """Drop what is under way."""
        self._control.cancel()
        self._progressed(None)

    def _work(self, make: Callable[[], Steps], show: Callable[[Any], None], again: Callable[[], None]) -> None:
        """Run a job in place of the one under way; `again` instead of `show` where people painted meanwhile."""
        self._control.cancel()
        control = self._control = Control()
        before, changes = self.result, len(self.result.log)

        def moved(part: float | None) -> None:
            if not control.cancelled:
                self._progressed(part)

        def done(made: Any) -> None:
            if control.cancelled:
                return
            moved(None)
            if self.result is before and len(before.log) == changes:
                show(made)
            else:
                again()

        def failed(error: CubeSegError) -> None:
            moved(None)
            show_error(str(error))

        self._runner(make, control, moved, done, failed, ignore)

    def _finest(self) -> Segmentation:
        """The result with the most classes; once something was changed by hand, that is the present one."""
        if len(self.result.log) != self._seen:
            self._fine, self._seen = self.result, len(self.result.log)
        return self._fine

    def _show(self, made: Segmentation, fine: Segmentation) -> None:
        # views ask for the range as soon as they hear of the change
        self._fine, self._seen = fine, len(made.log)
        self._replace(made)
