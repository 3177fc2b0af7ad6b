"""The last pass over a cube: every pixel gets a class, and the classes their spectra."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.bundle import StoredModel
from cubeseg.clustering.constraints import FREE, Constraints, pooled
from cubeseg.clustering.iterative import Clustering
from cubeseg.clustering.spatial import coherent, strength_of
from cubeseg.config import FitConfig
from cubeseg.cube import Block, Cube
from cubeseg.editing.hierarchy import merge_tree
from cubeseg.editing.relabel import accumulate, moved
from cubeseg.models import Model
from cubeseg.pages import swept
from cubeseg.parallel.executor import HERE, Crew, Executor, Piecewise
from cubeseg.sampling.preprocess import usable_pixels
from cubeseg.segmentation import Merge, Segmentation, classes_from
from cubeseg.statistics import ClassSpectra
from cubeseg.steps import passing
from cubeseg.unmixing.unmixed import unmixed_of

__all__ = ["Found", "Rules", "labelled"]

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

# what a class may at most be less likely than the best one, in nats; fits half precision, and nothing overturns it
_FAINTEST = -1000.0
# pixels that are labelled together: what they need stays in the processor's cache
_FEW = 512
# side of the tiles in which pixels are labelled whose codes depend on those around
_TILE = 64


@dataclass(frozen=True, eq=False)
class Found:
    """What the last pass found, before it becomes a result.

    `labels` and `confidence` (y, x) may be changed by :attr:`Rules.settle`; `error` (y, x), 1 = the median pixel, and
    `latent` (y, x, d) are to be looked at.
    """

    labels: Int32
    confidence: Float32
    error: Float32
    latent: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Rules:
    """How clusters become labels, beyond what the spectra say.

    Attributes
    ----------
    owner : array of int32, shape (k,), optional
        The class of each cluster, 0 = none; 1..k where not given.
    fixed : array of int32, shape (y, x), optional
        Labels that hold; :data:`cubeseg.clustering.constraints.FREE` for all other pixels.
    closed : tuple of int
        Classes that no free pixel may join.
    strength : float, optional
        Of the spatial coherence; as the configuration says where not given.
    unit : float, optional
        Reconstruction error of the median pixel of the cube that the model knows; that of this cube where not given.
    settle : callable, optional
        Has the last word on labels and confidence.
    """

    owner: Int32 | None = None
    fixed: Int32 | None = None
    closed: tuple[int, ...] = ()
    strength: float | None = None
    unit: float | None = None
    settle: Callable[[Found], Found] | None = None


def labelled(
    cube: Cube,
    config: FitConfig,
    usable: Bool | None,
    model: Model,
    clustering: Clustering,
    block_bytes: int,
    executor: Executor = HERE,
    rules: Rules | None = None,
) -> Generator[tuple[float, str], None, Segmentation]:
    """Read the cube once more and label every usable pixel; those that coherence changes are read again.

    Parameters
    ----------
    cube : Cube
    config : FitConfig
    usable : array of bool, shape (y, x), or None
        Which pixels are to be labelled; None = those that hold data, found on the way.
    model : Model
    clustering : Clustering
        Of the model's codes.
    block_bytes : int
        Size of the parts in which the cube is read.
    executor : Executor
        Where they are read and labelled.
    rules : Rules, optional

    Yields
    ------
    (float, str)
        The part that is done, 0 to 1, and what is done.

    Returns
    -------
    Segmentation
    """
    # what training and clustering needed makes room for the maps
    swept()
    rules = rules or Rules()
    shape, k = cube.image_shape, len(clustering.centroids)
    owner = np.arange(1, k + 1, dtype=np.int32) if rules.owner is None else rules.owner
    error = np.full(shape, np.nan, np.float32)
    # three digits are enough for maps of codes, which are the largest of all maps
    exact = clustering.largest or np.abs(clustering.centroids).max() >= 1000
    half = np.float32 if exact else np.float16
    latent = np.full((*shape, clustering.centroids.shape[1]), np.nan, half)
    evidence = np.zeros((k, *shape), np.float16)
    spectra = ClassSpectra(cube.n_bands, int(owner.max(initial=0)) + 1)
    # fixed labels of pixels that hold no data hold too
    alone = np.zeros(shape, np.int32) if rules.fixed is None else np.where(rules.fixed == FREE, 0, rules.fixed)
    alive = np.zeros(shape, bool)
    off = config.coherence == 0 if rules.strength is None else rules.strength == 0
    share, done = 1.0 if off else 0.6, 0.0
    work = _Labeller(model, clustering, config, owner, rules.closed)
    # the graphics processor of an Apple takes commands from one thread only
    threads = 1 if getattr(getattr(model, "device", None), "type", "") == "mps" else config.threads
    crew: Crew | Executor = Crew(threads) if executor is HERE else executor
    with closing(crew.map(work, cube, _asked(cube, usable, rules.fixed, block_bytes))) as parts:
        for part in parts:
            if part is not None:
                at = (part.y, part.x)
                latent[at], error[at], alone[at], alive[at] = part.latent, part.error, part.labels, True
                evidence[:, *at] = part.evidence
                accumulate(spectra, part.spectra)
                done = min(done + part.size / cube.n_pixels, 1.0)
            yield share * done, f"Labelling all pixels: {done:.0%}"
    swept()
    spectra.grow(int(alone.max()) + 1)
    spectra.n[:] = np.bincount(alone.ravel(), minlength=len(spectra.n))
    held: Any = _Held(evidence, owner, rules)
    strength = rules.strength
    if strength is None:
        strength = _strength(held, alive, latent, config, clustering)
    steps = coherent(held, alive, strength, latent)
    labels, confidence = yield from passing(steps, lambda part: (share, f"Making the labels coherent: {part:.0%}"))
    # every pixel for itself: what was found before halves were rounded stays
    free = alive if rules.fixed is None else alive & (rules.fixed == FREE)
    labels = alone if strength == 0 else np.where(free, held.classes[labels], alone).astype(np.int32, copy=False)
    unit = max(float(np.nanmedian(error)), 1e-12) if rules.unit is None and alive.any() else rules.unit or 1.0
    found = Found(labels, np.where(alive, confidence, np.float32(np.nan)), error / np.float32(unit), latent)
    if rules.settle is not None:
        found = rules.settle(found)
    moving = moved(spectra, cube, alone, found.labels, executor)
    message = "Moving the spectra of changed pixels"
    yield from passing(moving, lambda part: (share + (1 - share) * part, f"{message}: {part:.0%}"))
    if rules.unit is None:
        model.error_unit = unit
    unmixed = unmixed_of(model, latent, cube.n_bands) if clustering.largest else None
    return Segmentation(
        labels=found.labels,
        classes=classes_from(
            np.unique(owner[owner > 0]).tolist(), {} if unmixed is None else unmixed.class_names(owner)
        ),
        axis=cube.axis,
        spectra=spectra,
        confidence=found.confidence,
        reconstruction_error=found.error,
        latent=latent,
        evidence=evidence,
        coherence=strength,
        lineage=owner.astype(np.int32),
        tree=_tree(found.labels, latent, owner, clustering.centroids),
        config=config,
        model=model,
        centroids=clustering.centroids,
        profiles=clustering.profiles,
        spread=clustering.spread,
        unmixed=unmixed,
        spatial=cube.spatial,
        source=cube.source,
        unit=cube.unit,
        fingerprint=cube.source.fingerprint(),
    )


def _strength(held: Any, alive: Bool, latent: NDArray[np.floating], config: FitConfig, clustering: Clustering) -> float:
    if config.coherence != "auto":
        return float(config.coherence)
    # the largest amount is the largest, whatever neighbours hold
    return 0.0 if clustering.largest else strength_of(held, alive, latent)


def _tree(labels: Int32, latent: NDArray[np.floating], owner: Int32, centroids: Float32) -> list[Merge]:
    """Which classes to merge for fewer ones; classes without pixels lie where their clusters do."""
    ids = np.unique(owner[owner > 0])
    centres = [
        latent[labels == c].mean(axis=0, dtype=np.float64)
        if (labels == c).any()
        else centroids[owner == c].mean(axis=0, dtype=np.float64)
        for c in ids
    ]
    if len(ids) < 2:
        return []
    tree = merge_tree(np.nan_to_num(np.stack(centres)).astype(np.float32))
    return [replace(m, kept=int(ids[m.kept - 1]), gone=int(ids[m.gone - 1])) for m in tree]


class _Held:
    """Log-likelihoods of classes within the rules, made for the rows that are asked for.

    Parameters
    ----------
    evidence : array of float16, shape (k, y, x)
        Of the clusters.
    owner : array of int32, shape (k,)
    rules : Rules
    """

    def __init__(self, evidence: NDArray[np.float16], owner: Int32, rules: Rules) -> None:
        self._evidence, self._owner, self._rules = evidence, owner, rules
        self.classes = np.unique(owner).astype(np.int32)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, key: tuple[Any, slice]) -> NDArray[np.floating]:
        rows = key[1]
        fixed = self._rules.fixed
        if len(self.classes) == len(self._owner) and fixed is None and not self._rules.closed:
            return self._evidence[:, rows]
        part = pooled(self._evidence[:, rows].astype(np.float32), self._owner, axis=0)[1]
        free = np.ones(part.shape[1:], bool) if fixed is None else fixed[rows] == FREE
        part[np.isin(self.classes, self._rules.closed)[:, None, None] & free] = _FAINTEST
        if fixed is not None:
            sure = np.where(self.classes[:, None, None] == fixed[rows], np.float32(0), np.float32(_FAINTEST))
            part = np.where(free, part, sure)
        return part


# rows, columns, which pixels (height, width) are usable, where that is known, and labels that hold
_Asked = tuple[slice, slice, Bool | None, Int32 | None]


def _wider(span: slice, by: int, end: int) -> slice:
    """A span with a margin, as far as there is one."""
    return slice(max(0, span.start - by), min(end, span.stop + by))


def _asked(cube: Cube, usable: Bool | None, fixed: Int32 | None, block_bytes: int) -> Iterator[_Asked]:
    for rows, columns in cube.places(block_bytes):
        here = rows, columns
        yield rows, columns, None if usable is None else usable[here], None if fixed is None else fixed[here]


@dataclass(frozen=True, eq=False)
class _Part:
    """The usable pixels (y, x) of a rectangle of so many pixels, with their labels, and the sums of their classes."""

    size: int
    y: NDArray[np.intp]
    x: NDArray[np.intp]
    latent: Float32
    error: Float32
    labels: Int32
    evidence: NDArray[np.float16]
    spectra: ClassSpectra


@dataclass(frozen=True, eq=False)
class _Labeller(Piecewise["_Asked", _Part, _Part]):
    """Reads a block and labels it."""

    model: Model | StoredModel
    clustering: Clustering
    config: FitConfig
    owner: Int32
    closed: tuple[int, ...]

    def __getstate__(self) -> dict[str, Any]:
        """What travels: the model as arrays, rebuilt where it is used, on whatever device is there."""
        model, config = self.model, self.config
        if not isinstance(model, StoredModel):
            config = config if config.device == "cpu" else replace(config, device="auto")
            model = StoredModel(model.method, model.preprocessor, config, model.arrays(), model.settings())
        return {**self.__dict__, "model": model, "config": config}

    def read(self, cube: Cube, item: _Asked) -> Block:
        """All bands, of the pixels around too where codes depend on them."""
        return cube.block(*(_wider(s, self.model.reach, n) for s, n in zip(item[:2], cube.image_shape, strict=True)))

    def pieces(self, item: _Asked) -> list[tuple[slice, slice]]:
        """Rectangles of few pixels; tiles where codes depend on the pixels around."""
        height, width = (span.stop - span.start for span in item[:2])
        wide, tall = (_TILE, _TILE) if self.model.reach else (min(width, _FEW), max(1, _FEW // width))
        return [
            (slice(top, min(top + tall, height)), slice(left, min(left + wide, width)))
            for top in range(0, height, tall)
            for left in range(0, width, wide)
        ]

    def piece(self, block: Block, item: _Asked, at: tuple[slice, slice]) -> _Part:
        """Label the usable pixels of a piece."""
        rows, columns, usable, fixed = item
        prepare = self.model.preprocessor
        if self.model.reach:
            alive, raw, reduced, latent, error = self._around(block, item, at)
        else:
            alive = usable_pixels(block.part(*at), prepare.bands) if usable is None else usable[at]
            raw, variance = block.part(*at).spectra(alive)
            reduced, variance = prepare.reduce(raw, variance)
            latent, error = self.model.encode(reduced, variance)
        found = self.clustering.evidence(latent, reduced)
        labels = self._labels(found, None if fixed is None else fixed[at][alive])
        spectra = ClassSpectra(raw.shape[1], int(self.owner.max(initial=0)) + 1)
        spectra.add(raw, labels)
        evidence = np.maximum(found - found.max(axis=1, keepdims=True), _FAINTEST).T.astype(np.float16)
        y, x = np.nonzero(alive)
        y, x = y + (rows.start + at[0].start), x + (columns.start + at[1].start)
        return _Part(alive.size, y, x, latent, error, labels, evidence, spectra)

    def _around(
        self, block: Block, item: _Asked, at: tuple[slice, slice]
    ) -> tuple[Bool, Float32, Float32, Float32, Float32]:
        """Usable pixels (height, width) of a tile, and their spectra, raw and as likelihoods see them, codes, errors.

        Tiles overlap by as much as a code depends on, so each pixel has the probabilities that it has in the whole.
        """
        reach, prepare = self.model.reach, self.model.preprocessor
        ends = block.mask.shape
        inner = [
            slice(s.start + span.start - own.start, s.stop + span.start - own.start)
            for s, span, own in zip(at, item[:2], (block.rows, block.columns), strict=True)
        ]
        outer = [_wider(s, reach, n) for s, n in zip(inner, ends, strict=True)]
        part = block.part(outer[0], outer[1])
        seen = usable_pixels(part, prepare.bands)
        raw, variance = part.spectra(seen)
        reduced, variance = prepare.reduce(raw, variance)
        full = np.zeros((*seen.shape, reduced.shape[1]), np.float32)
        full[seen] = reduced
        noise = None
        if variance is not None:
            noise = np.zeros_like(full)
            noise[seen] = variance
        latent, error, felt = self.model.encode_around(full, noise, seen)
        own = np.s_[
            inner[0].start - outer[0].start : inner[0].stop - outer[0].start,
            inner[1].start - outer[1].start : inner[1].stop - outer[1].start,
        ]
        wanted = np.zeros_like(seen)
        wanted[own] = seen[own] if item[2] is None else seen[own] & item[2][at]
        return wanted[own], raw[wanted[seen]], felt[wanted], latent[wanted], error[wanted]

    def joined(self, item: _Asked, pieces: Sequence[_Part]) -> _Part:
        """The labels of the block."""
        spectra = pieces[0].spectra
        for piece in pieces[1:]:
            accumulate(spectra, piece.spectra)
        names = ("y", "x", "latent", "error", "labels")
        y, x, latent, error, labels = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in names)
        evidence = np.concatenate([piece.evidence for piece in pieces], axis=1)
        return _Part(sum(piece.size for piece in pieces), y, x, latent, error, labels, evidence, spectra)

    def _labels(self, found: Float32, fixed: Int32 | None) -> Int32:
        """Labels (n,) from log-likelihoods of the clusters (n, k), every pixel for itself."""
        if fixed is None:
            fixed = np.full(len(found), FREE, np.int32)
        constraints = Constraints(self.owner, fixed, self.closed)
        classes, evidence = pooled(constraints.held(found), self.owner)
        return np.where(fixed == FREE, classes[evidence.argmax(axis=1)], fixed).astype(np.int32)
