"""What unmixing found: component spectra, how sure they are, and how much of each every pixel holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.references.library import Library

__all__ = ["Unmixed", "unmixed_of"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Unmixed:
    """Components and abundances.

    Attributes
    ----------
    components : array of float32, shape (k, bands)
        Counts: each sums to one. Otherwise in the unit of the data, as bright as the purest pixels. NaN in bands that
        were not used.
    spread : array of float32, shape (k, bands)
        Standard deviation over fits of other draws from other starts; 0 where there was none.
    abundances : array of float32, shape (k, y, x)
        Counts: photons. Otherwise parts of the component. NaN where masked.
    names : tuple of str
        Of components that were known; empty for the others.
    sum_to_one : bool
    classes : bool
        Whether cluster j of the segmentation is component j, so that what is merged and named there holds here.
    """

    components: Float32
    spread: Float32
    abundances: Float32
    names: tuple[str, ...]
    sum_to_one: bool = False
    classes: bool = True

    def __len__(self) -> int:
        return len(self.components)

    def class_names(self, owner: Int32) -> dict[int, str]:
        """Names for the classes (k,) that own the components."""
        return {
            int(c): name or f"component {j + 1}"
            for j, (c, name) in enumerate(zip(owner, self.names, strict=False))
            if c > 0
        }

    def grouped(self, owner: Int32) -> tuple[Unmixed, list[int]]:
        """Components of the same class made one: amounts added, spectra averaged by how much there is of them.

        Parameters
        ----------
        owner : array of int, shape (at least k,)
            The class of each component, 0 = none.

        Returns
        -------
        unmixed : Unmixed
        ids : list of int
            The class of each component now.
        """
        owner = owner[: len(self)]
        ids = np.unique(owner[owner > 0]).tolist()
        if len(ids) == len(self):
            order = np.argsort(owner)
            if (np.diff(order) == 1).all():
                return self, ids
        mass = np.asarray(np.nansum(self.abundances, axis=(1, 2), dtype=np.float64))
        components, spread, abundances, names = [], [], [], []
        for c in ids:
            own = np.flatnonzero(owner == c)
            weights = (mass[own] if mass[own].sum() > 0 else np.ones(len(own)))[:, None]
            components.append((self.components[own] * weights).sum(axis=0) / weights.sum())
            spread.append(np.sqrt(((self.spread[own] * weights) ** 2).sum(axis=0)) / weights.sum())
            abundances.append(self.abundances[own].sum(axis=0))
            names.append(self.names[own[0]])
        made = [np.array(x, np.float32) for x in (components, spread, abundances)]
        return replace(self, components=made[0], spread=made[1], abundances=made[2], names=tuple(names)), ids

    def on(self, old: SpectralAxis, new: SpectralAxis) -> Unmixed:
        """The same with components on another axis."""

        def moved(values: Float32) -> Float32:
            if not np.isfinite(values).any():
                return np.full((len(values), len(new)), np.nan, np.float32)
            there = Library(self.names, old, values.astype(np.float64)).on(new).values
            return np.asarray(there if new.values[0] <= new.values[-1] else there[:, ::-1], np.float32)

        return replace(self, components=moved(self.components), spread=moved(self.spread))


def unmixed_of(model: Any, codes: NDArray[np.floating], n_bands: int) -> Unmixed:
    """From a model that unmixes, live or stored, its codes (y, x, k), and the number of bands of the cube."""
    arrays, settings, prepare = model.arrays(), model.settings(), model.preprocessor
    if "metric" in arrays:
        codes = codes @ np.linalg.inv(arrays["metric"])
    spectra = []
    for name in ("components", "spread"):
        full = np.full((len(arrays[name]), n_bands), np.nan, np.float32)
        bins = arrays[name]
        if prepare.kind == "counts":
            # the counts of a bin are shared out over its bands
            bins = bins / np.bincount(prepare.groups)
        full[:, prepare.bands] = bins[:, prepare.groups]
        spectra.append(full)
    return Unmixed(
        spectra[0], spectra[1], np.moveaxis(codes, -1, 0).astype(np.float32, copy=False), tuple(settings["names"]),
        bool(settings["sum_to_one"]),
    )  # fmt: skip
