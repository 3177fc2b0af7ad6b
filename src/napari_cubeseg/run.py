"""One run of the core's training loop in a viewer: its preview, what it hides meanwhile, how it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error
from numpy.typing import NDArray

from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from cubeseg.events import FitEvent
from cubeseg.segmentation import Segmentation
from cubeseg.steps import finish
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, Runner, ignore
from napari_cubeseg.preferences import preferences

__all__ = ["Run"]

# results, and reasons where there is none, by the place of the cube
Outcome = tuple[dict[int, Segmentation], dict[int, CubeSegError]]


class Run:
    """A run on one cube; it keeps to that cube whatever becomes of the viewer's layers meanwhile.

    Previews go into a labels layer of its own, which becomes the result's layer in the end. Labels and maps that are
    shown when the first preview comes are hidden, and shown again if the run ends without a result.

    Parameters
    ----------
    viewer : ViewerModel
    cube : Cube
    others : sequence of Cube
        Learn with it, and get results with the same classes.
    """

    def __init__(self, viewer: ViewerModel, cube: Cube, others: Sequence[Cube] = ()) -> None:
        self.control = Control()
        self.told: list[FitEvent] = []
        self._viewer, self._cube, self._others = viewer, cube, tuple(others)
        self._hidden: list[Layer] = []
        self._preview: Labels | None = None
        self._over = False

    def start(
        self,
        config: FitConfig,
        runner: Runner,
        progressed: Callable[[FitEvent], None],
        finished: Callable[[Segmentation, Labels], None],
        failed: Callable[[CubeSegError], None],
    ) -> None:
        """Start; once cancelled, nothing is called any more, whatever still arrives from the thread."""

        def on_event(event: FitEvent) -> None:
            if not self._over:
                if event.labels is not None:
                    self._show(event.labels)
                self._remember(event)
                progressed(event)

        def on_done(outcome: Outcome) -> None:
            if self._over:
                return
            self._over = True
            results, reasons = outcome
            if 0 not in results:
                self._take_back()
            if not results:
                failed(next(iter(reasons.values())))
                return
            for error in reasons.values():
                show_error(str(error))
            # the cube that the run was started on comes last, so it stays the active one
            for place in sorted(results, reverse=True):
                run = Run(self._viewer, self._others[place - 1]) if place else self
                finished(results[place], run._keep(results[place], place == 0))

        def on_error(error: CubeSegError) -> None:
            if not self._over:
                self._take_back()
                failed(error)

        if not config.threads:
            # without a core that is left to the window both would wait for each other
            config = replace(config, threads=max(1, (os.cpu_count() or 2) - preferences().spare_cores))
        cubes, title = (self._cube, *self._others), f"Segmenting {self._cube.source.name}"
        runner(lambda: _steps(cubes, config), self.control, on_event, on_done, on_error, ignore, title=title)

    def _remember(self, event: FitEvent) -> None:
        """Keep the losses and the last message, for a panel that is opened meanwhile; no labels."""
        if self.told and not self.told[-1].losses:
            self.told.pop()
        self.told.append(replace(event, labels=None))

    def cancel(self) -> None:
        """Stop, and take the preview away."""
        self.control.cancel()
        self._take_back()

    def abandon(self) -> None:
        """Stop without touching the viewer, whatever still arrives."""
        self._over = True
        self.control.cancel()

    def _show(self, labels: NDArray[np.int32]) -> Labels:
        if self._preview is not None and self._preview in self._viewer.layers:
            self._preview.data = labels
            return self._preview
        for item in self._viewer.layers:
            # maps shine through the labels, whose colours would not be those of the table
            if our.role(item) in ("labels", "map") and item.visible:
                item.visible = False
                self._hidden.append(item)
        name = f"{self._cube.source.name} classes"
        layer = our.segmentation_layer(labels, self._cube.spatial, name, kind="preview")
        made = self._viewer.add_layer(Layer.create(*layer))
        assert isinstance(made, Labels)
        our.preview_colours(made, 64)
        made.editable = False
        self._preview = made
        return made

    def _keep(self, result: Segmentation, shown: bool) -> Labels:
        layer = self._show(result.labels.copy())
        layer.visible = shown
        layer.metadata[our.KEY] |= {"role": "labels", "result": result}
        our.show_classes(layer, result)
        # switching editable off and on also clears the undo history of the previews
        layer.editable = False
        layer.editable = True
        layers, name = self._viewer.layers, self._cube.source.name
        for wanted in our.map_layers(result, name):
            # those of an earlier run would only be in the way
            mine = [item for item in self._images() if item.name == wanted[1]["name"]]
            finish(our.put_images(self._viewer, mine, [wanted], layer))
        layers.selection.active = layer
        return layer

    def _images(self) -> list[Image]:
        return [item for item in self._viewer.layers if our.role(item) and isinstance(item, Image)]

    def _take_back(self) -> None:
        self._over = True
        if self._preview is not None and self._preview in self._viewer.layers:
            self._viewer.layers.remove(self._preview)
        for item in self._hidden:
            if item in self._viewer.layers:
                item.visible = True


def _steps(cubes: Sequence[Cube], config: FitConfig) -> Generator[FitEvent, None, Outcome]:
    from cubeseg.training.fitting import fit
    from cubeseg.training.series import segment_series

    if len(cubes) == 1:
        return {0: (yield from fit(cubes[0], config))}, {}
    found: dict[int, Segmentation] = {}
    openers = [lambda cube=cube: cube for cube in cubes]
    outcome = yield from segment_series(openers, config, found.__setitem__)
    return found, outcome.failed
