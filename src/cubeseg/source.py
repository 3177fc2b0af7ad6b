"""Where a cube came from, and where its pixels lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Source", "Spatial"]

# unit of the pixel size, what people read sizes in, how many of these make one
_READ = {"um": ("mm", 1e-3), "µm": ("mm", 1e-3), "micrometer": ("mm", 1e-3), "deg": ("arcsec", 3600.0)}


@dataclass(frozen=True)
class Spatial:
    """Where the pixels lie.

    Parameters
    ----------
    pixel_size : (float, float)
        Height and width of a pixel in `unit`.
    unit : str
        ``"um"``, ``"mm"``, ``"arcsec"``... or ``"pixel"`` where the file does not say.
    wcs : str
        FITS header text of the celestial WCS (two axes); empty where there is none.
    """

    pixel_size: tuple[float, float] = (1.0, 1.0)
    unit: str = "pixel"
    wcs: str = ""

    def area_text(self, area: float) -> str:
        """An area in squares of `unit` for people, ``"354 mm²"``; empty where the file does not say."""
        if not self.unit or self.unit == "pixel":
            return ""
        name, factor = _READ.get(self.unit, (self.unit, 1.0))
        return f"{_short(area * factor**2)} {name}²"

    def size_text(self, shape: tuple[int, int]) -> str:
        """Width and height of an image of that shape (y, x) for people, ``"48 × 36 mm"``; empty likewise."""
        if not self.unit or self.unit == "pixel":
            return ""
        name, factor = _READ.get(self.unit, (self.unit, 1.0))
        height, width = (n * size * factor for n, size in zip(shape, self.pixel_size, strict=True))
        return f"{_short(width)} × {_short(height)} {name}"


@dataclass(frozen=True)
class Source:
    """Where a cube came from; enough to open it again in the same way.

    `dataset`, `spectral_axis`, `axis` and `settings` are what :func:`cubeseg.open_cube` was told or found.
    """

    path: str = ""
    format: str = "array"
    dataset: str = ""
    spectral_axis: int | None = None
    axis: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Source:
        """From what JSON has made of one."""
        settings = tuple((str(name), str(value)) for name, value in record.get("settings", ()))
        return cls(**{**record, "settings": settings})

    def same_data(self, other: Source) -> bool:
        """Whether both give the same values, whatever the calibration of the axis."""
        return replace(self, axis="") == replace(other, axis="")

    @property
    def name(self) -> str:
        """Short name for layers and titles."""
        return Path(self.path).stem if self.path else "cube"

    def fingerprint(self) -> str:
        """SHA-256 over the file's size and 64 evenly spaced parts of 64 KiB each.

        Returns
        -------
        str
            Hexadecimal digest; empty where the cube has no file, or none that can be read.
        """
        path = Path(self.path)
        if not self.path or not path.is_file():
            return ""
        try:
            size, part = path.stat().st_size, 65536
            digest = hashlib.sha256(str(size).encode())
            with path.open("rb") as file:
                for offset in np.linspace(0, max(size - part, 0), 64).astype(int):
                    file.seek(int(offset))
                    digest.update(file.read(part))
        except OSError:
            return ""
        return digest.hexdigest()


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
