"""The one registry of formats: who reads what, and how a path becomes a Cube.

A format is one module with one function decorated by :func:`reader`. No format knows another. Other packages add theirs
by an entry point of the group ``cubeseg.readers`` that names such a module.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from cubeseg.cube import Cube, Source
from cubeseg.errors import ConfigError, DataError
from cubeseg.io.choices import Candidate, ChoiceNeeded, ReadOptions, Setting
from cubeseg.io.remembered import keep, recall
from cubeseg.spectroscopy.calibration import inside, recalibrated

__all__ = [
    "Candidate",
    "ChoiceNeeded",
    "Format",
    "ReadOptions",
    "Setting",
    "format_of",
    "formats",
    "open_cube",
    "questions",
    "reader",
    "remember",
    "reopen",
    "takes_long",
    "unpacks_quickly",
]

# bytes that are unpacked in a tenth of a second
_QUICK = 8 << 20


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
    settings : tuple of Setting
        What people can choose about reading such files.
    folders : bool
        Such a cube is a folder; its sniff is given folders only, with an empty head.
    generic : bool
        Takes files of many layouts, and is asked after those that know theirs.
    slow : callable (path) -> bool
        Whether opening a file of this format takes long, see :func:`takes_long`.
    refuses : bool
        Such files are recognised only to say what else to open.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path, ReadOptions], Cube]
    settings: tuple[Setting, ...] = ()
    folders: bool = False
    generic: bool = False
    slow: Callable[[Path], bool] = lambda path: False
    refuses: bool = False


_FORMATS: list[Format] = []


def reader(
    name: str,
    suffixes: tuple[str, ...],
    sniff: Callable[[Path, bytes], bool],
    settings: tuple[Setting, ...] = (),
    folders: bool = False,
    generic: bool = False,
    slow: Callable[[Path], bool] = lambda path: False,
    refuses: bool = False,
) -> Callable[[Callable[[Path, ReadOptions], Cube]], Callable[[Path, ReadOptions], Cube]]:
    """Register the decorated function as the reader of a format."""

    def register(read: Callable[[Path, ReadOptions], Cube]) -> Callable[[Path, ReadOptions], Cube]:
        _FORMATS.append(Format(name, suffixes, sniff, read, settings, folders, generic, slow, refuses))
        return read

    return register


def formats() -> tuple[Format, ...]:
    """All registered formats, in the order in which they are tried; those of other packages last."""
    _load_plugins()
    return tuple(sorted(_FORMATS, key=lambda known: known.generic))


@cache
def _load_plugins() -> None:
    for entry in entry_points(group="cubeseg.readers"):
        try:
            entry.load()
        except Exception as error:
            # one broken package must not keep every file closed
            warnings.warn(f"the reader '{entry.name}' ({entry.value}) cannot be loaded: {error}", stacklevel=2)


def open_cube(
    path: str | Path, *, dataset: str | None = None, spectral_axis: int | None = None, axis: str = "", **settings: str
) -> Cube:
    """Open a datacube; its data stay in the file.

    Parameters
    ----------
    path : path-like
        A file; or a folder, for formats that are one (Zarr, single-band images).
    dataset : str, optional
        Name of the dataset, variable or extension, for files that hold several.
    spectral_axis : int, optional
        Index of the spectral axis in the order in which the file (as NumPy sees it) stores it.
    axis : str, optional
        Another calibration of the spectral axis, e.g. ``"-0.96,0.01 keV"``; see
        :mod:`cubeseg.spectroscopy.calibration`.
    **settings : str
        Of the format, e.g. ``downsample="2"``; see ``Format.settings``.

    Returns
    -------
    Cube

    Raises
    ------
    DataError
        One line: which file, what is wrong, what to do.
    ChoiceNeeded
        If the file holds several candidates and nothing says which is meant.
    ConfigError
        For a setting that the format does not have.
    """
    file = Path(path)
    head = _head(file)
    options = ReadOptions(dataset, spectral_axis, axis.strip(), settings)
    known = _format_of(file, head)
    _check_settings(file, known, settings)
    try:
        cube = _read(file, known, options)
    except ChoiceNeeded as question:
        answer = recall(_signature(known, question)) if options == ReadOptions(axis=options.axis) else None
        if answer is None:
            raise
        options = ReadOptions(axis=options.axis or answer.pop("axis", ""), **answer)
        cube = _read(file, known, options)
    if inside(options.axis) and "axis_from" not in cube.metadata:
        raise DataError(f"{file}: files of this format hold no vectors that an axis could be taken from")
    if options.axis:
        cube = replace(cube, axis=recalibrated(cube.axis, options.axis, file))
    said = tuple(sorted(options.settings.items()))
    return replace(cube, source=replace(cube.source, axis=options.axis, settings=said))


def reopen(source: Source) -> Cube:
    """Open a cube again as it was opened before.

    Raises
    ------
    DataError
        If the file is gone or no longer what it was.
    """
    return open_cube(
        source.path, dataset=source.dataset or None, spectral_axis=source.spectral_axis, axis=source.axis,
        **dict(source.settings),
    )  # fmt: skip


def questions(path: str | Path) -> ChoiceNeeded:
    """What there is to say about a file, although it can be opened without.

    Returns
    -------
    ChoiceNeeded
        Not raised; without candidates where the format has one cube per file, without settings where it has none.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    file = Path(path)
    known = _format_of(file, _head(file))
    text, candidates = f"How is {file.name} to be read?", ()
    try:
        _read(file, known, ReadOptions(ask=True))
    except ChoiceNeeded as question:
        return ChoiceNeeded(text, str(file), question.candidates, question.settings or known.settings)
    return ChoiceNeeded(text, str(file), candidates, known.settings)


def remember(question: ChoiceNeeded, **said: Any) -> None:
    """Let files of the same layout (names and numbers of axes of their datasets) open without asking from now on.

    Parameters
    ----------
    question : ChoiceNeeded
        What was asked.
    **said
        The answer, as for :func:`open_cube`: ``dataset``, ``spectral_axis``, ``axis``; settings are not kept.
    """
    keep(_signature(_format_of(Path(question.path), _head(Path(question.path))), question), said)


def _signature(known: Format, question: ChoiceNeeded) -> str:
    return "; ".join([known.name, *sorted(f"{c.dataset} {len(c.shape)}" for c in question.candidates)])


def format_of(path: str | Path) -> Format:
    """The format of a file or folder.

    Raises
    ------
    DataError
        If it cannot be read or is of none.
    """
    file = Path(path)
    return _format_of(file, _head(file))


def takes_long(path: str | Path) -> bool:
    """Whether opening takes more than about a tenth of a second, because much must be unpacked or looked through.

    Modules that are imported for the first time are not counted.

    Returns
    -------
    bool
        False too for what cannot be opened at all.
    """
    try:
        return format_of(path).slow(Path(path))
    except Exception:
        return False


def unpacks_quickly(size: int) -> bool:
    """Whether opening a file may wait until so many bytes are unpacked or read."""
    return size <= _QUICK


def _format_of(file: Path, head: bytes) -> Format:
    folder = file.is_dir()
    for known in formats():
        if known.folders == folder and _is_of(file, head, known):
            return known
    if folder:
        raise DataError(f"{file}: is a folder, and no cube of its own ({_names(folder)}); name a file in it")
    raise DataError(f"{file}: is of no format that cubeseg reads ({_names(folder)})")


def _names(folders: bool) -> str:
    there = (known.name for known in formats() if not known.refuses and (known.folders or not folders))
    return ", ".join(dict.fromkeys(there))


def _is_of(file: Path, head: bytes, known: Format) -> bool:
    try:
        return known.sniff(file, head)
    except Exception:
        # what is wrong with a file is for the reader of its format to say
        return False


def _check_settings(file: Path, known: Format, settings: Mapping[str, str]) -> None:
    there = {setting.name: setting for setting in known.settings}
    for name, value in settings.items():
        if name not in there:
            raise ConfigError(
                f"{file}: there is no setting '{name}' for {known.name} files"
                + (f"; there is {', '.join(there)}" if there else "")
            )
        allowed = [v for v, _ in there[name].values]
        if allowed and value not in allowed:
            raise ConfigError(f"{file}: {name} is {' or '.join(allowed)}, not '{value}'")


def _read(file: Path, known: Format, options: ReadOptions) -> Cube:
    try:
        return known.read(file, options)
    except (DataError, ConfigError) as error:
        if str(file) in str(error):
            raise
        raise type(error)(f"{file}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{file}: does not fit into memory in this format; convert it to HDF5 or ENVI") from error
    except Exception as error:
        # whatever a parser throws at a broken file reaches the user as one line
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise DataError(
            f"{file}: cannot be read as {known.name}, it is damaged or truncated ({reason}); copy or export it again"
        ) from error


def _head(file: Path) -> bytes:
    """The first 4096 bytes of a file that can be a cube at all; none of a folder."""
    try:
        if not file.exists():
            raise DataError(f"{file}: there is no such file")
        if file.is_dir():
            return b""
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
