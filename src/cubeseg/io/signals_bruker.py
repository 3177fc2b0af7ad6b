"""Maps of Bruker's .bcf containers, through RosettaSciIO; runs isolated."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.io.signals import SpectralMap, as_map, nested, picked

__all__ = ["maps"]


def maps(path: str, detector: int | None) -> list[SpectralMap | None]:
    """The map of a container: the sum of its detectors, or one of them."""
    bruker = importlib.import_module("rsciio.bruker._api")
    signals = bruker.file_reader(path, lazy=True, select_type="spectrum_image", index="all")
    container = bruker.BCF_reader(path)
    numbers = picked(path, container.available_indexes, detector)
    first = as_map(signals[container.available_indexes.index(numbers[0])], "EDX")
    if first is None:
        return []
    first.detectors = len(signals)
    # RosettaSciIO gives both sides of a pixel the height of it
    width = nested(first.signal, "original_metadata", "Microscope").get("DX")
    if isinstance(width, int | float) and width > 0:
        first.axes[1] = first.axes[1] | {"scale": width}
    spectra = [container.header.spectra_data[number] for number in numbers]
    first.dtype = np.dtype(np.uint32 if len(numbers) > 1 else _counts_dtype(int(spectra[0].data.max()), first.shape))
    axes = [float(s.offset) + float(s.scale) * np.arange(first.shape[2]) for s in spectra]

    def expand(bands: int, downsample: int) -> NDArray[Any]:
        total: NDArray[Any] | None = None
        for number, values in zip(numbers, axes, strict=True):
            counts = _bcf_counts(container, number, bands, downsample)
            total = counts if total is None else _added(total, counts, axes[0][:bands], values[:bands])
        assert total is not None
        return total

    first.expand = expand
    return [first]


def _counts_dtype(most: int, shape: tuple[int, ...]) -> type[np.unsignedinteger[Any]]:
    """Type for the counts of one pixel, where the whole map has at most `most` in a channel."""
    mean = most / (shape[0] * shape[1])
    return np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 or mean < 128 else np.uint32


def _bcf_counts(container: Any, number: int, bands: int, downsample: int) -> NDArray[Any]:
    """Counts of one detector.

    RosettaSciIO takes the type from the mean pixel, and a bright pixel of a dark map wraps around in it: the type is
    given here, and the sum spectrum that the file holds too tells whether it was wide enough.
    """
    header, expected = container.header, container.header.spectra_data[number]
    dtype: Any = _counts_dtype(int(expected.data.max()), (header.image.height, header.image.width))
    cutoff = None if bands == expected.data.size else float(expected.offset + bands * expected.scale)
    while True:
        # the fallback without Cython sums pixels in signed numbers
        header.estimate_map_depth = lambda dtype=dtype, for_numpy=False, **_: (
            np.dtype(f"i{np.dtype(dtype).itemsize}") if for_numpy and downsample > 1 else dtype
        )
        counts: NDArray[Any] = container.parse_hypermap(
            index=number, downsample=downsample, cutoff_at_kV=cutoff, lazy=False
        )
        if np.dtype(dtype).itemsize == 4:
            return counts
        there = counts.sum(axis=(0, 1), dtype=np.int64)
        missing = expected.data[: there.size].astype(np.int64) - there[: expected.data.size]
        if (missing < np.iinfo(dtype).max).all():
            return counts
        dtype = np.uint32


def _added(total: NDArray[Any], counts: NDArray[Any], to: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """The sum of two detectors; whole counts go to the nearest channel where their calibrations differ."""
    wide = total.dtype if total.dtype.itemsize == 4 else np.dtype(np.uint32)
    total = total.astype(wide, copy=False)
    step = (to[-1] - to[0]) / max(to.size - 1, 1)
    channel = np.rint((values - to[0]) / step).astype(np.intp)
    for n in np.flatnonzero((channel >= 0) & (channel < to.size)):
        total[:, :, channel[n]] += counts[:, :, n].astype(wide)
    return total
