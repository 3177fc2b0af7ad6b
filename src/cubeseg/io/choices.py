"""What a file leaves open, and what the user says to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cubeseg.errors import DataError

__all__ = ["Candidate", "ChoiceNeeded", "ReadOptions", "Setting"]


@dataclass(frozen=True)
class Candidate:
    """One dataset of a file that could be the cube.

    Its name inside the file, shape, dtype as text, and the axis (of the stored order) that is most probably
    spectral, None where nothing tells.
    """

    dataset: str
    shape: tuple[int, ...]
    dtype: str
    spectral_axis: int | None = None


class ChoiceNeeded(DataError):
    """The user must say something before the file can be opened.

    Parameters
    ----------
    message : str
    path : str
    candidates : tuple of Candidate
        Which dataset, and which of its axes, is meant; best first.
    settings : tuple of Setting
        What else there is to say, with a default for this file: how to thin a cube that would fill the memory, for one.
    """

    def __init__(
        self, message: str, path: str, candidates: tuple[Candidate, ...], settings: tuple[Setting, ...] = ()
    ) -> None:
        super().__init__(message)
        self.path = path
        self.candidates = candidates
        self.settings = settings


@dataclass(frozen=True)
class Setting:
    """Something that the reader of a format lets people choose.

    `text` asks for it in the users' words; `values` are the answers with what to call them, none for free text;
    `default` holds where nothing is said.
    """

    name: str
    text: str
    values: tuple[tuple[str, str], ...] = ()
    default: str = ""


@dataclass(frozen=True)
class ReadOptions:
    """What the user says where the file does not.

    Parameters
    ----------
    dataset : str, optional
    spectral_axis : int, optional
        Index as stored.
    axis : str
        Another calibration of the spectral axis, see :mod:`cubeseg.spectroscopy.calibration`.
    settings : mapping of str to str
        Of the format, see :class:`Setting`; only those that were said.
    ask : bool
        List what there is to choose from, also where the file decides.
    """

    dataset: str | None = None
    spectral_axis: int | None = None
    axis: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    ask: bool = False
