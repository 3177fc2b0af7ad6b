"""Files of electron microscopes, X-ray and Raman spectrometers, read by RosettaSciIO in a process of its own."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cubeseg.axis import AxisKind, SpectralAxis, normalise_unit
from cubeseg.cube import Cube, LazyArray, Noise, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.hdf5 import SIGNATURE, lazy_dataset, open_hdf5
from cubeseg.io.hdf5_guard import check_hdf5
from cubeseg.io.isolated import isolated, physical_memory
from cubeseg.io.layout import check_size
from cubeseg.io.registry import Candidate, ChoiceNeeded, ReadOptions, Setting, reader
from cubeseg.io.signals import unpack

__all__: list[str] = []

_DETECTOR = Setting("detector", "Detector: 'sum' for all of them, or 1, 2...", default="sum")
_THIN = (
    Setting("cutoff", "Highest energy in keV that is read; empty for all"),
    Setting("downsample", "Pixels per side that are summed to one; 1 for none", default="1"),
)
_INSTALL = "reading it takes an optional package; install napari-cubeseg[instruments]"
# lengths as RosettaSciIO and the files it reads spell them
_LENGTHS = {"nm": 1e-9, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "å": 1e-10}


@dataclass(frozen=True)
class _Instrument:
    """A format of RosettaSciIO: its module there, and how its files begin."""

    name: str
    plugin: str
    suffixes: tuple[str, ...]
    begins: Callable[[bytes], bool]
    settings: tuple[Setting, ...] = ()

    def sniff(self, path: Path, head: bytes) -> bool:
        return path.suffix.lower() in self.suffixes and self.begins(head)


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


def _holds(word: str) -> Callable[[bytes], bool]:
    return lambda head: word.encode() in head or word.encode("utf-16-le") in head


_INSTRUMENTS = (
    _Instrument("Bruker", "bruker", (".bcf",), _starts(b"AAMVHFSS"), (_DETECTOR, *_THIN)),
    _Instrument("JEOL", "jeol", (".pts",), _starts(struct.pack("<I", 304)), _THIN),
    _Instrument("JEOL image", "jeol", (".map", ".img"), _starts(struct.pack("<I", 52))),
    _Instrument("Renishaw", "renishaw", (".wdf",), _starts(b"WDF1")),
    _Instrument("DigitalMicrograph", "digitalmicrograph", (".dm3", ".dm4"), _starts(b"\0\0\0\x03", b"\0\0\0\x04")),
    _Instrument("LabSpec", "jobinyvon", (".xml",), _holds("<LSX")),
    _Instrument("TriVista", "trivista", (".tvf",), _holds("<?xml")),
    _Instrument("EDAX", "edax", (".spd",), _starts(b"MAPSPECTRA_DATA")),
    _Instrument("TIA", "tia", (".ser",), _starts(b"II\x97\x01")),
    _Instrument("MountainsMap", "digitalsurf", (".sur",), _starts(b"DSCOMPRESSED", b"DIGITAL SURF")),
    _Instrument("PantaRhei", "pantarhei", (".prz",), _starts(b"PK")),
)


def _starts_a_process(path: Path) -> bool:
    return True


def _read(instrument: _Instrument, path: Path, options: ReadOptions) -> Cube:
    return _cube(path, instrument.name, _unpacked(path, instrument.plugin, options))


for _instrument in _INSTRUMENTS:
    reader(_instrument.name, _instrument.suffixes, _instrument.sniff, _instrument.settings, slow=_starts_a_process)(
        partial(_read, _instrument)
    )


def _is_spx(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".spx" and b"TRTSpectrum" in head


def _is_asw(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".asw" and head.startswith(b"\0" * 4)


def _is_hspy(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".hspy" and head.startswith(SIGNATURE)


@reader("Bruker spectrum", (".spx",), _is_spx, refuses=True)
def read_spx(path: Path, options: ReadOptions) -> Cube:
    """Refused: no map."""
    raise DataError(
        f"{path}: is a single spectrum, not a cube; open the map it was taken from (.bcf, or .rpl with .raw)"
    )


@reader("JEOL project", (".asw",), _is_asw, refuses=True)
def read_asw(path: Path, options: ReadOptions) -> Cube:
    """Refused, with the maps that lie beside it: the names in it may lead anywhere."""
    maps = sorted(str(found.relative_to(path.parent)) for found in path.parent.glob("*/*/*.pts"))
    raise DataError(f"{path}: is the list of a project; open its map ({', '.join(maps[:3]) or 'a .pts file'}) instead")


@reader("HyperSpy", (".hspy",), _is_hspy, slow=_starts_a_process)
def read_hspy(path: Path, options: ReadOptions) -> Cube:
    """HyperSpy's own HDF5; the data stay in the file."""
    check_hdf5(path)
    return _cube(path, "HyperSpy", _unpacked(path, "hspy", options))


@reader(
    "Velox",
    (".emd",),
    lambda path, head: path.suffix.lower() == ".emd" and head.startswith(SIGNATURE),
    (_DETECTOR, *_THIN),
    slow=_starts_a_process,
)
def read_emd(path: Path, options: ReadOptions) -> Cube:
    """Velox; other EMD files (Berkeley's) through RosettaSciIO."""
    with open_hdf5(path) as file:
        velox = "Version" in file and "Data" in file
    return _cube(path, "Velox", _unpacked(path, "velox" if velox else "emd", options))


def _is_zspy(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".zspy" and (path.is_dir() or head.startswith(b"PK"))


@reader("HyperSpy Zarr", (".zspy",), _is_zspy, folders=True, slow=_starts_a_process)
def read_zspy_folder(path: Path, options: ReadOptions) -> Cube:
    """A Zarr folder of HyperSpy."""
    return _cube(path, "HyperSpy Zarr", _unpacked(path, "zspy", options))


reader("HyperSpy Zarr", (".zspy",), _is_zspy, slow=_starts_a_process)(read_zspy_folder)


def _installed() -> bool:
    return importlib.util.find_spec("rsciio") is not None


def _unpacked(path: Path, plugin: str, options: ReadOptions) -> dict[str, Any]:
    """What :func:`unpack` gives, or a question to the user."""
    if plugin != "velox" and not _installed():
        raise DataError(f"{path}: {_INSTALL}")
    size = path.stat().st_size
    if plugin == "bruker":
        with path.open("rb") as file:
            head = file.read(0x14C)
        if len(head) == 0x14C:
            chunk, chunks = struct.unpack_from("<I", head, 0x128)[0], struct.unpack_from("<I", head, 0x148)[0]
            check_size(str(path), size, chunk * chunks)
    memory = physical_memory()
    found: dict[str, Any] = isolated(
        unpack, str(path.resolve()), plugin, options.dataset, dict(options.settings), memory // 4,
        name=str(path), seconds=300 + size / 2**18, memory=memory,
    )  # fmt: skip
    if "choose" in found:
        candidates = tuple(Candidate(title, tuple(shape), dtype, 2) for title, shape, dtype in found["choose"])
        names = ", ".join(f"{c.dataset} ({' x '.join(map(str, c.shape))})" for c in candidates)
        raise ChoiceNeeded(
            f"{path}: holds {len(candidates)} spectral maps ({names}); say which with --dataset", str(path), candidates
        )
    if "thin" in found:
        raise _thinning(path, found)
    return found


def _thinning(path: Path, found: Mapping[str, Any]) -> ChoiceNeeded:
    said = {name: value for name, value in found["thin"].items() if value}
    settings = tuple(
        Setting(setting.name, setting.text, setting.values, found["thin"][setting.name]) for setting in _THIN
    )
    size = " x ".join(map(str, found["shape"]))
    told = " ".join(f"--set {name}={value}" for name, value in said.items() if (name, value) != ("downsample", "1"))
    return ChoiceNeeded(
        f"{path}: its map ({size}) unpacks to {found['bytes'] / 2**30:.3g} GiB, much of this computer's memory; "
        f"thin it with {told}, or take all of it with --set downsample=1",
        str(path),
        (Candidate(found["title"], tuple(found["shape"]), found["dtype"], 2),),
        settings,
    )


def _data(path: Path, found: Mapping[str, Any]) -> LazyArray:
    """As (bands, y, x): unpacked, or still in the file."""
    if not found["stored"]:
        return found["data"].transpose(2, 0, 1)  # type: ignore[no-any-return]
    file = open_hdf5(path)
    try:
        dataset, (bands, y, x) = file[found["stored"]], found["order"]
        if y != x:
            return lazy_dataset(path, dataset, (bands, y, x))
        # a line of spectra is small
        line = np.asarray(dataset[()])
        return (line if bands == 0 else line.T)[:, None]
    except BaseException:
        file.close()
        raise


def _cube(path: Path, name: str, found: Mapping[str, Any]) -> Cube:
    data = _data(path, found)
    axis, notes = _axis(found, data.shape[0])
    eds = found["signal_type"].startswith("EDS")
    counts = eds and np.dtype(data.dtype).kind in "ui"
    quantity = found["quantity"]
    unit = "counts" if counts else quantity.rpartition("(")[2].rstrip(")") or quantity
    if found["detectors"] > 1:
        notes["detectors"] = found["detectors"]
    return Cube(
        data,
        axis,
        Noise("poisson" if counts else "unknown"),
        spatial=_spatial(found),
        source=Source(str(path), name, found["title"]),
        unit=unit.lower() if unit == "Counts" else unit,
        metadata=found["metadata"] | notes,
    )


def _axis(found: Mapping[str, Any], bands: int) -> tuple[SpectralAxis, dict[str, Any]]:
    unit, kind = normalise_unit(found["unit"].replace("µ", "u").replace("Å", "Angstrom"))
    if kind == "wavenumber" and "raman" in found["axis_name"].lower():
        kind = "raman_shift"
    wanted: AxisKind = kind
    try:
        return SpectralAxis(np.asarray(found["values"]), unit, wanted), {}
    except DataError as error:
        return SpectralAxis.channels(bands), {"axis_rejected": f"{error}, so bands are numbered"}


def _spatial(found: Mapping[str, Any]) -> Spatial:
    (height, width), units = found["pixel_size"], found["pixel_units"]
    down, across = (_LENGTHS.get(unit.lower(), 0.0) for unit in units)
    if not (down and across and all(np.isfinite(n) and n > 0 for n in (height, width))):
        return Spatial()
    # a pixel has one unit, that of its width
    height *= down / across
    return Spatial((height, width), units[1].replace("µ", "u").replace("μ", "u"))
