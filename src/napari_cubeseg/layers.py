"""Cubes and segmentations as napari layers: keywords, colours, features. Layers are told by their metadata."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.layers.utils._link_layers import link_layers
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Spatial
from cubeseg.record.logbook import entry
from cubeseg.sampling.probe import Probe, probe
from cubeseg.segmentation import Segmentation, class_colour
from cubeseg.spectroscopy.calibration import further
from napari_cubeseg.bands import bands_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LayerTuple",
    "abundance_layers",
    "corrections_layer",
    "cube_behind",
    "cube_layer",
    "cube_layers",
    "cube_of",
    "link_contrast",
    "made_from",
    "map_layers",
    "marked_layer",
    "put_images",
    "result_of",
    "role",
    "segmentation_layer",
    "show_axis",
    "show_classes",
    "sum_layer",
    "truth_layer",
    "use_colours",
    "veil_layer",
]

KEY = "cubeseg"
Role = Literal[
    "cube",
    "sum",
    "labels",
    "preview",
    "truth",
    "corrections",
    "map",
    "marked",
    "veil",
    "confidence",
    "error",
    "abundance",
]

LayerTuple = tuple[Any, dict[str, Any], str]

_PINT = {"Angstrom": "angstrom", "": "pixel", "pixel": "pixel", "deg": "degree"}


def role(layer: Layer) -> Role | None:
    """What a layer is to us; None for layers that are not ours."""
    found: Role | None = layer.metadata.get(KEY, {}).get("role")
    return found


def cube_of(layer: Layer | None) -> Cube | None:
    """The cube behind an image layer."""
    return None if layer is None else layer.metadata.get(KEY, {}).get("cube")


def result_of(layer: Layer | None) -> Segmentation | None:
    """The segmentation behind a labels layer."""
    return None if layer is None else layer.metadata.get(KEY, {}).get("result")


def cube_layers(viewer: ViewerModel) -> list[Image]:
    """All layers that show cubes."""
    return [layer for layer in viewer.layers if role(layer) == "cube"]


def made_from(result: Segmentation | None, cube: Cube | None) -> bool:
    """Whether a segmentation was made from a cube."""
    return cube is not None and result is not None and _fits(cube, result) and cube.source.same_data(result.source)


def follow_axis(result: Segmentation, cube: Cube) -> None:
    """Let a segmentation have its cube's present calibration; its log tells of another one."""
    before, after = result.source.axis, cube.source.axis
    if before != after:
        result.log.append(entry("calibrate", axis=further(before, after), before=before))
    result.axis, result.source = cube.axis, cube.source


def cube_behind(result: Segmentation, viewer: ViewerModel) -> Cube | None:
    """The open cube that a segmentation was made from; else the newest one that it fits."""
    cubes = [cube for layer in cube_layers(viewer) if (cube := cube_of(layer)) is not None]
    fitting = [c for c in cubes if _fits(c, result)]
    same = [c for c in fitting if c.source.same_data(result.source)]
    return (same or fitting or [None])[-1]


def cube_layer(cube: Cube) -> LayerTuple:
    """Layer data tuple of a cube: an image stack (bands, y, x) that stays on disk.

    Parameters
    ----------
    cube : Cube
        A small part of it is read, for the contrast.
    """
    found = probe(cube)
    scale, translate, label, unit = _spectral_transform(cube.axis)
    pixel, pixel_unit = _pixel(cube.spatial)
    keywords = {
        "name": cube.source.name,
        "metadata": {KEY: {"role": "cube", "cube": cube, "probe": found}},
        "axis_labels": (label, "y", "x"),
        "units": (unit, pixel_unit, pixel_unit),
        "scale": (scale, *pixel),
        "translate": (translate, 0.0, 0.0),
        "contrast_limits": _contrast(found),
        "colormap": "gray",
        "multiscale": False,
        "rgb": False,
    }
    return bands_of(cube), keywords, "image"


def show_axis(layer: Image, cube: Cube) -> None:
    """Let a cube's layer follow another calibration of the same data."""
    scale, translate, label, unit = _spectral_transform(cube.axis)
    pixel_unit = _pixel(cube.spatial)[1]
    layer.metadata[KEY]["cube"] = cube
    layer.units = (unit, pixel_unit, pixel_unit)
    layer.scale = (scale, *layer.scale[1:])
    layer.translate = (translate, *layer.translate[1:])
    layer.axis_labels = (label, "y", "x")


def sum_layer(cube: Cube, image: NDArray[np.float32], what: str = "sum") -> LayerTuple:
    """Layer data tuple of the sum over all bands (y, x), or of what the file has for it."""
    pixel, pixel_unit = _pixel(cube.spatial)
    few = image.ravel()[:: max(1, image.size // 100_000)]
    finite = few[np.isfinite(few)]
    low, high = (float(v) for v in np.percentile(finite, (1, 99.5))) if finite.size else (0.0, 1.0)
    keywords = {
        "name": f"{cube.source.name} {what}",
        "metadata": {KEY: {"role": "sum"}},
        "axis_labels": ("y", "x"),
        "units": (pixel_unit, pixel_unit),
        "scale": pixel,
        "colormap": "gray",
        "contrast_limits": (low, high) if high > low else (low, low + 1),
    }
    return image, keywords, "image"


def segmentation_layer(
    labels: Any, spatial: Spatial, name: str, result: Segmentation | None = None, kind: Role = "labels"
) -> LayerTuple:
    """Layer data tuple of a label image (y, x) that lies over its cube."""
    pixel, pixel_unit = _pixel(spatial)
    keywords: dict[str, Any] = {
        "name": name,
        "metadata": {KEY: {"role": kind, "result": result}},
        "axis_labels": ("y", "x"),
        "units": (pixel_unit, pixel_unit),
        "scale": pixel,
        "opacity": 0.6,
    }
    if result is not None:
        keywords |= {"colormap": _colormap(result), "features": _features(result)}
    return np.ascontiguousarray(labels, dtype=np.int32), keywords, "labels"


def corrections_layer(result: Segmentation, name: str) -> LayerTuple:
    """Layer data tuple of the painted pixels alone, in the colours of their classes."""
    painted = np.zeros(result.labels.shape, bool) if result.painted is None else result.painted
    data = np.where(painted, result.labels, 0)
    made, keywords, kind = segmentation_layer(data, result.spatial, name, kind="corrections")
    return made, keywords | {"colormap": _colormap(result), "opacity": 1.0}, kind


def marked_layer(pixels: Any, spatial: Spatial) -> LayerTuple:
    """Layer data tuple of marked pixels (y, x), bright over whatever is below."""
    made, keywords, kind = segmentation_layer(pixels, spatial, "marked", kind="marked")
    colours = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: "#ffffff"})
    return made, keywords | {"colormap": colours, "opacity": 0.85}, kind


def veil_layer(pixels: Any, spatial: Spatial) -> LayerTuple:
    """Layer data tuple that darkens pixels (y, x)."""
    made, keywords, kind = segmentation_layer(pixels, spatial, "not chosen", kind="veil")
    colours = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: "#000000"})
    return made, keywords | {"colormap": colours, "opacity": 0.65}, kind


def truth_layer(labels: Any, spatial: Spatial, names: tuple[str, ...]) -> LayerTuple:
    """Layer data tuple of a sample's truth, hidden at first."""
    data, keywords, kind = segmentation_layer(labels, spatial, "truth", kind="truth")
    import pandas as pd

    table = pd.DataFrame({"index": range(len(names) + 1), "class": ["not labelled", *names]})
    return data, keywords | {"visible": False, "features": table}, kind


def map_layers(result: Segmentation, name: str) -> list[LayerTuple]:
    """Layer data tuples of what the model thinks of every pixel, hidden at first: confidence, unexplained residuals."""
    pixel, pixel_unit = _pixel(result.spatial)
    made: list[LayerTuple] = []
    for kind, values, title, colours in (
        ("confidence", result.confidence, "confidence", "viridis"),
        ("error", result.reconstruction_error, "unexplained (1 = noise)", "inferno"),
    ):
        # a sample is enough for the contrast, and does not hold up the window
        few = values.ravel()[:: max(1, values.size // 100_000)]
        finite = few[np.isfinite(few)]
        top = 1.0 if kind == "confidence" else max(float(np.quantile(finite, 0.999)) if finite.size else 1.0, 2.0)
        keywords = {
            "name": f"{name} {title}",
            "metadata": {KEY: {"role": kind}},
            "axis_labels": ("y", "x"),
            "units": (pixel_unit, pixel_unit),
            "scale": pixel,
            "colormap": colours,
            "contrast_limits": (0.0, top),
            "visible": False,
        }
        made.append((values, keywords, "image"))
    return made


def abundance_layers(result: Segmentation, name: str) -> list[LayerTuple]:
    """Layer data tuples of the abundances, one for each component, in the colours of their classes, hidden at first."""
    if result.components is None:
        return []
    unmixed, classes = result.components
    pixel, pixel_unit = _pixel(result.spatial)
    few = unmixed.abundances[:, :: max(1, unmixed.abundances.shape[1] // 300)]
    finite = few[np.isfinite(few)]
    top = float(np.quantile(finite, 0.999)) if finite.size else 1.0
    made: list[LayerTuple] = []
    for info, values in zip(classes, unmixed.abundances, strict=True):
        colour = [int(info.colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        keywords = {
            "name": f"{name} abundance {info.name}",
            "metadata": {KEY: {"role": "abundance", "class": info.id, "unmixed": result.unmixed}},
            "axis_labels": ("y", "x"),
            "units": (pixel_unit, pixel_unit),
            "scale": pixel,
            "colormap": Colormap([[0, 0, 0], colour], name=f"to {info.colour}"),
            "contrast_limits": (0.0, top if top > 0 else 1.0),
            "blending": "additive",
            "visible": False,
        }
        made.append((values, keywords, "image"))
    return made


def put_images(
    viewer: ViewerModel, old: Sequence[Image], wanted: Sequence[LayerTuple], below: Layer
) -> Generator[None, None, None]:
    """Let image layers show something else; those that are too many go, those that lack come below a layer.

    napari takes its time for each layer that comes, so after each of them the window should have a turn; where layers
    go, it looks through all memory for what can be freed, for all that go at once only once.
    """
    for layer, (data, keywords, _) in zip(old, wanted, strict=False):
        if layer.data is not data:
            layer.data = data
        for name in ("name", "metadata", "units", "scale", "colormap", "contrast_limits"):
            if not _shows(layer, name, keywords[name]):
                setattr(layer, name, keywords[name])
    if there := [layer for layer in old[len(wanted) :] if layer in viewer.layers]:
        with viewer.layers.batched_update():
            for layer in there:
                viewer.layers.remove(layer)
    for made in wanted[len(old) :]:
        active, layers = viewer.layers.selection.active, viewer.layers
        layers.insert(layers.index(below) if below in layers else len(layers), Layer.create(*made))
        # who paints meanwhile goes on painting
        layers.selection.active = active
        yield


def _shows(layer: Image, name: str, value: Any) -> bool:
    """Whether an attribute of a layer is so already; all that follows from one that is set takes long."""
    there = getattr(layer, name)
    if name == "colormap":
        return bool(there.name == (value if isinstance(value, str) else value.name))
    if name == "units":
        return [str(unit) for unit in there] == list(value)
    return bool(there == value) if isinstance(value, (str, dict)) else tuple(there) == tuple(value)


def link_contrast(images: Sequence[Image]) -> None:
    """Let images share their contrast, so that their brightness can be compared."""
    if len(images) > 1:
        link_layers(images, ("contrast_limits",))


def show_classes(layer: Labels, result: Segmentation, new: Sequence[int] = ()) -> None:
    """Project names, colours and pixel counts onto a labels layer; `new` classes are there only for a preview."""
    layer.features = _features(result)
    use_colours(layer, _colormap(result, new))


def use_colours(layer: Labels, wanted: DirectLabelColormap) -> None:
    """Give a labels layer these colours where it has others; setting them takes long on large images."""
    if not isinstance(layer.colormap, DirectLabelColormap) or not _has_colours(layer.colormap, wanted):
        layer.colormap = wanted


def preview_colours(layer: Labels, n: int) -> None:
    """Colours of a preview with up to n classes: those that the finished classes will have."""
    layer.colormap = DirectLabelColormap(
        color_dict={None: "gray", 0: "transparent"} | {k: class_colour(k) for k in range(1, n + 1)}
    )


def band_of(layer: Image, world: float) -> int:
    """Band of a cube layer at a position of the slider."""
    index = round((world - layer.translate[0]) / layer.scale[0])
    return int(np.clip(index, 0, layer.data.shape[0] - 1))


def _fits(cube: Cube, result: Segmentation) -> bool:
    return cube.image_shape == result.labels.shape and cube.n_bands == len(result.axis)


def _spectral_transform(axis: SpectralAxis) -> tuple[float, float, str, str]:
    # napari places bands by scale and translate alone, so other axes are shown by channel number and our own
    # read-out gives the true value
    if not axis.calibrated or not axis.is_uniform or axis.step <= 0:
        return 1.0, 0.0, "channel", "pixel"
    unit = _PINT.get(axis.unit, axis.unit)
    return axis.step, float(axis.values[0]), axis.name.lower(), unit if _known(unit) else "pixel"


def _pixel(spatial: Spatial) -> tuple[tuple[float, float], str]:
    unit = _PINT.get(spatial.unit, spatial.unit)
    return (spatial.pixel_size, unit) if _known(unit) else ((1.0, 1.0), "pixel")


def _known(unit: str) -> bool:
    import pint

    try:
        pint.get_application_registry().Unit(unit)
    except (pint.errors.PintError, ValueError, TypeError, AttributeError):
        return False
    return True


def _contrast(found: Probe) -> tuple[float, float]:
    """Limits that suit most bands: dark outliers clipped; for counts from zero to the brightest lines."""
    values = found.typical[np.isfinite(found.typical)]
    if found.noise == "poisson":
        top = float(np.percentile(np.nanmax(found.typical, axis=1), 90))
        return 0.0, max(top, 1.0)
    low, high = (float(v) for v in np.percentile(values, (1, 99.5)))
    return (low, high) if high > low else (low, low + 1.0)


def _colormap(result: Segmentation, new: Sequence[int] = ()) -> DirectLabelColormap:
    # label values without a class (napari's "new label") must be seen, so the default is not transparent
    colours: dict[int | None, str] = {None: "gray", 0: "transparent"}
    shown = {c.id: c.colour if c.visible else "transparent" for c in result.classes}
    return DirectLabelColormap(color_dict=colours | shown | {i: class_colour(i) for i in new})


def _has_colours(one: DirectLabelColormap, wanted: DirectLabelColormap) -> bool:
    """Whether all wanted colours are there; others do no harm."""
    a, b = one.color_dict, wanted.color_dict
    return a.keys() >= b.keys() and all(np.allclose(a[k], b[k], atol=1e-3) for k in b)


def _features(result: Segmentation) -> pd.DataFrame:
    rows = result.table()
    import pandas as pd

    return pd.DataFrame(
        {
            "index": [0, *(r["id"] for r in rows)],
            "class": ["not assigned", *(r["name"] for r in rows)],
            "pixels": [int(result.spectra.n[0]), *(r["pixels"] for r in rows)],
        }
    )
