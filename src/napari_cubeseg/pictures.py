"""The pictures that can be made of a cube, by its axis, and what has to be said for each."""

from __future__ import annotations

import re

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.maps.colour import TrueColour
from cubeseg.spectroscopy.lines import holds_xrays

__all__ = ["FIELDS", "KINDS", "SYMBOLS", "can_show", "may_be_element", "why_no_colour"]

SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf"
)
KINDS = (
    ("elements", "Elements", "How much of an element each pixel has, from its main X-ray line"),
    ("true", "True colour", "The cube as an eye would see it"),
    ("false", "False colour", "Three windows of the spectrum as red, green and blue"),
    ("lines", "Lines", "Light of atoms and molecules, less the continuum beside the line"),
    ("window", "A window", "The sum of the bands between two limits"),
    ("sum", "Sum of all bands", "All that each pixel has"),
    ("mean", "Mean of all bands", "The sum divided by the number of bands that have a value"),
    ("max", "Largest value", "The highest point of each pixel's spectrum: shows what only a few bands have"),
)
FIELDS = {
    "elements": ("elements", "background", "picture"),
    "lines": ("lines", "redshift", "width", "background", "picture"),
    "window": ("window", "background"),
    "false": ("red", "green", "blue"),
}


def may_be_element(name: str) -> bool:
    """Whether a name is a symbol, with a family or without, or long enough to be a word, which is looked up later."""
    symbol = re.sub(r"[-_ ][KLM]$", "", name, flags=re.IGNORECASE)
    return len(symbol) > 2 or symbol.capitalize() in SYMBOLS.split()


def can_show(kind: str, axis: SpectralAxis | None) -> bool:
    """Whether a kind of picture makes sense on an axis."""
    if kind == "elements":
        return axis is not None and holds_xrays(axis)
    if kind == "lines":
        if axis is None or holds_xrays(axis) or not axis.calibrated or axis.kind == "raman_shift":
            return False
        return axis.kind != "velocity" or axis.rest > 0
    if kind == "true":
        return axis is None or not holds_xrays(axis)
    return True


def why_no_colour(axis: SpectralAxis | None) -> str:
    """Why there is no true colour; empty where there is."""
    if axis is None:
        return "Open a cube first"
    try:
        TrueColour(axis)
    except ConfigError as error:
        return str(error)
    return ""
