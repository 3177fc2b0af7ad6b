"""The sliders of the Classes panel: how many classes, how broad, how coherent, without training again."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from napari.utils.notifications import show_error

from cubeseg.cube import Cube
from cubeseg.editing.hierarchy import coarser, mergeable
from cubeseg.editing.reclustering import Grouping, reclustered, regrouped
from cubeseg.editing.relabel import recohered
from cubeseg.errors import CubeSegError
from cubeseg.segmentation import Segmentation
from napari_cubeseg.jobs import Control, Runner, Steps, ignore, one
from napari_cubeseg.workbench import Workbench

__all__ = ["Adjustments"]

_MOST = 30


class Adjustments:
    """Other labels from the same run: shown while a slider moves, taken over as one step when it is let go.

    Parameters
    ----------
    workbench : Workbench
        Of the labels layer.
    cube : callable
        Gives the cube, or None where it is not open.
    runner : callable
        Gives the runner of jobs.
    progressed : callable
        Called in the main thread with the part of a job that is done; None when it has ended.
    """

    def __init__(
        self,
        workbench: Workbench,
        cube: Callable[[], Cube | None],
        runner: Callable[[], Runner],
        progressed: Callable[[float | None], None] = ignore,
    ) -> None:
        self._workbench, self._cube, self._runner, self._progressed = workbench, cube, runner, progressed
        self._control = Control()
        self._released = False
        self._pending: Callable[[], None] | None = None
        # what coarse results were merged from, as long as nothing else was done to them
        self._origin: weakref.WeakKeyDictionary[Segmentation, tuple[Segmentation, Any]] = weakref.WeakKeyDictionary()
        # who goes back does not want what a slider is still working on; it would be one step more, out of turn
        workbench.stepping.connect(self.stop)

    @property
    def result(self) -> Segmentation:
        """What the layer holds now."""
        return self._workbench.result

    @property
    def granularity(self) -> tuple[int, int]:
        """Fewest and most classes that merging can give."""
        fine = self._finest()
        return max(1, len(fine.classes) - len(mergeable(fine))), len(fine.classes)

    @property
    def numbers(self) -> tuple[int, int]:
        """Fewest and most classes that clustering anew is offered for."""
        return 1 + sum(c.locked for c in self.result.classes), max(_MOST, len(self.result.classes))

    def coarsen(self, n: int) -> None:
        """Merge classes along the tree until `n` are left, or part them again."""
        fine = self._finest()

        def made() -> Segmentation:
            return fine if n == len(fine.classes) else coarser(fine, n)

        def show(result: Segmentation) -> None:
            self._offer(result, f"{n} classes by merging", fine)

        self._work(lambda: one(made), show, lambda: self.coarsen(n))

    def cohere(self, strength: float) -> None:
        """Label again with another strength of coherence; merged classes stay merged and can still be parted."""
        fine, n = self._finest(), len(self.result.classes)

        def steps() -> Steps:
            made = yield from recohered(fine, self._cube(), strength)
            return made, made if n == len(made.classes) else coarser(made, n)

        def show(both: tuple[Segmentation, Segmentation]) -> None:
            self._offer(both[1], f"Coherence {strength:g}", both[0])

        self._work(steps, show, lambda: self.cohere(strength))

    def recluster(self, n: int) -> None:
        """Cluster the codes anew into `n` classes; the class spectra follow when the slider is let go."""
        before = self.result

        def show(found: Grouping) -> None:
            self._workbench.preview(found.labels)
            self._when_released(lambda: self._finish(before, found, n))

        self._work(lambda: one(lambda: regrouped(before, n)), show, lambda: self.recluster(n))

    def release(self) -> None:
        """The slider was let go: take over what it shows."""
        self._released = True
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending()

    def stop(self) -> None:
        """Drop what is under way."""
        self._control.cancel()
        self._pending = None
        self._progressed(None)

    def _finish(self, before: Segmentation, found: Grouping, n: int) -> None:
        self._work(
            lambda: reclustered(before, self._cube(), found),
            lambda made: self._take(made, f"{n} classes", made),
            lambda: self.recluster(n),
        )

    def _offer(self, made: Segmentation, title: str, fine: Segmentation) -> None:
        self._workbench.preview(made)
        self._when_released(lambda: self._take(made, title, fine))

    def _take(self, made: Segmentation, title: str, fine: Segmentation) -> None:
        self._pending = None
        if made is not fine:
            self._origin[made] = fine, made.log[-1]
        if made is not self.result:
            self._workbench.replace(made, title)

    def _when_released(self, then: Callable[[], None]) -> None:
        if self._released:
            then()
        else:
            self._pending = then

    def _work(self, make: Callable[[], Steps], show: Callable[[Any], None], again: Callable[[], None]) -> None:
        """Run a job in place of the one under way; `again` instead of `show` where people painted meanwhile."""
        self._control.cancel()
        self._pending = None
        control = self._control = Control()

        def moved(part: float | None) -> None:
            if not control.cancelled:
                self._progressed(part)

        def start() -> None:
            if control.cancelled:
                return
            before, changes = self.result, list(self.result.log)

            def done(made: Any) -> None:
                if control.cancelled:
                    return
                moved(None)
                same = self.result is before and before.log == changes
                (show if same else lambda _: again())(made)

            self._runner()(make, control, moved, done, failed, ignore)

        def failed(error: CubeSegError) -> None:
            moved(None)
            self._workbench.preview(None)
            show_error(str(error))

        # labels made before the strokes are counted would never get their spectra
        self._workbench.when_settled(start)

    def begin(self) -> None:
        """A slider starts to move: nothing is taken over before :meth:`release`."""
        self._released = False

    def _finest(self) -> Segmentation:
        """What the present classes were merged from; once something was changed by hand, they themselves."""
        fine, last = self._origin.get(self.result, (self.result, None))
        return fine if last is not None and self.result.log and self.result.log[-1] is last else self.result
