"""The result: labels and classes, their spectra, how they came about, and every correction made to them."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.axis import SpectralAxis
from cubeseg.config import FitConfig
from cubeseg.cube import Cube, Source, Spatial
from cubeseg.errors import ConfigError, DataError
from cubeseg.record.logbook import Entry
from cubeseg.statistics import ClassSpectra
from cubeseg.unmixing.unmixed import Unmixed

__all__ = ["ClassInfo", "Merge", "Segmentation", "class_colour"]

Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]

# seven of Okabe & Ito (2008) and one of Tol, then those that stay farthest from all before them (in CIELAB) to people
# with any kind of colour blindness, as simulated by Machado, Oliveira & Fernandes (2009)
_PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00",
    "#56b4e9", "#882255", "#8800ff", "#bbee99", "#444411", "#4422aa",
    "#00ffdd", "#dd0044", "#bb55ff", "#772277", "#ccaa55", "#99ff77",
    "#bbbbaa", "#77bb77", "#eeccff", "#995588", "#557744", "#dd00bb",
    "#775500", "#9999ff", "#661188", "#5544dd", "#7777dd", "#004444",
)  # fmt: skip


def class_colour(class_id: int) -> str:
    """Default colour of a class id (1..), ``"#rrggbb"``; the same id always has the same colour."""
    if class_id <= len(_PALETTE):
        return _PALETTE[class_id - 1]
    hue = (class_id * 0.61803398875) % 1
    lightness = (0.45, 0.65, 0.8)[class_id % 3]
    return "#" + "".join(f"{round(255 * c):02x}" for c in colorsys.hls_to_rgb(hue, lightness, 0.65))


@dataclass(frozen=True)
class ClassInfo:
    """One class: its id in the label image, and what people call it."""

    id: int
    name: str
    colour: str
    locked: bool = False
    note: str = ""
    visible: bool = True


@dataclass(frozen=True)
class Merge:
    """A step of the merge tree: class `gone` becomes part of `kept`; `height` is how unlike they are."""

    kept: int
    gone: int
    height: float


@dataclass(eq=False)
class Segmentation:
    """Labels of a cube and all that belongs to them.

    Parameters
    ----------
    labels : array of int32, shape (y, x)
        0 = masked or unassigned, 1..K the classes.
    classes : list of ClassInfo
        Ordered as shown.
    axis : SpectralAxis
        Of the class spectra.
    spectra : ClassSpectra
        Row k belongs to label k.
    confidence, reconstruction_error : arrays of float32, shape (y, x)
        Posterior of the assigned class, 0 to 1; what the model leaves unexplained, 1 = the median pixel, which is
        noise. NaN where masked.
    latent : array of float16 or float32, shape (y, x, d)
        Codes; NaN where masked.
    evidence : array of float16, shape (K, y, x)
        Log-likelihoods of the classes relative to the best one, as first clustered; empty where there are none.
    coherence : float
        Strength of the spatial coherence that made the labels.
    lineage : array of int32, shape (K,)
        The class that each cluster of `evidence`, `centroids` and `profiles` belongs to by now.
    tree : list of Merge
        Which classes to merge for fewer ones, the most alike first.
    painted : array of bool, shape (y, x), optional
        Pixels whose label people chose.
    config : FitConfig
    model : object, optional
        The trained model (``encode``, ``arrays``, ``settings``, ``preprocessor``).
    centroids : array of float32, shape (K, d)
        Class centres in the latent space, row k for label k + 1 as first clustered.
    spread : float
        Standard deviation of the codes inside a class, per dimension.
    profiles : array of float32, shape (K, bins + 1), optional
        Logarithms of the class spectra and shares that labelled the pixels of a counts cube.
    history : list of dict
        Losses of every epoch.
    criteria : dict of str to dict of int to float
        For every number of classes that was tried: "score", which decided, and others to look at.
    spatial, source, unit
        Of the cube.
    fingerprint : str
        Of the cube's file.
    notes : list of str
        What people should know about how this came about.
    log : list of Entry
        Every manual operation, in order.
    run : dict
        Under what circumstances it came about (:mod:`cubeseg.record.provenance`); empty where that is not known.
    unmixed : Unmixed, optional
        Components and abundances, where the method finds them.
    """

    labels: Int32
    classes: list[ClassInfo]
    axis: SpectralAxis
    spectra: ClassSpectra
    confidence: Float32
    reconstruction_error: Float32
    latent: NDArray[np.floating]
    config: FitConfig
    model: Any = None
    evidence: NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float16))
    coherence: float = 0.0
    lineage: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    tree: list[Merge] = field(default_factory=list)
    painted: NDArray[np.bool_] | None = None
    centroids: Float32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    spread: float = 1.0
    profiles: Float32 | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    criteria: dict[str, dict[int, float]] = field(default_factory=dict)
    spatial: Spatial = field(default_factory=Spatial)
    source: Source = field(default_factory=Source)
    unit: str = ""
    fingerprint: str = ""
    notes: list[str] = field(default_factory=list)
    log: list[Entry] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    unmixed: Unmixed | None = None
    # confidence summed per class, so that a table need not go over the image; a copy has none until it is asked
    _confidences: NDArray[np.float64] | None = field(default=None, init=False, repr=False)

    @property
    def components(self) -> tuple[Unmixed, list[ClassInfo]] | None:
        """Components and abundances as the classes are by now, merged and named as they are; None without unmixing.

        Where the classes are no longer those of the components, these stand by themselves, with names of their own.
        """
        found = self.unmixed
        if found is None:
            return None
        owner = np.arange(1, len(found) + 1, dtype=np.int32)
        if not found.classes or len(self.lineage) < len(found):
            names = found.class_names(owner)
            return found, [ClassInfo(c, names[c], class_colour(c)) for c in names]
        there = {c.id: c for c in self.classes}
        lineage = np.where(np.isin(self.lineage[: len(found)], list(there)), self.lineage[: len(found)], 0)
        made, ids = found.grouped(lineage.astype(np.int32))
        return made, [there[c] for c in ids]

    def component_of(self, class_id: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Component of a class and its spread, both (bands,), as bright as the class's mean; None where it has none.

        NaN in bands that unmixing did not use.
        """
        found = self.components
        at = [] if found is None else [c.id for c in found[1]]
        if found is None or class_id not in at:
            return None
        values, spread = (a[at.index(class_id)].astype(np.float64) for a in (found[0].components, found[0].spread))
        mean = self.spectra.mean(class_id)
        both = np.isfinite(values) & np.isfinite(mean)
        factor = float(values[both] @ mean[both]) / max(float(values[both] @ values[both]), 1e-30) if both.any() else 1
        factor = factor if factor > 0 else 1.0
        return values * factor, spread * factor

    @property
    def scores(self) -> dict[int, float]:
        """Deciding score of every number of classes that was tried; larger is better."""
        return self.criteria.get("score", {})

    @property
    def n_clusters(self) -> int:
        """Number of classes that own at least one pixel."""
        return sum(self.pixels(c.id) > 0 for c in self.classes)

    def info(self, class_id: int) -> ClassInfo:
        """The class of an id.

        Raises
        ------
        ConfigError
            If there is none.
        """
        for found in self.classes:
            if found.id == class_id:
                return found
        raise ConfigError(f"there is no class {class_id}; the classes are {[c.id for c in self.classes]}")

    def pixels(self, class_id: int) -> int:
        """Number of pixels of a class."""
        return int(self.spectra.n[class_id]) if class_id < len(self.spectra.n) else 0

    @property
    def held(self) -> NDArray[np.bool_]:
        """Pixels (y, x) that keep their label whatever is computed: painted ones and those of locked classes."""
        locked = np.isin(self.labels, [c.id for c in self.classes if c.locked])
        return locked if self.painted is None else locked | self.painted

    def changes(self, labels: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns where another label image (y, x) differs from this result."""
        if labels.shape != self.labels.shape:
            raise DataError(f"the labels are {labels.shape}, the segmentation is {self.labels.shape}")
        rows, columns = np.nonzero(labels != self.labels)
        return rows, columns

    def copy(self) -> Segmentation:
        """A copy that later corrections do not touch (the model and the maps of the latent space are shared)."""
        return replace(
            self,
            labels=self.labels.copy(),
            classes=list(self.classes),
            spectra=self.spectra.copy(),
            confidence=self.confidence.copy(),
            painted=None if self.painted is None else self.painted.copy(),
            log=list(self.log),
        )

    def relabel(
        self, where: NDArray[np.intp], labels: Int32, confidence: NDArray[np.float32] | float | None = None
    ) -> None:
        """Give pixels other labels in place; the numbers of the table follow, the sums of their spectra do not.

        Parameters
        ----------
        where : array of int, shape (n,)
            Index in the flattened image, every pixel once.
        labels : array of int32, shape (n,)
        confidence : array of float32, shape (n,), or float, optional
            None where it stays.
        """
        flat, belief = self.labels.reshape(-1), self.confidence.reshape(-1)
        old, before = flat[where], belief[where]
        flat[where] = labels
        if confidence is not None:
            belief[where] = confidence
        size = int(max(old.max(initial=0), labels.max(initial=0))) + 1
        self.spectra.grow(size)
        self.spectra.n[:size] += np.bincount(labels, minlength=size)
        self.spectra.n[:size] -= np.bincount(old, minlength=size)
        if self._confidences is not None:
            total = np.zeros(max(size, len(self._confidences)))
            total[: len(self._confidences)] = self._confidences
            total[:size] += np.bincount(labels, belief[where], size) - np.bincount(old, before, size)
            self._confidences = total

    def table(self) -> list[dict[str, Any]]:
        """One row per class: all that :class:`ClassInfo` holds, and pixels, share, area, confidence.

        The area is in squares of the unit of :attr:`spatial`.
        """
        assigned = max(1, int(self.spectra.n[1:].sum()))
        if self._confidences is None:
            self._confidences = np.bincount(self.labels.ravel(), self.confidence.ravel()).astype(np.float64)
        total = dict(enumerate(self._confidences))
        pixel = self.spatial.pixel_size[0] * self.spatial.pixel_size[1]
        return [
            asdict(c)
            | {
                "pixels": self.pixels(c.id),
                "share": self.pixels(c.id) / assigned,
                "area": self.pixels(c.id) * pixel,
                "confidence": float(total.get(c.id, 0.0) / max(1, self.pixels(c.id))),
            }
            for c in self.classes
        ]

    def spectra_at(self, cube: Cube, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Float32:
        """Spectra (n, bands) of pixels, for :meth:`correct`.

        Raises
        ------
        DataError
            If the cube is not the one that was segmented.
        """
        if cube.image_shape != self.labels.shape or cube.n_bands != len(self.axis):
            raise DataError(
                f"the cube has {cube.n_bands} bands and {cube.image_shape} pixels, "
                f"the segmentation {len(self.axis)} and {self.labels.shape}"
            )
        return cube.spectra(rows, columns)

    def save(self, path: str | Path) -> None:
        """Write everything into one HDF5 file (see :mod:`cubeseg.bundle`)."""
        from cubeseg.bundle import save

        save(self, path)


def classes_from(ids: Sequence[int], names: Mapping[int, str] | None = None) -> list[ClassInfo]:
    """Fresh classes with default names and colours."""
    names = names or {}
    return [ClassInfo(i, names.get(i, f"class {i}"), class_colour(i)) for i in ids]
