"""SHA-256 of a whole file, read once: what is known stays in the user's cache until the file changes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator
from pathlib import Path

from cubeseg.errors import DataError
from cubeseg.files import kept_answers, written
from cubeseg.steps import finish

__all__ = ["QUICK", "known_digest", "whole_digest"]

# bytes that are read and hashed in a moment
QUICK = 32 << 20
_PART = 4 << 20
# files that are remembered
_MOST = 1000


def known_digest(path: str | Path) -> str:
    """The hash of a file that is small or was hashed before; empty where it cannot be had."""
    file = Path(path)
    if not str(path) or not file.is_file():
        return ""
    try:
        return finish(whole_digest(file)) if file.stat().st_size <= QUICK else _recalled(file)
    except (OSError, DataError):
        # whatever was made of the file is worth more than its hash
        return ""


def whole_digest(path: str | Path) -> Generator[float, None, str]:
    """SHA-256 over all bytes of a file; one that was hashed before, and has not changed since, is not read again.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    float
        Part of the file that has been read.

    Returns
    -------
    str
        Hexadecimal digest.

    Raises
    ------
    DataError
        If it cannot be read, or is a folder.
    """
    file = Path(path)
    found = _recalled(file)
    if found:
        return found
    digest, done = hashlib.sha256(), 0
    try:
        size = max(file.stat().st_size, 1)
        state = _state(file)
        with file.open("rb") as stream:
            while part := stream.read(_PART):
                digest.update(part)
                done += len(part)
                yield min(done / size, 1.0)
    except OSError as error:
        raise DataError(f"{path}: cannot be read whole for its hash ({error.strerror}); leave out --hash") from error
    if size > QUICK and _state(file) == state:
        _remember(file, state, digest.hexdigest())
    return digest.hexdigest()


def _state(file: Path) -> list[int]:
    there = file.stat()
    return [there.st_size, there.st_mtime_ns]


def _recalled(file: Path) -> str:
    found = kept_answers(_path()).get(str(file.resolve()))
    try:
        return str(found[2]) if isinstance(found, list) and found[:2] == _state(file) and len(found) == 3 else ""
    except OSError:
        return ""


def _remember(file: Path, state: list[int], digest: str) -> None:
    known = kept_answers(_path())
    known.pop(str(file.resolve()), None)
    known[str(file.resolve())] = [*state, digest]
    try:
        _path().parent.mkdir(parents=True, exist_ok=True)
        with written(_path()) as temporary:
            temporary.write_text(json.dumps(dict(list(known.items())[-_MOST:])), encoding="utf-8")
    except (OSError, DataError):
        # it is read again the next time
        return


def _path() -> Path:
    import platformdirs

    folder = os.environ.get("CUBESEG_CACHE") or platformdirs.user_cache_dir("napari-cubeseg", appauthor=False)
    return Path(folder) / "hashes.json"
