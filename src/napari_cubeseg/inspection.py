"""Reading the spectrum of a pixel in the background; a later request takes the place of an earlier one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from napari.utils.notifications import show_error
from numpy.typing import NDArray

from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from napari_cubeseg.jobs import Control, Runner, ignore, one

__all__ = ["Inspection", "Pixel"]


@dataclass(frozen=True, eq=False)
class Pixel:
    """The inspected pixel: where it is, its label (0 = none) and its spectrum (bands,)."""

    row: int
    column: int
    label: int
    spectrum: NDArray[np.float32]


class Inspection:
    """At most one spectrum is being waited for."""

    def __init__(self) -> None:
        self._control = Control()

    def look(
        self, cube: Cube, row: int, column: int, label: int, runner: Runner, show: Callable[[Pixel], None]
    ) -> None:
        """Read one spectrum; `show` is called in the main thread unless another one was asked for meanwhile."""
        self._control.cancel()
        control = self._control = Control()

        def done(spectrum: NDArray[np.float32]) -> None:
            if not control.cancelled:
                show(Pixel(row, column, label, spectrum))

        def failed(error: CubeSegError) -> None:
            show_error(str(error))

        runner(lambda: one(lambda: cube.spectrum(row, column)), control, ignore, done, failed, ignore)
