"""Layers that are laid over the labels for a while: what was painted by hand, and pixels marked in another view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray
from psygnal import Signal

from napari_cubeseg import layers as our

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Overlays"]


class Overlays:
    """What a session lays over the labels.

    Parameters
    ----------
    session : Session
    """

    marked_changed = Signal()
    """Other pixels are marked (`marked`), or none."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.marked: NDArray[np.bool_] | None = None
        session.result_changed.connect(self._other_result)
        session.classes_changed.connect(self._follow)

    def show_corrections(self, on: bool) -> None:
        """Show what was painted on the active segmentation as a layer of its own, or take it away."""
        labels, result = self._session.labels_layer, self._session.result
        if not on or labels is None or result is None:
            self._remove("corrections")
            return
        data, keywords, kind = our.corrections_layer(result, f"{labels.name} corrections")
        there = self._there("corrections")
        if there is not None and there.data.shape == data.shape:
            there.data, there.colormap = data, keywords["colormap"]
        else:
            self._remove("corrections")
            self._add((data, keywords, kind))

    def mark(self, pixels: NDArray[np.bool_] | None) -> None:
        """Mark pixels (y, x), for instance those inside a lasso in the latent view; None to forget them."""
        result = self._session.result
        if result is None or pixels is None or pixels.shape != result.labels.shape or not pixels.any():
            self.marked = None
            self._remove("marked")
        else:
            self.marked = pixels
            there = self._there("marked")
            if there is not None and there.data.shape == pixels.shape:
                there.data = pixels.astype(np.int32)
            else:
                self._remove("marked")
                self._add(our.marked_layer(pixels, result.spatial))
        self.marked_changed.emit()

    def assign_marked(self, class_id: int | None) -> None:
        """Put the marked pixels into a class; None for a new one."""
        workbench = self._session.workbench
        if workbench is None or self.marked is None:
            return
        pixels, new = self.marked, workbench.new_class() if class_id is None else class_id
        self.mark(None)
        if workbench.assign(pixels, new):
            self._session.select([new])

    def _follow(self) -> None:
        if self._there("corrections") is not None:
            self.show_corrections(True)

    def _other_result(self) -> None:
        if self.marked is not None:
            self.mark(None)
        self._follow()

    def _there(self, role: str) -> Layer | None:
        return next((item for item in self._session.viewer.layers if our.role(item) == role), None)

    def _remove(self, role: str) -> None:
        layer = self._there(role)
        if layer is not None:
            self._session.viewer.layers.remove(layer)

    def _add(self, layer: our.LayerTuple) -> None:
        active = self._session.viewer.layers.selection.active
        self._session.add(layer)
        # who paints goes on painting
        self._session.viewer.layers.selection.active = active
