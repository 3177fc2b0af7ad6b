"""What every synthetic cube has in common: rows are made one strip at a time, in memory or into a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube, Noise, Source, Spatial
from cubeseg.errors import ConfigError
from cubeseg.files import written

__all__ = ["STRIP", "Sample", "Scene", "Strip", "render", "smooth_field", "write"]

_ENDINGS = (".h5", ".hdf5", ".hdf", ".he5", ".nxs")
STRIP = 32  # rows; each strip has its own random numbers, so a file and memory hold the same

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sample:
    """A synthetic cube with its truth.

    Attributes
    ----------
    cube : Cube
    truth : array of int32, shape (y, x)
        1..K, 0 = not labelled.
    class_names : tuple of str
        Of classes 1..K.
    abundances : array of float32, shape (K, y, x)
        Share of each class in a pixel, after the beam's or the atmosphere's blur.
    states : array of float32, shape (K, S, bands)
        Expected spectra of each pure class in S equally frequent states (thickness of paint, velocity), with their
        brightness; what a per-pixel Bayes classifier has to know.
    """

    cube: Cube
    truth: NDArray[np.int32]
    class_names: tuple[str, ...]
    abundances: Float32
    states: Float32

    @property
    def spectra(self) -> Float32:
        """Expected spectrum of each pure class, shape (K, bands)."""
        return np.asarray(self.states.mean(axis=1), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of a scene: data and variance (bands, rows, x), labels (rows, x), abundances (K, rows, x)."""

    data: NDArray[Any]
    variance: Float32 | None
    truth: NDArray[np.int32]
    abundances: Float32


@dataclass(frozen=True, eq=False)
class Scene:
    """A cube that is yet to be made; ``strip(top, bottom, rng)`` makes some of its rows."""

    name: str
    size: int
    axis: SpectralAxis
    noise: Literal["poisson", "gaussian", "unknown"]
    dtype: str
    unit: str
    spatial: Spatial
    class_names: tuple[str, ...]
    states: Float32
    seed: int
    strip: Callable[[int, int, np.random.Generator], Strip]

    def strips(self) -> Iterator[tuple[slice, Strip]]:
        """All strips from top to bottom."""
        for number, top in enumerate(range(0, self.size, STRIP)):
            bottom = min(top + STRIP, self.size)
            rng = np.random.default_rng([self.seed, 7, number])
            yield slice(top, bottom), self.strip(top, bottom, rng)


def render(scene: Scene) -> Sample:
    """Make a scene in memory."""
    shape = (len(scene.axis), scene.size, scene.size)
    data = np.empty(shape, scene.dtype)
    variance = np.empty(shape, np.float32) if scene.noise == "gaussian" else None
    truth = np.empty(shape[1:], np.int32)
    abundances = np.empty((len(scene.class_names), *shape[1:]), np.float32)
    for rows, strip in scene.strips():
        data[:, rows], truth[rows], abundances[:, rows] = strip.data, strip.truth, strip.abundances
        if variance is not None:
            variance[:, rows] = strip.variance
    cube = Cube(
        data, scene.axis, Noise(scene.noise, variance), None, scene.spatial, Source(format="sample"), scene.unit
    )
    return Sample(cube, truth, scene.class_names, abundances, scene.states)


def truth_of(path: Path) -> Path:
    """Where the truth of a sample is written."""
    return path.with_suffix("").with_name(path.with_suffix("").name + ".truth.npy")


def write(scene: Scene, path: Path) -> Path:
    """Make a scene on disk: the authors' layout ``img`` (y, x, channel), and the truth as .npy beside it."""
    import h5py

    if path.suffix.lower() not in _ENDINGS:
        raise ConfigError(f"{path}: samples are written as HDF5; give a name that ends in .h5")
    truth_path = truth_of(path)
    truth = np.empty((scene.size, scene.size), np.int32)
    shape = (scene.size, scene.size, len(scene.axis))
    chunks = tuple(min(c, n) for c, n in zip((STRIP, STRIP, 64), shape, strict=True))
    packed: dict[str, Any] = {"chunks": chunks, "compression": "gzip", "compression_opts": 1, "shuffle": True}
    with ExitStack() as stack:
        temporary = stack.enter_context(written(path))
        temporary_truth = stack.enter_context(written(truth_path))
        with h5py.File(temporary, "w") as file:
            file.attrs.update(
                noise=scene.noise, pixel_size=scene.spatial.pixel_size, pixel_unit=scene.spatial.unit,
                data_unit=scene.unit, sample=scene.name, seed=scene.seed,
            )  # fmt: skip
            image = file.create_dataset("img", shape, scene.dtype, **packed)
            variance = file.create_dataset("variance", shape, "f4", **packed) if scene.noise == "gaussian" else None
            file["axis"] = scene.axis.values
            file["axis"].attrs.update(unit=scene.axis.unit, medium=scene.axis.medium)
            shares = file.create_dataset(
                "truth/abundances", (len(scene.class_names), *shape[:2]), "f4", compression="gzip", compression_opts=1
            )
            for rows, strip in scene.strips():
                image[rows] = np.moveaxis(strip.data, 0, -1)
                truth[rows], shares[:, rows] = strip.truth, strip.abundances
                if variance is not None and strip.variance is not None:
                    variance[rows] = np.moveaxis(strip.variance, 0, -1)
            file["truth/labels"] = truth
            file["truth/spectra"] = scene.states.mean(axis=1)
            file["truth/states"] = scene.states
            file["truth/class_names"] = [name.encode() for name in scene.class_names]
        with temporary_truth.open("wb") as out:
            np.save(out, truth, allow_pickle=False)
            out.flush()
            os.fsync(out.fileno())
    return truth_path


def smooth_field(size: int, coarse: int, rng: np.random.Generator) -> Float32:
    """Random field (size, size) of unit variance, smooth on the scale size/coarse; the same at every size."""
    from scipy.ndimage import map_coordinates

    grid = rng.standard_normal((coarse + 4, coarse + 4))
    at = np.linspace(1, coarse + 2, size)
    field = map_coordinates(grid, np.meshgrid(at, at, indexing="ij"), order=3, mode="nearest")
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)
