"""The one registry of formats: who reads what, and how a path becomes a Cube.

A format is one module with one function decorated by :func:`reader`. No format knows another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cubeseg.cube import Cube
from cubeseg.errors import DataError

__all__ = ["Candidate", "ChoiceNeeded", "Format", "ReadOptions", "formats", "open_cube", "reader"]


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
    """The file does not say which dataset, or which of its axes, is meant; ``candidates`` lists them, best first."""

    def __init__(self, message: str, path: str, candidates: tuple[Candidate, ...]) -> None:
        super().__init__(message)
        self.path = path
        self.candidates = candidates


@dataclass(frozen=True)
class ReadOptions:
    """What the user says where the file does not: dataset name and index of the spectral axis as stored."""

    dataset: str | None = None
    spectral_axis: int | None = None


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    name : str
        Shown to users, e.g. ``"HDF5"``.
    suffixes : tuple of str
        Lower-case file name endings, for dialogs and as second evidence.
    sniff : callable (path, head) -> bool
        Whether the content (its first 4096 bytes) is of this format.
    read : callable (path, options) -> Cube
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path, ReadOptions], Cube]


_FORMATS: list[Format] = []


def reader(
    name: str, suffixes: tuple[str, ...], sniff: Callable[[Path, bytes], bool]
) -> Callable[[Callable[[Path, ReadOptions], Cube]], Callable[[Path, ReadOptions], Cube]]:
    """Register the decorated function as the reader of a format."""

    def register(read: Callable[[Path, ReadOptions], Cube]) -> Callable[[Path, ReadOptions], Cube]:
        _FORMATS.append(Format(name, suffixes, sniff, read))
        return read

    return register


def formats() -> tuple[Format, ...]:
    """All registered formats, in the order in which they are tried."""
    return tuple(_FORMATS)


def open_cube(path: str | Path, *, dataset: str | None = None, spectral_axis: int | None = None) -> Cube:
    """Open a datacube; its data stay in the file.

    Parameters
    ----------
    path : path-like
    dataset : str, optional
        Name of the dataset, variable or extension, for files that hold several.
    spectral_axis : int, optional
        Index of the spectral axis in the order in which the file (as NumPy sees it) stores it.

    Returns
    -------
    Cube

    Raises
    ------
    DataError
        One line: which file, what is wrong, what to do.
    ChoiceNeeded
        If the file holds several candidates and nothing says which is meant.
    """
    file = Path(path)
    head = _head(file)
    options = ReadOptions(dataset, spectral_axis)
    for known in _FORMATS:
        if known.sniff(file, head):
            break
    else:
        names = ", ".join(dict.fromkeys(known.name for known in _FORMATS))
        raise DataError(f"{file}: is of no format that cubeseg reads ({names})")
    try:
        return known.read(file, options)
    except DataError as error:
        if str(file) in str(error):
            raise
        raise DataError(f"{file}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{file}: does not fit into memory in this format; convert it to HDF5 or ENVI") from error
    except Exception as error:
        # whatever a parser throws at a broken file reaches the user as one line
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise DataError(
            f"{file}: cannot be read as {known.name}, it is damaged or truncated ({reason}); copy or export it again"
        ) from error


def _head(file: Path) -> bytes:
    """The first 4096 bytes of a file that can be a cube at all."""
    try:
        if not file.exists():
            raise DataError(f"{file}: there is no such file")
        if file.is_dir():
            raise DataError(f"{file}: is a folder; name a file in it")
        if not file.is_file():
            # reading a pipe would wait for ever
            raise DataError(f"{file}: is a device or a pipe; name a file on a disk")
        with file.open("rb") as opened:
            head = opened.read(4096)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    if not head:
        raise DataError(f"{file}: is empty (0 bytes)")
    if head.startswith(b"version https://git-lfs"):
        raise DataError(f"{file}: is a Git LFS pointer, not the data; fetch them with 'git lfs pull'")
    return head
