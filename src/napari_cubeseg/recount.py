"""Class spectra that could not follow the labels while their cube was closed are counted anew when it is back."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np

from cubeseg.cube import Cube
from cubeseg.editing.relabel import gained
from cubeseg.segmentation import Segmentation
from cubeseg.statistics import ClassSpectra
from napari_cubeseg.jobs import Control, Runner, ignore

__all__ = ["count_anew"]


def count_anew(
    behind: list[Segmentation], cube: Cube, runner: Runner, control: Control, then: Callable[[], None]
) -> None:
    """Read all pixels of these segmentations, one after another; each leaves the list when it is right.

    Parameters
    ----------
    behind : list of Segmentation
        Is emptied; what could not be read stays in it.
    cube : Cube
    runner, control
        Drive the reading and stop it.
    then : callable
        Called when one is right.
    """
    if not behind:
        return
    made = behind[-1]
    labels = made.labels.copy()
    there = np.count_nonzero(labels)

    def counted() -> Generator[float, None, ClassSpectra]:
        gains = yield from gained(cube, np.nonzero(labels), np.zeros(there, np.int32), labels[labels != 0])
        # what has no class was never read for it
        for name in ("total", "squares", "finite"):
            getattr(gains, name)[0] = getattr(made.spectra, name)[0]
        gains.grow(len(made.spectra.n))
        gains.n = made.spectra.n.copy()
        return gains

    def done(spectra: ClassSpectra) -> None:
        # what was changed meanwhile is counted with it, at once
        if np.array_equal(labels, made.labels):
            made.spectra = spectra
            behind.remove(made)
            then()
        count_anew(behind, cube, runner, control, then)

    runner(counted, control, ignore, done, lambda _: None, lambda: None)
