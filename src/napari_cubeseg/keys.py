"""The keys, in one list: buttons and tooltips take theirs from it, and the page of the docs is compared with it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KEYS", "Key", "table"]


@dataclass(frozen=True)
class Key:
    """What a key does.

    Attributes
    ----------
    name : str
    text : str
        On the button.
    keys : str
        As Qt writes it; on a Mac, Ctrl is the command key.
    what : str
        For the tooltip and the list of keys.
    """

    name: str
    text: str
    keys: str
    what: str


_ALL = (
    Key("merge", "Merge", "Shift+M", "Make the chosen classes one; the first chosen keeps its name"),
    Key("split", "Split", "Shift+S", "Part the chosen class into groups of like spectra"),
    Key("delete", "Delete", "Shift+D", "Take the chosen classes away; their pixels are unassigned"),
    Key("lock", "Lock", "Shift+L", "Let brush, sliders and Refine leave the chosen classes as they are"),
    Key("hide", "Hide", "Shift+H", "Hide the chosen classes in the image, or show them again"),
    Key("solo", "Solo", "Shift+O", "Show the chosen classes alone; once more shows all"),
    Key("rename", "Rename", "F2", "Give the chosen class another name"),
    Key("recolour", "Colour", "Shift+C", "Give the chosen class another colour"),
    Key("up", "↑", "Ctrl+Shift+Up", "Move the chosen classes up in the table"),
    Key("down", "↓", "Ctrl+Shift+Down", "Move the chosen classes down in the table"),
    Key("undo", "Undo", "Ctrl+Z", "Undo the last stroke, change of classes or slider"),
    Key("redo", "Redo", "Ctrl+Shift+Z", "Do again what was undone"),
    Key("lasso", "Lasso", "Shift+A", "Draw a loop around points of the latent space: their pixels are marked"),
)

KEYS = {key.name: key for key in _ALL}
"""All of them by name, in the order in which they are listed."""


def table() -> str:
    """The list as a table in Markdown."""
    rows = [f"| {key.keys} | {key.text} | {key.what} |" for key in _ALL]
    return "\n".join(["| key | | what it does |", "|---|---|---|", *rows])
