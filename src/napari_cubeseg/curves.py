"""Which curves the Spectra dock shows, and how: nothing here changes what is exported. No Qt."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Curve", "Look", "curves", "readable_unit"]

Values = NDArray[np.float64]

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# cm**-2, cm^2, cm-2, but not 1e-17
_POWER = re.compile(r"(?:\*\*|\^)\(?[+]?(-?\d+)\)?|(?<=[A-Za-z])(?<!\d[eE])(-\d+)\b")


@dataclass(frozen=True)
class Look:
    """What people chose to see.

    Attributes
    ----------
    statistic
        Of the classes' pixels.
    spread
        What is shaded about it.
    normalise
        "largest": the highest point is 1; "area": the mean is 1.
    smooth : int
        Width in bands of the Gaussian that curves are smoothed with (its full width at half height); 0 = as they are.
    compare
        Of the first two curves that are chosen.
    only : bool
        Leave out classes that are not chosen, if any is.
    highest : bool
        Show the largest value that any pixel has.
    components : bool
        Show the components of a result that was unmixed, with their spread over restarts, as bright as the class means.
    """

    statistic: Literal["mean", "median", "largest"] = "mean"
    spread: Literal["none", "std", "percentiles"] = "std"
    normalise: Literal["none", "largest", "area"] = "none"
    smooth: int = 0
    compare: Literal["none", "difference", "ratio"] = "none"
    only: bool = False
    highest: bool = False
    components: bool = True


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve: (bands,) values, and what is shaded from `low` to `high`."""

    key: tuple[str, int]
    name: str
    colour: str
    values: Values
    low: Values | None = None
    high: Values | None = None
    chosen: bool = False
    faint: bool = False


def curves(session: Session, look: Look) -> list[Curve]:
    """All curves, the chosen ones last; colours "" are the text's."""
    made = [_displayed(curve, look) for curve in _raw(session, look)]
    if look.compare == "none":
        return made
    order = [("class", i) for i in session.selected]
    chosen = sorted((c for c in made if c.chosen), key=lambda c: order.index(c.key) if c.key in order else len(order))
    if len(chosen) < 2:
        return made
    one, other = chosen[:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        if look.compare == "difference":
            values, sign = one.values - other.values, "−"
        else:
            # where there is next to nothing, a ratio is noise
            floor = 1e-3 * float(np.nanmax(np.abs(other.values), initial=0))
            values, sign = np.where(np.abs(other.values) > floor, one.values / other.values, np.nan), "/"
    return [Curve(("compared", 0), f"{one.name} {sign} {other.name}", one.colour, values, chosen=True)]


def _raw(session: Session, look: Look) -> list[Curve]:
    result, cube, selected = session.result, session.cube, session.selected
    bands = len(result.axis) if result is not None else 0 if cube is None else cube.n_bands
    made: list[Curve] = []
    if result is not None:
        ask = look.statistic != "mean" or look.spread == "percentiles"
        quantiles = session.named.quantiles() if ask else {}
        for info in result.classes:
            pixels, chosen = result.pixels(info.id), info.id in selected
            if not pixels or not info.visible or (look.only and selected and not chosen):
                continue
            mean, found = result.spectra.mean(info.id), quantiles.get(info.id)
            values, name = mean, f"{info.name}  ({pixels:,} px)"
            if look.statistic != "mean" and found is not None:
                values = np.asarray(found.median if look.statistic == "median" else found.largest, np.float64)
                name = f"{info.name}  ({look.statistic} of {found.pixels:,} px)"
            low = high = None
            if chosen or not selected:
                if look.spread == "std":
                    std = result.spectra.std(info.id)
                    low, high = mean - std, mean + std
                elif look.spread == "percentiles" and found is not None:
                    low, high = np.asarray(found.low, np.float64), np.asarray(found.high, np.float64)
            faint = bool(selected) and not chosen
            made.append(Curve(("class", info.id), name, info.colour, values, low, high, chosen, faint))
            component = session.components.spectrum(info.id) if look.components else None
            if component is not None:
                values, width = component
                made.append(
                    Curve(("component", info.id), f"{info.name}, unmixed", info.colour, values, values - width,
                          values + width, chosen, faint)
                )  # fmt: skip
    elif session.typical is not None:
        name = "mean" if session.overview is not None else "mean of some pixels"
        made.append(Curve(("mean", 0), name, "#8c96a0", np.asarray(session.typical, np.float64)))
    if look.highest and session.overview is not None and len(session.overview.highest) == bands:
        values = np.asarray(session.overview.highest, np.float64)
        made.append(Curve(("highest", 0), "highest pixel of every band", "#b3722d", values))
    for number, kept in enumerate(session.named.kept):
        if len(kept.values) == bands:
            values = np.asarray(kept.values, np.float64)
            made.append(Curve(("kept", number), kept.name, kept.colour, values, chosen=True))
    pixel = session.pixel
    if pixel is not None and len(pixel.spectrum) == bands:
        box = f", {pixel.box}×{pixel.box}" if pixel.box > 1 else ""
        name = f"pixel y {pixel.row}, x {pixel.column}{box}"
        made.append(Curve(("pixel", 0), name, "", np.asarray(pixel.spectrum, np.float64), chosen=True))
    return sorted(made, key=lambda c: c.chosen)


def _displayed(curve: Curve, look: Look) -> Curve:
    values = smoothed(curve.values, look.smooth)
    factor = _factor(values, look.normalise)
    low = None if curve.low is None else smoothed(curve.low, look.smooth) * factor
    high = None if curve.high is None else smoothed(curve.high, look.smooth) * factor
    return replace(curve, values=values * factor, low=low, high=high)


def _factor(values: Values, how: str) -> float:
    finite = values[np.isfinite(values)]
    if how == "none" or not finite.size:
        return 1.0
    size = float(np.abs(finite).max() if how == "largest" else np.abs(finite).mean())
    return 1 / size if size > 0 else 1.0


def smoothed(values: Values, width: int) -> Values:
    """Values convolved with a Gaussian; bands without a value count for nothing."""
    if width < 2:
        return values
    sigma = width / 2.355
    reach = np.arange(-int(3 * sigma) - 1, int(3 * sigma) + 2)
    kernel = np.exp(-0.5 * (reach / sigma) ** 2)
    if len(kernel) > len(values):
        kernel = kernel[(len(kernel) - len(values)) // 2 :][: len(values)]
    finite = np.isfinite(values)
    total = np.convolve(np.where(finite, values, 0.0), kernel, "same")
    weight = np.convolve(finite.astype(float), kernel, "same")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(finite, total / weight, np.nan)


def readable_unit(unit: str) -> str:
    """A unit as people write it: ``"10⁻²⁰ Å⁻¹ cm⁻² erg s⁻¹"`` for ``"10**-20 Angstrom-1 cm-2 erg s-1"``."""
    raised = _POWER.sub(lambda found: (found[1] or found[2]).translate(_RAISED), unit)
    return re.sub("[Aa]ngstrom", "Å", raised)
