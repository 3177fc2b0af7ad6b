"""Maps and colour pictures of the active cube as layers, made in the background. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from psygnal import Signal

from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, CubeSegError
from cubeseg.maps.colour import TrueColour, srgb
from cubeseg.maps.images import false_colour, stretch, total, true_recipe
from cubeseg.maps.line_windows import element_windows, line_windows
from cubeseg.maps.one_pass import Recipe, one_pass
from cubeseg.maps.windows import Statistic, Window, window
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, Steps, in_turns

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Made", "Maps"]

Spectrum = NDArray[np.floating[Any]]
Plan = Callable[[Cube, Spectrum], Sequence[Window]]


@dataclass(frozen=True, eq=False)
class Made:
    """A map (y, x), or a picture (y, x, 3), with its name, what to know of it, and its contrast."""

    label: str
    image: NDArray[np.float32]
    note: str = ""
    limits: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class _Request:
    """What was asked for: windows, found in the job's thread, and whether they become maps, a picture or both."""

    plan: Callable[[Cube, Spectrum], Sequence[Recipe]]
    maps: bool = True
    picture: bool = False


class Maps:
    """What a session makes of its cubes to look at.

    Requests that come while a pass over the cube is under way wait, and are then made together in one.

    Parameters
    ----------
    session : Session
    """

    working = Signal(object)
    """What is under way: (text, part done or None); None when nothing is."""
    made = Signal(object)
    """Layers were added or replaced: a tuple of Made."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: list[tuple[Image, _Request]] = []
        self._control: Control | None = None
        self._layer: Image | None = None
        self._band: int | None = None
        session.viewer.layers.events.removed.connect(self._removed)
        session.band_changed.connect(self._stepped)

    # requests

    def total(self, how: Statistic = "sum") -> None:
        """Map the sum, the mean or the largest value of all bands; a sum image that is there comes to the top."""
        layer = self._session.cube_layer
        if how == "sum" and layer is not None and self._show_again(layer):
            return
        self._ask(_Request(lambda cube, _: [total(cube, how)]))

    def window(self, low: float, high: float, how: Statistic = "sum", background: bool = False) -> None:
        """Map the bands from `low` to `high`, in the unit of the axis; `background`: less the line through the ends."""
        self.windows([(low, high)], how, background)

    def windows(self, limits: Sequence[tuple[float, float]], how: Statistic = "sum", background: bool = False) -> None:
        """Map several windows in one pass."""
        self._ask(_Request(_windows(limits, how, background)))

    def rgb(self, limits: Sequence[tuple[float, float]]) -> None:
        """Show up to three windows as red, green and blue."""
        self._ask(_Request(_windows(limits), maps=False, picture=True))

    def elements(self, names: Sequence[str], picture: bool = False, background: bool = True) -> None:
        """Map the main lines of elements; with `picture`, the first three also as red, green and blue."""
        plan: Plan = lambda cube, mean: element_windows(cube.axis, names, mean, background=background)  # noqa: E731
        self._ask(_Request(plan, picture=picture))

    def lines(
        self,
        names: Sequence[str],
        redshift: float = 0.0,
        width: float = 0.0,
        picture: bool = False,
        background: bool = True,
    ) -> None:
        """Map lines of atoms and molecules at a redshift, `width` km/s to either side (0 = by itself)."""
        plan: Plan = lambda cube, _: line_windows(cube.axis, names, redshift, width, background=background)  # noqa: E731
        self._ask(_Request(plan, picture=picture))

    def true_colour(self) -> None:
        """Show the cube as an eye would see it."""
        self._ask(_Request(lambda cube, _: [true_recipe(cube)], maps=False, picture=True))

    def stop(self) -> None:
        """Give up what is under way and what waits."""
        self._waiting.clear()
        if self._control is not None:
            self._control.cancel()
            self._control = self._layer = None
            self.working.emit(None)

    @property
    def busy(self) -> bool:
        """Whether maps are being made."""
        return self._control is not None

    # the work

    def _ask(self, request: _Request) -> None:
        layer = self._session.cube_layer
        if layer is None:
            show_error("Open a cube first: drop a file on the window, or File > Open Sample > napari-cubeseg")
            return
        self._waiting.append((layer, request))
        self._next()

    def _next(self) -> None:
        if self._control is not None or not self._waiting:
            return
        layer = self._waiting[0][0]
        requests = [request for there, request in self._waiting if there is layer]
        self._waiting = [pair for pair in self._waiting if pair[0] is not layer]
        cube, state = our.cube_of(layer), layer.metadata[our.KEY]
        assert cube is not None
        control = self._control = Control()
        self._layer = layer
        text = f"Mapping {cube.source.name}"

        def mine() -> bool:
            return control is self._control

        def ended() -> None:
            self._control = self._layer = None
            self.working.emit(None)

        def progress(part: Any) -> None:
            if mine():
                self.working.emit((text, part))

        def done(found: tuple[list[Made], list[str]]) -> None:
            made, refused = found
            for reason in refused:
                show_error(reason)
            # napari takes its time for each layer: between two of them the window can draw
            in_turns(self._session.runner, control, placed(made))

        def placed(made: list[Made]) -> Iterator[None]:
            """The last one first, so that the first one lies on top."""
            for turn, one in enumerate(reversed(made)):
                if turn:
                    yield
                if not mine():
                    return
                self._show(layer, cube.source.name, one)
            if mine():
                ended()
                if made:
                    self.made.emit(tuple(made))
                self._next()

        def failed(error: CubeSegError) -> None:
            if mine():
                ended()
                show_error(str(error))
                self._next()

        def cancelled() -> None:
            if mine():
                ended()
                self._next()

        self.working.emit((text, None))
        self._session.runner(
            lambda: _steps(cube, state, requests), control, progress, done, failed, cancelled, title=text
        )  # fmt: skip

    # the layers

    def _show(self, layer: Image, name: str, made: Made) -> None:
        layers = self._session.viewer.layers
        active = layers.selection.active
        there = next((item for item in layers if _is(item, layer, made)), None)
        if there is None:
            layers.insert(self._top(layer), Layer.create(*map_layer(layer, name, made)))
        else:
            there.data = made.image
            if not there.rgb:
                there.contrast_limits = made.limits
            there.metadata[our.KEY] |= {"note": made.note, "moved": False}
            there.visible = True
            layers.move(layers.index(there), self._top(layer))
        # who paints meanwhile goes on painting
        layers.selection.active = active if active in layers else layer
        self._band = self._session.band

    def _top(self, layer: Image) -> int:
        """The place above a cube, its sum image and its maps."""
        layers = self._session.viewer.layers
        at = layers.index(layer) + 1
        while at < len(layers) and our.role(layers[at]) in ("sum", "map"):
            at += 1
        return at

    def _show_again(self, layer: Image) -> bool:
        """Show the sum image that came when the cube was looked over; whether there is one."""
        layers = self._session.viewer.layers
        top = self._top(layer)
        there = next((item for item in layers[layers.index(layer) : top] if our.role(item) == "sum"), None)
        if there is not None:
            there.metadata[our.KEY]["moved"] = False
            there.visible = True
            layers.move(layers.index(there), top)
        return there is not None

    def _stepped(self, band: int) -> None:
        """The slider was moved: who looks through the bands wants to see them, not a map."""
        before, self._band = self._band, band
        if before is None or before == band:
            return
        for item in self._session.viewer.layers:
            state = item.metadata.get(our.KEY, {})
            if our.role(item) == "map" and item.visible and not state.get("moved"):
                state["moved"] = True
                item.visible = False

    def _removed(self, event: Any) -> None:
        self._waiting = [pair for pair in self._waiting if pair[0] is not event.value]
        if event.value is self._layer and self._control is not None:
            self._control.cancel()
            self._control = self._layer = None
            self.working.emit(None)
            self._next()


def map_layer(layer: Image, name: str, made: Made) -> our.LayerTuple:
    """Layer data tuple of a map that lies on a cube's layer."""
    keywords: dict[str, Any] = {
        "name": f"{name} {made.label}",
        "metadata": {our.KEY: {"role": "map", "map": made.label, "of": layer.unique_id, "note": made.note}},
        "axis_labels": ("y", "x"),
        "units": layer.units[-2:],
        "scale": layer.scale[-2:],
        "translate": layer.translate[-2:],
        "rgb": made.image.ndim == 3,
    }
    if made.image.ndim == 2:
        keywords |= {"colormap": "gray", "contrast_limits": made.limits}
    return made.image, keywords, "image"


def _is(item: Layer, layer: Image, made: Made) -> bool:
    """Whether a layer is an earlier version of a map."""
    said = item.metadata.get(our.KEY, {})
    same = (said.get("role"), said.get("of"), said.get("map")) == ("map", layer.unique_id, made.label)
    return same and item.data.shape == made.image.shape


def _windows(limits: Sequence[tuple[float, float]], how: Statistic = "sum", background: bool = False) -> Plan:
    def plan(cube: Cube, _: Spectrum) -> list[Window]:
        return [window(cube.axis, low, high, how=how, background=background) for low, high in limits]

    return plan


def _steps(cube: Cube, state: dict[str, Any], requests: Sequence[_Request]) -> Steps:
    """All requests in one pass; what cannot be made does not keep the others from it."""
    mean = _mean(state)
    planned: list[tuple[_Request, Sequence[Recipe]]] = []
    refused = []
    for request in requests:
        try:
            planned.append((request, request.plan(cube, mean)))
        except ConfigError as error:
            refused.append(str(error))
    made: list[Made] = []
    if planned:
        images = iter((yield from one_pass(cube, [recipe for _, recipes in planned for recipe in recipes])))
        for request, recipes in planned:
            # what was asked for last is shown on top
            made = [*_made(cube, request, recipes, [next(images) for _ in recipes]), *made]
    return made, refused


def _made(cube: Cube, request: _Request, recipes: Sequence[Any], images: Sequence[NDArray[np.float32]]) -> list[Made]:
    """A picture first, then the maps."""
    if isinstance(recipes[0], TrueColour):
        return [Made(recipes[0].label, srgb(images[0]))]
    net = all(recipe.net for recipe in recipes)
    maps = [Made(r.label, image, r.note, stretch(image, net=r.net)) for r, image in zip(recipes, images, strict=True)]
    if not request.picture or (request.maps and len(maps) < 2):
        return maps
    unit = f" {cube.axis.display_unit}"
    names = [one.label.removesuffix(unit) for one in maps[:3]]
    ending = unit if names[-1] != maps[: len(names)][-1].label else ""
    label = f"{', '.join(names)}{ending} (RGB)"
    notes = "; ".join(f"{one.label} with {one.note}" for one in maps[:3] if one.note)
    picture = Made(label, false_colour([one.image for one in maps[:3]], net=net), notes)
    return [picture, *(maps if request.maps else ())]


def _mean(state: dict[str, Any]) -> Spectrum:
    """Mean spectrum of a cube; of a few pixels until all of it has been seen."""
    if "overview" in state:
        return np.asarray(state["overview"].mean)
    few = state["probe"].typical
    finite = np.isfinite(few)
    return np.asarray(np.where(finite, few, 0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1))
