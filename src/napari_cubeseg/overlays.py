"""Layers laid over the labels for a while: what was painted by hand, marked pixels, a veil on what is not chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from psygnal import Signal

from cubeseg.editing.operations import members
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
        self._fading = False
        session.selection_changed.connect(self._fade)
        session.result_changed.connect(self._other_result)
        session.classes_changed.connect(self._follow)

    def show_corrections(self, on: bool) -> None:
        """Show what was painted on the active segmentation as a layer of its own, or take it away."""
        labels, result = self._session.labels_layer, self._session.result
        if not on or labels is None or result is None:
            self._remove("corrections")
            return
        layer = our.corrections_layer(result, f"{labels.name} corrections")
        our.use_colours(self._put(layer), layer[1]["colormap"])

    def fade_others(self, on: bool) -> None:
        """Darken the classes that are not chosen from now on, or not any more."""
        self._fading = on
        self._fade()

    def mark(self, pixels: NDArray[np.bool_] | None) -> None:
        """Mark pixels (y, x), for instance those inside a lasso in the latent view; None to forget them."""
        result = self._session.result
        if result is None or pixels is None or pixels.shape != result.labels.shape or not pixels.any():
            self.marked = None
            self._remove("marked")
        else:
            self.marked = pixels
            self._put(our.marked_layer(pixels, result.spatial))
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
        self._fade()

    def _fade(self) -> None:
        result, chosen = self._session.result, self._session.selected
        if self._fading and result is not None and chosen:
            self._put(our.veil_layer(~members(result.labels, chosen), result.spatial)).visible = True
        elif self._fading and (veil := self._there("veil")) is not None:
            # a layer that is removed holds up the window, and this one will soon be wanted again
            veil.visible = False
        else:
            self._remove("veil")

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

    def _put(self, layer: our.LayerTuple) -> Labels:
        """Add a layer, or give the one of its role that is there other pixels."""
        there = self._there(layer[1]["metadata"][our.KEY]["role"])
        if isinstance(there, Labels) and there.data.shape == layer[0].shape:
            if not np.array_equal(there.data, layer[0]):
                there.data = layer[0]
            return there
        if there is not None:
            self._session.viewer.layers.remove(there)
        active = self._session.viewer.layers.selection.active
        made = self._session.add(layer)
        # who paints goes on painting
        self._session.viewer.layers.selection.active = active
        assert isinstance(made, Labels)
        return made
