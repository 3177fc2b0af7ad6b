"""What the picture shows, written into its corner: a band, or the map that lies over the bands. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_cubeseg import layers as our

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Caption"]


class Caption:
    """Says what is seen below the classes.

    Parameters
    ----------
    session : Session
    """

    changed = Signal()
    """Another `text`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.text = ""
        layers = session.viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            event.connect(self._other_layers)
        for layer in layers:
            layer.events.visible.connect(self._other_layers)
        session.cube_changed.connect(self.refresh)
        session.band_changed.connect(self.refresh)

    def refresh(self) -> None:
        """Write it anew: the true value of the band, where napari's slider knows only even steps, or a map's name."""
        session = self._session
        cube = session.cube
        shown = (item for item in reversed(session.viewer.layers) if item.visible)
        top = next((item for item in shown if our.role(item) in ("cube", "sum", "map")), None)
        covered = top is not None and our.role(top) != "cube"
        text = "" if cube is None else str(top) if covered else cube.axis.format(session.band)
        overlay = session.viewer.canvas.overlays.text
        overlay.text, overlay.visible = text, bool(text)
        if text != self.text:
            self.text = text
            self.changed.emit()

    def _other_layers(self, event: Any) -> None:
        if event.type == "inserted":
            event.value.events.visible.connect(self._other_layers)
        self.refresh()
