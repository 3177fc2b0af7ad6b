"""Work by hand on a segmentation: every operation can be undone, and class spectra follow without reading twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.iterative import assign, kmeans
from cubeseg.editing.edits import Book, Edit, Pixels
from cubeseg.errors import ConfigError, DataError
from cubeseg.record.logbook import Changes, Entry, entry
from cubeseg.segmentation import ClassInfo, Merge, Segmentation, class_colour
from cubeseg.statistics import ClassSpectra

__all__ = [
    "annotate",
    "delete",
    "lock",
    "members",
    "merge",
    "paint",
    "recolour",
    "rename",
    "reorder",
    "show",
    "split",
]

Int32 = NDArray[np.int32]
_FAINTEST = -1000.0


def paint(result: Segmentation, where: NDArray[np.intp], labels: NDArray[Any], started: Sequence[int] = ()) -> Edit:
    """Correct pixels.

    Parameters
    ----------
    result : Segmentation
    where : array of int, shape (n,)
        Index in the flattened image.
    labels : array of int, shape (n,)
        The new label of each, 0 = unassigned; a label without a class starts one.
    started : sequence of int
        Further labels that start a class where there is none.

    Raises
    ------
    DataError
        If a label is negative.
    """
    new = np.asarray(labels, dtype=np.int32)
    if new.size and int(new.min()) < 0:
        raise DataError("labels cannot be negative")
    there = {c.id for c in result.classes}
    fresh = [_new_class(i) for i in sorted({*new.tolist(), *started}) if i and i not in there]
    painted = np.zeros(len(where), bool) if result.painted is None else result.painted.reshape(-1)[where].copy()
    part = Pixels(
        np.asarray(where, dtype=np.intp),
        result.labels.reshape(-1)[where].copy(),
        new,
        confidence=result.confidence.reshape(-1)[where].copy(),
        painted=painted,
    )
    changes = Changes(part.where, part.old, part.new)
    operation = entry("paint", changes, pixels=len(new), labels=np.unique(new).tolist())
    after = replace(Book.of(result), classes=(*result.classes, *fresh))
    return Edit(result, "Paint", operation, after, [part])


def merge(result: Segmentation, class_ids: Sequence[int], settled: bool = True) -> Edit:
    """Make several classes one; the first keeps its id, name and colour.

    Parameters
    ----------
    result : Segmentation
    class_ids : sequence of int
        At least two.
    settled : bool
        Whether the class spectra are up to date; where not, the merged pixels are to be counted.

    Raises
    ------
    ConfigError
        For fewer than two classes, unknown ones and locked ones.
    """
    kept, *gone = dict.fromkeys(class_ids) or [0]
    if not gone:
        raise ConfigError("choose two classes or more to merge")
    _unlocked(result, [kept, *gone])
    book = Book.of(result)
    after = replace(
        book,
        classes=tuple(c for c in result.classes if c.id not in gone),
        lineage=np.where(np.isin(result.lineage, gone), kept, result.lineage).astype(np.int32),
    )
    title = f"Merge {len(gone) + 1} classes into {result.info(kept).name}"
    operation = entry("merge", kept=kept, merged=gone, before=_sizes(result, [kept, *gone]))
    return Edit(result, title, operation, after, [_whole(result, gone, kept, settled)])


def delete(result: Segmentation, class_ids: Sequence[int], settled: bool = True) -> Edit:
    """Take classes away; their pixels are unassigned from now on.

    Raises
    ------
    ConfigError
        For unknown and locked classes.
    """
    gone = list(dict.fromkeys(class_ids))
    if not gone:
        raise ConfigError("choose a class to delete")
    _unlocked(result, gone)
    after = replace(
        Book.of(result),
        classes=tuple(c for c in result.classes if c.id not in gone),
        lineage=np.where(np.isin(result.lineage, gone), 0, result.lineage).astype(np.int32),
    )
    title = f"Delete {', '.join(result.info(i).name for i in gone)}"
    operation = entry("delete", classes=gone, before=_sizes(result, gone))
    return Edit(result, title, operation, after, [_whole(result, gone, 0, settled)])


def split(result: Segmentation, class_id: int, n: int = 2, seed: int = 0) -> Edit:
    """Part a class into `n` by K-means of its pixels' codes; the largest part keeps id, name and colour.

    The likelihoods of the parts are kept like those of all clusters, so that the split holds when coherence changes.

    Parameters
    ----------
    result : Segmentation
    class_id : int
    n : int
        2 or more.
    seed : int

    Raises
    ------
    ConfigError
        If the class is locked, unknown or too small.
    """
    _unlocked(result, [class_id])
    if n < 2:
        raise ConfigError(f"a class can be split into 2 or more, not {n}")
    where = np.flatnonzero(result.labels.ravel() == class_id)
    flat = result.latent.reshape(-1, result.latent.shape[-1])
    codes = flat[where].astype(np.float32)
    seen = np.isfinite(codes).all(axis=1)
    name = result.info(class_id).name
    if int(seen.sum()) < n or len(np.unique(codes[seen][:5000], axis=0)) < n:
        raise ConfigError(f"'{name}' has too few different pixels to be split into {n}")
    where, codes = where[seen], codes[seen]
    rng = np.random.default_rng(seed)
    few = codes if len(codes) <= 10000 else codes[rng.choice(len(codes), 10000, replace=False)]
    centres = kmeans(few, n, seed)
    parts = assign(codes, centres, 1.0)[0]
    order = np.argsort(-np.bincount(parts, minlength=n), kind="stable")
    centres, parts = centres[order], np.argsort(order)[parts].astype(np.int32)
    first = max(result.labels.max(initial=0), *(c.id for c in result.classes)) + 1
    ids = np.array([class_id, *range(first, first + n - 1)], np.int32)
    moving = parts > 0
    at = next(i for i, c in enumerate(result.classes) if c.id == class_id)
    made = [_new_class(int(i), f"{name} {number}") for number, i in enumerate(ids[1:], 2)]
    spread = float(np.sqrt(((codes - centres[parts]) ** 2).mean()))
    clusters = np.flatnonzero(result.lineage == class_id)
    book = Book.of(result)
    after = replace(
        book,
        classes=(*result.classes[: at + 1], *made, *result.classes[at + 1 :]),
        tree=(*(Merge(class_id, c.id, spread) for c in made), *result.tree),
        lineage=np.concatenate([book.lineage, *(np.full(len(clusters), i, np.int32) for i in ids[1:])]),
        centroids=_with_parts(book.centroids, clusters, centres),
        profiles=None
        if book.profiles is None
        else np.concatenate([book.profiles, *[book.profiles[clusters]] * (n - 1)]),
        evidence=_parted(book.evidence, clusters, flat, centres, spread),
    )
    pixels = Pixels(where[moving], np.full(int(moving.sum()), class_id, np.int32), ids[parts[moving]])
    said = {"class": class_id, "into": ids.tolist(), "before": _sizes(result, [class_id])}
    operation = entry("split", **said, seed=seed)

    def profiled(edit: Edit) -> None:
        if book.profiles is not None:
            edit._after = replace(edit._after, profiles=_profiles(result, edit._after, ids))
            if edit.pixels[0].wanted:
                result.profiles = edit._after.profiles

    return Edit(result, f"Split {name} into {n}", operation, after, [pixels], profiled)


def rename(result: Segmentation, class_id: int, name: str) -> Edit:
    """Give a class a name; an empty one is refused."""
    name = " ".join(name.split())
    if not name:
        raise ConfigError("a class needs a name")
    return _changed(result, [class_id], "Rename", _of_class("rename", result, class_id, "name", name), name=name)


def recolour(result: Segmentation, class_id: int, colour: str) -> Edit:
    """Give a class a colour, ``"#rrggbb"``."""
    digits = colour.removeprefix("#").lower()
    if len(digits) != 6 or any(c not in "0123456789abcdef" for c in digits):
        raise ConfigError(f"'{colour}' is no colour; write it as #rrggbb")
    operation = _of_class("recolour", result, class_id, "colour", f"#{digits}")
    return _changed(result, [class_id], "Recolour", operation, colour=f"#{digits}")


def lock(result: Segmentation, class_ids: Sequence[int], locked: bool = True) -> Edit:
    """Lock classes: nothing takes pixels from them, neither a brush nor another clustering; or unlock them."""
    before = [i for i in class_ids if result.info(i).locked]
    operation = entry("lock", classes=list(class_ids), locked=locked, before=before)
    return _changed(result, class_ids, "Lock" if locked else "Unlock", operation, locked=locked)


def show(result: Segmentation, class_ids: Sequence[int]) -> Edit:
    """Show these classes and hide all others."""
    for class_id in class_ids:
        result.info(class_id)
    classes = tuple(replace(c, visible=c.id in class_ids) for c in result.classes)
    operation = entry("show", classes=list(class_ids), before=[c.id for c in result.classes if c.visible])
    return Edit(result, "Show or hide classes", operation, replace(Book.of(result), classes=classes))


def annotate(result: Segmentation, class_id: int, note: str) -> Edit:
    """Write a note about a class."""
    operation = _of_class("note", result, class_id, "note", note.strip())
    return _changed(result, [class_id], "Note", operation, note=note.strip())


def reorder(result: Segmentation, class_ids: Sequence[int]) -> Edit:
    """Show the classes in another order; those that are not named come after.

    Raises
    ------
    ConfigError
        For unknown classes.
    """
    first = [result.info(i) for i in dict.fromkeys(class_ids)]
    classes = (*first, *(c for c in result.classes if c not in first))
    operation = entry("reorder", classes=[c.id for c in classes], before=[c.id for c in result.classes])
    return Edit(result, "Reorder classes", operation, replace(Book.of(result), classes=classes))


def _new_class(class_id: int, name: str = "") -> ClassInfo:
    return ClassInfo(class_id, name or f"class {class_id}", class_colour(class_id))


def _of_class(operation: str, result: Segmentation, class_id: int, name: str, value: str) -> Entry:
    """An entry of a class that is called otherwise."""
    return entry(operation, **{"class": class_id, name: value, "before": getattr(result.info(class_id), name)})


def _sizes(result: Segmentation, class_ids: Sequence[int]) -> dict[str, int]:
    """Pixels of some classes, by name as JSON takes it."""
    return {str(i): result.pixels(i) for i in class_ids}


def _changed(result: Segmentation, class_ids: Sequence[int], verb: str, operation: Entry, **changes: Any) -> Edit:
    names = ", ".join(result.info(i).name for i in class_ids)
    classes = tuple(replace(c, **changes) if c.id in class_ids else c for c in result.classes)
    return Edit(result, f"{verb} {names}", operation, replace(Book.of(result), classes=classes))


def _unlocked(result: Segmentation, class_ids: Sequence[int]) -> None:
    for class_id in class_ids:
        if result.info(class_id).locked:
            raise ConfigError(f"'{result.info(class_id).name}' is locked; unlock it first")


def _whole(result: Segmentation, gone: Sequence[int], kept: int, settled: bool) -> Pixels:
    """All pixels of some classes; their sums are known, nothing has to be read."""
    where = np.flatnonzero(members(result.labels.reshape(-1), gone))
    pixels = Pixels(where, result.labels.reshape(-1)[where].copy(), np.full(len(where), kept, np.int32))
    if settled:
        spectra = result.spectra
        spectra.grow(max(kept, *gone) + 1)
        sums = ClassSpectra(spectra.n_bands, len(spectra.n))
        for name in ("total", "squares", "finite"):
            own, change = getattr(spectra, name), getattr(sums, name)
            change[gone] = -own[gone]
            change[kept] = own[gone].sum(axis=0)
        pixels.sums = sums
    return pixels


def members(labels: Int32, class_ids: Sequence[int]) -> NDArray[np.bool_]:
    """Whether each label, none of them negative, is one of a few: by a table, which is quicker than ``np.isin``."""
    table = np.zeros(int(max(labels.max(initial=0), *class_ids, 0)) + 1, bool)
    table[list(class_ids)] = True
    return table[labels]


def _with_parts(
    centroids: NDArray[np.float32], clusters: NDArray[np.intp], centres: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Class centres with those of some clusters replaced by the first part's, the other parts' at the end."""
    if not len(clusters):
        return centroids
    made = np.concatenate([centroids, np.repeat(centres[1:], len(clusters), axis=0)])
    made[clusters] = centres[0]
    return np.asarray(made, np.float32)


def _parted(
    evidence: NDArray[np.float16],
    clusters: NDArray[np.intp],
    flat: NDArray[np.floating],
    centres: NDArray[np.float32],
    spread: float,
) -> NDArray[np.float16]:
    """Log-likelihoods (K, y, x) with some clusters parted: each part the less likely the farther its centre is."""
    if not evidence.size or not len(clusters):
        return evidence
    k, n, shape = len(evidence), len(centres), evidence.shape[1:]
    made = np.empty((k + (n - 1) * len(clusters), *shape), np.float16)
    made[:k] = evidence
    pixels = made.reshape(len(made), -1)
    for start in range(0, len(flat), 65536):
        part = slice(start, start + 65536)
        codes = flat[part].astype(np.float32)
        squared = ((codes[:, None] - centres[None]) ** 2).sum(axis=2)
        behind = -0.5 * (squared - squared.min(axis=1, keepdims=True)).T / max(spread, 1e-6) ** 2
        behind = np.nan_to_num(np.maximum(behind, _FAINTEST), nan=0.0)
        for number, cluster in enumerate(clusters):
            own = evidence.reshape(k, -1)[cluster, part].astype(np.float32)
            for which in range(n):
                row = cluster if which == 0 else k + (which - 1) * len(clusters) + number
                pixels[row, part] = np.maximum(own + behind[which], _FAINTEST)
    return made


def _profiles(result: Segmentation, book: Book, ids: Int32) -> NDArray[np.float32]:
    """Profiles of a counts cube with those of some classes taken from their own spectra."""
    assert book.profiles is not None
    made = book.profiles.copy()
    total = result.spectra.total.sum(axis=0, keepdims=True)
    counted = max(int(result.spectra.n.sum()), 1)
    prior = result.model.preprocessor.reduce(total.astype(np.float32), None)[0][0] / counted
    for class_id in ids:
        own = result.spectra.total[class_id : class_id + 1].astype(np.float32)
        spectrum = result.model.preprocessor.reduce(own, None)[0][0] + prior + 1e-9
        share = np.log((result.pixels(int(class_id)) + 1) / (counted + len(made)))
        rows = book.lineage == class_id
        made[rows, :-1], made[rows, -1] = np.log(spectrum / spectrum.sum()), share
    return made
