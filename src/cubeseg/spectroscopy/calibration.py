"""The spectral axis as people say it: a + b x, peaks of known energy or element, a file, another unit.

Nothing here guesses: what is said holds, and what cannot be understood is refused.

=============================  ==========================================================================
``-0.96,0.01 keV``             value = -0.96 + 0.01 * channel, channels counted from 0; a third number is
                               the coefficient of channel squared
``640=6.404,1744=17.44 keV``   a straight line through known peaks (least squares where there are more)
``640=Fe,1744=Mo keV``         the same with elements, whose K-alpha line is meant; ``Pb-La1`` names another
``axis.csv nm``                a text file: one value per band, or channel and value in two columns
``nm``, ``nm air``             the numbers are right, and this is what they are
``dataset:entry/energy keV``   a vector inside the file itself
``to keV``, ``to nm air``      the present axis in another unit (:mod:`cubeseg.spectroscopy.conversion`)
``A; B``                       first A, then B
=============================  ==========================================================================
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis, normalise_unit
from cubeseg.errors import ConfigError, DataError
from cubeseg.spectroscopy.conversion import converted
from cubeseg.spectroscopy.xray import transitions

__all__ = ["chained", "further", "inside", "line_energy", "recalibrated"]

Medium = Literal["air", "vacuum", ""]

_INSIDE = "dataset:"
_FORMS = "write it as '-0.96,0.01 keV', '640=6.404,1744=17.44 keV', '640=Fe,1744=Mo', 'axis.csv nm' or 'nm'"


def inside(text: str) -> tuple[str, str] | None:
    """Name and unit of the vector in the file that `text` points to; None where it points elsewhere."""
    if not text.startswith(_INSIDE):
        return None
    body, unit, _ = _parts(text)
    return body.removeprefix(_INSIDE), unit


def recalibrated(axis: SpectralAxis, text: str, file: Path | None = None) -> SpectralAxis:
    """The axis that `text` describes.

    Parameters
    ----------
    axis : SpectralAxis
        As the file has it; gives the number of bands, and the values where only the unit is said.
    text : str
        See the table above.
    file : Path, optional
        The cube's file; files named in `text` are looked for beside it too.

    Raises
    ------
    ConfigError
        If the text cannot be understood, or a line is unknown.
    DataError
        If the values do not fit the cube.
    """
    for step in text.split(";")[:-1]:
        axis = recalibrated(axis, step, file)
    text = text.split(";")[-1].strip()
    body, unit, medium = _parts(text)
    n = len(axis)
    if body == "to" and unit:
        return converted(axis, unit, medium=medium)
    if body.startswith(_INSIDE):
        # the reader has already taken it
        return axis
    if not body:
        if not unit:
            raise ConfigError(f"axis: '{text}' cannot be understood; {_FORMS}")
        return SpectralAxis(axis.values, unit, medium=medium)
    if "=" in body:
        values, unit = _from_peaks(body, unit, n)
    elif _numbers(body) is not None:
        coefficients = _numbers(body) or []
        if not 2 <= len(coefficients) <= 3:
            raise ConfigError(f"axis: '{body}' has {len(coefficients)} numbers; it takes a,b or a,b,c")
        values = np.asarray(np.polynomial.polynomial.polyval(np.arange(n), coefficients), np.float64)
    else:
        values = _from_file(body, file, n)
    _check_unit(unit, text)
    return SpectralAxis(values, unit, medium=medium)


def chained(before: str, text: str) -> str:
    """One description for the second calibration after the first, which is dropped where it has no part in it."""
    relative = text.strip().startswith("to ") or not _parts(text)[0]
    return f"{before}; {text.strip()}" if before and relative else text.strip()


def further(before: str, after: str) -> str:
    """What leads from an axis that was described one way to that which is described the other."""
    return after[len(before) + 1 :].strip() if before and after.startswith(f"{before};") else after


def line_energy(text: str) -> float:
    """Energy in keV of an X-ray line: ``Fe`` (its K-alpha), ``Fe-Kb1``, ``Pb La1`` (data: xraydb, Elam et al. 2002).

    Raises
    ------
    ConfigError
        If there is no such element or line.
    """
    found = re.fullmatch(r"([A-Z][a-z]?)(?:[-_ ]?([KLM][a-z]?\d?))?", text.strip())
    if not found:
        raise ConfigError(f"axis: '{text}' is no element or line; write Fe, Fe-Ka1 or Pb-La1")
    line = found[2] or "Ka"
    try:
        lines = transitions(found[1])
    except ConfigError as error:
        raise ConfigError(f"axis: {error}") from error
    fitting = [t for t in lines if t.siegbahn.startswith(line)]
    if not fitting:
        raise ConfigError(f"axis: {found[1]} has no line {line}; it has {', '.join(t.siegbahn for t in lines)}")
    # unresolved lines appear at their mean, weighted by intensity
    return sum(t.energy * t.strength for t in fitting) / sum(t.strength for t in fitting)


def _parts(text: str) -> tuple[str, str, Medium]:
    """Body, unit and medium of a description."""
    words = text.strip()
    medium: Medium = ""
    if found := re.search(r"\s(air|vacuum)$", " " + words, re.I):
        medium = found[1].lower()  # type: ignore[assignment]
        words = words[: len(words) - len(found[1])].strip()
    head, _, last = words.rpartition(" ")
    if normalise_unit(last)[1] != "channel":
        return head.strip(), normalise_unit(last)[0], medium
    return words, "", medium


def _check_unit(unit: str, text: str) -> None:
    if not unit:
        raise ConfigError(f"axis: '{text}' does not end with a unit such as keV, nm, Angstrom, 1/cm or km/s")


def _numbers(body: str) -> list[float] | None:
    try:
        return [float(part) for part in body.split(",")]
    except ValueError:
        return None


def _from_peaks(body: str, unit: str, n: int) -> tuple[NDArray[np.float64], str]:
    channels, values, elements = [], [], False
    for part in body.split(","):
        channel, _, value = part.partition("=")
        try:
            channels.append(float(channel))
        except ValueError as error:
            raise ConfigError(f"axis: '{channel.strip()}' is no channel number; {_FORMS}") from error
        try:
            values.append(float(value))
        except ValueError:
            values.append(line_energy(value))
            elements = True
    if len(set(channels)) < 2:
        raise ConfigError("axis: a line takes at least two peaks at different channels")
    if elements and unit not in ("", "keV"):
        raise ConfigError(f"axis: elements have energies in keV, not in {unit}")
    slope, offset = np.polyfit(channels, values, 1)
    return offset + slope * np.arange(n), "keV" if elements else unit


def _from_file(name: str, cube: Path | None, n: int) -> NDArray[np.float64]:
    beside = [] if cube is None or Path(name).is_absolute() else [cube.parent / name]
    path = next((p for p in (Path(name), *beside) if p.is_file()), None)
    if path is None:
        raise ConfigError(f"axis: '{name}' is neither numbers nor a file that is there; {_FORMS}")
    if path.stat().st_size > 16 << 20:
        raise DataError(f"{path}: is too large for a list of wavelengths or energies")
    rows = []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        parts = [p for p in re.split(r"[,;\s]+", line.split("#")[0].strip()) if p]
        numbers = _numbers(",".join(parts)) if parts else None
        # titles of columns are no numbers
        if numbers:
            rows.append(numbers)
    columns = {len(row) for row in rows}
    if len(rows) == 1:
        values = np.array(rows[0])
    elif columns == {1} or columns == {2}:
        values = np.array(rows)[:, -1]
    else:
        raise DataError(f"{path}: takes one value per line, or channel and value; it has {sorted(columns)} columns")
    if len(values) != n:
        raise DataError(f"{path}: holds {len(values)} values, the cube has {n} bands")
    return values
