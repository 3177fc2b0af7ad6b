"""Synthetic cubes with their truth: an MA-XRF scan of a painting, an integral-field view of a galaxy, a sick leaf."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cubeseg.errors import ConfigError
from cubeseg.samples.scene import Sample, Scene, render, write

__all__ = ["Sample", "galaxy", "leaf", "painting", "write_leaf", "write_sample"]


def painting(size: int = 96, counts: float | None = None, seed: int = 0, n_bands: int = 1024, tier: int = 2) -> Sample:
    """MA-XRF scan of a small portrait, in memory.

    Parameters
    ----------
    size : int
        Height and width in pixels.
    counts : float, optional
        Mean number of photons per pixel; that of the tier where not given.
    seed : int
    n_bands : int
        Channels between 0.5 and 38.5 keV.
    tier : {1, 2, 3}
        From five distinct areas at 5000 counts to twins, thickness gradients and 100 counts;
        see :mod:`cubeseg.samples.portrait`.

    Returns
    -------
    Sample
        Counts (bands, y, x) as uint16, with labels, abundances and the spectra of pure classes.

    Raises
    ------
    ConfigError
        If an argument makes no sense.
    """
    return render(_scene("painting", size, counts, seed, n_bands, tier))


def galaxy(size: int = 64, counts: float | None = None, seed: int = 0, n_bands: int = 920, tier: int = 2) -> Sample:
    """MUSE-like cube of a spiral galaxy with an active nucleus, in memory.

    Parameters
    ----------
    size : int
        Height and width in spaxels.
    counts : float, optional
        Mean number of source electrons per channel in the brightest tenth of the field; that of the tier where not
        given.
    seed : int
    n_bands : int
        Channels between 4750 and 9350 Å.
    tier : {1, 2, 3}
        Signal-to-noise ratios of 30, 10 and 3 per channel; see :mod:`cubeseg.samples.spiral`.

    Returns
    -------
    Sample
        Sky-subtracted flux (bands, y, x) as float32 with its variance, labels, flux shares and pure spectra.

    Raises
    ------
    ConfigError
        If an argument makes no sense.
    """
    return render(_scene("galaxy", size, counts, seed, n_bands, tier))


def leaf(size: int = 256, day: int = 5, seed: int = 0, n_bands: int = 301) -> Sample:
    """Reflectance of a leaf with growing lesions on a dark board, in memory.

    Parameters
    ----------
    size : int
        Height and width in pixels.
    day : int
        0 = healthy; the lesions of a seed appear in the first days and grow.
    seed : int
        Another leaf, in other light.
    n_bands : int
        Between 400 and 1000 nm.

    Returns
    -------
    Sample
        Reflectance (bands, y, x) as float32 with labels, shares and the spectra of pure classes; see
        :mod:`cubeseg.samples.foliage`.

    Raises
    ------
    ConfigError
        If an argument makes no sense.
    """
    return render(_leaf_scene(size, day, seed, n_bands))


def write_leaf(path: str | Path, *, size: int = 256, day: int = 5, seed: int = 0, n_bands: int = 301) -> Path:
    """Write a leaf as HDF5 and its truth beside it, as :func:`write_sample` does; arguments as for :func:`leaf`."""
    return write(_leaf_scene(size, day, seed, n_bands), Path(path))


def _leaf_scene(size: int, day: int, seed: int, n_bands: int) -> Scene:
    if size < 32:
        raise ConfigError(f"size: {size} pixels are too few for a leaf; at least 32")
    if size > 16384:
        raise ConfigError(f"size: {size} pixels are too many; at most 16384")
    if day < 0 or seed < 0:
        raise ConfigError(f"day and seed must not be negative, not {day} and {seed}")
    if n_bands < 16:
        raise ConfigError(f"n_bands must be at least 16, not {n_bands}")
    from cubeseg.samples.foliage import leaf_scene

    return leaf_scene(size, day, seed, n_bands)


def write_sample(
    name: Literal["painting", "galaxy"],
    path: str | Path,
    *,
    size: int | None = None,
    counts: float | None = None,
    seed: int = 0,
    tier: int = 2,
) -> Path:
    """Write a sample as HDF5 and its truth beside it, row by row, never whole in memory.

    Parameters
    ----------
    name : {"painting", "galaxy"}
    path : path-like
        ``p.h5``; the truth is written to ``p.truth.npy``, int32, 1..K, 0 = not labelled.
    size, counts, seed, tier
        As for :func:`painting` and :func:`galaxy`; their defaults where None.

    Returns
    -------
    Path
        Of the truth.

    Raises
    ------
    ConfigError
        If an argument makes no sense, or the name is not that of an HDF5 file.
    DataError
        If the files cannot be written; then neither is.
    """
    defaults = {"painting": (96, 1024), "galaxy": (64, 920)}
    if name not in defaults:
        raise ConfigError(f"there is no sample '{name}'; there are painting and galaxy (and write_leaf)")
    default_size, n_bands = defaults[name]
    return write(_scene(name, default_size if size is None else size, counts, seed, n_bands, tier), Path(path))


def _scene(name: str, size: int, counts: float | None, seed: int, n_bands: int, tier: int) -> Scene:
    if size < 8:
        raise ConfigError(f"size: {size} pixels are too few for a picture; at least 8")
    if size > 16384:
        raise ConfigError(f"size: {size} pixels are too many; at most 16384")
    if counts is not None and not 0 < counts < 1e7:
        raise ConfigError(f"counts must be positive and below ten million, not {counts:g}")
    if seed < 0:
        raise ConfigError(f"seed must not be negative, not {seed}")
    if n_bands < 16:
        raise ConfigError(f"n_bands must be at least 16, not {n_bands}")
    if tier not in (1, 2, 3):
        raise ConfigError(f"tier: there are 1, 2 and 3, not {tier}")
    if name == "painting":
        from cubeseg.samples.portrait import TIER_COUNTS as PHOTONS
        from cubeseg.samples.portrait import painting_scene

        return painting_scene(size, PHOTONS[tier] if counts is None else counts, seed, n_bands, tier)
    from cubeseg.samples.spiral import TIER_COUNTS as ELECTRONS
    from cubeseg.samples.spiral import galaxy_scene

    return galaxy_scene(size, ELECTRONS[tier] if counts is None else counts, seed, n_bands, tier)
