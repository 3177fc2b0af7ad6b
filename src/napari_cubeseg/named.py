"""Spectra that people keep: a pixel, a box around it, a drawn region; and what classes have beside their mean."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from psygnal import Signal

from cubeseg.cube import Cube
from cubeseg.errors import CubeSegError
from cubeseg.files import written
from cubeseg.maps.quantiles import Quantiles, class_quantiles
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, Steps, ignore, one

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["NamedSpectra", "NamedSpectrum"]

_COLOURS = ("#ffffff", "#ff7043", "#26c6da", "#d4e157", "#ab47bc", "#ffca28", "#8d6e63", "#78909c")
# pixels of a region that are read; more would not change its mean visibly
_MOST = 20_000


@dataclass(frozen=True, eq=False)
class NamedSpectrum:
    """A spectrum (bands,) that was kept: the mean of so many pixels."""

    name: str
    values: NDArray[np.float32]
    pixels: int
    colour: str


class NamedSpectra:
    """The kept spectra of the active cube.

    Parameters
    ----------
    session : Session
    """

    changed = Signal()
    """Others are kept now, or quantiles have come."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._control = Control()
        self._counting = Control()
        self._quantiles: tuple[Any, dict[int, Quantiles]] | None = None
        self._wanted: Any = None
        session.cube_changed.connect(self.changed.emit)

    @property
    def kept(self) -> list[NamedSpectrum]:
        """Those of the active cube."""
        layer = self._session.cube_layer
        return [] if layer is None else layer.metadata[our.KEY].setdefault("spectra", [])

    def keep_pixel(self) -> None:
        """Keep the spectrum of the inspected pixel or box."""
        pixel = self._session.pixel
        if pixel is None:
            show_error("Click a pixel of the image first; its spectrum can then be kept")
            return
        size = f" {pixel.box}×{pixel.box}" if pixel.box > 1 else ""
        self._add(f"y {pixel.row}, x {pixel.column}{size}", pixel.spectrum, pixel.box**2)

    def keep_shapes(self) -> None:
        """Keep the mean of every shape that is selected in the active Shapes layer, or of all its shapes."""
        session, active = self._session, self._session.viewer.layers.selection.active
        shapes = active if isinstance(active, Shapes) else None
        if shapes is None:
            shapes = next((item for item in reversed(session.viewer.layers) if isinstance(item, Shapes)), None)
        if shapes is None or not len(shapes.data):
            show_error("Draw a region first: add a Shapes layer in the layer list and draw on the image")
            return
        chosen = sorted(shapes.selected_data) or range(len(shapes.data))
        for number in chosen:
            self._keep_region(self._mask(shapes, number), f"{shapes.name} {number + 1}")

    def keep_marked(self) -> None:
        """Keep the mean of the marked pixels."""
        marked = self._session.overlays.marked
        if marked is not None:
            self._keep_region(marked, "marked")

    def remove(self, number: int) -> None:
        """Forget one."""
        if 0 <= number < len(self.kept):
            del self.kept[number]
            self.changed.emit()

    def rename(self, number: int, name: str) -> None:
        """Give one another name."""
        if 0 <= number < len(self.kept) and name.strip():
            old = self.kept[number]
            self.kept[number] = NamedSpectrum(name.strip(), old.values, old.pixels, old.colour)
            self.changed.emit()

    def write(self, path: str | Path) -> None:
        """Write the kept spectra as a table: axis value, then a column for each.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        cube = self._session.cube
        if cube is None:
            return
        with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow([cube.axis.label, *(s.name for s in self.kept)])
            for band, value in enumerate(cube.axis.values):
                out.writerow([f"{value:.9g}", *(f"{s.values[band]:.7g}" for s in self.kept)])

    def quantiles(self) -> dict[int, Quantiles]:
        """What the classes have beside their mean; asked for in the background where it is not known."""
        result, cube = self._session.result, self._session.cube
        if result is None or cube is None or not our.made_from(result, cube):
            return {}
        state = (id(result), len(result.log), id(result.log[-1]) if result.log else 0)
        if self._quantiles is not None and self._quantiles[0] == state:
            return self._quantiles[1]
        if self._wanted != state:
            self._wanted = state
            self._counting.cancel()
            control = self._counting = Control()
            labels = result.labels.copy()

            def done(found: dict[int, Quantiles]) -> None:
                if not control.cancelled:
                    self._quantiles = state, found
                    self.changed.emit()

            self._run(lambda: class_quantiles(cube, labels), control, done)
        return {} if self._quantiles is None else self._quantiles[1]

    def _keep_region(self, mask: NDArray[np.bool_], name: str) -> None:
        cube = self._session.cube
        if cube is None:
            return
        where = np.flatnonzero(mask.ravel())
        if not len(where):
            show_error(f"{name}: holds no pixel of the image")
            return
        read = where
        if len(where) > _MOST:
            read = np.sort(np.random.default_rng(0).choice(where, _MOST, replace=False))

        def done(values: NDArray[np.float32]) -> None:
            if self._session.cube is cube:
                self._add(name, values, len(where))

        self._run(lambda: one(lambda: _mean(cube, read)), Control(), done)

    def _add(self, name: str, values: NDArray[np.float32], pixels: int) -> None:
        kept = self.kept
        kept.append(NamedSpectrum(name, values, pixels, _COLOURS[len(kept) % len(_COLOURS)]))
        self.changed.emit()

    def _mask(self, shapes: Shapes, number: int) -> NDArray[np.bool_]:
        """Pixels of the cube inside a shape, wherever its layer is."""
        from skimage.draw import line, polygon

        layer, cube = self._session.cube_layer, self._session.cube
        assert layer is not None
        assert cube is not None
        corners = np.array([shapes.data_to_world(v) for v in _outline(shapes, number)])[:, -2:]
        placed = np.array([layer.world_to_data((*([0.0] * (layer.ndim - 2)), *corner))[-2:] for corner in corners])
        mask = np.zeros(cube.image_shape, bool)
        if shapes.shape_type[number] in ("line", "path"):
            for (y0, x0), (y1, x1) in pairwise(placed):
                rows, columns = line(*(round(float(v)) for v in (y0, x0, y1, x1)))
                inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
                mask[rows[inside], columns[inside]] = True
        else:
            mask[polygon(placed[:, 0], placed[:, 1], mask.shape)] = True
        return mask & cube.mask if cube.mask is not None else mask

    def _run(self, make: Callable[[], Steps], control: Control, done: Callable[[Any], None]) -> None:
        def failed(error: CubeSegError) -> None:
            show_error(str(error))

        self._session.runner(make, control, ignore, done, failed, ignore)


def _mean(cube: Cube, where: NDArray[np.intp]) -> NDArray[np.float32]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        spectra = cube.spectra(*np.divmod(where, cube.image_shape[1]))
        return np.nanmean(spectra, axis=0, dtype=np.float64).astype(np.float32)


def _outline(shapes: Shapes, number: int) -> NDArray[np.float64]:
    """Corners of a shape in its layer's coordinates; an ellipse is given by the corners of its box."""
    corners = np.asarray(shapes.data[number], dtype=np.float64)
    if shapes.shape_type[number] != "ellipse":
        return corners
    centre, first, second = corners.mean(axis=0), corners[1] - corners[0], corners[3] - corners[0]
    angle = np.linspace(0, 2 * np.pi, 73)[:, None]
    return centre + np.cos(angle) * first / 2 + np.sin(angle) * second / 2
