"""White and dark references beside an ENVI cube: reflectance, computed when it is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import LazyArray
from cubeseg.errors import DataError
from cubeseg.io.derived import Derived

__all__ = ["References", "find_references", "reflectance"]

# Specim writes WHITEREF_<name>, Headwall whiteReference
_NAMES = {"white": ("whiteref_", "whitereference"), "dark": ("darkref_", "darkreference")}

# the lines of a reference that are averaged at once
_BYTES = 32 << 20


@dataclass(frozen=True)
class References:
    """Headers of the references of a cube; None where there is none, or several and none is the cube's own."""

    white: Path | None
    dark: Path | None

    def __str__(self) -> str:
        there = [f"{kind} {path.name}" for kind, path in (("white", self.white), ("dark", self.dark)) if path]
        return " and ".join(there)


def find_references(header: Path) -> References:
    """The references in the folder of a header, upper or lower case: ``WHITEREF_<name>.hdr`` goes first."""
    own = header.stem.lower()
    if own.startswith(sum(_NAMES.values(), ())):
        return References(None, None)
    found: dict[str, Path | None] = {}
    try:
        names = sorted(name for name in os.listdir(header.parent) if name.lower().endswith(".hdr"))
    except OSError:
        # a folder may let its files be opened and not be listed
        names = []
    for kind, (prefix, whole) in _NAMES.items():
        fitting = [n for n in names if n.lower().startswith((prefix, whole))]
        exact = [n for n in fitting if n[:-4].lower() == prefix + own]
        named = exact or (fitting if len(fitting) == 1 else [])
        found[kind] = header.parent / named[0] if named else None
    return References(found["white"], found["dark"])


def reflectance(
    path: Path,
    raw: LazyArray,
    references: References,
    open_raw: Callable[[Path], tuple[LazyArray, dict[str, str]]],
    header: dict[str, str],
) -> tuple[LazyArray, str]:
    """(raw - dark) / (white - dark), for each column and band, with the references averaged over their lines.

    Parameters
    ----------
    path : Path
        Of the cube, for messages.
    raw : LazyArray, shape (bands, y, x)
    references : References
    open_raw : callable (header) -> (data, fields)
        Opens a reference.
    header : dict
        Of the cube; where both give ``tint``, the white reference is scaled to the cube's integration time.

    Returns
    -------
    data : LazyArray, shape (bands, y, x)
        float32; NaN where white is not above dark.
    said : str
        What was done.

    Raises
    ------
    DataError
        If there is no white reference, or one of another number of bands or columns.
    """
    if references.white is None:
        raise DataError(
            f"{path}: no white reference, or more than one, lies beside it; it would be WHITEREF_{path.stem}.hdr"
        )
    white, fields = _mean(path, "white", references.white, raw, open_raw)
    dark = np.zeros_like(white)
    if references.dark is not None:
        dark, _ = _mean(path, "dark", references.dark, raw, open_raw)
    times = _seconds(header), _seconds(fields)
    ratio = times[1] / times[0] if all(times) else 1.0
    with np.errstate(divide="ignore"):
        gain = np.where(white > dark, ratio / (white - dark), np.nan)
    # views that repeat the one line: any key selects from them what it selects from the cube
    darks, gains = (np.broadcast_to(line.astype(np.float32)[:, None, :], raw.shape) for line in (dark, gain))

    def compute(part: NDArray[Any], key: Any) -> NDArray[Any]:
        return np.asarray((part.astype(np.float32) - darks[key]) * gains[key])

    said = f"reflectance, from the references {references}"
    said += "" if references.dark is not None else ", without a dark one"
    said += f"; the white one had {ratio:g} times the integration time" if ratio != 1 else ""
    return Derived(raw, compute), said


def _mean(
    path: Path,
    kind: str,
    reference: Path,
    raw: LazyArray,
    open_raw: Callable[[Path], tuple[LazyArray, dict[str, str]]],
) -> tuple[NDArray[np.float64], dict[str, str]]:
    data, fields = open_raw(reference)
    bands, lines, columns = data.shape
    if (bands, columns) != (raw.shape[0], raw.shape[2]):
        raise DataError(
            f"{path}: the {kind} reference {reference.name} does not fit, it has {bands} bands and {columns} columns, "
            f"the cube {raw.shape[0]} and {raw.shape[2]}; open it without reference=yes"
        )
    total = np.zeros((bands, columns))
    some = max(1, _BYTES // (8 * bands * columns))
    for first in range(0, lines, some):
        total += np.asarray(data[:, first : first + some]).sum(axis=1, dtype=np.float64)
    return total / lines, fields


def _seconds(header: dict[str, str]) -> float:
    try:
        return max(0.0, float(header.get("tint", "")))
    except ValueError:
        return 0.0
