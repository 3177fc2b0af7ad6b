"""What the header of a FITS cube says about its axes: spectral values, sky position, Stokes planes.

Source: FITS standard 4.0, chapter 8; JWST's table of wavelengths as its documentation describes ``s3d`` products.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.cube import Spatial
from cubeseg.errors import DataError
from cubeseg.io.layout import in_usual_unit, wavelength_unit

__all__ = ["sky", "spectral_axis", "spectral_number", "stokes_names"]

Medium = Literal["air", "vacuum", ""]

_SPECTRAL = re.compile(
    r"FREQ|ENER|WAVN|VRAD|WAVE|VOPT|ZOPT|AWAV|VELO|FELO|BETA|LAMBDA|SPECTRAL|LOG.*LAM|ALOG|PHOTON|WAVENUM|ENERGY", re.I
)
_WAVE = re.compile(r"WAVE|AWAV|LAMBDA|LOG.*LAM", re.I)
_VELOCITY = re.compile(r"VRAD|VOPT|VELO|FELO", re.I)
_TABLES = ("WAVE", "WAVELENGTH", "LAMBDA")
# units that astropy refuses, together with the whole header
_UNITS = {"angstroem": "Angstrom", "angstroms": "Angstrom", "ang": "Angstrom", "a": "Angstrom", "aa": "Angstrom",
          "mum": "um", "wavenumber": "1/cm"}  # fmt: skip
_STOKES = {1: "I", 2: "Q", 3: "U", 4: "V", -1: "RR", -2: "LL", -3: "RL", -4: "LR", -5: "XX", -6: "YY", -7: "XY",
           -8: "YX"}  # fmt: skip
_LIGHT = 299792458.0


def spectral_number(header: Any, naxis: int) -> int:
    """FITS axis (0 = NAXIS1) whose type is spectral; the third where none says so."""
    for n in range(naxis):
        if _SPECTRAL.match(_text(header, f"CTYPE{n + 1}")):
            return n
    for n in range(naxis):
        # of no type, but in a unit that only spectra have
        if normalise_unit(_text(header, f"CUNIT{n + 1}"))[1] in ("energy", "frequency", "velocity", "wavenumber"):
            return n
    return 2


def stokes_names(header: Any, number: int, planes: int) -> list[str]:
    """What the planes of an axis are called: I, Q, U, V, XX...; empty where it is no Stokes axis."""
    if not _text(header, f"CTYPE{number + 1}").upper().startswith("STOKES"):
        return []
    value, step, pixel = (
        _number(header, f"{key}{number + 1}", default)
        for key, default in (("CRVAL", 1.0), ("CDELT", 1.0), ("CRPIX", 1.0))
    )
    codes = (round(value + (n + 1 - pixel) * step) for n in range(planes))
    return [_STOKES.get(code, str(code)) for code in codes]


def spectral_axis(path: Path, hdus: Any, hdu: Any, number: int) -> tuple[SpectralAxis, dict[str, Any], Any]:
    """The spectral axis, notes about it, and the WCS it came from.

    Parameters
    ----------
    path : Path
    hdus : HDUList
    hdu : HDU
        The cube.
    number : int
        Its spectral axis, 0 being NAXIS1.

    Returns
    -------
    axis : SpectralAxis
    notes : dict
        ``axis_guessed``, ``axis_rejected``.
    wcs : WCS or None
        None where the header makes none.
    """
    header, naxis = hdu.header.copy(), len(hdu.shape)
    for key in ("RESTFRQ", "RESTFREQ", "RESTWAV", "AIRORVAC", "VACUUM"):
        if key not in header and key in hdus[0].header:
            header[key] = hdus[0].header[key]
    n_bands = int(hdu.shape[naxis - 1 - number])
    _repair(header, number, naxis)
    wcs = _wcs(header, hdus, naxis)
    rest = _rest(header)
    kind = _text(header, f"CTYPE{number + 1}").upper()
    table = _wave_table(hdus, header, number, n_bands)
    notes: dict[str, Any] = {}
    if table is not None:
        values, unit, notes["axis_from"] = table
    else:
        found = _values(header, wcs, number, n_bands)
        if found is None:
            notes["axis_rejected"] = f"the header's spectral axis ({kind or 'no CTYPE'}) cannot be computed"
            return SpectralAxis.channels(n_bands), notes, wcs
        values, unit = found
    if not unit:
        unit, guess = _usual_unit(kind, values)
        if guess:
            notes["axis_guessed"] = guess
    if table is None and (logarithm := _is_logarithm(header, kind, values)):
        values, notes["axis_guessed"] = 10.0**values, logarithm
        unit = unit or wavelength_unit(values) or "Angstrom"
    axis = _axis(values, unit, _medium(header, kind), rest, kind)
    if axis is None:
        notes["axis_rejected"] = "the values of the spectral axis are not finite, or turn back, so bands are numbered"
        return SpectralAxis.channels(n_bands), notes, wcs
    if _VELOCITY.match(kind):
        notes["velocity"] = "radio" if kind.startswith("VRAD") else "optical" if kind.startswith("VOPT") else kind
    return axis, notes, wcs


def sky(wcs: Any, x: int, y: int) -> Spatial:
    """Pixel size and celestial WCS of the image axes; ``(x, y)`` count from 0 as NAXIS1.

    The WCS text keeps the order of the image's axes, so that it fits exported images as it is.
    """
    if wcs is None or not getattr(wcs, "has_celestial", False):
        return Spatial()
    from astropy.wcs.utils import proj_plane_pixel_scales

    try:
        if {wcs.wcs.lng, wcs.wcs.lat} != {x, y}:
            return Spatial()
        celestial = wcs.sub([x + 1, y + 1])
        width, height = (float(scale) * 3600 for scale in proj_plane_pixel_scales(celestial)[:2])
        text = celestial.to_header_string(relax=True)
    except Exception:  # a header that makes no WCS leaves the data readable
        return Spatial()
    if not (np.isfinite([width, height]).all() and width > 0 and height > 0):
        return Spatial()
    return Spatial((height, width), "arcsec", text)


def _text(header: Any, key: str) -> str:
    return str(header.get(key, "")).strip()


def _number(header: Any, key: str, default: float) -> float:
    value = header.get(key, default)
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else default


def _repair(header: Any, number: int, naxis: int) -> None:
    """Spell units as astropy takes them, and complete a matrix that lacks rows (the spectral one, mostly)."""
    n = number + 1
    if said := _text(header, f"CUNIT{n}"):
        header[f"CUNIT{n}"] = _UNITS.get(said.lower(), normalise_unit(said)[0])
    for key in [key for key in header if key.endswith("_ORDER") or key.startswith("WCSAXES")]:
        # astropy makes arrays and loops of these sizes
        if not (isinstance(header[key], int) and 0 <= header[key] <= 9):
            del header[key]
    size = range(1, 1 + naxis)
    if any(f"CD{i}_{j}" in header for i in size for j in size):
        for i in size:
            if not any(f"CD{i}_{j}" in header for j in size):
                header[f"CD{i}_{i}"] = _number(header, f"CDELT{i}", 1.0)


def _wcs(header: Any, hdus: Any, naxis: int) -> Any:
    from astropy.wcs import WCS

    try:
        # tables of coordinates (-TAB) lie in other extensions
        return WCS(header, hdus, naxis=naxis)
    except Exception:
        pass
    try:
        return WCS(header, naxis=naxis)
    except Exception:  # any flaw of a header is one of the WCS only; the data can still be read
        return None


def _rest(header: Any) -> float:
    """Rest frequency in Hz; 0 where the header has none."""
    frequency = _number(header, "RESTFRQ", 0.0) or _number(header, "RESTFREQ", 0.0)
    wavelength = _number(header, "RESTWAV", 0.0)
    if frequency > 0:
        return frequency
    return _LIGHT / wavelength if wavelength > 0 else 0.0


def _values(header: Any, wcs: Any, number: int, n_bands: int) -> tuple[NDArray[np.float64], str] | None:
    """The WCS at the centre of each band, in the unit that the header says."""
    said = _text(header, f"CUNIT{number + 1}")
    unit = normalise_unit(said)[0]
    try:
        pixel = np.tile(np.asarray(wcs.wcs.crpix, dtype=float) - 1, (n_bands, 1))
        pixel[:, number] = np.arange(n_bands)
        values = np.asarray(wcs.wcs_pix2world(pixel, 0)[:, number], dtype=np.float64)
        stored = wcs.wcs.cunit[number]
        if said and str(stored):
            # astropy turns units into SI ones; people read the header's
            values = values * _back(header, number, float(wcs.wcs.crval[number]), float(stored.to(said)))
        return values, unit
    except Exception:  # the sky may be what is wrong; a straight spectral axis needs none of it
        straight = _straight(header, number, n_bands)
        return None if straight is None else (straight, unit)


def _back(header: Any, number: int, value: float, factor: float) -> float:
    """The factor from SI to the header's unit as wcslib had it: astropy's constants differ in the 8th digit."""
    said = _number(header, f"CRVAL{number + 1}", 0.0)
    exact = said / value if value else factor
    return exact if abs(exact - factor) < 1e-6 * abs(factor) else factor


def _straight(header: Any, number: int, n_bands: int) -> NDArray[np.float64] | None:
    """CRVAL + (pixel - CRPIX) CDELT; None for an axis of another algorithm (-LOG, -F2W, -TAB) or without a step."""
    n = number + 1
    if re.search(r"-(LOG|TAB|[A-Z]2[A-Z]|GR[IA])$", _text(header, f"CTYPE{n}").upper()) or f"CRVAL{n}" not in header:
        return None
    step = _number(header, f"CD{n}_{n}", 0.0) or _number(header, f"CDELT{n}", 0.0) * _number(header, f"PC{n}_{n}", 1.0)
    if not step:
        return None
    pixel = np.arange(1, n_bands + 1, dtype=np.float64) - _number(header, f"CRPIX{n}", 0.0)
    return np.asarray(_number(header, f"CRVAL{n}", 0.0) + pixel * step)


def _usual_unit(kind: str, values: NDArray[np.float64]) -> tuple[str, str]:
    """The unit of an axis that says none, and a note where it is a guess; the standard's are SI units."""
    if _VELOCITY.match(kind):
        return "m/s", ""
    if kind.startswith("FREQ"):
        return "Hz", ""
    if not _WAVE.match(kind) or not np.isfinite(values).all():
        return "", ""
    top = float(np.abs(values).max())
    if top < 1e-3:
        return "m", ""
    unit = "Angstrom" if 2600 < top < 1e5 else wavelength_unit(values)
    return unit, f"the header gives no unit for {kind}; {unit} was told from the values" if unit else ""


def _is_logarithm(header: Any, kind: str, values: NDArray[np.float64]) -> str:
    """Whether the header's numbers are log10 of wavelengths, which the standard's own ``-LOG`` are not."""
    if "-LOG" in kind and not kind.startswith("LOG"):
        return ""
    if not (np.isfinite(values).all() and values.min() > 0 and values.max() < 6):
        return ""
    if header.get("DC-FLAG") == 1:
        return "the header's DC-FLAG says that its numbers are log10 of the wavelength"
    if re.match(r"A?LOG", kind):
        return f"the axis is called {kind}, so its numbers are taken for log10 of the wavelength"
    return ""


def _medium(header: Any, kind: str) -> Medium:
    if kind.startswith("AWAV"):
        return "air"
    said = _text(header, "AIRORVAC").lower()
    if said.startswith(("air", "vac")):
        return "air" if said.startswith("air") else "vacuum"
    if isinstance(header.get("VACUUM"), bool):
        return "vacuum" if header["VACUUM"] else "air"
    # WAVELENGTH is no type of the standard, and says nothing
    return "vacuum" if re.match(r"WAVE(-|$)", kind) else ""


def _axis(values: Any, unit: str, medium: Medium, rest: float, kind: str) -> SpectralAxis | None:
    """An axis of these values in the unit that people use; None where they are none."""
    values = np.asarray(values, dtype=np.float64)
    unit, measured = normalise_unit(unit)
    if not np.isfinite(values).all():
        return None
    if unit == "m" and not _VELOCITY.match(kind):
        values, unit = in_usual_unit(values)
    if unit == "m/s":
        values, unit = values / 1000, "km/s"
    if unit == "Hz":
        values, unit = values / 1e9, "GHz"
    try:
        return SpectralAxis(values, unit, measured, medium if measured == "wavelength" else "", rest)
    except DataError:
        return None


def _wave_table(hdus: Any, header: Any, number: int, n_bands: int) -> tuple[NDArray[np.float64], str, str] | None:
    """A vector of wavelengths that overrides the header: MaNGA's WAVE, or the table that JWST's header names."""
    n = number + 1
    table, column, index = _text(header, f"PS{n}_0"), _text(header, f"PS{n}_1"), _text(header, f"PS{n}_2")
    for hdu in hdus:
        name = str(hdu.name).upper()
        columns = getattr(getattr(hdu, "columns", None), "names", None) or ()
        if table and not index and name == table.upper() and column in columns:
            values, unit = np.ravel(hdu.data[column]), str(hdu.columns[column].unit or "")
        elif not table and name in _TABLES and getattr(hdu, "shape", None) == (n_bands,):
            values, unit = np.asarray(hdu.data), str(hdu.header.get("BUNIT", ""))
        else:
            continue
        unit = normalise_unit(unit)[0] or _text(header, f"CUNIT{n}")
        if values.size == n_bands and values.dtype.kind in "uif":
            unit = unit or ("Angstrom" if np.nanmax(values) > 2600 else wavelength_unit(values))
            return values.astype(np.float64), _UNITS.get(unit.lower(), unit), name
    return None
