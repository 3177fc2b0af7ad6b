"""napari's reader: cubes and result files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error

from cubeseg.bundle import is_result, load
from cubeseg.errors import CubeSegError
from cubeseg.io import ChoiceNeeded, format_of, open_cube, reopen, takes_long
from napari_cubeseg.layers import cube_layer, map_layers, segmentation_layer

__all__ = ["get_reader", "read"]

LayerData = tuple[Any, ...]

# files above this are opened in the background
_LARGE = 256 << 20


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Offer to read; the manifest has already looked at the name, but any folder comes here."""
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    for folder in (Path(p) for p in paths):
        if folder.is_dir():
            try:
                format_of(folder)
            except CubeSegError:
                return None
    return _read_or_tell


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Layers of one file or several.

    A file that does not say which dataset is meant gives no layer yet: the Cube panel asks.

    Raises
    ------
    DataError
        One line: which file, what is wrong, what to do.
    """
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    layers: list[LayerData] = []
    for one in paths:
        if _takes_long(one) and _open_later(one):
            continue
        if is_result(one):
            layers.extend(_result_layers(one))
            continue
        try:
            layers.append(cube_layer(open_cube(one)))
        except ChoiceNeeded as question:
            if not _ask(question):
                raise
    return layers or [(None,)]


def _takes_long(path: str | Path) -> bool:
    """Whether opening would hold up the window."""
    try:
        return Path(path).stat().st_size > _LARGE or takes_long(path)
    except OSError:
        return False


def _open_later(path: str | Path) -> bool:
    """Open in the background; False where there is no window to go on working in."""
    from napari import current_viewer

    from napari_cubeseg.session import session_of

    viewer = current_viewer()
    if viewer is None or is_result(path):
        return False
    from napari_cubeseg.qt.jobs import run_in_thread

    session = session_of(viewer)
    session.use_threads(run_in_thread)
    session.cubes.open(path)
    return True


def _read_or_tell(path: str | Sequence[str]) -> list[LayerData]:
    """As :func:`read`, with errors as a notification: napari would bury a raised one in advice on other plugins."""
    try:
        return read(path)
    except CubeSegError as error:
        show_error(str(error))
        return [(None,)]


def _result_layers(path: str) -> list[LayerData]:
    result = load(path)
    layers: list[LayerData] = []
    source = result.source
    if source.path and Path(source.path).is_file():
        try:
            cube = reopen(source)
            if cube.source.fingerprint() == result.fingerprint:
                layers.append(cube_layer(cube))
        except CubeSegError:
            pass  # the result stands on its own; the cube is a convenience
    layers.extend(map_layers(result, Path(path).stem))
    layers.append(segmentation_layer(result.labels.copy(), result.spatial, f"{Path(path).stem}", result))
    return layers


def _ask(question: ChoiceNeeded) -> bool:
    """Open the dock and let its Cube panel ask; False where there is no viewer to ask in."""
    from napari import current_viewer

    from napari_cubeseg.session import session_of

    viewer = current_viewer()
    if viewer is None:
        return False
    session_of(viewer).cubes.ask(question)
    viewer.window.add_plugin_dock_widget("napari-cubeseg", "Segment datacube")
    return True
