"""Plain clicks on the canvas, told from drags and brush strokes, as a call with the world position."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels

__all__ = ["ClickWatcher"]


class ClickWatcher:
    """Calls back for every left click that is not a drag and that no tool of the active layer wants.

    Parameters
    ----------
    viewer : ViewerModel
    clicked : callable (world position)
    """

    def __init__(self, viewer: ViewerModel, clicked: Callable[[tuple[float, ...]], None]) -> None:
        self._clicked = clicked
        viewer.mouse_drag_callbacks.append(self._on_press)

    def stop(self, viewer: ViewerModel) -> None:
        """Leave the viewer."""
        if self._on_press in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if getattr(event, "button", 1) not in (1, None) or _tool_in_use(viewer):
            return
        position = tuple(event.position)
        start = _pointer(event)
        yield
        moved = False
        while event.type == "mouse_move":
            # a hand trembles by a pixel or two between press and release
            if max(abs(a - b) for a, b in zip(start, _pointer(event), strict=True)) > 3:
                moved = True
            yield
        if not moved:
            self._clicked(position)


def _pointer(event: Any) -> tuple[float, float]:
    """Where the mouse is, in pixels of the screen."""
    x, y = event.pos
    return float(x), float(y)


def _tool_in_use(viewer: Any) -> bool:
    active = viewer.layers.selection.active
    mode = str(getattr(active, "mode", "pan_zoom"))
    return mode not in ("pan_zoom", "pick") if isinstance(active, Labels) else mode != "pan_zoom"
