"""Maps of JEOL's .pts files, through RosettaSciIO; runs isolated."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.io.signals import SpectralMap, as_map

__all__ = ["maps"]


def maps(path: str, detector: int | None) -> list[SpectralMap | None]:
    """The map of a .pts file, or nothing for the images beside it."""
    file_reader = importlib.import_module("rsciio.jeol").file_reader
    if not path.lower().endswith(".pts"):
        return [as_map(signal, "map") for signal in file_reader(path)]
    # the first frame and the first channels show the layout at no cost
    [first] = file_reader(path, cutoff_at_kV=0.5, frame_list=[0], SI_dtype=np.uint16)
    one = as_map(first, "EDS")
    if one is None:
        return []
    one.title, one.dtype, one.divides = "EDS", np.dtype(np.uint16), True
    # the format has 4096 channels
    one.shape = (*one.shape[:2], 4096)
    offset, scale = float(one.axes[2]["offset"]), float(one.axes[2]["scale"])

    def expand(bands: int, downsample: int) -> NDArray[Any]:
        told = {"cutoff_at_kV": offset + bands * scale, "downsample": downsample}
        for dtype in (np.uint8, np.uint16, np.uint32):
            try:
                [signal] = file_reader(path, SI_dtype=dtype, **told)
                break
            except ValueError as error:
                # counts that reach the end of the type are refused
                if "dtype" not in str(error) or dtype is np.uint32:
                    raise
        return np.asarray(signal["data"])

    one.expand = expand
    return [one]
