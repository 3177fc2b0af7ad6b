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
    """The inspected pixel: where it is, its label (0 = none) and the mean spectrum (bands,) of a box around it."""

    row: int
    column: int
    label: int
    spectrum: NDArray[np.float32]
    box: int = 1


class Inspection:
    """At most one spectrum is being waited for.

    Attributes
    ----------
    box : int
        Pixels along the side of the box whose mean is read: 1, 3, 5 ...
    """

    def __init__(self) -> None:
        self.box = 1
        self._control = Control()

    def look(
        self, cube: Cube, row: int, column: int, label: int, runner: Runner, show: Callable[[Pixel], None]
    ) -> None:
        """Read one spectrum; `show` is called in the main thread unless another one was asked for meanwhile."""
        self._control.cancel()
        box, control = self.box, Control()
        self._control = control

        def read() -> NDArray[np.float32]:
            return cube.spectrum(row, column) if box == 1 else _box_mean(cube, row, column, box // 2)

        def done(spectrum: NDArray[np.float32]) -> None:
            if not control.cancelled:
                show(Pixel(row, column, label, spectrum, box))

        def failed(error: CubeSegError) -> None:
            show_error(str(error))

        runner(lambda: one(read), control, ignore, done, failed, ignore)


def _box_mean(cube: Cube, row: int, column: int, reach: int) -> NDArray[np.float32]:
    import warnings

    rows = slice(max(row - reach, 0), row + reach + 1)
    columns = slice(max(column - reach, 0), column + reach + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(cube.block(rows, columns).data, axis=(1, 2), dtype=np.float64).astype(np.float32)
