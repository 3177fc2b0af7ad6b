"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cubeseg.errors import DataError

__all__ = ["written"]


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; it takes the place of `path` when the block ends without an error.

    Raises
    ------
    DataError
        One line: the folder does not exist, may not be written, or the disk is full. Nothing is left behind.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise DataError(f"{target}: the folder {target.parent} does not exist; make it first")
    if target.is_dir():
        raise DataError(f"{target}: is a folder; give the name of a file")
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        raise DataError(f"{target}: could not be written, {_reason(error)}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    # h5py raises OSError with the number only inside its text
    full = error.errno == errno.ENOSPC or "No space left" in str(error) or f"errno = {errno.ENOSPC}" in str(error)
    if full:
        return "the disk is full; free some space or choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "writing there is not permitted; choose another folder"
    return str(error.strerror or error)
