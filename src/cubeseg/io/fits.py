"""FITS cubes: axis from the WCS, variance, mask and sky position noticed, data left in the file."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.cube import Cube, Noise, Source, Spatial
from cubeseg.errors import DataError
from cubeseg.io.layout import check_size
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
        hdus = fits.open(path, memmap=True, lazy_load_hdus=False, ignore_missing_simple=False)
        _check_length(path, hdus)
        number = _choose(path, hdus, options)
        scaled = any(_is_scaled(hdu) for hdu in hdus)
        if scaled:
            # scaled values cannot be mapped; sections of them are read and scaled one by one
            hdus.close()
            hdus = fits.open(path, memmap=False, lazy_load_hdus=False)
        hdu = hdus[number]
        header = hdu.header
        spectral = options.spectral_axis
        axis, spatial, spectral = _world(path, hdus, hdu, spectral)
        rest = [n for n in range(len(hdu.shape)) if n != spectral]
        order = (spectral, rest[-2], rest[-1])
        data = _lazy(hdu, order, scaled)
        noise, mask, notes = _sides(hdus, hdu, order, scaled)
        unit = str(header.get("BUNIT", "")).strip()
        if noise.variance is None and data.dtype.kind in "ui" and unit.lower() in ("count", "counts", "ct", "photons"):
            noise = Noise("poisson")
        notes |= {key: value for key, value in header.items() if key and isinstance(value, (str, int, float, bool))}
        name = str(hdu.name) or str(number)
        return Cube(data, axis, noise, mask, spatial, Source(str(path), "FITS", name, spectral), unit, notes)


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
    found = tuple(Candidate(str(hdus[n].name) or str(n), hdus[n].shape, str(_dtype(hdus[n]))) for n in data or images)
    names = ", ".join(c.dataset for c in found)
    raise ChoiceNeeded(f"{path}: several extensions hold cubes ({names}); say which with --dataset", str(path), found)


def _is_cube(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 or (len(shape) == 4 and 1 in (shape[0], shape[1])) or (len(shape) == 4 and shape[0] <= 4)


def _check_length(path: Path, hdus: Any) -> None:
    if path.suffix.lower() == ".gz":
        return
    last = hdus[-1].fileinfo()
    if last is not None:
        check_size(str(path), path.stat().st_size, int(last["datLoc"]) + int(hdus[-1].size))


def _dtype(hdu: Any) -> np.dtype[Any]:
    scaled = hdu.header.get("BSCALE", 1) != 1 or hdu.header.get("BZERO", 0) != 0
    stored = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}[int(hdu.header["BITPIX"])]
    return np.dtype("f4") if scaled and stored not in ("f4", "f8") else np.dtype(stored)


def _lazy(hdu: Any, order: tuple[int, int, int], scaled: bool) -> Any:
    """A memory map where the values lie as they are; scaled or packed ones are unpacked section by section."""
    if not scaled and hdu.__class__.__name__ != "CompImageHDU":
        data = hdu.data
        fixed = tuple(slice(None) if n in order else 0 for n in range(data.ndim))
        kept = [n for n in range(data.ndim) if n in order]
        return data[fixed].transpose([kept.index(n) for n in order])
    return AxisView(hdu.section, order, hdu.shape, _dtype(hdu))


def _is_scaled(hdu: Any) -> bool:
    header = hdu.header
    return bool(header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0 or "BLANK" in header)


def _world(path: Path, hdus: Any, hdu: Any, given: int | None) -> tuple[SpectralAxis, Spatial, int]:
    """Spectral axis, sky position, and which stored axis is spectral."""
    from astropy.wcs import WCS

    header, shape = hdu.header.copy(), hdu.shape
    naxis = len(shape)
    if "CD1_1" in header and "CD3_3" not in header and "CDELT3" in header:
        header["CD3_3"] = header["CDELT3"]
    wcs = None
    try:
        wcs = WCS(header, naxis=naxis)
    except Exception:  # any flaw of a header is one of the WCS only; the data can still be read
        wcs = None
    number = _spectral_number(header, naxis) if given is None else naxis - 1 - given % naxis
    spectral = naxis - 1 - number
    if spectral not in range(naxis):
        raise DataError(f"{path}: there is no axis {given}; the cube has axes 0 to {naxis - 1}")
    n_bands = shape[spectral]
    table = _wave_table(hdus, n_bands)
    axis = table if table is not None else _axis_of(header, wcs, number, n_bands)
    return axis, _spatial(wcs), spectral


def _spectral_number(header: Any, naxis: int) -> int:
    """FITS axis (0 = NAXIS1) whose type is spectral; the third where none says so."""
    for n in range(naxis):
        kind = str(header.get(f"CTYPE{n + 1}", "")).upper()
        if re.match(r"(FREQ|ENER|WAVN|VRAD|WAVE|VOPT|ZOPT|AWAV|VELO|FELO|BETA|LAMBDA|LINEAR|SPECTRAL)", kind):
            return n
    return 2


def _axis_of(header: Any, wcs: Any, number: int, n_bands: int) -> SpectralAxis:
    kind = str(header.get(f"CTYPE{number + 1}", "")).upper()
    said = str(header.get(f"CUNIT{number + 1}", "")).strip()
    values = None
    if wcs is not None:
        try:
            pixel = np.tile(np.asarray(wcs.wcs.crpix, dtype=float) - 1, (n_bands, 1))
            pixel[:, number] = np.arange(n_bands)
            values = wcs.wcs_pix2world(pixel, 0)[:, number]
            said = str(wcs.wcs.cunit[number]) or said
        except Exception:
            values = None
    if values is None or not np.isfinite(values).all():
        return SpectralAxis.channels(n_bands)
    medium: Literal["air", "vacuum", ""] = (
        "air" if kind.startswith("AWAV") else "vacuum" if kind.startswith("WAVE") else ""
    )
    unit, measured = normalise_unit(said)
    if not said and re.match(r"(VRAD|VOPT|VELO|FELO)", kind):
        unit, measured = "m/s", "velocity"
    if not said and kind.startswith("FREQ"):
        unit, measured = "Hz", "frequency"
    if measured == "velocity" and unit == "m/s":
        values, unit = values / 1000, "km/s"
    if measured == "frequency" and unit == "Hz":
        values, unit = values / 1e9, "GHz"
    if measured == "wavelength" and unit == "m":
        # astropy gives SI; people in the field read Å in the optical and µm beyond
        original = normalise_unit(str(header.get(f"CUNIT{number + 1}", "")))[0]
        wanted = original if original in ("Angstrom", "nm", "um") else ("Angstrom" if values.max() < 1.1e-6 else "um")
        values, unit = values * {"Angstrom": 1e10, "nm": 1e9, "um": 1e6}[wanted], wanted
    try:
        return SpectralAxis(values, unit, measured, medium if measured == "wavelength" else "")
    except DataError:
        return SpectralAxis.channels(n_bands)


def _wave_table(hdus: Any, n_bands: int) -> SpectralAxis | None:
    """A vector of wavelengths in an extension of its own (MaNGA's WAVE), which overrides the header."""
    for hdu in hdus:
        if str(hdu.name).upper() in ("WAVE", "WAVELENGTH", "LAMBDA") and getattr(hdu, "shape", None) == (n_bands,):
            unit = str(hdu.header.get("BUNIT", "")) or "Angstrom"
            return SpectralAxis.from_values(np.asarray(hdu.data, dtype=np.float64), unit)
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


def _sides(hdus: Any, cube: Any, order: tuple[int, int, int], scaled: bool) -> tuple[Noise, Any, dict[str, Any]]:
    """Variance and mask extensions of the same shape."""
    noise, mask, notes = Noise(), None, {}
    for hdu in hdus:
        name = str(hdu.name).upper()
        if hdu is cube or getattr(hdu, "shape", None) is None:
            continue
        if name in _VARIANCE and hdu.shape == cube.shape and noise.variance is None:
            inverse, squared = _VARIANCE[name]
            noise = Noise("gaussian", _lazy(hdu, order, scaled), inverse, squared)
        if name in _MASKS:
            if len(hdu.shape) == 2 and hdu.shape == cube.shape[-2:]:
                mask = np.asarray(hdu.data) == 0
            elif hdu.shape == cube.shape:
                notes["not_used"] = f"the {name} cube flags single values; it is not used yet"
    return noise, mask, notes
