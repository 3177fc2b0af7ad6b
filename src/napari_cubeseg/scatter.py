"""The codes of all pixels as a scatter: positions, what is drawn, what a lasso encloses. No Qt."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cubeseg.segmentation import Segmentation

__all__ = ["Scatter"]

Float32 = NDArray[np.float32]

_DRAWN = 8000
_GRID = 1024


class Scatter:
    """The codes of a segmentation seen along two directions.

    Parameters
    ----------
    result : Segmentation
    """

    def __init__(self, result: Segmentation) -> None:
        flat = result.latent.reshape(-1, result.latent.shape[-1])
        self.shape = result.labels.shape
        self.pixels = np.flatnonzero(np.isfinite(flat[:, 0]))
        self._codes = flat
        rng = np.random.default_rng(0)
        n = len(self.pixels)
        self._few = np.sort(rng.choice(n, min(n, _DRAWN), replace=False)) if n else np.zeros(0, np.intp)
        some = flat[self.pixels[self._few]].astype(np.float64)
        self._mean = some.mean(axis=0) if n else np.zeros(flat.shape[1])
        self._components = np.linalg.svd(some - self._mean, full_matrices=False)[2] if n > 1 else np.eye(flat.shape[1])
        self.positions = np.zeros((n, 2), np.float32)
        self.look_along(*self.directions[:2])

    def copy(self) -> Scatter:
        """The same pixels, which may be looked at along other directions."""
        made = copy.copy(self)
        made.positions = np.zeros_like(self.positions)
        return made

    @property
    def directions(self) -> list[str]:
        """What can be looked along: the principal components of the codes, then the codes themselves."""
        d = self._codes.shape[1]
        return [f"PC {i + 1}" for i in range(min(d, len(self._components)))] + [f"code {i + 1}" for i in range(d)]

    def look_along(self, horizontal: str, vertical: str) -> None:
        """Choose two of :attr:`directions`; :attr:`positions` (n, 2) follow, in the order of :attr:`pixels`."""
        for column, name in enumerate((horizontal, vertical)):
            kind, number = name.split()
            along = self._components[int(number) - 1] if kind == "PC" else None
            for start in range(0, len(self.pixels), 1 << 18):
                part = slice(start, start + (1 << 18))
                codes = self._codes[self.pixels[part]].astype(np.float32)
                self.positions[part, column] = (
                    codes[:, int(number) - 1] if along is None else (codes - self._mean) @ along
                )

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top of all but the outermost points."""
        if not len(self.positions):
            return 0.0, 1.0, 0.0, 1.0
        low, high = np.percentile(self.positions[self._few], (0.2, 99.8), axis=0)
        margin = 0.06 * np.maximum(high - low, 1e-6)
        left, bottom = (float(v) for v in low - margin)
        right, top = (float(v) for v in high + margin)
        return left, right, bottom, top

    def sample(self, labels: NDArray[np.int32]) -> tuple[Float32, NDArray[np.int32]]:
        """Positions (m, 2) and labels (m,) of the few points that are drawn one by one."""
        return self.positions[self._few], labels.ravel()[self.pixels[self._few]]

    def density(
        self,
        labels: NDArray[np.int32],
        colours: dict[int, tuple[int, int, int]],
        bounds: tuple[float, float, float, float],
        size: int = 320,
    ) -> NDArray[np.uint8]:
        """A picture (size, size, 4) of all points, rows from bottom to top: mean colours, opaque where points are many.

        Parameters
        ----------
        labels : array of int32, shape (y, x)
        colours : dict
            Red, green, blue of every label that is to be seen.
        bounds : (float, float, float, float)
            Left, right, bottom, top.
        size : int
        """
        left, right, bottom, top = bounds
        column = ((self.positions[:, 0] - left) * (size / max(right - left, 1e-12))).astype(np.int32)
        row = ((self.positions[:, 1] - bottom) * (size / max(top - bottom, 1e-12))).astype(np.int32)
        mine = labels.ravel()[self.pixels]
        table = np.zeros((int(mine.max(initial=0)) + 1, 3), np.float32)
        seen = np.zeros(len(table), bool)
        for label, colour in colours.items():
            if label < len(table):
                table[label], seen[label] = colour, True
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size) & seen[mine]
        cell, mine = row[inside] * size + column[inside], mine[inside]
        count = np.bincount(cell, minlength=size * size)
        made = np.zeros((size * size, 4), np.uint8)
        for channel in range(3):
            total = np.bincount(cell, table[mine, channel], minlength=size * size)
            made[:, channel] = total / np.maximum(count, 1)
        top_count = np.percentile(count[count > 0], 95) if count.any() else 1
        made[:, 3] = np.where(count > 0, 90 + 165 * np.minimum(np.log1p(count) / np.log1p(top_count), 1), 0)
        return made.reshape(size, size, 4)

    def inside(self, polygon: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
        """Which pixels of the image (y, x) have their code inside a polygon of (horizontal, vertical) corners."""
        from skimage.draw import polygon2mask

        found = np.zeros(self.shape, bool)
        corners = np.asarray(polygon, dtype=np.float64)
        if len(corners) < 3 or not len(self.positions):
            return found
        low, high = corners.min(axis=0), corners.max(axis=0)
        near = ((self.positions >= low) & (self.positions <= high)).all(axis=1)
        scale = (_GRID - 1) / np.maximum(high - low, 1e-12)
        mask = polygon2mask((_GRID, _GRID), (corners - low) * scale)
        place = np.rint((self.positions[near] - low) * scale).astype(np.intp)
        found.flat[self.pixels[near][mask[place[:, 0], place[:, 1]]]] = True
        return found

    def place(self, row: int, column: int) -> tuple[float, float] | None:
        """Where a pixel's code is; None for a pixel without one."""
        at = int(np.searchsorted(self.pixels, row * self.shape[1] + column))
        if at >= len(self.pixels) or self.pixels[at] != row * self.shape[1] + column:
            return None
        x, y = self.positions[at]
        return float(x), float(y)
