"""The whole image stays in view when docks take room from it, unless somebody has zoomed or moved."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QWidget

from napari_cubeseg.qt.timing import after

__all__ = ["Refit"]

# part of the zoom
_SLIDER = 0.1
# milliseconds after which a change of the canvas's size is somebody's wish
_SETTLED = 1000


class Refit:
    """Looks, when a dock is made, whether the whole image is shown, and shows it again when the dock has its place.

    Parameters
    ----------
    viewer : ViewerModel
    owner : QWidget
        The dock's widget; nothing happens once it is gone.
    """

    def __init__(self, viewer: ViewerModel, owner: QWidget) -> None:
        self._viewer = viewer
        self._owner = owner
        self._whole = _shows_all(viewer)

    def soon(self) -> None:
        """Once Qt has laid out the window anew, which a busy machine does later than the first of these."""
        if self._whole:
            resized = self._viewer.canvas.events.size
            resized.connect(self._fit)
            after(50, self._owner, self._fit)
            after(_SETTLED, self._owner, lambda: resized.disconnect(self._fit))

    def _fit(self, _: object = None) -> None:
        self._viewer.reset_view(reset_camera_angle=False)


def _shows_all(viewer: ViewerModel) -> bool:
    """Whether the view is the one that napari gives to new images."""
    camera = viewer.scene.camera
    before = (camera.zoom, tuple(camera.center))
    viewer.reset_view(reset_camera_angle=False)
    after = (camera.zoom, tuple(camera.center))
    camera.zoom, camera.center = before
    # the slider of the bands, which comes with the first cube, takes some room too; zooming by hand moves the centre
    return abs(before[0] / after[0] - 1) < _SLIDER and np.allclose(before[1], after[1], rtol=1e-3)
