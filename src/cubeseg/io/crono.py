"""XGLab and Bruker CRONO (.HDF5): a list of spectra, and a grid that says which of them makes each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, LazyArray, Noise, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.derived import Derived
from cubeseg.io.flat import length_unit
from cubeseg.io.hdf5 import SIGNATURE, check_filters, cube_of, open_hdf5, text
from cubeseg.io.hdf5_links import check_own, is_own, member
from cubeseg.io.layout import check_claim
from cubeseg.io.placed import PlacedSpectra
from cubeseg.io.registry import ReadOptions, Setting, reader

__all__ = ["read_crono"]

Index = NDArray[np.intp]

_SPECTRA, _GRID = "XRF/Spectra", "XRF/SpectraSelectedIndex"
# more pixels or spectra than any scan has: a header that lies
_MOST = 1 << 25

_GRID_SETTING = Setting(
    "grid",
    "Spectra that the scanner did not choose for a pixel",
    (("file", "are left out, as in the scanner's own maps"), ("nearest", "are added to the pixel nearest to them")),
    "file",
)
_LIVETIME = Setting(
    "livetime",
    "Live times",
    (("no", "are not applied: the values stay counts"), ("yes", "divide the counts (relative to the median)")),
    "no",
)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Which spectrum lies in which pixel (counted row by row), and how far apart the pixels are."""

    spectra: Index
    pixels: Index
    shape: tuple[int, int]
    spatial: Spatial
    notes: dict[str, Any]


def _is_crono(path: Path, head: bytes) -> bool:
    if not head.startswith(SIGNATURE) or path.suffix.lower() == ".mat":
        return False
    with open_hdf5(path) as file:
        spectra, grid = member(file, _SPECTRA), member(file, _GRID)
        return getattr(spectra, "ndim", 0) == 2 and getattr(grid, "ndim", 0) in (2, 3)


@reader("CRONO", (".hdf5", ".h5"), _is_crono, settings=(_GRID_SETTING, _LIVETIME))
def read_crono(path: Path, options: ReadOptions) -> Cube:
    """The spectra of a scan on its grid; only the positions and times are read.

    The layout is that of CRONO 1.2 (file version 1.6), as the package cronomaxrf (0.0.12) reads it.
    """
    return cube_of(path, lambda file: _cube(path, file, options))


def _cube(path: Path, file: Any, options: ReadOptions) -> Cube:
    spectra = member(file, _SPECTRA)
    if spectra.dtype.kind not in "uif" or 0 in spectra.shape:
        raise DataError(f"{path}: {_SPECTRA} holds no spectra, it has the shape {spectra.shape}")
    check_own(path, spectra)
    check_filters(path, spectra)
    check_claim(str(path), path.stat().st_size, spectra.shape[0] * spectra.shape[1] * spectra.dtype.itemsize)
    n, bands = spectra.shape
    motors = _positions(file, n)
    grid = _selected(path, file, n, motors)
    if options.settings.get("grid") == "nearest":
        grid = _nearest(path, grid, motors, n)
    placed = PlacedSpectra(spectra, grid.spectra, grid.pixels, grid.shape, str(path))
    mask = placed.per_pixel > 0
    if not mask.any():
        raise DataError(f"{path}: {_GRID} points to none of the {n} spectra; is the scan finished?")
    axis, notes = _axis(file, bands)
    notes |= grid.notes
    data: LazyArray = placed
    noise = Noise("poisson")
    times = _vector(file, "XRF/LiveTimes", n)
    if times is not None:
        notes["live_time"] = f"{times.min():.4g} to {times.max():.4g}, median {np.median(times):.4g}"
    if options.settings.get("livetime") == "yes":
        data, noise, mask = _per_live_time(path, placed, times, mask)
        notes["live_time"] += "; the counts are divided by it, relative to the median"
    return Cube(
        data,
        axis,
        noise,
        mask=None if mask.all() else mask,
        spatial=grid.spatial,
        source=Source(str(path), "CRONO", _SPECTRA, 1),
        unit="counts" if data is placed else "counts per median live time",
        metadata={name: text(value)[:1000] for name, value in file.attrs.items()} | notes,
    )


def _selected(path: Path, file: Any, n: int, motors: NDArray[np.float64] | None) -> _Grid:
    """The grid that the scanner's software chose."""
    stored = member(file, _GRID)
    if stored.dtype.kind not in "ui" or not 0 < stored.size <= _MOST or stored.shape[2:] not in ((), (1,)):
        raise DataError(f"{path}: {_GRID} is no image of numbers of spectra, it has the shape {stored.shape}")
    check_own(path, stored)
    chosen = np.asarray(stored[()]).reshape(stored.shape[:2])
    # a pixel without a spectrum has a number that no spectrum has
    there = (chosen >= 0) & (chosen < n)
    spectra, pixels = chosen[there].astype(np.intp), np.flatnonzero(there)
    left = n - len(np.unique(spectra))
    notes: dict[str, Any] = {}
    if left:
        can = "; grid=nearest adds those inside the image to their pixels" if motors is not None else ""
        notes["unplaced"] = f"the scanner's grid uses {n - left} of {n} spectra{can}"
    shape = (chosen.shape[0], chosen.shape[1])
    plan = None if motors is None else _steps(motors[spectra], pixels, shape)
    spatial = Spatial()
    if plan is not None:
        (y, x), size = plan[:2], _length(file)
        if size:
            spatial = Spatial((abs(y[1]), abs(x[1])), size)
        else:
            notes["motor_steps_per_pixel"] = [abs(y[1]), abs(x[1])]
    return _Grid(spectra, pixels, shape, spatial, notes)


def _nearest(path: Path, grid: _Grid, motors: NDArray[np.float64] | None, n: int) -> _Grid:
    """Every spectrum in the pixel nearest to where it was taken."""
    plan = None if motors is None else _steps(motors[grid.spectra], grid.pixels, grid.shape)
    if plan is None or motors is None:
        raise DataError(f"{path}: its XRF/MotorsPositions do not tell where the pixels lie; open it with grid=file")
    y, x, up, across = plan
    rows = np.rint((motors[:, up] - y[0]) / y[1])
    columns = np.rint((motors[:, across] - x[0]) / x[1])
    inside = (rows >= 0) & (rows < grid.shape[0]) & (columns >= 0) & (columns < grid.shape[1])
    pixels = (rows * grid.shape[1] + columns)[inside].astype(np.intp)
    notes = {name: note for name, note in grid.notes.items() if name != "unplaced"}
    if not inside.all():
        notes["unplaced"] = f"{int((~inside).sum())} of {n} spectra were taken outside the grid and are left out"
    several = int((np.bincount(pixels, minlength=1) > 1).sum())
    if several:
        notes["summed"] = f"{several} pixels hold the sum of several spectra; livetime=yes makes them comparable"
    return _Grid(np.flatnonzero(inside), pixels, grid.shape, grid.spatial, notes)


def _steps(
    positions: NDArray[np.float64], pixels: Index, shape: tuple[int, int]
) -> tuple[tuple[float, float], tuple[float, float], int, int] | None:
    """Start and step of rows and of columns along the motors, and which motors these are; None where they do not tell.

    A straight line through the positions of the pixels that have a spectrum; x is the first motor of those that
    follow the columns best.
    """
    rows, columns = np.divmod(pixels, shape[1])
    if not pixels.size or min(shape) < 2 or np.ptp(rows) == 0 or np.ptp(columns) == 0:
        return None
    design = np.column_stack([np.ones(len(pixels)), rows, columns])
    # rows and columns are told apart together: a scan may not be complete
    fits = np.linalg.lstsq(design, positions, rcond=None)[0]
    across, up = int(np.argmax(np.abs(fits[2]))), int(np.argmax(np.abs(fits[1])))
    y, x = fits[:, up], fits[:, across]
    if across == up or not y[1] or not x[2] or abs(x[1]) > 0.1 * abs(x[2]) or abs(y[2]) > 0.1 * abs(y[1]):
        return None
    return (_start(positions[:, up], rows, y[1]), y[1]), (_start(positions[:, across], columns, x[2]), x[2]), up, across


def _start(positions: NDArray[np.float64], numbers: Index, step: float) -> float:
    return float(np.median(positions - step * numbers))


def _per_live_time(
    path: Path, placed: PlacedSpectra, times: NDArray[np.float64] | None, mask: NDArray[np.bool_]
) -> tuple[LazyArray, Noise, NDArray[np.bool_]]:
    """Counts over live times, with the variance that this leaves them."""
    if times is None or not (times > 0).any():
        raise DataError(f"{path}: holds no live times for its spectra; open it with livetime=no")
    relative = placed.sum_of(np.maximum(times, 0)) / float(np.median(times[times > 0]))
    mask = mask & (relative > 0)
    with np.errstate(over="ignore"):
        factors = np.broadcast_to(np.where(mask, relative, np.nan).astype(np.float32), placed.shape)
    data = Derived(placed, lambda part, key: part / factors[key])
    # of n counts it is n; of none, at most about 1
    variance = Derived(placed, lambda part, key: np.maximum(part, 1) / factors[key] ** 2)
    return data, Noise("gaussian", variance), mask


def _axis(file: Any, bands: int) -> tuple[SpectralAxis, dict[str, Any]]:
    values = _vector(file, "XRF/EnergyVector", bands)
    if values is not None:
        try:
            return SpectralAxis(values, "keV"), {"axis_from": "XRF/EnergyVector"}
        except DataError as error:
            return SpectralAxis.channels(bands), {"axis_rejected": f"XRF/EnergyVector: {error}"}
    points = member(file, "XRF/CalibrationPoints")
    if getattr(points, "shape", ())[1:] == (2,) and 1 < points.shape[0] < 1000 and is_own(points):
        channels, energies = np.asarray(points[()], dtype=np.float64).T
        if np.isfinite([channels, energies]).all() and np.ptp(channels) and np.ptp(energies):
            slope, offset = np.polyfit(channels, energies, 1)
            return SpectralAxis(offset + slope * np.arange(bands), "keV"), {"axis_from": "XRF/CalibrationPoints"}
    return SpectralAxis.channels(bands), {}


def _positions(file: Any, n: int) -> NDArray[np.float64] | None:
    """Positions of the motors for each spectrum, shape (n, motors)."""
    stored = member(file, "XRF/MotorsPositions")
    if getattr(stored, "ndim", 0) != 2 or stored.shape[0] != n or not 2 <= stored.shape[1] <= 8:
        return None
    if stored.dtype.kind not in "uif" or not is_own(stored) or n > _MOST:
        return None
    values = np.asarray(stored[()], dtype=np.float64)
    return values if np.isfinite(values).all() else None


def _length(file: Any) -> str:
    """The unit of the motors' positions; empty where the file gives none (they are steps)."""
    attributes = member(file, "XRF/MotorsPositions").attrs
    return next(
        (u for name in ("unit", "units", "Unit", "Units") if (u := length_unit(text(attributes.get(name, ""))))), ""
    )


def _vector(file: Any, name: str, length: int) -> NDArray[np.float64] | None:
    stored = member(file, name)
    if getattr(stored, "size", 0) != length or length > _MOST or stored.dtype.kind not in "uif" or not is_own(stored):
        return None
    values = np.asarray(stored[()], dtype=np.float64).ravel()
    return values if np.isfinite(values).all() else None
