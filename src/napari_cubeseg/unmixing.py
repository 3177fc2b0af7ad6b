"""Components and abundances in the viewer: their layers, and which components stay in the next run. No Qt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from psygnal import Signal

from cubeseg.errors import ConfigError
from cubeseg.mixing import Known, Mixing
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, in_turns

if TYPE_CHECKING:
    from cubeseg.references.library import Library
    from cubeseg.segmentation import Segmentation
    from napari_cubeseg.session import Session

__all__ = ["Components"]


class Components:
    """What a session knows about unmixing.

    Parameters
    ----------
    session : Session
    """

    changed = Signal()
    """Other components are known now."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._placing = Control()
        self._shown: tuple[Any, ...] = (None,)
        session.cube_changed.connect(self.changed.emit)
        session.classes_changed.connect(self._follow)
        session.result_changed.connect(self._follow)

    @property
    def known(self) -> list[Known]:
        """Components of the active cube that stay as they are in the next run."""
        layer = self._session.cube_layer
        return [] if layer is None else layer.metadata[our.KEY].setdefault("known", [])

    def mixing(self) -> Mixing:
        """What the next run is told."""
        return Mixing(known=tuple(self.known))

    def spectrum(self, class_id: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """As :meth:`Segmentation.component_of`; None also where nothing is segmented."""
        result = self._session.result
        return None if result is None else result.component_of(class_id)

    def freeze_classes(self) -> None:
        """The chosen classes' components stay in the next run; their mean where there is no component."""
        result, chosen = self._session.result, self._session.selected
        if result is None or not chosen:
            show_error("Choose a class first; its spectrum then stays in the next run")
            return
        for class_id in chosen:
            found = self.spectrum(class_id)
            self._freeze(result.info(class_id).name, result.spectra.mean(class_id) if found is None else found[0])

    def freeze_kept(self) -> None:
        """The kept spectra (pixels, boxes, drawn regions) stay in the next run."""
        if not self._session.named.kept:
            show_error("Keep the spectrum of a pixel or a drawn region first; it then stays in the next run")
        for kept in self._session.named.kept:
            self._freeze(kept.name, kept.values)

    def freeze_reference(self, library: Library, index: int) -> None:
        """A spectrum of a library stays in the next run."""
        cube = self._session.cube
        if cube is None:
            return
        values = library.on(cube.axis).values[index]
        self._freeze(library.names[index], values if cube.axis.values[0] <= cube.axis.values[-1] else values[::-1])

    def release(self) -> None:
        """No component is known beforehand any more."""
        self.known.clear()
        self.changed.emit()

    def show(self, on: bool) -> None:
        """Show the abundances alone, or hide them and show the classes again."""
        for layer in self._session.viewer.layers:
            if our.role(layer) == "abundance":
                layer.visible = on
            elif our.role(layer) in ("cube", "sum"):
                # colours are added to what is below
                layer.visible = not on
        if self._session.labels_layer is not None:
            self._session.labels_layer.visible = not on

    @property
    def layers(self) -> list[Image]:
        """The abundance layers of the active segmentation."""
        return [item for item in self._session.viewer.layers if our.role(item) == "abundance"]

    def stop(self) -> None:
        """Place no further layers."""
        self._placing.cancel()

    def _freeze(self, name: str, values: NDArray[np.floating]) -> None:
        taken = {one.name for one in self.known}
        if name in taken:
            show_error(f"{name} stays already")
            return
        # a class mean may dip below zero by noise
        positive = np.where(np.isfinite(values), np.maximum(values, 0), np.nan)
        try:
            known = Known(name, tuple(float(v) for v in positive))
            Mixing(known=(known,))
        except ConfigError as error:
            show_error(str(error))
            return
        self.known.append(known)
        self.changed.emit()

    def _follow(self) -> None:
        """The layers are those of the active segmentation, and follow what is merged, renamed, recoloured."""
        result, below = self._session.result, self._session.labels_layer
        if result is None or below is None:
            return
        shown = result.unmixed, result.lineage.tobytes(), [(c.id, c.name, c.colour) for c in result.classes]
        before, self._shown = self._shown, shown
        if shown[0] is before[0] and (shown == before or not self.layers):
            # the same, or taken away by the user
            return
        self._placing.cancel()
        self._placing = Control()
        in_turns(self._session.runner, self._placing, self._placed(result, below))

    def _placed(self, result: Segmentation, below: Labels) -> Iterator[None]:
        # not amid what napari does about the layer that has become the active one
        yield
        wanted = our.abundance_layers(result, result.source.name)
        for _ in our.put_images(self._session.viewer, self.layers, wanted, below):
            yield
        visible = any(layer.visible for layer in self.layers)
        for layer in self.layers:
            layer.visible = visible
        our.link_contrast(self.layers)
