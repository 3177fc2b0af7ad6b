"""Class spectra that could not follow the labels while their cube was closed are counted anew when it is back."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np

from cubeseg.cube import Cube
from cubeseg.editing.relabel import gained
from cubeseg.errors import CubeSegError
from cubeseg.segmentation import Segmentation
from cubeseg.statistics import ClassSpectra
from napari_cubeseg.jobs import Control, Runner, ignore

__all__ = ["count_anew"]


def count_anew(
    behind: list[Segmentation],
    cube: Cube,
    runner: Runner,
    control: Control,
    settled: Callable[[Callable[[], None]], None],
    counted: Callable[[CubeSegError | None], None],
) -> None:
    """Read all pixels of these segmentations, one after another.

    Parameters
    ----------
    behind : list of Segmentation
        Each is taken from it; what could not be read is put back.
    cube : Cube
    runner, control
        Drive the reading and stop it.
    settled : callable
        Calls back when the class spectra hold all that was painted meanwhile.
    counted : callable
        Called when one is right, or with what went wrong.
    """
    if not behind:
        return
    made = behind.pop()
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
            counted(None)
        else:
            behind.append(made)
        count_anew(behind, cube, runner, control, settled, counted)

    def failed(error: CubeSegError) -> None:
        behind.append(made)
        counted(error)

    runner(gains, control, ignore, lambda spectra: settled(lambda: take(spectra)), failed, lambda: behind.append(made))
