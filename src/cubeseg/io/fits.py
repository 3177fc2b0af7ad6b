"""FITS cubes: axis from the WCS, variance, flags and sky position noticed, data left in the file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.cube import Cube, LazyArray, Noise, Source
from cubeseg.errors import ConfigError, DataError
from cubeseg.io.fits_blocks import check_blocks, is_packed
from cubeseg.io.fits_packed import unpacked
from cubeseg.io.fits_sides import Flagged, Role, bad_bits, role_of, white_light
from cubeseg.io.fits_world import sky, spectral_axis, spectral_number, stokes_names
from cubeseg.io.layout import spatial_order
from cubeseg.io.lazy import AxisView
from cubeseg.io.registry import Candidate, ChoiceNeeded, ReadOptions, Setting, reader

__all__: list[str] = []

_COUNTS = ("count", "counts", "ct", "photon", "photons")
_FIRST = ("SCI", "DATA", "FLUX", "PRIMARY", "")
_STOKES = Setting("stokes", "Stokes plane: I, Q, U, V, XX... or its number from 0", default="I")
# more planes than these are no polarisations
_MOST_PLANES = 8

Order = tuple[int, int, int]


def _is_fits(path: Path, head: bytes) -> bool:
    return head.startswith(b"SIMPLE  =") or (head.startswith(b"\x1f\x8b") and ".fit" in path.name.lower())


@reader("FITS", (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"), _is_fits, (_STOKES,), slow=is_packed)
def read_fits(path: Path, options: ReadOptions) -> Cube:
    """The image extension that holds the cube."""
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        check_blocks(path)
        hdus = fits.open(path, memmap=True, lazy_load_hdus=False)
        return _cube(path, hdus, _choose(path, hdus, options), options)


@reader("GILDAS image", (), lambda path, head: head.startswith((b"GILDAS-IMAGE", b"GILDAS_IMAGE")), refuses=True)
def refuse_gildas(path: Path, options: ReadOptions) -> Cube:
    """GILDAS writes FITS itself."""
    raise DataError(f"{path}: is an image of GILDAS; export it there as FITS (FITS {path.stem}.fits FROM {path.name})")


def _is_casa(path: Path, head: bytes) -> bool:
    try:
        with (path / "table.dat").open("rb") as file:
            return file.read(4) == b"\xbe\xbe\xbe\xbe"
    except OSError:
        return False


@reader("CASA image", (), _is_casa, folders=True, refuses=True)
def refuse_casa(path: Path, options: ReadOptions) -> Cube:
    """CASA writes FITS itself."""
    raise DataError(
        f"{path}: is an image or table of CASA; export it there as FITS "
        f"(exportfits(imagename='{path.name}', fitsimage='{path.stem}.fits')) and open that"
    )


def _cube(path: Path, hdus: Any, number: int, options: ReadOptions) -> Cube:
    stored = _Stored(path, hdus, number)
    hdu, shape = stored.hdu, stored.hdu.shape
    spectral = _spectral(path, hdu.header, shape, options.spectral_axis)
    order = spatial_order(spectral, len(shape))
    axis, notes, wcs = spectral_axis(path, hdus, hdu, len(shape) - 1 - spectral)
    planes, more = _planes(path, hdus, number, order, options)
    notes |= more
    data = stored.lazy(order, planes)
    unit = str(hdu.header.get("BUNIT") or hdus[0].header.get("BUNIT", "")).strip()
    noise, mask, flags = _sides(path, hdus, number, order, planes)
    if noise.variance is None and data.dtype.kind in "ui" and unit.lower() in _COUNTS:
        noise = Noise("poisson")
    if flags is not None:
        name, role, values = flags
        data = Flagged(data, values, bad_bits(hdus, hdus[number].header), role.one_is_good)
        notes["flags"] = f"values that {name} flags are missing"
    image = white_light(hdus, (shape[order[1]], shape[order[2]]))
    if image is not None:
        notes["white_light"] = str(hdus[image].name)
    header = {k: v for h in (hdus[0].header, hdu.header) for k, v in h.items() if k and _is_plain(v)}
    source = Source(str(path), "FITS", _label(hdus, number), spectral)
    spatial = sky(wcs, len(shape) - 1 - order[2], len(shape) - 1 - order[1])
    white = None if image is None else partial(_image, path, image)
    return Cube(data, axis, noise, mask, spatial, source, unit, header | notes, white)


def _image(path: Path, number: int) -> NDArray[np.float32]:
    from astropy.io import fits

    return np.asarray(fits.getdata(path, number), np.float32)


class _Stored:
    """One image extension of a file, and how its values can be had without reading all of them.

    Values that are scaled (BSCALE, BZERO, BLANK) cannot be mapped; they are read through a second, unmapped
    handle, section by section. Compressed tiles are unpacked into a temporary file.
    """

    def __init__(self, path: Path, hdus: Any, number: int) -> None:
        from astropy.io import fits

        self.path, self.number, self.hdu = path, number, hdus[number]
        header = self.hdu.header
        blank = "BLANK" in header and header["BITPIX"] > 0
        self.scaled = bool(header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0 or blank)
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

    def lazy(self, order: Order, planes: Mapping[int, int]) -> LazyArray:
        """The values as (bands, y, x); a memory map where they lie as they are.

        `planes` gives the index on each stored axis that `order` leaves out.
        """
        if self.scaled and not self.packed:
            return AxisView(_Section(self.hdu.section, planes), order, self.hdu.shape, self.dtype, str(self.path))
        data = self.whole() if self.packed else self.hdu.data
        fixed = tuple(planes.get(n, 0) if n not in order else slice(None) for n in range(data.ndim))
        kept = sorted(order)
        mapped: LazyArray = data[fixed].transpose([kept.index(n) for n in order])
        return mapped

    def whole(self) -> NDArray[Any]:
        """All values, in the order of the file."""
        if not self.packed:
            return np.asarray(self.hdu.data)
        size = self.path.stat().st_size
        return unpacked(str(self.path), self.number, self.hdu.shape, self.dtype, size)


class _Section:
    """A section of a file with the axes that are no part of the cube at the planes wanted."""

    def __init__(self, section: Any, planes: Mapping[int, int]) -> None:
        self._section, self._planes = section, planes

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        return self._section[tuple(self._planes.get(n, k) for n, k in enumerate(key))]


def _choose(path: Path, hdus: Any, options: ReadOptions) -> int:
    images = [n for n, hdu in enumerate(hdus) if getattr(hdu, "is_image", False) and _is_cube(hdu)]
    if options.dataset is not None:
        wanted = options.dataset.strip().upper()
        named = [n for n in images if wanted in (_label(hdus, n).upper(), str(hdus[n].name).upper(), str(n))]
        if not named:
            there = ", ".join(_label(hdus, n) for n in images) or "no cube at all"
            raise DataError(f"{path}: there is no cube in an extension '{options.dataset}'; there is {there}")
        return named[0]
    if not images:
        raise DataError(f"{path}: no extension holds a cube (3 axes); a spectrum or an image cannot be segmented")
    data = [n for n in images if not role_of(hdus[n]).kind] or images
    for wanted in _FIRST:
        first = [n for n in data if str(hdus[n].name).upper() == wanted]
        if first:
            data = first
            break
    if len(data) == 1:
        return data[0]
    found = tuple(
        Candidate(
            _label(hdus, n),
            hdus[n].shape,
            _Stored(path, hdus, n).dtype.newbyteorder("=").name,
            len(hdus[n].shape) - 1 - spectral_number(hdus[n].header, len(hdus[n].shape)),
        )
        for n in data
    )
    names = ", ".join(c.dataset for c in found)
    raise ChoiceNeeded(f"{path}: several extensions hold cubes ({names}); say which with --dataset", str(path), found)


def _label(hdus: Any, number: int) -> str:
    """An extension's name; with its version where several share it; its number where it has none."""
    name = str(hdus[number].name)
    if not name:
        return str(number)
    alike = [n for n, hdu in enumerate(hdus) if str(hdu.name) == name]
    return f"{name},{hdus[number].ver}" if len(alike) > 1 else name


def _is_cube(hdu: Any) -> bool:
    """Three axes, or more where the others have a few planes only."""
    shape = hdu.shape
    if len(shape) < 3:
        return False
    order = spatial_order(len(shape) - 1 - spectral_number(hdu.header, len(shape)), len(shape))
    return all(length <= _MOST_PLANES for n, length in enumerate(shape) if n not in order)


def _spectral(path: Path, header: Any, shape: tuple[int, ...], given: int | None) -> int:
    """The stored axis that is spectral."""
    if given is None:
        return len(shape) - 1 - spectral_number(header, len(shape))
    if not -len(shape) <= given < len(shape):
        raise DataError(f"{path}: there is no axis {given}; the cube has axes 0 to {len(shape) - 1}")
    return given % len(shape)


def _planes(
    path: Path, hdus: Any, number: int, order: Order, options: ReadOptions
) -> tuple[dict[int, int], dict[str, Any]]:
    """Which plane of each axis that the cube has no use for, and notes: Stokes I unless another is said."""
    hdu, said = hdus[number], options.settings.get("stokes", "").strip().upper()
    planes: dict[int, int] = {}
    notes: dict[str, Any] = {}
    for n, length in enumerate(hdu.shape):
        if n in order:
            continue
        names = stokes_names(hdu.header, len(hdu.shape) - 1 - n, length)
        there = ", ".join(names) or f"0 to {length - 1}"
        if said in names:
            planes[n] = names.index(said)
        elif said.isdecimal() and int(said) < length:
            planes[n] = int(said)
        elif said and length > 1:
            raise ConfigError(f"{path}: there is no plane '{said}' (stokes); there is {there}")
        elif length == 1 or "I" in names:
            planes[n] = names.index("I") if "I" in names else 0
        elif names:
            found = Candidate(_label(hdus, number), hdu.shape, _Stored(path, hdus, number).dtype.name, order[0])
            raise ChoiceNeeded(
                f"{path}: holds the Stokes planes {there} and no I; say which with the setting stokes",
                str(path), (found,), (Setting(_STOKES.name, _STOKES.text, tuple((p, p) for p in names), names[0]),),
            )  # fmt: skip
        else:
            planes[n] = 0
        if length > 1:
            called = names[planes[n]] if names else str(planes[n])
            notes["plane"] = f"plane {called} of the cube's fourth axis ({there}) is used; the setting stokes names one"
    return planes, notes


def _sides(
    path: Path, hdus: Any, number: int, order: Order, planes: Mapping[int, int]
) -> tuple[Noise, NDArray[np.bool_] | None, tuple[str, Role, LazyArray] | None]:
    """Variance, mask of pixels, and flags of single values, from the extensions that belong to the cube."""
    cube = hdus[number]
    flat = tuple(cube.shape[k] for k in sorted(order[1:]))
    noise, mask, flags = Noise(), None, None
    beside = [n for n in range(len(hdus)) if n != number and _belongs(hdus[n], cube)]
    for n in sorted(beside, key=lambda n: role_of(hdus[n]).rank):
        role, shape = role_of(hdus[n]), hdus[n].shape
        if role.kind == "variance" and shape == cube.shape and noise.variance is None:
            variance = _Stored(path, hdus, n).lazy(order, planes)
            noise = Noise("gaussian", variance, role.inverse, role.squared)
        elif role.kind == "mask" and shape == flat and mask is None:
            values = _Stored(path, hdus, n).whole()
            usable = values == 1 if role.one_is_good else values == 0
            mask = usable if order[1] < order[2] else usable.T
        elif role.kind == "mask" and shape == cube.shape and flags is None:
            flags = str(hdus[n].name), role, _Stored(path, hdus, n).lazy(order, planes)
    return noise, mask, flags


def _belongs(hdu: Any, cube: Any) -> bool:
    """Whether an extension is of this cube and not of another: by ESO's keyword, its version, or its prefix."""
    if not getattr(hdu, "is_image", False) or not hdu.shape or not role_of(hdu).kind:
        return False
    said = str(hdu.header.get("SCIDATA", "")).strip().upper()
    if said:
        return said == str(cube.name).upper()
    prefixes = {str(h.name).upper().rpartition(".")[0] for h in (hdu, cube)}
    return len(prefixes) == 1 and (hdu.ver == cube.ver or str(cube.name).upper() in ("PRIMARY", ""))


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))
