"""Writing files and folders whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cubeseg.errors import ConfigError, DataError

__all__ = ["kept_answers", "refuse_to_replace", "written", "written_folder"]


def kept_answers(path: Path) -> dict[str, Any]:
    """What a JSON file of the user's settings or cache holds; nothing where it is missing or broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def refuse_to_replace(there: Sequence[Path], otherwise: str) -> None:
    """Raise if there are files already where some are to be written.

    Parameters
    ----------
    there : sequence of Path
        Those that exist.
    otherwise : str
        What to do instead of replacing them, such as "give another name".

    Raises
    ------
    ConfigError
        If there is any.
    """
    if len(there) == 1:
        raise ConfigError(f"{there[0]}: is there already; add --force to replace it, or {otherwise}")
    if there:
        files = f"{len(there) - 1} other {'file' if len(there) == 2 else 'files'}"
        raise ConfigError(f"{there[0]} and {files} are there already; add --force to replace them, or {otherwise}")


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; it takes the place of `path` when the block ends without an error.

    The temporary file, ``.NAME.*.part``, is gone afterwards. Only a process that is killed leaves it; it goes when
    the same file is written the next time on the same machine. What is written has reached the disk before it takes the
    place of what was there.

    Raises
    ------
    DataError
        One line: the folder does not exist, may not be written, or the disk is full. Nothing is left behind.
    """
    target = _checked(path)
    if target.is_dir():
        raise DataError(f"{target}: is a folder; give the name of a file")
    temporary: Path | None = None
    try:
        _sweep(target)
        handle, name = tempfile.mkstemp(prefix=_prefix(target), suffix=".part", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        _settle(temporary)
        temporary.replace(target)
    except OSError as error:
        raise DataError(f"{target}: could not be written, {_reason(error)}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def written_folder(path: str | Path) -> Iterator[Path]:
    """The same for a folder with all that is in it: gives an empty one of a temporary name.

    The new folder and the old one change places at once where the system can (Linux, macOS), so that whoever is killed
    leaves one of them whole under its name. Elsewhere the old one is put aside for an instant.

    Raises
    ------
    DataError
        As with :func:`written`; also if there is a file of that name.
    """
    target = _checked(path)
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{target}: is there already and is no folder; choose another name")
    temporary: Path | None = None
    try:
        _sweep(target)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=".part", dir=target.parent))
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        for item in temporary.rglob("*"):
            if item.is_file():
                _settle(item)
        if not target.exists():
            temporary.replace(target)
        elif not _exchanged(temporary, target):
            aside = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=".part", dir=target.parent)) / "old"
            target.replace(aside)
            try:
                temporary.replace(target)
            except OSError:
                aside.replace(target)
                raise
            finally:
                shutil.rmtree(aside.parent, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{target}: could not be written, {_reason(error)}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _checked(path: str | Path) -> Path:
    target = Path(path)
    if not target.parent.is_dir():
        raise DataError(f"{target}: the folder {target.parent} does not exist; make it first")
    return target


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two folders have changed places, in one step; not every system and not every disk can."""
    system = {"linux": ("renameat2", -100, 2), "darwin": ("renameatx_np", -2, 2)}.get(sys.platform)
    call = getattr(ctypes.CDLL(None), system[0], None) if system else None
    if system is None or call is None:
        return False
    _, here, exchange = system
    return bool(call(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _prefix(target: Path) -> str:
    return f"{_beginning(target)}{_here()}-{os.getpid()}."


def _beginning(target: Path) -> str:
    # names have at most 255 bytes
    return f".{target.name[:40]}."


def _here() -> str:
    """Name of the machine, in a few letters: numbers of processes mean nothing on another that shares the folder."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def _settle(path: Path) -> None:
    """Wait until the content is on the disk, so that a power failure after the renaming finds it there."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        # some network folders cannot
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(handle)


def _sweep(target: Path) -> None:
    """Take away what processes that are no longer there have left of the same file."""
    if os.name == "nt":
        # asking for a process would end it
        return
    left = re.compile(re.escape(f"{_beginning(target)}{_here()}-") + r"(\d+)\.[^.]*\.part")
    with os.scandir(target.parent) as found:
        names = [(item.path, match[1]) for item in found if (match := left.fullmatch(item.name))]
    for path, process in names:
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink(missing_ok=True)
        except (OSError, OverflowError):
            continue


def _reason(error: OSError) -> str:
    # h5py raises OSError with the number only inside its text
    full = error.errno == errno.ENOSPC or "No space left" in str(error) or f"errno = {errno.ENOSPC}" in str(error)
    if full:
        return "the disk is full; free some space or choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "writing there is not permitted; choose another folder"
    return str(error.strerror or error)
