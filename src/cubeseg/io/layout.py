"""Which array of a file is the cube, which of its axes is spectral: the rules that generic formats share."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.errors import DataError
from cubeseg.io.registry import Candidate, ChoiceNeeded, ReadOptions
from cubeseg.spectroscopy.calibration import inside

__all__ = [
    "Vector",
    "bad_bands",
    "check_claim",
    "check_memory",
    "check_size",
    "choose",
    "guess_axis",
    "in_usual_unit",
    "is_axis_word",
    "make_axis",
    "spatial_order",
    "vectors_of",
    "wavelength_unit",
]

_AXIS_WORDS = re.compile(
    r"energ|wave|lambda|freq|veloc|raman|shift|wavenumber|\bwl\b|^wl|wl$|\bev\b|kev|channel|^axis$|spectral", re.I
)
_CUBE_NAMES = ("img", "cube", "data", "hyprimg", "hypercube", "datacube", "image", "i", "i1", "maxrf_cube", "spectra")
_SIDE = re.compile(r"(^|/)(truth|variance|var|ivar|err|error|sigma|mask|dq|labels?|rgb\w*)(/|$)", re.I)


@dataclass(frozen=True, eq=False)
class Vector:
    """A 1-D array of a file that may be the spectral axis."""

    name: str
    values: NDArray[np.float64]
    unit: str = ""
    medium: str = ""
    known: bool = False

    @property
    def spectral(self) -> bool:
        """Whether the file (``known``), the name or the unit says that it is one."""
        # lengths do not tell: positions of pixels are given in them too
        measured = normalise_unit(self.unit)[1] in ("energy", "frequency", "velocity", "wavenumber")
        return self.known or measured or is_axis_word(self.name)


def is_axis_word(name: str) -> bool:
    """Whether the last part of a name says energy, wavelength, channel..."""
    return bool(_AXIS_WORDS.search(name.rsplit("/", 1)[-1]))


def choose(
    path: str,
    found: Sequence[tuple[str, tuple[int, ...], Any]],
    vectors: Sequence[Vector],
    options: ReadOptions,
    hints: Mapping[str, int] | None = None,
) -> Candidate:
    """Decide which dataset is the cube and which of its axes is spectral.

    Parameters
    ----------
    path : str
    found : sequence of (name, shape, dtype)
        All numeric 3-D arrays of the file.
    vectors : sequence of Vector
    options : ReadOptions
        What the user says goes first.
    hints : mapping of name to int, optional
        Spectral axes that the file itself names.

    Returns
    -------
    Candidate
        With the spectral axis known.

    Raises
    ------
    DataError
        If there is no 3-D array, or none of the name that was asked for.
    ChoiceNeeded
        If the file does not say.
    """
    hints = hints or {}
    listed = [Candidate(n, s, str(np.dtype(d)), hints.get(n, guess_axis(n, s, vectors))) for n, s, d in found]
    if options.dataset is not None:
        named = [c for c in listed if c.dataset.strip("/") == options.dataset.strip("/")]
        if not named:
            there = ", ".join(c.dataset for c in listed) or "no 3-D array at all"
            raise DataError(f"{path}: there is no cube named '{options.dataset}'; there is {there}")
        return _with_axis(path, named[0], options, listed)
    usable = [c for c in listed if not _SIDE.search(c.dataset) and min(c.shape) > 0] or listed
    if not usable:
        raise DataError(f"{path}: holds no 3-D array of numbers, so no datacube")
    worth = {c.dataset: _rank(c, vectors) + (c.dataset in hints) for c in usable}
    ranked = sorted(usable, key=lambda c: -worth[c.dataset])
    if options.ask:
        raise ChoiceNeeded(f"{path}: what is the cube?", path, tuple(ranked))
    if len(ranked) > 1 and worth[ranked[0].dataset] - worth[ranked[1].dataset] < 1:
        names = ", ".join(c.dataset for c in ranked[:6])
        raise ChoiceNeeded(
            f"{path}: holds {len(ranked)} possible cubes ({names}); say which with --dataset", path, tuple(ranked)
        )
    return _with_axis(path, ranked[0], options, ranked)


def guess_axis(name: str, shape: tuple[int, ...], vectors: Sequence[Vector]) -> int | None:
    """The axis that is most probably spectral; None where nothing tells.

    A vector whose name says energy, wavelength... and whose length fits decides; then the authors' layout
    ``img`` (y, x, channel); then the axis whose length differs from those of two that are alike.
    """
    for vector in vectors:
        fitting = [n for n, length in enumerate(shape) if length == len(vector.values)]
        if vector.spectral and len(fitting) == 1:
            return fitting[0]
    if name.rsplit("/", 1)[-1].lower() in ("img", "hyprimg"):
        return len(shape) - 1
    lengths = np.log(np.maximum(shape, 1))
    best, most = None, 0.0
    # (y, x, channel) is the usual order, channel first is less so, and channel in the middle is rare
    for n, needed in ((2, 0.3), (0, 0.7), (1, 2.0)):
        p, q = (lengths[k] for k in range(3) if k != n)
        # an image is rarely longer than wide by much, so a spectrum is what differs from two similar lengths
        unlike = float(abs(lengths[n] - (p + q) / 2) - abs(p - q))
        square = p == q and n != 1
        if unlike > most and (unlike > needed or square):
            best, most = n, unlike
    return best


def make_axis(n_bands: int, vectors: Sequence[Vector], said: str = "") -> tuple[SpectralAxis, dict[str, Any]]:
    """The spectral axis from the vectors of a file; channel numbers where none fits.

    Parameters
    ----------
    n_bands : int
    vectors : sequence of Vector
    said : str
        The user's calibration; where it names a vector of the file, that one is taken.

    Returns
    -------
    axis : SpectralAxis
    metadata : dict
        ``axis_guessed`` where the unit was told from the values.
    """
    named = inside(said)
    if named is not None:
        vectors = [_named(vectors, *named, n_bands)]
    fitting = [v for v in vectors if len(v.values) == n_bands and v.spectral and _monotonic(v.values)]
    if not fitting:
        notes: dict[str, Any] = {}
        for vector in vectors:
            if vector.values.size == n_bands and vector.spectral:
                notes["axis_rejected"] = f"'{vector.name}' neither rises nor falls throughout, so bands are numbered"
        return SpectralAxis.channels(n_bands), notes
    vector = max(fitting, key=lambda v: bool(v.unit))
    unit, kind = normalise_unit(vector.unit)
    notes = {"axis_from": vector.name}
    if unit == "m":
        values, unit = in_usual_unit(vector.values)
        vector = replace(vector, values=values)
    if not vector.unit:
        unit = _unit_of(vector)
        kind = normalise_unit(unit)[1]
        if unit:
            notes["axis_guessed"] = f"the unit {unit} of '{vector.name}' was told from its name and values"
    if "raman" in vector.name.lower() and kind == "wavenumber":
        kind = "raman_shift"
    medium = vector.medium if vector.medium in ("air", "vacuum") else ""
    return SpectralAxis(vector.values, unit, kind, medium), notes  # type: ignore[arg-type]


def _named(vectors: Sequence[Vector], name: str, unit: str, n_bands: int) -> Vector:
    for vector in vectors:
        if vector.name.strip("/") == name.strip("/"):
            if vector.values.size != n_bands or not _monotonic(vector.values):
                raise DataError(f"'{name}' has {vector.values.size} values, or turns back; there are {n_bands} bands")
            return replace(vector, unit=unit or vector.unit, known=True)
    there = ", ".join(v.name for v in vectors if v.values.size == n_bands) or "no vector of that length"
    raise DataError(f"there is no vector '{name}' in the file; there is {there}")


def spatial_order(spectral: int, ndim: int = 3) -> tuple[int, int, int]:
    """Stored axes in the order (bands, y, x): y before x in the file, and both after what else there is."""
    rest = [n for n in range(ndim) if n != spectral]
    return spectral, rest[-2], rest[-1]


def check_size(path: str, there: int, needed: int) -> None:
    """Refuse a file that is shorter than its header says.

    Raises
    ------
    DataError
        With both sizes.
    """
    if there < needed:
        raise DataError(
            f"{path}: its header promises {_bytes(needed)}, but the file holds {_bytes(there)}; "
            "it is truncated, or the header is wrong"
        )


def check_claim(path: str, there: int, claimed: int) -> None:
    """Refuse a compressed or sparse array that claims to be far larger than its file could hold.

    Raises
    ------
    DataError
        With both sizes; only beyond 1 TiB and two thousand times the file.
    """
    if claimed > 1 << 40 and claimed > 2000 * there:
        raise DataError(
            f"{path}: its header claims {_bytes(claimed)} of data, but the file holds {_bytes(there)}; "
            "the header is wrong"
        )


def check_memory(path: str, needed: int) -> None:
    """Refuse data that must be read whole but are larger than the computer's memory.

    Raises
    ------
    DataError
        With both sizes.
    """
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return  # Windows does not say; there the allocation itself fails
    if needed > there:
        raise DataError(
            f"{path}: claims {_bytes(needed)} of data that must be read whole, but this computer has "
            f"{_bytes(there)} of memory; convert it to HDF5 or ENVI, or check its header"
        )


def bad_bands(flags: Sequence[float] | NDArray[Any], n_bands: int) -> dict[str, Any]:
    """``{"bad_bands": indices}`` from a list with 0 for each bad band; empty where its length is another."""
    given = np.ravel(np.asarray(flags))
    return {"bad_bands": np.flatnonzero(given == 0).tolist()} if given.size == n_bands else {}


def in_usual_unit(metres: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Wavelengths in metres as people write them: nm up to 2500 nm, um up to 100 um, metres beyond."""
    top = float(np.abs(metres).max())
    if top > 1e-4:
        return metres, "m"
    return (metres * 1e9, "nm") if top <= 2.5e-6 else (metres * 1e6, "um")


def wavelength_unit(values: Sequence[float] | NDArray[Any]) -> str:
    """The unit that wavelengths without one most probably have; empty where they fit none."""
    low, top = float(np.min(values)), float(np.max(values))
    if low >= 200 and top <= 2600:
        return "nm"
    return "um" if low >= 0.2 and top <= 20 else ""


def _bytes(n: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.4g} {unit}"
        n = n / 1024  # type: ignore[assignment]
    return f"{n:.4g} TiB"


def _with_axis(path: str, c: Candidate, options: ReadOptions, listed: Sequence[Candidate]) -> Candidate:
    axis = c.spectral_axis if options.spectral_axis is None else options.spectral_axis
    if axis is None:
        size = " x ".join(map(str, c.shape))
        rest = tuple(other for other in listed if other is not c)
        raise ChoiceNeeded(
            f"{path}: nothing tells which axis of {c.dataset or 'the array'} ({size}) is spectral; "
            "say it with --spectral-axis 0, 1 or 2", path, (c, *rest),
        )  # fmt: skip
    if not -len(c.shape) <= axis < len(c.shape):
        raise DataError(f"{path}: there is no axis {axis}; {c.dataset} has axes 0 to {len(c.shape) - 1}")
    return Candidate(c.dataset, c.shape, c.dtype, axis % len(c.shape))


def _rank(candidate: Candidate, vectors: Sequence[Vector]) -> float:
    """How much speaks for a candidate: an axis vector of its length, a telling name, size."""
    matched = any(v.spectral and len(v.values) in candidate.shape for v in vectors)
    named = candidate.dataset.rsplit("/", 1)[-1].lower() in _CUBE_NAMES
    deep = sorted(candidate.shape)[0] > 3
    axis = candidate.spectral_axis
    # two or four channels are a picture or a detector's counters: a true spectrum elsewhere in the file wins
    picture = axis is not None and candidate.shape[axis] <= 4
    # a factor of ten in size is worth as much as a telling name
    size = float(np.log10(np.prod(candidate.shape, dtype=np.float64) + 1))
    return 1.0 * matched + 1.0 * named + 0.5 * deep - 3.0 * picture + size


def _monotonic(values: NDArray[np.float64]) -> bool:
    steps = np.diff(values)
    return bool(np.isfinite(values).all() and ((steps > 0).all() or (steps < 0).all()))


def _unit_of(vector: Vector) -> str:
    name, top = vector.name.rsplit("/", 1)[-1].lower(), float(np.abs(vector.values).max())
    for ending, unit in (
        ("_um", "um"),
        ("_nm", "nm"),
        ("kev", "keV"),
        ("_ev", "eV"),
        ("cm1", "1/cm"),
        ("_a", "Angstrom"),
    ):
        if name.endswith(ending):
            return unit
    if "energ" in name:
        return "keV" if top < 200 else "eV"
    if ("wave" in name and "number" not in name) or name.startswith("wl") or name.endswith("wl") or "lambda" in name:
        return "um" if top < 20 else "nm" if top < 3500 else "Angstrom"
    if "number" in name or "raman" in name:
        return "1/cm"
    return ""


def vectors_of(arrays: Mapping[str, NDArray[Any]]) -> list[Vector]:
    """Vectors among named arrays; those of shape (1, n) and (n, 1) too."""
    found = []
    for name, array in arrays.items():
        flat = np.squeeze(array)
        if flat.ndim == 1 and flat.size > 1 and flat.dtype.kind in "uif":
            found.append(Vector(name, flat.astype(np.float64)))
    return found
