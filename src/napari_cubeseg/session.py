"""The one owner of viewer state: requests in, events applied, signals out. No Qt."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error, show_info
from numpy.typing import NDArray
from psygnal import Signal

from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from cubeseg.maps.overview import Overview
from cubeseg.segmentation import Segmentation
from cubeseg.training.fitting import FitEvent
from napari_cubeseg import layers as our
from napari_cubeseg.adjust import Adjustments
from napari_cubeseg.autosave import Autosave
from napari_cubeseg.caption import Caption
from napari_cubeseg.clicks import ClickWatcher
from napari_cubeseg.cubes import Cubes
from napari_cubeseg.desks import Desks
from napari_cubeseg.exports import Exports
from napari_cubeseg.inspection import Inspection, Pixel
from napari_cubeseg.jobs import Control, Runner, run_now
from napari_cubeseg.learning import Learning
from napari_cubeseg.maps import Maps
from napari_cubeseg.named import NamedSpectra
from napari_cubeseg.overlays import Overlays
from napari_cubeseg.run import Run
from napari_cubeseg.tour import Tour
from napari_cubeseg.unmixing import Components
from napari_cubeseg.workbench import Workbench

__all__ = ["Session", "session_of"]


class Session:
    """State shared by all panels of one viewer.

    Panels call its methods and listen to its signals; they never call each other. Long work goes through
    `runner`; what a job reports is applied in the main thread, and dropped if the job is no longer current.

    Parameters
    ----------
    viewer : ViewerModel
    runner : Runner
        How jobs are run; at once in the calling thread unless a window provides threads.
    """

    cube_changed = Signal()
    """Another cube is the active one (or none)."""
    run_changed = Signal()
    """A run has started, paused, resumed or ended."""
    progressed = Signal(object)
    """A FitEvent of the current run."""
    result_changed = Signal()
    """Another segmentation is the active one (or none)."""
    classes_changed = Signal()
    """Names, colours, pixel counts or spectra of the active segmentation."""
    selection_changed = Signal()
    """Which classes are selected (`selected`)."""
    pixel_changed = Signal()
    """Which pixel is inspected (`pixel`)."""
    band_changed = Signal(int)
    """The band that the slider shows."""
    adjusting = Signal(object)
    """How much of making other labels is done, 0 to 1; None when nothing is under way."""

    def __init__(self, viewer: ViewerModel, runner: Runner = run_now) -> None:
        self._viewer = weakref.ref(viewer)
        self.runner = runner
        self.cube_layer: Image | None = None
        self.labels_layer: Labels | None = None
        self.cubes = Cubes(self)
        self.selected: tuple[int, ...] = ()
        self.pixel: Pixel | None = None
        self._run: Run | None = None
        self.inspection = Inspection()
        self.exports = Exports(self)
        self.overlays = Overlays(self)
        self.maps = Maps(self)
        self.named = NamedSpectra(self)
        self.components = Components(self)
        self.learning = Learning(self)
        self.autosave = Autosave(self)
        self.desks = Desks(self)
        self.tour = Tour(self)
        self.caption = Caption(self)
        self._clicks = ClickWatcher(viewer, self._clicked)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        viewer.layers.selection.events.active.connect(self._active_layer)
        viewer.dims.events.current_step.connect(self._stepped)
        for layer in viewer.layers:
            self._adopt(layer)

    # what there is

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; it must still be there."""
        viewer = self._viewer()
        assert viewer is not None
        return viewer

    @property
    def cube(self) -> Cube | None:
        """The active cube."""
        return our.cube_of(self.cube_layer)

    @property
    def result(self) -> Segmentation | None:
        """The active segmentation."""
        return our.result_of(self.labels_layer)

    @property
    def workbench(self) -> Workbench | None:
        """Work by hand on the active segmentation."""
        return None if self.labels_layer is None else self.desks.at(self.labels_layer)[0]

    @property
    def adjustments(self) -> Adjustments | None:
        """Other labels for the active segmentation."""
        return None if self.labels_layer is None else self.desks.at(self.labels_layer)[1]

    @property
    def running(self) -> bool:
        """Whether a run, or another long job on a segmentation, is under way (paused ones too)."""
        return self._control is not None

    @property
    def paused(self) -> bool:
        """Whether it waits."""
        return self._control is not None and self._control.paused

    @property
    def told(self) -> tuple[FitEvent, ...]:
        """What the current run has told so far, but for its labels."""
        return () if self._run is None else tuple(self._run.told)

    @property
    def _control(self) -> Control | None:
        return self.learning.control if self._run is None else self._run.control

    @property
    def typical(self) -> NDArray[np.float32] | None:
        """Mean spectrum (bands,) of the active cube; of a few pixels until all of it has been seen."""
        if self.cube_layer is None:
            return None
        if self.overview is not None:
            return self.overview.mean
        found = self.cube_layer.metadata[our.KEY]["probe"]
        finite = np.isfinite(found.typical)
        total = np.where(finite, found.typical, 0).sum(axis=0)
        return np.asarray(total / np.maximum(finite.sum(axis=0), 1), dtype=np.float32)

    @property
    def overview(self) -> Overview | None:
        """What a pass over the whole active cube has given, once it has ended."""
        return None if self.cube_layer is None else self.cube_layer.metadata[our.KEY].get("overview")

    @property
    def band(self) -> int:
        """The band that the slider shows."""
        if self.cube_layer is None or self.viewer.dims.ndim < 3:
            return 0
        return our.band_of(self.cube_layer, self.viewer.dims.point[-3])

    # requests

    def use_threads(self, runner: Runner) -> None:
        """Run jobs through `runner` from now on; the active cube is looked over."""
        self.runner = runner
        if self.cube_layer is not None:
            self.cubes.look_over(self.cube_layer)

    def use_cube(self, layer: Image | None, labels: Labels | None = None) -> None:
        """Make a cube layer the active one, together with a segmentation: its newest, where none is said."""
        if layer is self.cube_layer:
            return
        self.cube_layer = layer
        self.pixel = None
        if layer is not None:
            self._show_brightest_band()
            self.cubes.look_over(layer)
        self.cube_changed.emit()
        self.pixel_changed.emit()
        cube = self.cube
        if layer is not None or self.labels_layer not in self.viewer.layers:
            # without its cube a segmentation can still be worked on
            mine = [item for item in self.viewer.layers if our.made_from(our.result_of(item), cube)]
            self._use_labels(labels or (mine[-1] if mine else None))

    def add(self, layer: tuple[Any, dict[str, Any], str]) -> Layer:
        """Add a layer data tuple to the viewer."""
        return self.viewer.add_layer(Layer.create(*layer))

    def start(self, config: FitConfig, together: bool = False) -> None:
        """Train and cluster the active cube, or all open ones `together`; ignored while a run is under way."""
        cube = self.cube
        if self.running:
            return
        if cube is None:
            show_error("Open a cube first: drop a file on the window, or File > Open Sample > napari-cubeseg")
            return
        layers = our.cube_layers(self.viewer) if together else []
        others = [our.cube_of(item) for item in layers if item is not self.cube_layer]
        self._run = run = Run(self.viewer, cube, [other for other in others if other is not None])
        self.run_changed.emit()
        run.start(config, self.runner, self.progressed.emit, self._finished, self._failed)

    def pause(self) -> None:
        """Let the run wait."""
        if self._control is not None:
            self._control.pause()
            self.run_changed.emit()

    def resume(self) -> None:
        """Let the run go on."""
        if self._control is not None:
            self._control.resume()
            self.run_changed.emit()

    def cancel(self) -> None:
        """Stop the run and take its preview away; earlier results come back."""
        self.learning.cancel()
        if self._run is not None:
            self._run.cancel()
            self._run = None
            self.run_changed.emit()

    def select(self, class_ids: Sequence[int]) -> None:
        """Select classes everywhere; the brush takes the first of them, which may be new."""
        there = set() if self.result is None else {c.id for c in self.result.classes}
        chosen = tuple(i for i in dict.fromkeys(class_ids) if i in there)
        if class_ids and self.labels_layer is not None and self.labels_layer.selected_label != class_ids[0]:
            self.labels_layer.selected_label = class_ids[0]
        if chosen != self.selected:
            self.selected = chosen
            self.selection_changed.emit()

    def inspect(self, row: int, column: int) -> None:
        """Read a pixel's spectrum and select its class."""
        cube, result = self.cube, self.result
        if cube is None or not (0 <= row < cube.image_shape[0] and 0 <= column < cube.image_shape[1]):
            return
        fitting = result is not None and result.labels.shape == cube.image_shape
        label = int(result.labels[row, column]) if result is not None and fitting else 0
        self.select([label] if label else [])

        def show(pixel: Pixel) -> None:
            self.pixel = pixel
            self.pixel_changed.emit()

        self.inspection.look(cube, row, column, label, self.runner, show)

    def show_band(self, band: int) -> None:
        """Move the slider to a band."""
        layer = self.cube_layer
        if layer is None or band == self.band or self.viewer.dims.ndim < 3:
            return
        axis = self.viewer.dims.ndim - 3
        self.viewer.dims.set_point(axis, layer.translate[0] + band * layer.scale[0])

    def recalibrated(self) -> None:
        """Tell of another spectral axis."""
        self.cube_changed.emit()
        self.band_changed.emit(self.band)
        self.classes_changed.emit()

    def stop_work(self) -> None:
        """Stop all work without touching the viewer, which may be closing."""
        if self._run is not None:
            self._run.abandon()
            self._run = None
        if self.learning.control is not None:
            self.learning.control.cancel()
            self.learning.control = None
        self.cubes.stop()
        self.autosave.stop()
        self.maps.stop()
        self.components.stop()

    # what jobs report

    def _finished(self, result: Segmentation, layer: Labels) -> None:
        self._run = None
        self.run_changed.emit()
        cube = our.cube_behind(result, self.viewer)
        if cube is not None and our.made_from(result, cube):
            # it may have been calibrated meanwhile
            our.follow_axis(result, cube)
        if our.made_from(result, self.cube) or self.cube is None:
            self._use_labels(layer)
        self.autosave.touch(layer)
        show_info(f"{len(result.classes)} classes found in {result.source.name}")

    def _failed(self, error: CubeSegError) -> None:
        self._run = None
        self.run_changed.emit()
        show_error(str(error))

    # what happens in the viewer

    def _inserted(self, event: Any) -> None:
        self._adopt(event.value)

    def _adopt(self, layer: Layer) -> None:
        if our.role(layer) == "cube" and isinstance(layer, Image):
            self.use_cube(layer)
        elif our.role(layer) == "labels" and isinstance(layer, Labels):
            self._use_labels(layer)

    def _removed(self, event: Any) -> None:
        layer = event.value
        self.cubes.forget(layer)
        if event.value is self.labels_layer:
            self._use_labels(None)
        self.desks.clear(layer)
        if event.value is self.cube_layer:
            rest = our.cube_layers(self.viewer)
            self.use_cube(rest[-1] if rest else None)

    def _active_layer(self, event: Any) -> None:
        layer = self.viewer.layers.selection.active
        if layer is not None and our.role(layer) == "cube":
            self.use_cube(layer)
        elif layer is not None and our.role(layer) == "labels":
            result = our.result_of(layer)
            fitting = [item for item in our.cube_layers(self.viewer) if our.made_from(result, our.cube_of(item))]
            if fitting and self.cube_layer not in fitting:
                self.use_cube(fitting[-1], layer)
            self._use_labels(layer)

    def _stepped(self, event: Any) -> None:
        if self.cube_layer is not None:
            self.cubes.stepped(self.band)
            self.band_changed.emit(self.band)

    def _clicked(self, position: tuple[float, ...]) -> None:
        if self.cube_layer is not None:
            _, row, column = (round(float(v)) for v in self.cube_layer.world_to_data(position))
            self.inspect(row, column)

    def _use_labels(self, layer: Labels | None) -> None:
        if layer is self.labels_layer:
            return
        if self.adjustments is not None:
            self.adjustments.stop()
        self.labels_layer = layer
        if layer is not None:
            self.desks.at(layer)
        self.selected = ()
        self.result_changed.emit()
        self.classes_changed.emit()
        self.selection_changed.emit()

    def _show_brightest_band(self) -> None:
        typical = self.typical
        if typical is not None and self.viewer.dims.ndim >= 3:
            self.show_band(int(typical.argmax()))


_SESSIONS: weakref.WeakKeyDictionary[ViewerModel, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: Any) -> Session:
    """The session of a viewer; made at the first call. Proxies that napari hands to plugins are unwrapped."""
    real = getattr(viewer, "__wrapped__", viewer)
    if real not in _SESSIONS:
        _SESSIONS[real] = Session(real)
    return _SESSIONS[real]
