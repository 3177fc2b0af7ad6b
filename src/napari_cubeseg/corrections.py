"""Painting on a labels layer as corrections of its segmentation: only the changed pixels are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error

from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from cubeseg.segmentation import Segmentation
from napari_cubeseg.jobs import Control, Runner, ignore, one

__all__ = ["Corrections"]


class Corrections:
    """Keeps a segmentation in step with the pixels of its labels layer.

    napari tells of a stroke while it is drawn (``labels_update``) and when it ends (``paint``), but of undo and
    redo only by ``set_data``, which it also sends when nothing has changed. So every event leads to a
    comparison with the segmentation's own labels, and the difference is what was corrected.

    Parameters
    ----------
    layer : Labels
    result : Segmentation
    cube : Cube or None
        Where the spectra of changed pixels are read; without it only the counts follow.
    runner : Runner
    corrected : callable
        Called in the main thread after each change that was taken over.
    """

    def __init__(
        self,
        layer: Labels,
        result: Segmentation,
        cube: Cube | None,
        runner: Runner,
        corrected: Callable[[], None],
    ) -> None:
        self._layer, self._result, self._cube = layer, result, cube
        self._runner, self._corrected = runner, corrected
        self._busy = self._again = False
        self._control = Control()
        for name in ("labels_update", "paint", "set_data", "data"):
            getattr(layer.events, name).connect(self._edited)

    def stop(self) -> None:
        """Take over what is pending and listen no longer."""
        for name in ("labels_update", "paint", "set_data", "data"):
            getattr(self._layer.events, name).disconnect(self._edited)
        self._control.cancel()

    def _edited(self, event: Any = None) -> None:
        if self._busy:
            self._again = True
            return
        try:
            rows, columns = self._result.changes(self._layer.data)
        except CubeSegError as error:
            show_error(f"{error}; the classes stay as they were")
            return
        if not rows.size:
            return
        labels = np.asarray(self._layer.data[rows, columns])
        cube, result = self._cube, self._result
        self._busy = True

        def read() -> Any:
            return None if cube is None else result.spectra_at(cube, rows, columns)

        def take_over(spectra: Any) -> None:
            self._busy = False
            result.correct(rows, columns, labels, spectra)
            self._corrected()
            if self._again:
                self._again = False
                self._edited()

        def failed(error: CubeSegError) -> None:
            # the counts can follow even where the cube can no longer be read
            show_error(str(error))
            self._cube = None
            take_over(None)

        self._runner(lambda: one(read), self._control, ignore, take_over, failed, self._stopped)

    def _stopped(self) -> None:
        self._busy = False
