"""An image of the whole that a file holds beside its cube: shown at once, while the sum would need a pass over it."""

from __future__ import annotations

import re

__all__ = ["is_white"]

# what instruments and programs call it; MaNGA's RIMG is the cube seen through the r filter
_WHITE = re.compile(
    r"white(?!_?ref)|collaps|image_fov|^rimg$|^sum(med)?[ _]?(image|map)?$"
    r"|total[ _]?(counts|image|map|intensity)|panchrom",
    re.IGNORECASE,
)


def is_white(name: str) -> bool:
    """Whether a two-dimensional image of that name shows the sum over the bands.

    Parameters
    ----------
    name : str
        Of the extension or dataset, without its path.
    """
    return _WHITE.search(name.strip()) is not None
