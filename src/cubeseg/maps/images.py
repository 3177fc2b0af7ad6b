"""Maps of a cube: the sum in windows, element and line maps, colours. All are made in one pass, in bounded memory.

The generators yield the part that is done (0 to 1) and return what they made; several windows cost one pass.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubeseg.cube import Cube
from cubeseg.errors import ConfigError
from cubeseg.maps.colour import TrueColour, is_light, srgb
from cubeseg.maps.line_windows import element_windows, line_windows
from cubeseg.maps.one_pass import one_pass
from cubeseg.maps.windows import Statistic, Window, whole, window

__all__ = ["Map", "element_maps", "false_colour", "line_maps", "maps", "total_map", "true_colour", "window_maps"]

Float32 = NDArray[np.float32]
_TOTALS: dict[Statistic, str] = {"sum": "sum", "mean": "mean", "max": "largest value"}


@dataclass(frozen=True, eq=False)
class Map:
    """One map.

    Attributes
    ----------
    label : str
        ``"Pb Lα"``, ``"6.2–6.6 keV"``.
    image : array of float32, shape (y, x)
        In the unit of the data; NaN where a pixel is masked or has no value in the window.
    note : str
        Lines that fall into the same window, if any.
    """

    label: str
    image: Float32
    note: str = ""


def maps(cube: Cube, windows: Sequence[Window]) -> Generator[float, None, tuple[Map, ...]]:
    """Maps of windows, in one pass over the bands that they need.

    Raises
    ------
    ConfigError
        If there are none.
    DataError
        If a part of the file cannot be read.
    """
    images = yield from one_pass(cube, windows)
    return tuple(Map(one.label, image, one.note) for one, image in zip(windows, images, strict=True))


def window_maps(
    cube: Cube,
    windows: Sequence[tuple[float, float]],
    background: bool = False,
    how: Statistic = "sum",
) -> Generator[float, None, tuple[Map, ...]]:
    """Maps of the bands between pairs of limits.

    Parameters
    ----------
    cube : Cube
    windows : sequence of (float, float)
        In the unit of the axis.
    background : bool
        Take off the straight line through the ends of each window: net intensity.
    how : {"sum", "mean", "max"}
        What is made of the bands; missing values are left out.

    Raises
    ------
    ConfigError
        If a window holds no band, or too few for a background.
    DataError
        If a part of the file cannot be read.
    """
    made = [window(cube.axis, low, high, background=background, how=how) for low, high in windows]
    return (yield from maps(cube, made))


def total_map(cube: Cube, how: Statistic = "sum") -> Generator[float, None, tuple[Map, ...]]:
    """Sum, mean or largest value of all bands, as the only map of a tuple."""
    return (yield from maps(cube, [total(cube, how)]))


def total(cube: Cube, how: Statistic) -> Window:
    """The window of all bands."""
    return whole(cube.axis, how, _TOTALS[how])


def element_maps(
    cube: Cube, elements: Sequence[str], spectrum: ArrayLike | None = None, background: bool = True
) -> Generator[float, None, tuple[Map, ...]]:
    """Net intensity in the main lines of elements (:func:`cubeseg.maps.line_windows.element_windows`).

    Parameters
    ----------
    cube : Cube
    elements : sequence of str
    spectrum : array-like, shape (bands,), optional
        Mean spectrum, where it is known already; a few hundred spectra are read for it otherwise.
    background : bool

    Raises
    ------
    ConfigError
        If the axis is none of X-ray energies, there is no such element, or none of its lines lies on the axis.
    DataError
        If a part of the file cannot be read.
    """
    from cubeseg.sampling.probe import probe

    if spectrum is None:
        values = probe(cube).typical
        finite = np.isfinite(values)
        spectrum = np.where(finite, values, 0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    return (yield from maps(cube, element_windows(cube.axis, elements, spectrum, background=background)))


def line_maps(
    cube: Cube, names: Sequence[str], redshift: float = 0.0, width: float = 0.0, background: bool = True
) -> Generator[float, None, tuple[Map, ...]]:
    """Intensity in lines of atoms and molecules above the continuum (:func:`cubeseg.maps.line_windows.line_windows`).

    Parameters
    ----------
    cube : Cube
    names : sequence of str
    redshift : float
    width : float
        Half the window in km/s; 0 = chosen by itself.
    background : bool

    Raises
    ------
    ConfigError
        If there is no such line, or none of them lies on the axis.
    DataError
        If a part of the file cannot be read.
    """
    return (yield from maps(cube, line_windows(cube.axis, names, redshift, width, background=background)))


def false_colour(
    images: Sequence[NDArray[np.floating]], limits: tuple[float, float] = (1.0, 99.5), net: bool = False
) -> Float32:
    """Up to three maps as red, green and blue.

    Parameters
    ----------
    images : sequence of array, shape (y, x)
    limits : (float, float)
        Percentiles of each that become dark and bright.
    net : bool
        A background was taken off, so that 0 is dark (:func:`stretch`).

    Returns
    -------
    array of float32, shape (y, x, 3)
        0 to 1; black where a value is missing.

    Raises
    ------
    ConfigError
        If there are no maps, or more than three.
    """
    if not 1 <= len(images) <= 3:
        raise ConfigError(f"false colour: takes one to three maps, not {len(images)}")
    made = np.zeros((*images[0].shape, 3), np.float32)
    for channel, image in enumerate(images):
        low, high = stretch(image, limits, net)
        made[..., channel] = np.nan_to_num((image - low) / (high - low)).clip(0, 1)
    return made


def stretch(
    image: NDArray[np.floating], limits: tuple[float, float] = (1.0, 99.5), net: bool = False
) -> tuple[float, float]:
    """What is shown dark and what bright: percentiles of the finite values of an image, of a sample where it is large.

    With `net`, what is below 0 is noise unless it outweighs the rest, as in absorption lines: 0 is dark, and the
    percentile is that of the values above, since few pixels may have any.

    Returns
    -------
    low, high : float
        The second one is larger.
    """
    few = image.ravel()[:: max(1, image.size // 1_000_000)]
    finite = few[np.isfinite(few)]
    above = finite[finite > 0]
    if net and above.size and above.sum() >= -finite[finite < 0].sum():
        return 0.0, float(np.percentile(above, limits[1]))
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, limits))
    if not high > low:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


def true_colour(cube: Cube) -> Generator[float, None, Float32]:
    """The cube as an eye would see it in daylight, or by its own light where its unit is one of light.

    The brightest half percent of its pixels is white.

    Returns
    -------
    array of float32, shape (y, x, 3)
        sRGB, 0 to 1; black where values are missing.

    Raises
    ------
    ConfigError
        If the bands do not cover most of 400 to 700 nm.
    DataError
        If a part of the file cannot be read.
    """
    images = yield from one_pass(cube, [true_recipe(cube)])
    return srgb(images[0])


def true_recipe(cube: Cube) -> TrueColour:
    """What makes X, Y, Z of the bands."""
    return TrueColour(cube.axis, lit=not is_light(cube.unit))
