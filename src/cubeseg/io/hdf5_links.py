"""What belongs to an HDF5 file: its links followed inside it, and never out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.errors import DataError

__all__ = ["check_own", "elsewhere", "is_own", "member", "text"]

# links that are followed for one name; a loop of links ends here
_LINKS = 32


def member(group: Any, name: str) -> Any:
    """The object of a name in a group, through soft links that stay in the file; None where there is none.

    h5py would follow a link to any other file of the disk.
    """
    return _follow(group, name, [_LINKS])


def _follow(group: Any, name: str, left: list[int]) -> Any:
    import h5py

    at = group.file if name.startswith("/") else group
    for part in name.split("/"):
        if part in ("", "."):
            continue
        link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
        if isinstance(link, h5py.HardLink):
            at = at[part]
        elif isinstance(link, h5py.SoftLink) and left[0] > 0:
            left[0] -= 1
            at = _follow(at, link.path, left)
        else:
            return None
    return at


def is_own(dataset: Any) -> bool:
    """Whether the values of a dataset lie in its own file, not in others that it names."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.external:
        return False
    if not dataset.is_virtual:
        return True
    # a source that is itself virtual could be the dataset itself
    sources = [member(dataset.file, s.dset_name) if s.file_name == "." else None for s in dataset.virtual_sources()]
    return all(isinstance(s, h5py.Dataset) and not s.is_virtual and not s.external for s in sources)


def check_own(path: Path, dataset: Any) -> None:
    """Refuse a dataset whose values lie in other files.

    Raises
    ------
    DataError
        With the names of some of them.
    """
    if not is_own(dataset):
        named = [s.file_name for s in dataset.virtual_sources()] if dataset.is_virtual else []
        named += [str(name) for name, _, _ in dataset.external or ()]
        raise DataError(
            f"{path}: the values of '{dataset.name}' lie in other files ({_some(named)}), which are not followed; "
            "open those, or copy everything into one file with h5repack"
        )


def elsewhere(file: Any) -> str:
    """The files that the external links of a file point to, as words for a message; empty where there are none."""
    import h5py

    names: list[str] = []

    def visit(_: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            names.append(link.filename)

    file.visititems_links(visit)
    return _some(names)


def text(value: Any) -> str:
    """An attribute as text, however it was stored."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _some(names: list[str]) -> str:
    different = list(dict.fromkeys(name for name in names if name != "."))
    return ", ".join(different[:3]) + (", ..." if len(different) > 3 else "")
