"""APS .mda: EPICS scans with a spectrum per point, one cube per detector, mapped.

Layout (the documentation of EPICS saveData): XDR, so big-endian in words of four bytes. A header (version, scan number,
rank, dimensions, regular or not, place of the extra process variables), then the outermost scan. A scan holds its rank,
its points and how many were done, where the scan of each point lies (above rank 1), its name and time, its positioners,
detectors and triggers, then float64 positions and float32 values, one array for each positioner and detector.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.layout import check_size, choose
from cubeseg.io.lazy import AxisView
from cubeseg.io.registry import ReadOptions, reader

__all__: list[str] = []

# pixels whose headers are read in a tenth of a second
_MANY = 1500
_MOST_CHANNELS = 100  # positioners, detectors or triggers of a scan: EPICS allows 4, 70 and 4
# values of extra process variables by their type: short, float, long, double
_EXTRA = {29: "i4", 30: "f4", 33: "i4", 34: "f8"}


class _Words:
    """Reads XDR from one place on."""

    def __init__(self, raw: NDArray[np.uint8], at: int) -> None:
        self._raw, self.at = raw, at

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= self._raw.size - self.at or self.at < 0:
            raise DataError("the file ends within a scan; it is truncated or damaged")
        self.at += size
        return self._raw[self.at - size : self.at].tobytes()

    def number(self) -> int:
        return int(struct.unpack(">i", self._take(4))[0])

    def count(self, most: int) -> int:
        value = self.number()
        if not 0 <= value <= most:
            raise DataError(f"a count in the file is {value}; it is damaged")
        return value

    def text(self) -> str:
        if not self.number():
            return ""
        length = self.count(1 << 16)
        return self._take(-(-length // 4) * 4)[:length].decode("latin-1")

    def array(self, kind: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self._take(int(kind[1]) * count), f">{kind}")


@dataclass(frozen=True, eq=False)
class _Scan:
    """One scan: its points, where those of the next rank lie, and where its own data begin."""

    rank: int
    points: int
    inner: NDArray[Any]
    units: tuple[str, ...]
    positions: NDArray[Any]
    detectors: tuple[str, ...]
    values: int


def _is_mda(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".mda" or len(head) < 16:
        return False
    version, _, rank, length = struct.unpack(">fiii", head[:16])
    return bool(1 <= version < 2 and 1 <= rank <= 8 and length > 0)


def _has_many_scans(path: Path) -> bool:
    """Each pixel has a header of its own."""
    with path.open("rb") as file:
        rank, *lengths = struct.unpack(">4i", file.read(24)[8:])
    return bool(rank == 3 and lengths[0] * lengths[1] > _MANY)


@reader("APS MDA", (".mda",), _is_mda, slow=_has_many_scans)
def read_mda(path: Path, options: ReadOptions) -> Cube:
    """The spectra of one detector of a map; pixels that were not reached are masked."""
    raw = np.memmap(path, np.uint8, "r")
    start = _Words(raw, 8)
    rank = start.count(8)
    dimensions = [start.number() for _ in range(rank)]
    start.number()
    extra = start.number()
    outer = _scan(raw, start.at, rank)
    if rank != 3:
        held = f"maps of {len(outer.detectors)} detectors" if rank == 2 else f"a scan of {rank} dimensions"
        raise DataError(f"{path}: holds {held} and no spectrum per pixel; a cube is a scan of 3 dimensions")
    rows = [_scan(raw, int(at), 2) if at else None for at in outer.inner]
    offsets, inner = _places(raw, rows, dimensions)
    channels = inner.points
    found = [(name, (*offsets.shape, channels), ">f4") for name in inner.detectors]
    chosen = choose(str(path), found, [], options, dict.fromkeys(inner.detectors, 2))
    assert chosen.spectral_axis is not None
    if chosen.spectral_axis != 2:
        raise DataError(f"{path}: the spectral axis of such a file is 2")
    first = offsets + 4 * channels * inner.detectors.index(chosen.dataset)
    there = offsets > 0
    check_size(str(path), raw.size, int(first.max()) + 4 * channels)
    axis, notes = _axis(raw, extra, chosen.dataset, channels)
    return Cube(
        AxisView(_Spectra(raw, first, there, channels), (2, 0, 1), name=str(path)),
        axis,
        mask=None if there.all() else there,
        spatial=_spatial(outer, next(row for row in rows if row is not None)),
        source=Source(str(path), "APS MDA", chosen.dataset, 2),
        metadata=notes,
    )


def _scan(raw: NDArray[np.uint8], at: int, rank: int) -> _Scan:
    words = _Words(raw, at)
    if words.number() != rank:
        raise DataError("a scan is not where the file says; it is damaged")
    points = words.count(raw.size // 4)
    words.number()
    inner = words.array("u4", points) if rank > 1 else np.zeros(0, np.uint32)
    _check_places(inner)
    words.text(), words.text()
    positioners, detectors, triggers = (words.count(_MOST_CHANNELS) for _ in range(3))
    units = []
    for _ in range(positioners):
        words.number()
        described = [words.text() for _ in range(7)]
        units.append(described[6] or described[3])
    names = []
    for _ in range(detectors):
        number = words.number()
        described = [words.text() for _ in range(3)]
        names.append(described[0] or f"D{number + 1:02d}")
    for _ in range(triggers):
        words.number(), words.text(), words.number()
    positions = words.array("f8", positioners * points).reshape(positioners, points)
    return _Scan(rank, points, inner, tuple(units), positions, tuple(names), words.at)


def _places(
    raw: NDArray[np.uint8], rows: Sequence[_Scan | None], dimensions: Sequence[int]
) -> tuple[NDArray[np.int64], _Scan]:
    """Where the values of each pixel's scan begin, 0 where it was not done; and the first of those scans."""
    starts = [row.inner for row in rows if row is not None and row.inner.any()]
    if not starts:
        raise DataError("no point of this map was measured")
    one = _scan(raw, int(starts[0][np.flatnonzero(starts[0])[0]]), 1)
    if not one.detectors or not one.points:
        raise DataError("its points hold no spectra")
    first = int(starts[0][np.flatnonzero(starts[0])[0]])
    length = one.values + 4 * one.points * len(one.detectors) - first
    width = max(row.points for row in rows if row is not None)
    if len(rows) * width > 8 * raw.size:
        raise DataError(f"the file claims {len(rows)} x {width} pixels, more than it could list; it is damaged")
    offsets = np.zeros((len(rows), width), np.int64)
    for y, row in enumerate(rows):
        if row is None:
            continue
        offsets[y, : row.points] = row.inner
        # scans that fill the room up to the next one have the same header; the others are looked into
        alike = np.append(np.diff(offsets[y]) == length, False) | (offsets[y] == 0)
        for x in np.flatnonzero(~alike):
            other = _scan(raw, int(offsets[y, x]), 1)
            if (other.points, other.detectors) != (one.points, one.detectors):
                raise DataError(f"the spectrum of row {y}, column {x} differs from the others in length or detectors")
            offsets[y, x] = other.values
        offsets[y, alike & (offsets[y] > 0)] += one.values - first
    return offsets, one


def _check_places(inner: NDArray[Any]) -> None:
    """Refuse a scan that lists one place many times, which would be read as often."""
    used = inner[inner > 0]
    if np.unique(used).size != used.size:
        raise DataError("two points of the map lie in one place of the file; it is damaged")


class _Spectra:
    """Spectra that lie scattered in the file, as one array (y, x, channel)."""

    def __init__(
        self, raw: NDArray[np.uint8], first: NDArray[np.int64], there: NDArray[np.bool_], channels: int
    ) -> None:
        # everything in XDR begins at a whole word
        self._words = raw[: raw.size // 4 * 4].view(">f4")
        self._first, self._there = first // 4, there
        self.shape = (*first.shape, channels)
        self.dtype = np.dtype(">f4")
        self.chunks = (1, min(64, first.shape[1]), channels)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        y, x, channel = key
        first, there = self._first[y, x], self._there[y, x]
        places = np.arange(self.shape[2])[channel]
        index = np.asarray(first)[..., None] + np.atleast_1d(places)
        values = np.where(
            np.asarray(there)[..., None], self._words[np.where(np.asarray(there)[..., None], index, 0)], 0
        )
        result: NDArray[Any] = values if isinstance(channel, slice) else values[..., 0]
        return result.astype(self.dtype, copy=False)


def _axis(raw: NDArray[np.uint8], at: int, detector: str, channels: int) -> tuple[SpectralAxis, dict[str, Any]]:
    """Energies from the MCA's own calibration (CALO + CALS * channel + CALQ * channel^2) among the extra variables."""
    try:
        known = _extra(raw, at) if at > 0 else {}
    except DataError:
        known = {}
    record = re.sub(r"\.VAL$", "", detector)
    found = [known.get(f"{record}.{name}", (0.0, "")) for name in ("CALO", "CALS", "CALQ")]
    coefficients = np.array([value for value, _ in found])
    if not coefficients[1] or not np.isfinite(coefficients).all():
        return SpectralAxis.channels(channels), {}
    values = np.polynomial.polynomial.polyval(np.arange(channels, dtype=np.float64), coefficients)
    unit, notes = found[1][1], {"axis_from": f"{record}.CALO, .CALS and .CALQ"}
    if not unit:
        unit = "keV" if abs(values[-1]) < 500 else "eV"
        notes["axis_guessed"] = f"the unit {unit} of the MCA's calibration was told from its values"
    try:
        return SpectralAxis.from_values(values, unit), notes
    except DataError as error:
        return SpectralAxis.channels(channels), {"axis_rejected": str(error)}


def _extra(raw: NDArray[np.uint8], at: int) -> dict[str, tuple[float, str]]:
    """Single numbers among the extra process variables, with their units."""
    words, known = _Words(raw, at), {}
    for _ in range(words.count(1 << 16)):
        name, _, kind = words.text(), words.text(), words.number()
        if kind == 0:
            words.text()
            continue
        count, unit = words.count(1 << 20), words.text()
        if kind == 32:
            words.array("u1", -(-count // 4) * 4)
            continue
        if kind not in _EXTRA:
            break
        values = words.array(_EXTRA[kind], count)
        if count == 1:
            known[name] = (float(values[0]), unit)
    return known


def _spatial(outer: _Scan, row: _Scan) -> Spatial:
    sizes, units = [], set()
    for scan in (outer, row):
        done = scan.positions[0][np.flatnonzero(scan.inner)] if len(scan.positions) else np.zeros(0)
        if done.size < 2 or not np.isfinite(done).all() or done[-1] == done[0]:
            return Spatial()
        sizes.append(abs(float(done[-1] - done[0])) / (done.size - 1))
        units.add(scan.units[0].strip())
    unit = units.pop() if len(units) == 1 else ""
    return Spatial((sizes[0], sizes[1]), {"micron": "um", "microns": "um"}.get(unit, unit)) if unit else Spatial()
