"""What works on each labels layer that holds a segmentation: its workbench and its sliders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Labels, Layer

from cubeseg.cube import Cube
from napari_cubeseg import layers as our
from napari_cubeseg.adjust import Adjustments
from napari_cubeseg.workbench import Workbench

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Desks"]


class Desks:
    """One desk for each layer; its history stays when another layer becomes the active one.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._desks: dict[Layer, tuple[Workbench, Adjustments]] = {}
        session.cube_changed.connect(self._catch_up)

    def at(self, layer: Labels) -> tuple[Workbench, Adjustments]:
        """What works on a labels layer; made at the first call."""
        session = self._session
        if layer not in self._desks:

            def cube() -> Cube | None:
                result = our.result_of(layer)
                return None if result is None else our.cube_behind(result, session.viewer)

            def told(signal: Callable[[Labels], None]) -> Callable[[], None]:
                return lambda: signal(layer)

            workbench = Workbench(layer, cube, lambda: session.runner)
            workbench.changed.connect(told(self._reworked))
            workbench.replaced.connect(told(self._replaced))
            self._desks[layer] = workbench, Adjustments(workbench, cube, lambda: session.runner, session.adjusting.emit)
        return self._desks[layer]

    def clear(self, layer: Layer) -> None:
        """A layer was removed: nothing works on it any more."""
        if layer in self._desks:
            workbench, adjustments = self._desks.pop(layer)
            adjustments.stop()
            workbench.stop()
            self._session.autosave.deleted_with(workbench.layer)

    def _catch_up(self) -> None:
        """The cube that is open now may be the one that some strokes are to be read from."""
        for workbench, _ in list(self._desks.values()):
            workbench.catch_up()

    def _reworked(self, layer: Labels) -> None:
        """Classes or labels are others now; what is no longer there cannot be chosen."""
        session = self._session
        session.autosave.touch(layer)
        result = session.result
        if layer is not session.labels_layer or result is None:
            return
        there = tuple(i for i in session.selected if any(c.id == i for c in result.classes))
        fewer, session.selected = there != session.selected, there
        session.classes_changed.emit()
        if fewer:
            session.selection_changed.emit()

    def _replaced(self, layer: Labels) -> None:
        """Another segmentation is in the layer; it may be from before the cube was calibrated."""
        session, result = self._session, our.result_of(layer)
        cube = None if result is None else our.cube_behind(result, session.viewer)
        if result is not None and cube is not None and our.made_from(result, cube):
            our.follow_axis(result, cube)
        if layer is session.labels_layer:
            session.result_changed.emit()
