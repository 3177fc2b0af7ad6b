"""FITS cubes: axis from the WCS, variance, mask and sky position noticed, data left in the file."""

from __future__ import annotations

import gzip
import re
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.cube import Cube, LazyArray, Noise, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.layout import check_claim, check_memory, check_size, in_usual_unit, spatial_order
from cubeseg.io.lazy import AxisView
from cubeseg.io.registry import Candidate, ChoiceNeeded, ReadOptions, reader

__all__: list[str] = []

# whether the extension holds the inverse, and whether it holds squares
_VARIANCE = {
    "STAT": (False, True),
    "VAR": (False, True),
    "VARIANCE": (False, True),
    "IVAR": (True, True),
    "ERR": (False, False),
    "ERROR": (False, False),
    "UNCERT": (False, False),
    "SIGMA": (False, False),
}
_MASKS = ("DQ", "MASK", "FLAGS")
_COUNTS = ("count", "counts", "ct", "photon", "photons")
_WAVE_TABLES = ("WAVE", "WAVELENGTH", "LAMBDA")
_SPECTRAL = r"(FREQ|ENER|WAVN|VRAD|WAVE|VOPT|ZOPT|AWAV|VELO|FELO|BETA|LAMBDA|SPECTRAL)"
_FIRST = ("SCI", "DATA", "FLUX", "PRIMARY", "")


def _is_fits(path: Path, head: bytes) -> bool:
    return head.startswith(b"SIMPLE  =") or (head.startswith(b"\x1f\x8b") and ".fit" in path.name.lower())


@reader("FITS", (".fits", ".fit", ".fts", ".fits.gz"), _is_fits)
def read_fits(path: Path, options: ReadOptions) -> Cube:
    """The image extension that holds the cube."""
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        _check_length(path)
        hdus = fits.open(path, memmap=True, lazy_load_hdus=False)
        number = _choose(path, hdus, options)
        cube = _Stored(path, hdus, number)
        header, shape = cube.hdu.header, cube.hdu.shape
        axis, spatial, spectral = _world(path, hdus, cube.hdu, options.spectral_axis)
        order = spatial_order(spectral, len(shape))
        data = cube.lazy(order)
        noise, mask, notes = _sides(path, hdus, number, order)
        unit = str(header.get("BUNIT", "")).strip()
        if noise.variance is None and data.dtype.kind in "ui" and unit.lower() in _COUNTS:
            noise = Noise("poisson")
        unused = [n for k, n in enumerate(shape) if k not in order and n > 1]
        if unused:
            notes["first_only"] = f"the cube has a fourth axis of {unused[0]}; only its first plane is used"
        notes |= {key: value for key, value in header.items() if key and isinstance(value, (str, int, float, bool))}
        name = str(cube.hdu.name) or str(number)
        return Cube(data, axis, noise, mask, spatial, Source(str(path), "FITS", name, spectral), unit, notes)


class _Stored:
    """One image extension of a file, and how its values can be had without reading all of them.

    Values that are scaled (BSCALE, BZERO, BLANK) cannot be mapped; they are read through a second, unmapped
    handle, section by section. Tiles are unpacked in the same way.
    """

    def __init__(self, path: Path, hdus: Any, number: int) -> None:
        from astropy.io import fits

        self.path, self.hdu = path, hdus[number]
        header = self.hdu.header
        self.scaled = bool(header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0 or "BLANK" in header)
        self.packed = isinstance(self.hdu, fits.CompImageHDU)
        if self.scaled:
            self.hdu = fits.open(path, memmap=False, lazy_load_hdus=False)[number]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values as they are read, scaled ones included."""
        header = self.hdu.header
        bits = int(header["BITPIX"])
        stored = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bits]
        if not self.scaled or bits < 0:
            return np.dtype(stored).newbyteorder("=" if self.packed else ">")
        # unsigned integers are stored as signed ones that are shifted by half their range
        unsigned = header.get("BSCALE", 1) == 1 and bits > 8 and header.get("BZERO", 0) == 1 << (bits - 1)
        if unsigned and "BLANK" not in header:
            return np.dtype(f"u{bits // 8}")
        return np.dtype("f4" if bits <= 16 else "f8")

    def lazy(self, order: tuple[int, int, int]) -> LazyArray:
        """The values as (bands, y, x); a memory map where they lie as they are."""
        if self.packed:
            claimed = int(np.prod(self.hdu.shape, dtype=np.float64)) * self.dtype.itemsize
            check_claim(str(self.path), self.path.stat().st_size, claimed)
        if self.scaled or self.packed:
            return AxisView(self.hdu.section, order, self.hdu.shape, self.dtype, str(self.path))
        data = self.hdu.data
        fixed = tuple(slice(None) if n in order else 0 for n in range(data.ndim))
        kept = [n for n in range(data.ndim) if n in order]
        mapped: LazyArray = data[fixed].transpose([kept.index(n) for n in order])
        return mapped


def _choose(path: Path, hdus: Any, options: ReadOptions) -> int:
    from astropy.io import fits

    images = [
        n for n, hdu in enumerate(hdus)
        if isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)) and _is_cube(hdu.shape)
    ]  # fmt: skip
    if options.dataset is not None:
        wanted = options.dataset.strip().upper()
        named = [n for n in images if str(hdus[n].name).upper() == wanted or str(n) == wanted]
        if not named:
            there = ", ".join(str(hdus[n].name) or str(n) for n in images) or "no cube at all"
            raise DataError(f"{path}: there is no cube in an extension '{options.dataset}'; there is {there}")
        return named[0]
    if not images:
        raise DataError(f"{path}: no extension holds a cube (3 axes); a spectrum or an image cannot be segmented")
    first = [n for wanted in _FIRST for n in images if str(hdus[n].name).upper() == wanted]
    data = [n for n in images if str(hdus[n].name).upper() not in (*_VARIANCE, *_MASKS)]
    if first or len(data) == 1:
        return (first or data)[0]
    found = tuple(
        Candidate(
            str(hdus[n].name) or str(n),
            hdus[n].shape,
            _Stored(path, hdus, n).dtype.newbyteorder("=").name,
            len(hdus[n].shape) - 1 - _spectral_number(hdus[n].header, len(hdus[n].shape)),
        )
        for n in data or images
    )
    names = ", ".join(c.dataset for c in found)
    raise ChoiceNeeded(f"{path}: several extensions hold cubes ({names}); say which with --dataset", str(path), found)


def _is_cube(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 or (len(shape) == 4 and 1 in (shape[0], shape[1])) or (len(shape) == 4 and shape[0] <= 4)


def _check_length(path: Path) -> None:
    """Every extension must end inside the file; each is judged before the next is looked for."""
    from astropy.io import fits

    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    there = _unpacked_size(path) if packed else path.stat().st_size
    # a packed image is judged by the size of its packed form
    with fits.open(path, memmap=False, lazy_load_hdus=True, disable_image_compression=True) as hdus:
        end = -1
        for hdu in hdus:
            place = hdu.fileinfo()
            if place is not None:
                # astropy follows a negative size backwards, for ever
                if hdu.size < 0 or place["hdrLoc"] <= end:
                    raise DataError(f"{path}: an extension has a negative size; the header is damaged")
                end = int(place["hdrLoc"])
                check_size(str(path), there, int(place["datLoc"]) + int(hdu.size))


def _unpacked_size(path: Path) -> int:
    """Bytes in a gzipped file, counted: its header may lie, and its end may be missing."""
    size = 0
    with gzip.open(path) as file:
        while part := file.read(1 << 20):
            size += len(part)
            check_memory(str(path), size)
    return size


def _world(path: Path, hdus: Any, hdu: Any, given: int | None) -> tuple[SpectralAxis, Spatial, int]:
    """Spectral axis, sky position, and which stored axis is spectral."""
    from astropy.wcs import WCS

    header, shape = hdu.header.copy(), hdu.shape
    naxis = len(shape)
    if given is not None and not -naxis <= given < naxis:
        raise DataError(f"{path}: there is no axis {given}; the cube has axes 0 to {naxis - 1}")
    number = _spectral_number(header, naxis) if given is None else naxis - 1 - given % naxis
    spectral = naxis - 1 - number
    if "CD1_1" in header and "CD3_3" not in header and "CDELT3" in header:
        header["CD3_3"] = header["CDELT3"]
    key = f"CUNIT{number + 1}"
    if key in header:
        # as astropy spells it: it refuses the whole header for one 'Angstroms'
        header[key] = normalise_unit(str(header[key]))[0]
    try:
        wcs = WCS(header, naxis=naxis)
    except Exception:  # any flaw of a header is one of the WCS only; the data can still be read
        wcs = None
    medium = _medium(header, number)
    table = _wave_table(hdus, header, shape[spectral], medium)
    axis = table if table is not None else _axis_of(header, wcs, number, shape[spectral], medium)
    return axis, _spatial(wcs), spectral


def _spectral_number(header: Any, naxis: int) -> int:
    """FITS axis (0 = NAXIS1) whose type is spectral; the third where none says so."""
    for n in range(naxis):
        if re.match(_SPECTRAL, str(header.get(f"CTYPE{n + 1}", "")).upper()):
            return n
    return 2


def _medium(header: Any, number: int) -> Literal["air", "vacuum", ""]:
    kind = str(header.get(f"CTYPE{number + 1}", "")).upper()
    if kind.startswith("AWAV"):
        return "air"
    # WAVELENGTH is no type of the standard, and says nothing
    return "vacuum" if re.match(r"WAVE(-|$)", kind) else ""


def _axis_of(header: Any, wcs: Any, number: int, n_bands: int, medium: Literal["air", "vacuum", ""]) -> SpectralAxis:
    kind = str(header.get(f"CTYPE{number + 1}", "")).upper()
    said = str(header.get(f"CUNIT{number + 1}", "")).strip()
    if wcs is None:
        return SpectralAxis.channels(n_bands)
    try:
        pixel = np.tile(np.asarray(wcs.wcs.crpix, dtype=float) - 1, (n_bands, 1))
        pixel[:, number] = np.arange(n_bands)
        values = np.asarray(wcs.wcs_pix2world(pixel, 0)[:, number])
        stored = wcs.wcs.cunit[number]
        if said and str(stored):
            # astropy turns units into SI ones; people read the header's
            values = values * stored.to(said)
    except Exception:
        return SpectralAxis.channels(n_bands)
    unit = normalise_unit(said)[0]
    if not said and re.match(r"(VRAD|VOPT|VELO|FELO)", kind):
        unit = "m/s"
    if not said and kind.startswith("FREQ"):
        unit = "Hz"
    if unit == "m/s":
        values, unit = values / 1000, "km/s"
    if unit == "Hz":
        values, unit = values / 1e9, "GHz"
    return _axis(values, unit, medium) or SpectralAxis.channels(n_bands)


def _axis(values: Any, unit: str, medium: Literal["air", "vacuum", ""]) -> SpectralAxis | None:
    """An axis of these values, None where they are none."""
    values = np.asarray(values, dtype=np.float64)
    unit, measured = normalise_unit(unit)
    if unit == "m" and np.isfinite(values).all():
        values, unit = in_usual_unit(values)
    try:
        return SpectralAxis(values, unit, measured, medium if measured == "wavelength" else "")
    except DataError:
        return None


def _wave_table(hdus: Any, header: Any, n_bands: int, medium: Literal["air", "vacuum", ""]) -> SpectralAxis | None:
    """A vector of wavelengths that overrides the header: MaNGA's WAVE, or the table that JWST's header names."""
    number = next((n for n in range(1, 5) if f"PS{n}_0" in header), 3)
    table, column = str(header.get(f"PS{number}_0", "")), str(header.get(f"PS{number}_1", ""))
    for hdu in hdus:
        name = str(hdu.name).upper()
        if table and name == table.upper() and column in getattr(getattr(hdu, "columns", None), "names", ()):
            values, unit = np.ravel(hdu.data[column]), str(hdu.columns[column].unit or "")
        elif name in _WAVE_TABLES and getattr(hdu, "shape", None) == (n_bands,):
            values, unit = np.asarray(hdu.data), str(hdu.header.get("BUNIT", ""))
        else:
            continue
        unit = unit or str(header.get("CUNIT3", "")) or "Angstrom"
        if values.size == n_bands:
            return _axis(values, unit, medium)
    return None


def _spatial(wcs: Any) -> Spatial:
    if wcs is None or not getattr(wcs, "has_celestial", False):
        return Spatial()
    from astropy.wcs.utils import proj_plane_pixel_scales

    try:
        celestial = wcs.celestial
        width, height = (float(scale) * 3600 for scale in proj_plane_pixel_scales(celestial)[:2])
        text = celestial.to_header_string()
    except Exception:
        return Spatial()
    if not (np.isfinite([width, height]).all() and width > 0 and height > 0):
        return Spatial()
    return Spatial((height, width), "arcsec", text)


def _sides(path: Path, hdus: Any, number: int, order: tuple[int, int, int]) -> tuple[Noise, Any, dict[str, Any]]:
    """Variance and mask extensions of the same shape."""
    noise, mask, notes = Noise(), None, {}
    cube = hdus[number]
    for n, hdu in enumerate(hdus):
        name, shape = str(hdu.name).upper(), getattr(hdu, "shape", None)
        if n == number or not shape:
            continue
        if name in _VARIANCE and shape == cube.shape and noise.variance is None:
            inverse, squared = _VARIANCE[name]
            noise = Noise("gaussian", _Stored(path, hdus, n).lazy(order), inverse, squared)
        if name in _MASKS and shape == tuple(cube.shape[k] for k in sorted(order[1:])):
            flags = np.asarray(_Stored(path, hdus, n).hdu.data) == 0
            mask = flags if order[1] < order[2] else flags.T
        elif name in _MASKS and shape == cube.shape:
            notes["not_used"] = f"the {name} cube flags single values; it is not used yet"
    return noise, mask, notes
