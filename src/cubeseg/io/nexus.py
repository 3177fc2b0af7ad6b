"""NeXus in HDF5: which dataset is meant for plotting, and what its axes are called."""

from __future__ import annotations

from typing import Any

from cubeseg.io.hdf5_links import member, text

__all__ = ["signals"]

_STEPS = 8


def signals(file: Any) -> list[tuple[Any, Any]]:
    """Datasets that NeXus calls the signal, each with its NXdata group; the file's own choice alone where it has one.

    The choice is the chain of ``default`` attributes from the root, or from each entry; where there is none, every
    group with a ``signal`` counts (https://manual.nexusformat.org/datarules.html).
    """
    import h5py

    groups: list[Any] = [file]

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            groups.append(item)

    file.visititems(visit)
    entries = [group for group in groups if _is(group, "NXentry")]
    data = [group for group in groups if _is(group, "NXdata") or "signal" in group.attrs]
    for chosen in ([_default(file)], [_default(entry) for entry in entries], data):
        found = [(signal, group) for group in chosen if group is not None and (signal := _signal(group)) is not None]
        if found:
            return found
    return []


def _default(group: Any) -> Any | None:
    """The group at the end of the chain of ``default`` attributes; None where there is no such chain."""
    import h5py

    at = group
    for _ in range(_STEPS):
        if "default" not in at.attrs:
            break
        at = member(at, text(at.attrs["default"]))
        if not isinstance(at, h5py.Group):
            return None
    return None if at is group or at == group else at


def _signal(group: Any) -> Any | None:
    import h5py

    if "signal" in group.attrs:
        named = member(group, text(group.attrs["signal"]))
        return named if isinstance(named, h5py.Dataset) else None
    # as NeXus had it before 2014
    for name in group:
        item = member(group, name)
        if isinstance(item, h5py.Dataset) and text(item.attrs.get("signal", "")) == "1":
            return item
    return None


def _is(group: Any, kind: str) -> bool:
    return text(group.attrs.get("NX_class", "")) == kind
