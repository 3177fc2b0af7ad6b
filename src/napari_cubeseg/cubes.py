"""The open cubes: opening files, the look over a whole cube, its calibration, a copy that is quick to look through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.notifications import show_error, show_info
from psygnal import Signal

from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from cubeseg.io import ChoiceNeeded, open_cube, questions, remember
from cubeseg.io.cubefile import copied
from cubeseg.maps.overview import Overview, overview
from cubeseg.spectroscopy.calibration import chained, recalibrated
from cubeseg.steps import finish
from napari_cubeseg import layers as our
from napari_cubeseg.bands import SlowBands, is_slow
from napari_cubeseg.jobs import Control, Steps, ignore, one, run_now

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Cubes"]

# of the coarse bands that follow the slider where the exact ones do not
_COARSE = 64 << 20


class Cubes:
    """What a session does with cubes before they are segmented.

    Parameters
    ----------
    session : Session
    """

    question_changed = Signal()
    """A file waits for the user to say what is meant (`question`), or no longer."""
    working = Signal(object)
    """What is under way: (text, part done or None); None when nothing is."""
    overview_changed = Signal()
    """The whole of a cube has been seen: its mean spectrum is known."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.question: ChoiceNeeded | None = None
        self._control = Control()
        self._looks: dict[Layer, Control] = {}
        self._fetching = Control()
        self._wanted: tuple[Layer, int] | None = None
        self._band: int | None = None

    # opening

    def open(self, path: str | Path, then: Callable[[], None] = lambda: None, **said: Any) -> None:
        """Open a file in the background; `said` as for :func:`cubeseg.open_cube`."""
        name = Path(path).name

        def work() -> Any:
            return our.cube_layer(open_cube(path, **said))

        def opened(layer: Any) -> None:
            self.working.emit(None)
            self._session.add(layer)
            then()

        self._work(f"Opening {name}", lambda: one(work), opened)

    def ask(self, question: ChoiceNeeded | None) -> None:
        """Let the Cube panel ask which dataset of a file is meant; None when answered."""
        self.question = question
        self.question_changed.emit()

    def reconsider(self) -> None:
        """Ask how the active cube's file is to be read, although it could be opened without."""
        cube = self._session.cube
        if cube is None or not Path(cube.source.path).exists():
            return

        def asked(question: ChoiceNeeded) -> None:
            self.working.emit(None)
            if question.candidates or question.settings:
                self.ask(question)
            else:
                show_info(f"{cube.source.name} holds one cube, and there is nothing to choose about it")

        self._work("Looking into the file", lambda: one(lambda: questions(cube.source.path)), asked)

    def answer(
        self,
        dataset: str,
        spectral_axis: int | None,
        axis: str = "",
        settings: dict[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        """Open the file of the pending question as the user said; with `keep`, all files of its layout."""
        question = self.question
        if question is None:
            return
        said: dict[str, Any] = {"dataset": dataset or None, "spectral_axis": spectral_axis, "axis": axis}

        def opened() -> None:
            self.ask(None)
            if keep:
                remember(question, **{name: value for name, value in said.items() if value not in (None, "")})

        self.open(question.path, opened, **said, **(settings or {}))

    # looking over

    def look_over(self, layer: Image) -> None:
        """Make the sum image and the mean spectrum in the background, unless they are there."""
        cube, state = our.cube_of(layer), layer.metadata[our.KEY]
        if isinstance(layer.data, SlowBands):
            layer.data.missing = lambda band: self._fetch(layer, band)
        if cube is None or self._session.runner is run_now or "overview" in state or layer in self._looks:
            return
        control = self._looks[layer] = Control()
        name = cube.source.name
        if cube.white is not None:
            self._show_white(layer, cube, cube.white)

        def done(found: Overview) -> None:
            self._looks.pop(layer, None)
            self.working.emit(None)
            if layer in self._session.viewer.layers:
                state["overview"] = found
                if isinstance(layer.data, SlowBands):
                    layer.data.coarse = found.coarse
                    layer.refresh()
                if not state.get("white"):
                    self._show_above(layer, our.sum_layer(cube, found.image))
                self.overview_changed.emit()

        def failed(error: CubeSegError) -> None:
            self._looks.pop(layer, None)
            self.working.emit(None)
            show_error(str(error))

        def progress(part: Any) -> None:
            if part is not None and layer in self._looks:
                self.working.emit((f"Summing up {name}", part))

        coarse = _COARSE if isinstance(layer.data, SlowBands) else 0
        self._session.runner(lambda: overview(cube, coarse_bytes=coarse), control, progress, done, failed, ignore)

    def stepped(self, band: int) -> None:
        """The slider was moved: who looks through the bands wants to see them, not the sum."""
        before, self._band = self._band, band
        if before is None or before == band:
            return
        for item in self._session.viewer.layers:
            if our.role(item) == "sum" and item.visible and not item.metadata[our.KEY].get("moved"):
                item.metadata[our.KEY]["moved"] = True
                item.visible = False

    def _fetch(self, layer: Image, band: int) -> None:
        """Read a band that has been asked for; one that is asked for later takes its place."""
        bands = layer.data
        if self._session.runner is run_now:
            bands.put(band, finish(bands.fetch(band)))
            return
        if self._wanted == (layer, band) and not self._fetching.cancelled:
            return
        self._fetching.cancel()
        control = self._fetching = Control()
        self._wanted = (layer, band)

        def done(values: Any) -> None:
            if not control.cancelled:
                self._wanted = None
                bands.put(band, values)
                layer.refresh()

        def failed(error: CubeSegError) -> None:
            self._wanted = None
            show_error(str(error))

        self._session.runner(lambda: bands.fetch(band), control, ignore, done, failed, ignore)

    def forget(self, layer: Layer) -> None:
        """A layer was removed."""
        if self._wanted is not None and self._wanted[0] is layer:
            self._fetching.cancel()
            self._wanted = None
        control = self._looks.pop(layer, None)
        if control is not None:
            control.cancel()
            self.working.emit(None)

    def stop(self) -> None:
        """Give up what is under way."""
        self._control.cancel()
        self._fetching.cancel()
        for control in self._looks.values():
            control.cancel()
        self._looks.clear()
        self.working.emit(None)

    # calibrating

    def calibrate(self, text: str) -> bool:
        """Give the active cube another spectral axis (:mod:`cubeseg.spectroscopy.calibration`); its results follow."""
        layer, cube = self._session.cube_layer, self._session.cube
        if layer is None or cube is None:
            return False
        try:
            axis = recalibrated(cube.axis, text, Path(cube.source.path) if cube.source.path else None)
        except CubeSegError as error:
            show_error(str(error))
            return False
        band = self._session.band
        made = replace(cube, axis=axis, source=replace(cube.source, axis=chained(cube.source.axis, text)))
        for item in self._session.viewer.layers:
            result = our.result_of(item)
            if our.made_from(result, cube) and result is not None:
                our.follow_axis(result, made)
        our.show_axis(layer, made)
        self._session.show_band(band)
        self._session.recalibrated()
        return True

    # copying

    def copy_size(self) -> int:
        """Bytes of a copy that would follow the slider; 0 where the active cube does already."""
        cube = self._session.cube
        if cube is None:
            return 0
        plane = cube.n_pixels * np.dtype(cube.data.dtype).itemsize
        return plane * cube.n_bands if is_slow(cube) else 0

    def copy(self, path: str | Path) -> None:
        """Write such a copy in the background and open it."""
        cube = self._session.cube
        if cube is None:
            return

        def written(made: Path) -> None:
            self.working.emit(None)
            show_info(f"{made} written; it is opened beside {cube.source.name}")
            self.open(made)

        self._work(f"Copying {cube.source.name}", lambda: copied(cube, path), written)

    def _work(self, text: str, make: Callable[[], Steps], done: Callable[[Any], None]) -> None:
        control = self._control = Control()
        self.working.emit((text, None))

        def progress(part: Any) -> None:
            if part is not None and not control.cancelled:
                self.working.emit((text, part))

        def finished(made: Any) -> None:
            if not control.cancelled:
                done(made)

        def failed(error: CubeSegError) -> None:
            self.working.emit(None)
            if isinstance(error, ChoiceNeeded):
                self.ask(error)
            else:
                show_error(str(error))

        self._session.runner(make, control, progress, finished, failed, ignore, title=text)

    def _show_white(self, layer: Image, cube: Cube, read: Callable[[], Any]) -> None:
        """The file's own image of the whole, which needs no pass over it."""

        def done(image: Any) -> None:
            if layer in self._session.viewer.layers and np.isfinite(image).any():
                layer.metadata[our.KEY]["white"] = True
                self._show_above(layer, our.sum_layer(cube, image, "white light"))

        self._session.runner(lambda: one(read), Control(), ignore, done, lambda error: show_error(str(error)), ignore)

    def _show_above(self, layer: Image, made_of: our.LayerTuple) -> None:
        layers = self._session.viewer.layers
        active = layers.selection.active
        made = Layer.create(*made_of)
        layers.insert(layers.index(layer) + 1, made)
        # who paints meanwhile goes on painting
        layers.selection.active = active if active in layers else layer
        self._band = self._session.band
