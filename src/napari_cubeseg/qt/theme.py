"""napari's theme for plots."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme

__all__ = ["PlotColours", "plot_colours"]


@dataclass(frozen=True)
class PlotColours:
    """Colours of a plot, "#rrggbb"."""

    background: str
    text: str
    grid: str
    accent: str


def plot_colours(theme_id: str) -> PlotColours:
    """The colours that go with a napari theme."""
    theme = get_theme(theme_id)
    return PlotColours(
        background=theme.canvas.as_hex() if theme_id == "light" else theme.background.as_hex(),
        text=theme.text.as_hex(),
        grid=theme.secondary.as_hex(),
        accent=theme.current.as_hex(),
    )
