"""ESRF data format (EDF): frames that are rows of spectra or images of bands, in one file or in a series of files."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Source
from cubeseg.errors import DataError
from cubeseg.io.layout import check_size, choose, spatial_order
from cubeseg.io.lazy import AxisView
from cubeseg.io.registry import ReadOptions, reader

__all__: list[str] = []

# bytes of frames, and files, whose headers are read in a tenth of a second
_LARGE, _MANY = 64 << 20, 300
# mapping detectors number their files by row: painting_xia00_0001_0000_0042.edf
_NUMBERED = re.compile(r"(.*?)(\d+)(\.edf)", re.I | re.S)


@dataclass(frozen=True)
class _Frame:
    """Where a frame lies."""

    path: Path
    start: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        values: NDArray[Any] = np.memmap(self.path, self.dtype, "r", self.start, self.shape)[key]
        return values


class _Stack:
    """Frames as one array (frame, row of frame, column of frame), opened when they are read."""

    def __init__(self, frames: list[_Frame]) -> None:
        self._frames = frames
        self.shape = (len(frames), *frames[0].shape)
        self.dtype = frames[0].dtype.newbyteorder("=")

    def __getitem__(self, key: tuple[Any, Any, Any]) -> Any:
        first, *rest = key
        if not isinstance(first, slice):
            return self._frames[first][tuple(rest)].astype(self.dtype)
        chosen = [frame[tuple(rest)] for frame in self._frames[first]]
        return np.stack(chosen).astype(self.dtype, copy=False) if chosen else np.empty(self.shape, self.dtype)[key]


def _is_edf(path: Path, head: bytes) -> bool:
    return head.lstrip()[:1] == b"{" and b"ByteOrder" in head and b"Dim_1" in head


def _are_many(path: Path) -> bool:
    """A file with many frames, or one of many files."""
    return path.stat().st_size > _LARGE or len(_series(path)) > _MANY


@reader("EDF", (".edf",), _is_edf, slow=_are_many)
def read_edf(path: Path, options: ReadOptions) -> Cube:
    """All frames of the file; of a file with one, those of all files that are numbered like it."""
    if importlib.util.find_spec("fabio") is None:
        raise DataError(f"{path}: reading it takes an optional package; install napari-cubeseg[instruments]")
    frames, header = _frames(path)
    files = [path]
    if len(frames) == 1:
        files = _series(path)
        frames = [frame for file in files for frame in (frames if file == path else _frames(file)[0])]
    _check_alike(path, frames)
    spectra = any(key in header for key in ("MCA a", "MCA b", "McaCalib", "MCA start ch")) or "_xia" in path.name
    stack = _Stack(frames)
    if len(frames) == 1 and not spectra:
        raise DataError(f"{path}: holds a single image, and there are no other files numbered like it; open the cube")
    said = ReadOptions(None, options.spectral_axis)
    found = choose(str(path), [("frames", stack.shape, stack.dtype)], [], said, {"frames": 2} if spectra else {})
    assert found.spectral_axis is not None
    data = AxisView(stack, spatial_order(found.spectral_axis), name=str(path))
    notes: dict[str, Any] = dict(header)
    if len(files) > 1:
        notes["files"] = f"{files[0].name} to {files[-1].name}"
        numbers = [int(_numbered(file)[1]) for file in files]
        if missing := sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)):
            notes["rows_missing"] = missing[:100]
    axis = _energies(header, data.shape[0]) if spectra and found.spectral_axis == 2 else None
    source = Source(str(path), "EDF", "", found.spectral_axis)
    return Cube(data, axis or SpectralAxis.channels(data.shape[0]), source=source, metadata=notes)


def _frames(path: Path) -> tuple[list[_Frame], dict[str, str]]:
    """The frames of a file, and the header of the first."""
    image = importlib.import_module("fabio.edfimage").EdfImage().read(str(path))
    size, frames = path.stat().st_size, []
    header = {str(key): str(value) for key, value in image.header.items()}
    for number in range(image.nframes):
        frame = image.get_frame(number)
        lower = {str(key).lower(): str(value) for key, value in frame.header.items()}
        if not lower.get("compression", "none").lower().startswith("none") or frame.start is None:
            raise DataError(f"{path}: its frames are compressed; save them without compression")
        if len(frame.shape) != 2 or np.dtype(frame.dtype).kind not in "uif":
            raise DataError(f"{path}: frame {number} is no image of real numbers (its shape is {frame.shape})")
        order = ">" if lower.get("byteorder", "").lower().startswith("high") else "<"
        shape = (int(frame.shape[0]), int(frame.shape[1]))
        dtype = np.dtype(frame.dtype).newbyteorder(order)
        check_size(str(path), size, int(frame.start) + shape[0] * shape[1] * dtype.itemsize)
        frames.append(_Frame(path, int(frame.start), shape, dtype))
    if not frames:
        raise DataError(f"{path}: holds no frame")
    return frames, header


def _numbered(path: Path) -> tuple[str, str]:
    """What stands before the last number of the name, and the number; both empty where there is none."""
    match = _NUMBERED.fullmatch(path.name)
    return (match[1], match[2]) if match else ("", "")


def _series(path: Path) -> list[Path]:
    """The files whose names differ from this one only by the last number, in its order."""
    before, number = _numbered(path)
    if not number:
        return [path]
    alike = [
        file
        for file in path.parent.iterdir()
        if _numbered(file)[0] == before and len(_numbered(file)[1]) == len(number) and file.is_file()
    ]
    return sorted(alike, key=lambda file: int(_numbered(file)[1]))


def _check_alike(path: Path, frames: list[_Frame]) -> None:
    for number, frame in enumerate(frames):
        if (frame.shape, frame.dtype) != (frames[0].shape, frames[0].dtype):
            raise DataError(
                f"{path}: frame {number} ({frame.path.name}) is {frame.shape[0]} x {frame.shape[1]} of {frame.dtype}, "
                f"the first {frames[0].shape[0]} x {frames[0].shape[1]} of {frames[0].dtype}; the frames make no cube"
            )


def _energies(header: Mapping[str, str], n_bands: int) -> SpectralAxis | None:
    """PyMca's calibration in keV, a + b channel + c channel^2; None where there is none."""
    given = re.findall(r"[-+.\deE]+", header.get("McaCalib", "")) or [header.get(f"MCA {n}", "0") for n in "abc"]
    try:
        a, b, c = (float(text) for text in [*given, "0", "0", "0"][:3])
        channels = np.arange(n_bands) + float(header.get("MCA start ch", 0))
        return SpectralAxis.from_values(a + b * channels + c * channels**2, "keV") if b != 0 or c != 0 else None
    except (ValueError, OverflowError, DataError):
        return None
