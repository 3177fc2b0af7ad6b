"""Maps of Velox .emd files (HDF5): events of X-ray detectors, and energy losses; runs isolated.

Not through RosettaSciIO, which takes the size of the map from the first or the last image of the file, whichever they
are, and which compiles for seconds what NumPy does at once.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import DataError
from cubeseg.io.isolated import scratch
from cubeseg.io.signals import SpectralMap, nested, picked

__all__ = ["maps"]

# in a stream, this ends the events of a pixel; all else is the channel of one event
_MARK = 0xFFFF
_WORDS = 1 << 22


def maps(path: str, detector: int | None) -> list[SpectralMap]:
    """All maps of the file; those of energy losses stay in it."""
    import h5py

    file = h5py.File(path, "r")
    data = file.get("Data")
    if not isinstance(data, h5py.Group):
        raise DataError(f"{path}: has no group 'Data', so it is no Velox file, or a damaged one")
    scans = [_json(scan["Metadata"]) for scan in data.get("SpectrumImage", {}).values()]
    place = nested(scans[0], "BinaryResult") if scans else {}
    found = [_losses(group, place) for group in data.get("EelsSpectrumImage", {}).values()]
    streams = list(data["SpectrumStream"].values()) if "SpectrumStream" in data else []
    if streams:
        found.append(_events(path, data, streams, detector))
    elif "SpectrumImage" in data and not found:
        raise DataError(
            f"{path}: its spectra were removed ('pruned') in Velox, or it was converted from another format; "
            "open the original file"
        )
    return found


def _events(path: str, data: Any, streams: list[Any], detector: int | None) -> SpectralMap:
    chosen = picked(path, streams, detector)
    settings = json.loads(chosen[0]["AcquisitionSettings"][0])
    bands, metadata = int(settings["bincount"]), _json(chosen[0]["Metadata"])
    if not 2 <= bands <= 1 << 16 or any(s["Data"].dtype != np.uint16 for s in chosen):
        raise DataError(f"{path}: holds its events in a way that is not known ({settings.get('StreamEncoding')})")
    shape = _image_shape(path, data, chosen[0]["Data"], nested(settings, "RasterScanDefinition"))
    scale, offset, unit = _dispersion(metadata)
    place = nested(metadata, "BinaryResult")
    axes = [*_pixels(place), {"name": "Energy", "scale": scale, "offset": offset, "units": unit}]

    def expand(kept: int, downsample: int) -> NDArray[Any]:
        rows, columns = (math.ceil(n / downsample) for n in shape)
        total = scratch((rows, columns, kept), np.uint32 if downsample > 1 else np.uint16, path)
        for stream in chosen:
            _count(stream["Data"], shape, total, downsample)
        return total

    signal = {
        "metadata": {
            "General": {"title": "EDS"},
            "Signal": {"signal_type": "EDS_TEM"},
            "Acquisition_instrument": {"TEM": {"beam_energy": _beam(metadata)}},
        },
        "original_metadata": metadata,
    }
    return SpectralMap("EDS", (*shape, bands), np.dtype(np.uint16), axes, signal, expand, detectors=len(streams))


def _count(stream: Any, shape: tuple[int, int], total: NDArray[Any], downsample: int) -> None:
    """Add the events of a stream to the map, frame upon frame."""
    _, columns, bands = total.shape
    flat_total, pixel = total.reshape(-1), 0
    for start in range(0, stream.shape[0], _WORDS):
        words = stream[start : start + _WORDS, 0]
        marks = words == _MARK
        before = pixel + np.cumsum(marks)
        events = ~marks & (words < bands)
        y, x = np.divmod(before[events] % (shape[0] * shape[1]), shape[1])
        places = (y // downsample * columns + x // downsample) * bands + words[events]
        np.add.at(flat_total, places, total.dtype.type(1))
        pixel = int(before[-1])


def _image_shape(path: str, data: Any, stream: Any, raster: Any) -> tuple[int, int]:
    """Height and width of the map: those of the images that as many pixels as there are make whole frames of.

    The raster that the stream names may be that of the survey image.
    """
    pixels = sum(int((stream[n : n + _WORDS, 0] == _MARK).sum()) for n in range(0, stream.shape[0], _WORDS))
    shapes = Counter(tuple(image["Data"].shape[:2]) for image in data.get("Image", {}).values())
    if raster:
        shapes[int(raster["Height"]), int(raster["Width"])] += 1
    for (height, width), _ in shapes.most_common():
        frames = round((pixels + 1) / max(height * width, 1))
        # the last pixel of a frame may lack its mark
        if height * width > 1 and frames >= 1 and 0 <= frames * height * width - pixels <= frames:
            return height, width
    # the acquisition was stopped in the middle of a frame
    for (height, width), _ in shapes.most_common():
        if height * width > 1 and pixels > height * width:
            return height, width
    there = ", ".join(f"{height} x {width}" for height, width in shapes)
    raise DataError(
        f"{path}: its stream has {pixels} pixels, which is no map of the size of its images ({there}); "
        "the acquisition was interrupted, or the file is damaged"
    )


def _losses(group: Any, place: Any) -> SpectralMap:
    dataset, acquired, metadata = group["Data"], _json(group["AcquisitionMetadata"]), _json(group["Metadata"])
    scale, offset = (float(acquired["Data"][name]) for name in ("dispersion", "offset"))
    axis = {"name": "Energy loss", "scale": scale, "offset": offset, "units": "eV"}
    # stored as (x, energy, y)
    order = (1, 2, 0) if dataset.ndim == 3 else (1, 0, 0)
    columns, bands = (int(n) for n in dataset.shape[:2])
    rows = int(dataset.shape[2]) if dataset.ndim == 3 else 1
    signal = {
        "metadata": {"General": {"title": "EELS"}, "Signal": {"signal_type": "EELS"}},
        "original_metadata": metadata,
    }

    def expand(kept: int, downsample: int) -> NDArray[Any]:
        raise NotImplementedError("stays in the file")

    return SpectralMap(
        "EELS", (rows, columns, bands), dataset.dtype, [*_pixels(place), axis], signal,
        expand, dataset.name, order,
    )  # fmt: skip


def _dispersion(metadata: Any) -> tuple[float, float, str]:
    """Scale, offset and unit of the energies; channel numbers where the file has none."""
    name = nested(metadata, "BinaryResult").get("Detector")
    for detector in nested(metadata, "Detectors").values():
        if name and name in detector.get("DetectorName", "") and "Dispersion" in detector:
            return float(detector["Dispersion"]) / 1000, float(detector.get("OffsetEnergy", 0)) / 1000, "keV"
    return 1.0, 0.0, ""


def _pixels(place: Any) -> list[dict[str, Any]]:
    """Axes for y and x; the file has metres, which are told in the unit that people use."""
    size, unit = nested(place, "PixelSize"), str(place.get("PixelUnitX") or "")
    height, width = (float(size.get(name) or 0) for name in ("height", "width"))
    if unit == "m" and height > 0 and width > 0:
        factor, unit = (1e9, "nm") if width < 1e-7 else (1e6, "um")
        height, width = height * factor, width * factor
    return [{"name": "y", "scale": height, "units": unit}, {"name": "x", "scale": width, "units": unit}]


def _beam(metadata: Any) -> float:
    """Energy of the beam in keV; 0 where the file does not say."""
    return float(nested(metadata, "Optics").get("AccelerationVoltage") or 0) / 1000


def _json(column: Any) -> Any:
    """Metadata are text in the first column of an array of bytes."""
    text = bytes(np.asarray(column[:, 0], dtype=np.uint8)).rstrip(b"\0").decode("utf-8", "replace")
    return json.JSONDecoder().raw_decode(text)[0]
