"""What RosettaSciIO reads from a file, as one array (y, x, bands) and its axes; runs isolated, see :mod:`isolated`."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import normalise_unit
from cubeseg.errors import ConfigError, DataError
from cubeseg.io.isolated import scratch, within
from cubeseg.io.layout import is_axis_word

__all__ = ["SpectralMap", "as_map", "nested", "picked", "unpack"]

# formats whose maps can be large: they say how large before they unpack
_OWN = {name: f"cubeseg.io.signals_{name}" for name in ("bruker", "jeol", "velox")}

# formats of text, which Python takes apart
_TEXTS = ("jobinyvon", "trivista")
_BLOCK = 64 << 20


@dataclass
class SpectralMap:
    """One spectral map of a file before it is unpacked: `shape` is (y, x, bands); `expand(bands, downsample)` unpacks.

    `axes` are RosettaSciIO's for y, x and bands; `stored` names an HDF5 dataset that need not be unpacked, and `order`
    its axes for bands, y and x (the same for both where the map is a line); `divides`: only divisors of the image's
    size can thin it.
    """

    title: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    axes: list[dict[str, Any]]
    signal: Mapping[str, Any]
    expand: Callable[[int, int], NDArray[Any]]
    stored: str = ""
    order: tuple[int, int, int] = (2, 0, 1)
    detectors: int = 1
    divides: bool = False

    def size(self, bands: int, downsample: int) -> int:
        """Bytes that it takes unpacked."""
        rows, columns = (math.ceil(n / downsample) for n in self.shape[:2])
        return rows * columns * bands * self.dtype.itemsize

    def bands_below(self, energy: float) -> int:
        """Number of bands up to an energy in keV."""
        values = _values(self.axes[2], self.shape[2]) / (1000 if _unit(self.axes[2]) == "eV" else 1)
        return int(np.clip(np.searchsorted(values, energy), 2, self.shape[2]))


def unpack(path: str, plugin: str, dataset: str | None, said: dict[str, str], limit: int) -> dict[str, Any]:
    """Read one spectral map.

    Parameters
    ----------
    path : str
    plugin : str
        Of RosettaSciIO, e.g. ``"bruker"``.
    dataset : str, optional
        Title of the map, where there are several.
    said : mapping
        ``detector``, ``cutoff`` and ``downsample``, as far as the user said them.
    limit : int
        Bytes up to which a map is unpacked without asking.

    Returns
    -------
    dict
        The map (``data``, ``values``...); or what must be asked first: ``choose`` or ``thin``.
    """
    logging.disable()
    detector, cutoff, downsample = _settings(said)
    module = importlib.import_module(_OWN.get(plugin, f"rsciio.{plugin}"))
    size = Path(path).stat().st_size
    within(_seconds_to_list(plugin, size), (1 << 30) + 64 * size)
    if plugin in _OWN:
        maps = module.maps(path, detector)
    else:
        maps = [as_map(signal, plugin) for signal in _signals(module, path)]
        if plugin == "hspy":
            _stay(path, maps)
    found = _named(maps, path)
    titles = [m.title for m in found]
    if dataset is None and len(found) > 1:
        return {"choose": [[m.title, list(m.shape), str(m.dtype)] for m in found]}
    if dataset is not None and dataset not in titles:
        raise DataError(f"{path}: there is no map named '{dataset}'; there is {', '.join(titles)}")
    chosen = found[titles.index(dataset) if dataset is not None else 0]
    bands = chosen.bands_below(cutoff) if cutoff else chosen.shape[2]
    if chosen.stored:
        return _result(chosen, None, downsample)
    needed = chosen.size(bands, downsample)
    if needed > limit and not {"cutoff", "downsample"} & said.keys() and plugin in _OWN:
        thin = _suggestion(chosen, limit)
        return {"thin": thin, "title": chosen.title, "shape": chosen.shape, "dtype": str(chosen.dtype), "bytes": needed}
    if needed > 3 * limit:
        raise DataError(
            f"{path}: unpacks to {needed / 2**30:.3g} GiB, more than this computer's memory allows; "
            f"thin it, e.g. with downsample={_suggestion(chosen, limit)['downsample']}"
        )
    if chosen.divides and (chosen.shape[0] % downsample or chosen.shape[1] % downsample):
        raise ConfigError(f"{path}: downsample must divide both {chosen.shape[0]} and {chosen.shape[1]}")
    within(_seconds_to_unpack(size, needed), (2 << 30) + 64 * size + 3 * needed)
    return _result(chosen, chosen.expand(bands, downsample), downsample)


def _seconds_to_list(plugin: str, size: int) -> float:
    """Seconds of the processor in which the maps of a healthy file are found, on a slow computer too.

    Measured: 0.1 to 0.6 s for files of some MiB, whatever their format, 1 s where Numba compiles JEOL's parser anew.
    """
    return (8 if plugin == "jeol" else 4) + size / (2**20 if plugin in _TEXTS else 2**23)


def _seconds_to_unpack(size: int, needed: int) -> float:
    """Seconds of the processor in which a healthy map is unpacked.

    Measured: 0.5 to 1.5 GiB of the map in a second, and 7 MiB of a file that only Python unpacks (Bruker's without
    Cython). JEOL's may take three passes.
    """
    return 4 + size / 2**20 + needed / 2**26


def _settings(said: Mapping[str, str]) -> tuple[int | None, float, int]:
    """Detector (None for all), highest energy in keV (0 for all), pixels per side that become one."""
    try:
        cutoff, downsample = float(said.get("cutoff") or 0), int(said.get("downsample") or 1)
        detector = None if said.get("detector", "sum") in ("", "sum") else int(said["detector"])
    except ValueError as error:
        raise ConfigError(f"detector and downsample are whole numbers, cutoff an energy in keV ({error})") from error
    if not (math.isfinite(cutoff) and cutoff >= 0 and 1 <= downsample <= 1024 and (detector is None or detector >= 1)):
        raise ConfigError("detector counts from 1, downsample is from 1 to 1024, cutoff an energy in keV above 0")
    return detector, cutoff, downsample


def _suggestion(chosen: SpectralMap, limit: int) -> dict[str, str]:
    """What makes the map fit: nothing above the energy of the beam, then the fewest pixels that must be summed."""
    bands, cutoff = chosen.shape[2], ""
    beams = [node.get("beam_energy") for node in nested(chosen.signal, "metadata", "Acquisition_instrument").values()]
    beam = next((float(b) for b in beams if isinstance(b, int | float | np.number) and b > 0), 0.0)
    if beam and chosen.bands_below(beam) < bands:
        bands, cutoff = chosen.bands_below(beam), f"{beam:g}"
    downsample = 1
    while downsample < 1024 and (
        chosen.size(bands, downsample) > limit or (chosen.divides and any(n % downsample for n in chosen.shape[:2]))
    ):
        downsample += 1
    return {"cutoff": cutoff, "downsample": str(downsample)}


def _named(maps: Iterable[SpectralMap | None], path: str) -> list[SpectralMap]:
    """Maps with titles of their own."""
    found = [m for m in maps if m is not None]
    if not found:
        raise DataError(f"{path}: holds no spectral map, only images or single spectra; name the file of the map")
    seen: dict[str, int] = {}
    for one in found:
        seen[one.title] = seen.get(one.title, 0) + 1
        if seen[one.title] > 1:
            one.title = f"{one.title} {seen[one.title]}"
    return found


def _signals(module: Any, path: str) -> list[dict[str, Any]]:
    try:
        return list(module.file_reader(path, lazy=True))
    except NotImplementedError:
        return list(module.file_reader(path))


def _stay(path: str, maps: list[SpectralMap | None]) -> None:
    """HyperSpy's maps lie in the file as they are, in the order of its groups."""
    import h5py

    with h5py.File(path, "r") as file:
        groups = file["Experiments"]
        names = [name for name in groups if isinstance(groups[name], h5py.Group) and "data" in groups[name]]
        for one, name in zip(maps, names, strict=False):
            dataset = groups[name]["data"]
            if one is not None and dataset.shape == one.signal["data"].shape:
                one.title, one.stored = name, f"Experiments/{name}/data"


def picked(path: str, there: list[Any], detector: int | None) -> list[Any]:
    """All detectors, or the one of that number (from 1)."""
    if detector is None:
        return there
    if detector > len(there):
        raise DataError(f"{path}: there is no detector {detector}; there is 1 to {len(there)}, or 'sum'")
    return [there[detector - 1]]


def as_map(signal: Mapping[str, Any], title: str) -> SpectralMap | None:
    """A signal of RosettaSciIO as a map; None for images and single spectra. A line scan is a map of one row."""
    data, axes = signal.get("data"), list(signal.get("axes", []))
    if data is None or data.ndim != len(axes) or np.dtype(data.dtype).kind not in "uif":
        return None
    spectral = [n for n, axis in enumerate(axes) if not axis.get("navigate", False)]
    places = [n for n, axis in enumerate(axes) if axis.get("navigate", False)]
    if not places:
        # some formats do not tell; a length in nm may be that of a pixel
        spectral = [n for n, axis in enumerate(axes) if _is_spectral(axis)]
        places = [n for n in range(len(axes)) if n not in spectral]
    if len(spectral) != 1 or not places or math.prod(data.shape[n] for n in places) < 2 or data.shape[spectral[0]] < 2:
        return None
    if len(places) > 2:
        # a series of one map
        single = [n for n in places if data.shape[n] == 1][: len(places) - 2]
        data = data[tuple(0 if n in single else slice(None) for n in range(data.ndim))]
        axes = [axis for n, axis in enumerate(axes) if n not in single]
        if data.ndim != 3:
            return None
        return as_map({**signal, "data": data, "axes": axes}, title)
    data = data.transpose([*places, *spectral])
    if len(places) == 1:
        data = data[None]
    axes = [axes[n] for n in ([places[0]] * (2 - len(places)) + places + spectral)]
    named = nested(signal, "metadata", "General").get("title") or title
    shape = tuple(int(n) for n in data.shape)
    return SpectralMap(
        str(named), (shape[0], shape[1], shape[2]), np.dtype(data.dtype), axes, signal,
        lambda bands, downsample: _dense(data, bands, downsample), "", (spectral[0], places[0], places[-1]),
    )  # fmt: skip


def _is_spectral(axis: Mapping[str, Any]) -> bool:
    measured = normalise_unit(_unit(axis))[1] in ("energy", "frequency", "wavenumber")
    return measured or is_axis_word(str(axis.get("name") or ""))


def _dense(data: Any, bands: int, downsample: int) -> NDArray[Any]:
    """NumPy or Dask, in blocks of rows, so that only the result takes room; pixels are summed."""
    rows, columns, all_bands = data.shape
    if isinstance(data, np.ndarray) and bands == all_bands and downsample == 1:
        return data
    dtype = np.dtype(np.uint32 if downsample > 1 and data.dtype.kind == "u" and data.dtype.itemsize < 4 else data.dtype)
    result = scratch((math.ceil(rows / downsample), math.ceil(columns / downsample), bands), dtype)
    chunk = max(data.chunks[0]) if hasattr(data, "chunks") else 1
    tall = max(chunk, _BLOCK // max(columns * bands * dtype.itemsize, 1), downsample)
    tall = math.ceil(tall / downsample) * downsample
    for top in range(0, rows, tall):
        part = data[top : top + tall, :, :bands]
        block = np.asarray(part.compute(scheduler="synchronous") if hasattr(part, "compute") else part)
        for axis in (0, 1) if downsample > 1 else ():
            block = np.add.reduceat(block, range(0, block.shape[axis], downsample), axis=axis, dtype=dtype)
        result[top // downsample : top // downsample + block.shape[0]] = block
    return result


def _result(chosen: SpectralMap, data: NDArray[Any] | None, downsample: int) -> dict[str, Any]:
    y, x, spectral = chosen.axes
    values = _values(spectral, chosen.shape[2])
    sizes = [abs(float(axis.get("scale") or 1)) * downsample for axis in (y, x)]
    signal = nested(chosen.signal, "metadata", "Signal")
    return {
        "data": data,
        "stored": chosen.stored,
        "order": chosen.order,
        "values": values if data is None else values[: data.shape[2]],
        "unit": _unit(spectral),
        "axis_name": str(spectral.get("name") or ""),
        "pixel_size": sizes,
        "pixel_units": [_unit(y), _unit(x)],
        "signal_type": str(signal.get("signal_type") or ""),
        "quantity": str(signal.get("quantity") or ""),
        "title": chosen.title,
        "detectors": chosen.detectors,
        "metadata": _flat(chosen.signal.get("metadata", {})) | _flat(chosen.signal.get("original_metadata", {})),
    }


def _values(axis: Mapping[str, Any], size: int) -> NDArray[np.float64]:
    """Values of an axis; plain numbers where it has none."""
    if axis.get("axis") is not None:
        values = np.asarray(axis["axis"], dtype=np.float64)
        if values.shape == (size,):
            return values
    scale, offset = float(axis.get("scale") or 1), float(axis.get("offset") or 0)
    return offset + scale * np.arange(size, dtype=np.float64)


def _unit(axis: Mapping[str, Any]) -> str:
    unit = axis.get("units")
    return "" if unit is None or "undefined" in str(unit).lower() else str(unit)


def nested(node: Any, *names: str) -> Mapping[str, Any]:
    """A mapping within mappings; an empty one where there is none."""
    for name in names:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _flat(node: Any, before: str = "", depth: int = 8) -> dict[str, Any]:
    """Nested metadata with dotted names; long arrays are left out."""
    found: dict[str, Any] = {}
    for key, value in node.items() if isinstance(node, Mapping) or hasattr(node, "items") else ():
        name = f"{before}{key}"
        if hasattr(value, "items"):
            found |= _flat(value, f"{name}.", depth - 1) if depth else {}
        elif isinstance(value, str | int | float | np.generic):
            found[name] = value if not isinstance(value, str) else value[:2000]
        elif isinstance(value, list | tuple) and len(value) <= 100:
            found[name] = [v if isinstance(v, str | int | float | np.generic) else str(v)[:200] for v in value]
        elif isinstance(value, np.ndarray) and value.size <= 100 and value.dtype.kind in "uifbU":
            found[name] = value.tolist()
    return found
