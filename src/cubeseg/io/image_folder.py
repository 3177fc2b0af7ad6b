"""A folder of single-band images: one file per wavelength, energy or element."""

from __future__ import annotations

import os
import warnings
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Source
from cubeseg.errors import DataError
from cubeseg.io.band_names import axis_of_names, natural, short_names, values_of_names
from cubeseg.io.layout import check_claim, check_memory
from cubeseg.io.lazy import AxisView
from cubeseg.io.registry import ReadOptions, reader
from cubeseg.io.tiff_segments import Segments, opened

__all__: list[str] = []

_KINDS = {".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}
# Pillow's modes of one band
_MODES = {"L": "u1", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "I;16N": "=u2", "I": "=i4", "F": "=f4"}
_FEWEST, _MOST = 3, 16384
_CACHE = 256 << 20
# files whose headers are read in a tenth of a second
_MANY = 200


@dataclass(frozen=True)
class _Image:
    """One file: its size and type, and where its pixels lie when they are stored as they are."""

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int | None = None


class _Stack:
    """Images as one array (bands, y, x); mapped, or decoded and kept, up to 256 MiB of them."""

    ndim = 3

    def __init__(self, images: Sequence[_Image]) -> None:
        self._images = images
        height, width = images[0].shape
        self.dtype = images[0].dtype
        self.shape = (len(images), height, width)
        mapped = all(image.offset is not None for image in images)
        self.chunks = (1, min(height, 64) if mapped else height, width)
        self._turn = RLock()
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def __getitem__(self, key: Any) -> NDArray[Any]:
        band, *rest = key
        if not isinstance(band, slice):
            return np.array(self._image(band)[tuple(rest)], self.dtype)
        return np.stack([self._image(n)[tuple(rest)] for n in range(*band.indices(self.shape[0]))])

    def _image(self, band: int) -> NDArray[Any]:
        image = self._images[band]
        if image.offset is not None:
            return np.memmap(image.path, image.dtype, "r", image.offset, image.shape)
        with self._turn:
            if band in self._kept:
                self._kept.move_to_end(band)
                return self._kept[band]
            decoded = _decoded(image)
            self._kept[band] = decoded
            while len(self._kept) > 1 and len(self._kept) * decoded.nbytes > _CACHE:
                self._kept.popitem(last=False)
            return decoded


def _is_folder_of_images(path: Path, head: bytes) -> bool:
    return any(len(names) >= _FEWEST for names in _by_kind(path).values())


def _by_kind(path: Path) -> dict[str, list[str]]:
    """Names of the image files in a folder, those of one format together."""
    found: dict[str, list[str]] = {}
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                kind = _KINDS.get(os.path.splitext(entry.name)[1].lower())
                if kind and not entry.name.startswith(".") and entry.is_file():
                    found.setdefault(kind, []).append(entry.name)
    except OSError:
        return {}
    return found


def _are_many(path: Path) -> bool:
    return any(len(names) > _MANY for names in _by_kind(path).values())


@reader("Folder of images", (), _is_folder_of_images, folders=True, generic=True, slow=_are_many)
def read_image_folder(path: Path, options: ReadOptions) -> Cube:
    """One image per band, in the order of the values in their names, else of the names."""
    kinds = {kind: names for kind, names in _by_kind(path).items() if len(names) >= _FEWEST}
    if len(kinds) > 1:
        there = " and ".join(f"{len(names)} {kind}" for kind, names in sorted(kinds.items()))
        raise DataError(f"{path}: holds {there} images; leave the bands alone in the folder")
    names = sorted(next(iter(kinds.values())), key=natural)
    if len(names) > _MOST:
        raise DataError(f"{path}: holds {len(names)} images, more than the {_MOST} bands a cube may have here")
    stems = [os.path.splitext(name)[0] for name in names]
    measured = values_of_names(stems)
    if measured is not None:
        order = np.argsort(measured[0], kind="stable")
        names, stems = [names[n] for n in order], [stems[n] for n in order]
    images = [_examined(path / name) for name in names]
    _check_alike(path, images)
    _decoded(images[0])
    axis, notes = axis_of_names(stems if measured is not None else short_names(stems), len(names))
    return Cube(
        AxisView(_Stack(images), (0, 1, 2), name=str(path)),
        axis if len(axis) == len(names) else SpectralAxis.channels(len(names)),
        source=Source(str(path), "Folder of images", "", 0),
        metadata={"files": names} | notes,
    )


def _check_alike(path: Path, images: Sequence[_Image]) -> None:
    usual = Counter((image.shape, image.dtype.str) for image in images).most_common(1)[0][0]
    for image in images:
        if (image.shape, image.dtype.str) != usual:
            (height, width), dtype = usual
            raise DataError(
                f"{path}: its images are {height} x {width} {np.dtype(dtype)}, but {image.path.name} is "
                f"{image.shape[0]} x {image.shape[1]} {image.dtype}; leave the bands alone in the folder"
            )


def _examined(path: Path) -> _Image:
    """What the header of an image says."""
    if _KINDS[path.suffix.lower()] == "TIFF":
        return _examined_tiff(path)
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns about pictures of 90 million pixels; the claim is checked below
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=["PNG", "JPEG", "BMP"]) as image:
                mode, (width, height) = image.mode, image.size
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            raise DataError(f"{path}: cannot be read as an image ({reason})") from error
    if mode not in _MODES:
        raise DataError(f"{path}: is no image of one band (its mode is {mode}), as each file of the folder should be")
    return _checked(_Image(path, (height, width), np.dtype(_MODES[mode])))


def _examined_tiff(path: Path) -> _Image:
    try:
        with opened(path) as file:
            page = file.pages[0]
            if page.dtype is None or int(np.prod(page.shaped)) != page.imagelength * page.imagewidth:
                raise DataError(f"{path}: is no image of one band, as each file of the folder should be")
            if len(file.pages) > 1:
                raise DataError(
                    f"{path}: holds {len(file.pages)} pages; open it itself, or leave one page in each file"
                )
            dtype = np.dtype(page.dtype)
            shape = (int(page.imagelength), int(page.imagewidth))
            offset = int(page.dataoffsets[0]) if page.is_final else None
            return _checked(_Image(path, shape, dtype.newbyteorder(file.byteorder), offset))
    except DataError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise DataError(f"{path}: cannot be read as TIFF, it is damaged ({reason})") from error


def _checked(image: _Image) -> _Image:
    size, there = image.shape[0] * image.shape[1] * image.dtype.itemsize, image.path.stat().st_size
    if (image.offset is not None and image.offset + size > there) or size > 2000 * max(there, 1 << 16):
        raise DataError(
            f"{image.path}: claims {size} bytes of pixels, but the file holds {there}; it is truncated or damaged"
        )
    check_claim(str(image.path), there, size)
    check_memory(str(image.path), size)
    return image


def _decoded(image: _Image) -> NDArray[Any]:
    """All pixels of an image."""
    if _KINDS[image.path.suffix.lower()] == "TIFF":
        try:
            with opened(image.path) as file:
                segments = Segments(str(image.path), [file.pages[0]])
                return segments[0, 0, 0, :, :, 0].astype(image.dtype, copy=False)
        except DataError as error:
            # Pillow brings some compressions that tifffile alone has not, LZW above all
            if "imagecodecs" not in str(error):
                raise
            missing = error
    else:
        missing = None
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(image.path, formats=["TIFF", "PNG", "JPEG", "BMP"]) as opened_image:
                pixels = np.asarray(opened_image)
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            raise missing or DataError(f"{image.path}: cannot be read, it is damaged ({reason})") from error
    if pixels.shape != image.shape or (missing and pixels.dtype.itemsize != image.dtype.itemsize):
        raise missing or DataError(f"{image.path}: is no longer the image that it was")
    return pixels.astype(image.dtype, copy=False)
