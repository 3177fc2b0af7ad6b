"""The outlines of classes along the edges of their pixels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Spatial
from cubeseg.errors import ConfigError

__all__ = ["Coordinates", "Polygon", "coordinates_of", "outlines", "placed"]

Float64 = NDArray[np.float64]
Coordinates = Literal["auto", "pixel", "physical", "sky"]
Polygon = list[Float64]
"""Outer ring and holes, each (n, 2) as x and y, closed: the last point is the first one."""

# x and y of the way along the top, right, bottom and left edge of a pixel, which lies to the right of the way
_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])


def outlines(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Polygons around the connected pixels (by edges, not by corners) of a mask.

    Parameters
    ----------
    mask : array of bool, shape (y, x)

    Returns
    -------
    list of list of array, shape (n, 2)
        One polygon per region: the outer ring, then its holes; x and y, where the centre of the first pixel is (0, 0)
        and its corner (-0.5, -0.5). With y pointing down, outer rings run clockwise and holes the other way.
    """
    from scipy import ndimage

    regions, count = ndimage.label(mask)
    if not count:
        return []
    starts, ends, owners = _edges(regions)
    following = _following(starts, ends, owners, mask.shape[1] + 1)
    polygons: list[Polygon] = [[] for _ in range(count)]
    for ring in _rings(following):
        y, x = np.divmod(starts[ring], mask.shape[1] + 1)
        points = np.stack([x, y], axis=1).astype(np.float64)
        corners = (np.roll(points, 1, axis=0) + np.roll(points, -1, axis=0) != 2 * points).any(axis=1)
        closed = np.concatenate([points[corners], points[corners][:1]]) - 0.5
        mine = polygons[owners[ring[0]] - 1]
        # y points down: a positive area is clockwise to the eye
        area = closed[:-1, 0] @ closed[1:, 1] - closed[1:, 0] @ closed[:-1, 1]
        mine.insert(0, closed) if area > 0 else mine.append(closed)
    return polygons


def coordinates_of(spatial: Spatial, wanted: Coordinates) -> Literal["pixel", "physical", "sky"]:
    """The coordinates that are written: "auto" is the best there is.

    Raises
    ------
    ConfigError
        If the image has none of those wanted.
    """
    if wanted == "sky" and not spatial.wcs:
        raise ConfigError("sky coordinates are wanted, but the cube has no position on the sky; take pixel or physical")
    if wanted == "physical" and spatial.unit == "pixel":
        raise ConfigError("physical coordinates are wanted, but the size of a pixel is not known; take pixel")
    if wanted != "auto":
        return wanted
    return "sky" if spatial.wcs else "pixel" if spatial.unit == "pixel" else "physical"


def placed(points: Float64, spatial: Spatial, coordinates: Literal["pixel", "physical", "sky"]) -> Float64:
    """Points (n, 2), x and y in pixels, in other coordinates: the unit of the image, or degrees on the sky."""
    if coordinates == "pixel":
        return points
    if coordinates == "physical":
        return np.asarray(points * np.array(spatial.pixel_size[::-1]))
    from astropy.io import fits
    from astropy.wcs import WCS

    world = WCS(fits.Header.fromstring(spatial.wcs)).celestial
    return np.asarray(world.all_pix2world(points, 0), np.float64)


def _edges(regions: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
    """Edges of the regions: the vertices where they start and end, numbered row by row, and whose they are."""
    around = np.pad(regions, 1)
    inside = around[1:-1, 1:-1]
    width = regions.shape[1] + 1
    # the corner of each pixel where an edge starts: top left, top right, bottom right, bottom left
    corners = ((0, 0), (0, 1), (1, 1), (1, 0))
    beside = (around[:-2, 1:-1], around[1:-1, 2:], around[2:, 1:-1], around[1:-1, :-2])
    starts, ends, owners = [], [], []
    for side, (other, (down, right)) in enumerate(zip(beside, corners, strict=True)):
        y, x = np.nonzero((inside > 0) & (other != inside))
        begin = (y + down) * width + x + right
        starts.append(begin)
        ends.append(begin + _STEPS[side] @ (1, width))
        owners.append(inside[y, x])
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(owners)


def _following(
    starts: NDArray[np.intp], ends: NDArray[np.intp], owners: NDArray[np.int32], width: int
) -> NDArray[np.intp]:
    """The edge that follows each one on its ring; where a region meets itself at a corner, the left turn."""
    turn = {1: 0, width: 1, -1: 2, -width: 3}
    heading = np.vectorize(turn.__getitem__, otypes=[np.intp])(ends - starts) if len(starts) else starts
    order = np.lexsort((heading, starts, owners))
    size = int(starts.max()) + 2
    keys = owners[order].astype(np.int64) * size + starts[order]
    wanted = owners.astype(np.int64) * size + ends
    first = np.searchsorted(keys, wanted, "left")
    two = np.searchsorted(keys, wanted, "right") - first == 2
    following = order[first]
    other = order[np.minimum(first + 1, len(order) - 1)]
    # what lies on both sides of such a corner is parted by the region itself, so the hole gets a ring of its own,
    # which touches the outer one there; the other turn would give one ring that touches itself
    left = (heading - 1) % 4
    return np.where(two & (heading[other] == left), other, following)


def _rings(following: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The cycles of a permutation."""
    rings = []
    after, seen = following.tolist(), bytearray(len(following))
    for start in range(len(after)):
        if seen[start]:
            continue
        ring, at = [], start
        while not seen[at]:
            seen[at] = 1
            ring.append(at)
            at = after[at]
        rings.append(np.array(ring, np.intp))
    return rings
