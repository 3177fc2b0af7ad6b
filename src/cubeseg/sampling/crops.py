"""Squares cut out of a window, turned and mirrored, that know where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Crop", "common", "two_crops"]

Place = tuple[slice, slice]


@dataclass(frozen=True)
class Crop:
    """A square of a window, seen under one of the eight symmetries of the square.

    These move pixels without mixing them, so what two crops share is known exactly, spectrum by spectrum.

    Parameters
    ----------
    top, left, side : int
        Within the window.
    turn : int
        0..3 quarter turns; 4 more = mirrored before.
    """

    top: int
    left: int
    side: int
    turn: int

    @property
    def place(self) -> Place:
        """Rows and columns of the window."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)

    def of(self, window: Any) -> Any:
        """The crop of an array (height, width, ...)."""
        part = window[self.place]
        return np.rot90(part[:, ::-1] if self.turn > 3 else part, self.turn % 4)

    def upright(self, maps: Any) -> Any:
        """Maps of the crop (..., side, side), a tensor, back in the window's orientation."""
        maps = maps.rot90(-(self.turn % 4), (-2, -1))
        return maps.flip(-1) if self.turn > 3 else maps


def common(first: Crop, second: Crop) -> tuple[Place, Place]:
    """Where two crops of a window show the same pixels: rows and columns of each, both upright."""

    def spans(a: int, b: int) -> tuple[slice, slice]:
        start, stop = max(a, b), min(a + first.side, b + second.side)
        return slice(start - a, stop - a), slice(start - b, stop - b)

    down, across = spans(first.top, second.top), spans(first.left, second.left)
    return (down[0], across[0]), (down[1], across[1])


def two_crops(window: int, side: int, rng: np.random.Generator) -> tuple[Crop, Crop]:
    """Two random crops of a window; those at its opposite corners share ``2 side - window`` pixels a side."""
    places = rng.integers(0, window - side + 1, (2, 2))
    turns = rng.integers(0, 8, 2)
    first, second = (Crop(int(y), int(x), side, int(t)) for (y, x), t in zip(places, turns, strict=True))
    return first, second
