"""What a format of export is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cubeseg.cube import Cube
from cubeseg.segmentation import Segmentation

__all__ = ["Format", "Writer"]

Writer = Callable[[Segmentation, Path, Cube | None], None]


@dataclass(frozen=True)
class Format:
    """One way to write a segmentation.

    Attributes
    ----------
    name : str
        For ``cubeseg export --format``.
    title, tip : str
        For people.
    file : str
        Name of the file, with ``{stem}`` for the cube's name.
    write : callable
        Writes the segmentation to a path, whole or not at all; gets the cube too where it is at hand.
    size : callable
        About how many bytes that will be.
    usual : bool
        Whether it is chosen unless people choose otherwise.
    cube : bool
        Whether it cannot do without the cube.
    unmixed : bool
        Whether it is for results of unmixing only.
    """

    name: str
    title: str
    tip: str
    file: str
    write: Writer
    size: Callable[[Segmentation], int]
    usual: bool = False
    cube: bool = False
    unmixed: bool = False
