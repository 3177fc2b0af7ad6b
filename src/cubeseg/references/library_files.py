"""Files of reference spectra: tables of text, ENVI spectral libraries, single spectra of Bruker."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.errors import DataError
from cubeseg.io.envi_header import floats, is_header, parse_header, whole_number
from cubeseg.io.layout import wavelength_unit
from cubeseg.references.library import Library

__all__ = ["load_library"]

Float64 = NDArray[np.float64]
Rows = list[list[str]]

_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_LARGEST = 256 << 20
_DELIMITERS = ("\t", ";", ",", "")
_MISSING = {"", "nan", "na", "n/a", "-", "null", "none"}
# columns that tell how sure another one is
_SPREAD = re.compile(r"(std|sd|stdev|err(or)?s?|sigma|uncertaint(y|ies)|standard deviation)", re.I)
_AXIS_WORDS = re.compile(r"wave|energy|keV|freq|shift|x[ _-]?units?|axis|abscissa", re.I)


def load_library(path: str | Path, unit: str = "") -> Library:
    """Reference spectra of a file.

    Read are tables of text (an axis and one column per spectrum, or one row per spectrum under a row of axis values;
    separated by comma, semicolon, tab or blanks; decimal point or comma), ENVI spectral libraries (``.sli`` with its
    ``.hdr``) and Bruker's single spectra (``.spx``).

    Parameters
    ----------
    path : path-like
    unit : str
        Of the axis, where the file does not say or says it wrongly.

    Returns
    -------
    Library

    Raises
    ------
    DataError
        One line: which file, what is wrong.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise DataError(f"{file}: there is no such file")
        if file.stat().st_size > _LARGEST:
            raise DataError(f"{file}: is too large for a library; convert it to ENVI or HDF5 and open it as a cube")
        with file.open("rb") as opened:
            head = opened.read(4096)
        if is_header(head) or file.suffix.lower() == ".sli":
            return _envi(file, unit)
        if b"TRTSpectrum" in head:
            return _bruker(file)
        return _table(file, unit)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except MemoryError as error:
        raise DataError(f"{file}: does not fit into memory") from error


def _envi(file: Path, unit: str) -> Library:
    header_path = file if file.suffix.lower() == ".hdr" else _beside(file, (".hdr", ".HDR"))
    header = parse_header(header_path)
    data_path = file if file != header_path else _beside(file, (".sli", ".SLI", "", ".dat", ".img"))
    bands, spectra = whole_number(header_path, header, "samples"), whole_number(header_path, header, "lines")
    number = whole_number(header_path, header, "data type")
    if whole_number(header_path, header, "bands", 1) != 1 or number not in _TYPES:
        raise DataError(f"{header_path}: is no spectral library; that has one band and real numbers")
    order = "<" if whole_number(header_path, header, "byte order", 0) == 0 else ">"
    kind = np.dtype(order + _TYPES[number])
    offset, size = whole_number(header_path, header, "header offset", 0), bands * spectra * kind.itemsize
    if offset + size > data_path.stat().st_size:
        raise DataError(f"{data_path}: is truncated; the header speaks of {spectra} spectra of {bands} bands")
    with data_path.open("rb") as opened:
        opened.seek(offset)
        values = np.frombuffer(opened.read(size), kind).reshape(spectra, bands).astype(np.float64)
    for ignored in floats(header.get("data ignore value", ""))[:1]:
        values[values == ignored] = np.nan
    for scale in floats(header.get("reflectance scale factor", ""))[:1]:
        values /= scale or 1.0
    at = np.array(floats(header.get("wavelength", "")))
    if len(at) != bands:
        at = np.arange(bands, dtype=np.float64)
        unit = unit or "channel"
    axis, notes, rising = _axis(data_path, at, unit or header.get("wavelength units", ""))
    return Library(_envi_names(header, spectra), axis, _ordered(values, rising), str(data_path), notes)


def _envi_names(header: dict[str, str], n: int) -> tuple[str, ...]:
    """Names of the spectra; with those that people use before, where the header has a list of them too."""
    names = _listed(header.get("spectra names", ""), n)
    spoken = [key for key in header if "name" in key and key not in ("spectra names", "band names", "class names")]
    for key in spoken:
        more = header[key].split(",")
        if len(more) == n:
            return tuple(f"{word.strip()} [{name}]" for word, name in zip(more, names, strict=True))
    return names


def _listed(text: str, n: int) -> tuple[str, ...]:
    found = [part.strip() for part in text.split(",")] if text else []
    return tuple(found[i] if i < len(found) and found[i] else f"spectrum {i + 1}" for i in range(n))


def _beside(file: Path, endings: tuple[str, ...]) -> Path:
    for ending in endings:
        for candidate in (file.with_suffix(ending), file.with_name(file.name + ending)):
            if candidate.is_file() and candidate != file:
                return candidate
    raise DataError(f"{file}: its {'header' if '.hdr' in endings else 'data file'} is missing; it should lie beside it")


def _bruker(file: Path) -> Library:
    content = file.read_text(encoding="cp1252", errors="replace")
    counts = re.search(r"<Channels>([\d,.\s-]*)</Channels>", content)
    start, step = (re.search(rf"<{key}>\s*([-+.,\dEe]+)\s*</{key}>", content) for key in ("CalibAbs", "CalibLin"))
    if not counts or not start or not step:
        raise DataError(f"{file}: holds no spectrum with its calibration; it may be truncated")
    values = [_number(part, ".") for part in counts[1].split(",") if part.strip()]
    first, each = (_number(found[1], "," if "," in found[1] else ".") for found in (start, step))
    if None in values or first is None or not each:
        raise DataError(f"{file}: its channels or its calibration are no numbers")
    at = first + each * np.arange(len(values), dtype=np.float64)
    if len(values) < 2 or not np.isfinite(at).all():
        raise DataError(f"{file}: holds no spectrum with its calibration; it may be truncated")
    axis, notes, rising = _axis(file, at, "keV")
    return Library((file.stem,), axis, _ordered(np.array([values], dtype=np.float64), rising), str(file), notes)


def _table(file: Path, unit: str) -> Library:
    raw = file.read_bytes()
    coding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    lines = raw.decode(coding, errors="replace").splitlines()
    if any(line.startswith("##") and "=" in line for line in lines[:5]):
        raise DataError(f"{file}: JCAMP-DX is not read; export it as CSV")
    best: tuple[int, Rows, int, str] | None = None
    for decimal in ".,":
        for delimiter in _DELIMITERS:
            if decimal == delimiter or not any(delimiter in line for line in lines):
                continue
            rows = list(_cells(file, lines, delimiter))
            first, length = _block(rows, decimal)
            score = length * (len(rows[first]) if length else 0)
            if length >= 2 and (best is None or score > best[0]):
                best = score, rows, first, decimal
    if best is None:
        raise DataError(f"{file}: holds no table of numbers; it takes an axis and one column per spectrum")
    _, rows, first, decimal = best
    length = _block(rows, decimal)[1]
    before, block = [row for row in rows[:first] if any(row)], rows[first : first + length]
    # Orange writes the kinds of its columns between their names and the values
    heads = [block[0], *(row for row in reversed(before) if len(row) == len(block[0]))]
    head = next((row for row in heads if _lead(row, decimal)), None)
    if head is not None:
        lead = _lead(head, decimal)
        names, at, values = _by_row(head, block[1:] if head is block[0] else block, lead, decimal)
        words = " ".join(cell for row in before if row is not head for cell in row[:lead])
        notes: tuple[str, ...] = ()
    else:
        names, at, values, notes = _by_column(file, before, block, decimal)
        words = _axis_words(before, len(block[0]))
    axis, more, rising = _axis(file, at, unit or _unit_in(words))
    return Library(names, axis, _ordered(values, rising), str(file), notes + more)


def _cells(file: Path, lines: list[str], delimiter: str) -> Iterator[list[str]]:
    bare = (line.strip("\n\r\f").lstrip("#%! ") if line[:1] in "#%!" else line.rstrip("\n\r\f ") for line in lines)
    try:
        for line in bare:
            row = next(csv.reader([line], delimiter=delimiter), []) if delimiter else line.split()
            while delimiter and len(row) > 1 and not row[-1].strip():
                row.pop()
            yield [cell.strip() for cell in row]
    except csv.Error as error:
        raise DataError(f"{file}: is no table of text ({error})") from error


def _number(cell: str, decimal: str) -> float | None:
    text = cell.strip().strip('"')
    if text.lower() in _MISSING:
        return float("nan")
    if decimal == "," and "." in text:
        return None
    try:
        return float(text.replace(",", ".") if decimal == "," else text)
    except ValueError:
        return None


def _block(rows: Rows, decimal: str) -> tuple[int, int]:
    """First row and length of the longest run of rows of numbers with the same number of cells."""
    best, start = (0, 0), 0
    width = 0
    for i, row in enumerate([*rows, []]):
        if len(row) != width or not _numeric(row, decimal):
            if i - start > best[1] and width > 1:
                best = start, i - start
            start, width = (i, len(row)) if _numeric(row, decimal) else (i + 1, 0)
    return best


def _numeric(row: list[str], decimal: str) -> bool:
    """Whether a row holds numbers to its end; it may begin with a name or two where three numbers follow."""
    numbers = [_number(cell, decimal) for cell in row]
    first = next((i for i, number in enumerate(numbers) if number is not None and row[i].lower() not in _MISSING), -1)
    return first >= 0 and None not in numbers[first:] and len(row) - first > (1 if first == 0 else 2)


def _lead(head: list[str], decimal: str) -> int:
    """How many cells name a spectrum, where every row is one and the first row has the axis; 0 where columns are."""
    numbers = [_number(cell, decimal) if cell.lower() not in _MISSING else None for cell in head]
    lead = next((i for i, number in enumerate(numbers) if number is not None), 0)
    at = numbers[lead:]
    return lead if lead and len(at) >= 3 and None not in at and len(set(at)) == len(at) else 0


def _by_row(head: list[str], block: Rows, lead: int, decimal: str) -> tuple[tuple[str, ...], Float64, Float64]:
    at = np.array([_number(cell, decimal) for cell in head[lead:]], dtype=np.float64)
    values = np.array([[_or_nan(cell, decimal) for cell in row[lead:]] for row in block])
    words = [" ".join(cell for cell in row[:lead] if cell) for row in block]
    seen: dict[str, int] = {}
    names = []
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        names.append(f"{word or 'spectrum'} {seen[word]}" if words.count(word) > 1 or not word else word)
    return tuple(names), at, values


def _by_column(
    file: Path, before: Rows, block: Rows, decimal: str
) -> tuple[tuple[str, ...], Float64, Float64, tuple[str, ...]]:
    table = np.array([[_or_nan(cell, decimal) for cell in row] for row in block])
    head = before[-1] if before and len(before[-1]) == len(block[0]) else []
    if not head and before and len(before[-1]) == len(block[0]) - 1:
        # the axis has no title
        head = ["", *before[-1]]
    names = [head[i] if head and head[i] else f"spectrum {i}" for i in range(1, table.shape[1])]
    if table.shape[1] == 2 and (
        not head or not head[1] or re.match(r"(reflect|intens|count|absor|y\b)", head[1], re.I)
    ):
        said = [row for row in before if row and re.fullmatch(r"name\s*:?.*", row[0], re.I)]
        words = " ".join(said[0]) if said else ""
        names = [re.sub(r"^name\s*:?\s*", "", words, flags=re.I) or file.stem]
    left_out = [i for i, name in enumerate(names) if _SPREAD.fullmatch(name.strip())]
    kept = [i for i in range(len(names)) if i not in left_out] or list(range(len(names)))
    notes = () if len(kept) == len(names) else (f"left out: {', '.join(names[i] for i in left_out)}",)
    return tuple(names[i] for i in kept), table[:, 0], table[:, [i + 1 for i in kept]].T, notes


def _or_nan(cell: str, decimal: str) -> float:
    value = _number(cell, decimal)
    return float("nan") if value is None else value


def _axis_words(before: Rows, width: int) -> str:
    """What is said about the axis: the title of its column, else lines above that speak of one."""
    title = before[-1][0] if before and len(before[-1]) == width else ""
    if _unit_in(title):
        return title
    return next((text for row in reversed(before) if _AXIS_WORDS.search(text := " ".join(row)) and _unit_in(text)), "")


def _unit_in(words: str) -> str:
    """The unit that some words name; empty where they name none."""
    inner = re.findall(r"[(\[{]([^)\]}]*)[)\]}]", words)
    for part in [*inner, words, *re.split(r"[\s/_:=,;]+", words)[::-1]]:
        if part.strip() and normalise_unit(part)[1] != "channel":
            return normalise_unit(part)[0]
    return ""


def _axis(file: Path, at: Float64, unit: str) -> tuple[SpectralAxis, tuple[str, ...], NDArray[np.intp]]:
    """Axis of the distinct finite values, what was assumed, and which column each came from."""
    good = np.flatnonzero(np.isfinite(at))
    _, places = np.unique(at[good], return_index=True)
    order = good[places]
    if len(order) < 2:
        raise DataError(f"{file}: its axis has fewer than two distinct values")
    notes: tuple[str, ...] = (
        () if len(order) == len(at) else (f"{len(at) - len(order)} repeated or missing axis values are left out",)
    )
    known, kind = normalise_unit(unit)
    if kind == "channel" and unit.strip().lower() not in ("channel", "index", "pixel"):
        # instruments that measure wavenumbers list them from high to low
        falling = len(good) > 2 and bool((np.diff(at[good]) < 0).all()) and 200 <= at[good].min() < 20000
        known = "1/cm" if falling else wavelength_unit(at[order])
        if known:
            notes += (f"the unit {known} was told from the values",)
    return SpectralAxis(at[order], known if normalise_unit(known)[1] != "channel" else ""), notes, order


def _ordered(values: Float64, order: NDArray[np.intp]) -> Float64:
    return values[:, order]
