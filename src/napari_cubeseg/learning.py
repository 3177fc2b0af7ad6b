"""Refine: the active segmentation learns from what was painted; and its model is applied to other cubes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_info

from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from cubeseg.segmentation import Segmentation
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, Steps, ignore
from napari_cubeseg.workbench import Workbench

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Learning"]


class Learning:
    """Long jobs that start from a segmentation; one at a time, and none beside a run.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.control: Control | None = None

    @property
    def running(self) -> bool:
        """Whether such a job is under way."""
        return self.control is not None

    def refine(self) -> None:
        """Learn from the painted pixels of the active segmentation; what is painted meanwhile holds."""
        session, bench, layer = self._session, self._session.workbench, self._session.labels_layer
        if session.running or bench is None or layer is None:
            return
        cube = our.cube_behind(bench.result, session.viewer)
        painted = bench.result.painted
        if painted is None or not painted.any():
            show_error("There is nothing to learn from yet: correct some pixels with the brush first")
            return
        if cube is None or not our.made_from(bench.result, cube):
            show_error(f"Refine reads the cube again: open {bench.result.source.name} first")
            return
        found: Cube = cube

        def start() -> None:
            from cubeseg.training.refining import RefineConfig, refine

            if session.running:
                return
            base, snapshot = bench.result, bench.result.copy()
            # one core is left to the window, as in a run
            config = RefineConfig(threads=max(1, (os.cpu_count() or 2) - 1))

            def done(made: Segmentation) -> None:
                if layer not in session.viewer.layers:
                    return
                if bench.result is not base:
                    show_info("The classes were made anew while Refine ran, so its outcome is dropped")
                    return
                if _taken_back(base, snapshot):
                    show_info("What Refine began with was undone while it ran, so its outcome is dropped")
                    return
                bench.replace(made, "Refine")
                _do_again(bench, base, snapshot)
                changed = int((bench.result.labels != base.labels).sum())
                show_info(f"Refined: {changed:,} pixels changed their class")

            self._start(lambda: refine(snapshot, found, config=config), done, f"Refining {found.source.name}")

        bench.when_settled(start)

    def apply_to(self, layer: Image) -> None:
        """Label another open cube with the model of the active segmentation."""
        from cubeseg.training.applying import apply

        session, result, cube = self._session, self._session.result, our.cube_of(layer)
        if session.running or result is None or cube is None:
            return
        snapshot = result.copy()

        def done(made: Segmentation) -> None:
            if layer not in session.viewer.layers:
                return
            name = cube.source.name
            for item in our.map_layers(made, name):
                session.add(item)
            labels = session.add(our.segmentation_layer(made.labels.copy(), made.spatial, f"{name} classes", made))
            session.viewer.layers.selection.active = labels
            if isinstance(labels, Labels):
                session.autosave.touch(labels)
            for note in made.notes:
                show_info(note)

        self._start(lambda: apply(snapshot, cube), done, f"Applying to {cube.source.name}")

    def cancel(self) -> None:
        """Stop; everything stays as it was."""
        if self.control is not None:
            self.control.cancel()
            self.control = None
            self._session.run_changed.emit()

    def _start(self, make: Callable[[], Steps], done: Callable[[Any], None], title: str) -> None:
        session, control = self._session, Control()
        self.control = control
        session.run_changed.emit()

        def ended() -> bool:
            """Whether this is still the job, which then has ended."""
            if self.control is not control:
                return False
            self.control = None
            session.run_changed.emit()
            return True

        def finished(made: Any) -> None:
            if ended():
                done(made)

        def failed(error: CubeSegError) -> None:
            if ended():
                show_error(str(error))

        def progressed(event: Any) -> None:
            if self.control is control and event is not None:
                session.progressed.emit(event)

        session.runner(make, control, progressed, finished, failed, ignore, title=title)


def _do_again(bench: Workbench, base: Segmentation, snapshot: Segmentation) -> None:
    """What people did while another segmentation was made, on that one; in their order."""
    before = {id(said) for said in snapshot.log}
    for said in base.log:
        if id(said) not in before:
            if said["operation"] == "lock" and said["locked"]:
                _give_back(bench, base, said["classes"])
            bench.repeat(said)


def _give_back(bench: Workbench, base: Segmentation, locked: Sequence[int]) -> None:
    """Pixels that another segmentation took from classes before these were locked."""
    for class_id in locked:
        bench.assign(base.labels == class_id, class_id)


def _taken_back(base: Segmentation, snapshot: Segmentation) -> bool:
    """Whether people have undone something that another segmentation was made from."""
    return not {id(said) for said in snapshot.log} <= {id(said) for said in base.log}
