"""One model, many cubes: the classes of a segmentation found in another cube."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.iterative import Clustering
from cubeseg.cube import Cube
from cubeseg.errors import DataError
from cubeseg.events import FitEvent, on_bar
from cubeseg.parallel.threads import limited
from cubeseg.record.logbook import entry
from cubeseg.record.provenance import Stopwatch
from cubeseg.sampling.preprocess import Preprocessor
from cubeseg.sampling.resampling import resampled
from cubeseg.segmentation import Segmentation
from cubeseg.statistics import ClassSpectra
from cubeseg.steps import passing
from cubeseg.training.fitting import block_bytes, guarded
from cubeseg.training.labelling import Found, Rules, labelled

__all__ = ["apply", "fingerprint", "summed"]

Float32 = NDArray[np.float32]

# how many times farther than nearly all known pixels a pixel may be: until it is less sure, until it has no class
_SURE, _NONE = 1.0, 3.0
_NEARLY_ALL = 0.999


def apply(result: Segmentation, cube: Cube) -> Generator[FitEvent, None, Segmentation]:
    """Label another cube with the trained model of a segmentation.

    Classes keep id, name, colour, note and lock; what was merged or deleted stays so; classes that exist only by
    painting are not found, the model does not know them (refine first). The cube is resampled to the model's axis
    while it is read (:func:`cubeseg.sampling.resampling.resampled`). Pixels that the model reconstructs worse, or whose
    codes lie farther from their class, than 99.9 % of the pixels that it knows lose confidence in proportion, and from
    three times as far on they get no class.

    Parameters
    ----------
    result : Segmentation
        With its model.
    cube : Cube

    Yields
    ------
    FitEvent
        As :func:`cubeseg.fit` does.

    Returns
    -------
    Segmentation
        Of that cube; class spectra on its own axis.

    Raises
    ------
    DataError
        If the result holds no model, or the cube does not fit it.
    JobError
        If something fails on the way.
    """
    if result.model is None or not result.lineage.size:
        raise DataError(f"the segmentation of {result.source.name} holds no model; segment that cube again")
    prepare, watch = result.model.preprocessor, Stopwatch()
    with_pixels = np.flatnonzero(result.spectra.n[1:] > 0) + 1
    known_spectra = np.array([result.spectra.mean(int(c)) for c in with_pixels])
    view, covered = resampled(cube, result.axis, known_spectra, prepare.kind == "counts")
    unit = float(result.model.settings().get("error_unit", 0.0)) or None
    known = [c.id for c in result.classes if (result.lineage == c.id).any()]
    reach = _reach(result)
    unlike: list[int] = []

    def settle(found: Found) -> Found:
        apart = _apart(found, result, reach)
        alive = np.isfinite(found.confidence)
        far = alive & (apart > _NONE)
        unlike.append(int(far.sum()))
        sure = np.where(alive, found.confidence * np.clip(_SURE / np.maximum(apart, 1e-9), 0, 1), found.confidence)
        return replace(
            found, labels=np.where(far, 0, found.labels).astype(np.int32), confidence=sure.astype(np.float32)
        )

    profiles = None if result.profiles is None else _seen(result.profiles, prepare, covered)
    largest = result.unmixed is not None and result.unmixed.classes
    clustering = Clustering(result.centroids, result.spread, {}, profiles, largest)
    rules = Rules(owner=result.lineage, strength=result.coherence, unit=unit, settle=settle)
    size = block_bytes(result.config)
    yield FitEvent("label", 0.0, "Loading the model")
    with guarded(cube), limited(result.config.threads):
        steps = labelled(view, result.config, None, result.model, clustering, size, rules=rules)
        share = 1.0 if view is cube else 0.8
        made = yield from passing(steps, lambda step: FitEvent("label", share * step[0], step[1]))
        spectra = made.spectra
        if view is not cube:
            spectra = yield from summed(cube, made, size)
    notes = _notes(result, covered, unlike[0] if unlike else 0, cube, known)
    spectra.grow(max([0, *(c.id for c in result.classes)]) + 1)
    said: dict[str, Any] = {"from": result.source.name, "fingerprint": result.fingerprint, "model": fingerprint(result)}
    unmixed = made.unmixed
    if unmixed is not None and view is not cube:
        unmixed = unmixed.on(result.axis, cube.axis)
    return replace(
        made,
        unmixed=unmixed,
        classes=list(result.classes),
        axis=cube.axis,
        spectra=spectra,
        profiles=result.profiles,
        tree=list(result.tree),
        criteria=result.criteria,
        history=result.history,
        notes=notes,
        log=[entry("apply", **said)],
        run=watch.record(result.model, cube.source, result.config.seed, result.config.threads),
    )


def fingerprint(result: Segmentation) -> str:
    """SHA-256 of the trained model of a segmentation and of the classes that it finds."""
    digest = hashlib.sha256()
    arrays = {} if result.model is None else result.model.arrays()
    for name, array in [*sorted(arrays.items()), ("centroids", result.centroids), ("lineage", result.lineage)]:
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _seen(profiles: Float32, prepare: Preprocessor, covered: NDArray[np.bool_]) -> Float32:
    """Class spectra (k, bins + 1) of counts as they are among the covered bands: others say nothing about a pixel."""
    if covered[prepare.bands].all():
        return profiles
    bins = np.bincount(prepare.groups, ~covered[prepare.bands]) == 0
    made = np.zeros_like(profiles)
    logs = profiles[:, :-1][:, bins]
    top = logs.max(axis=1, keepdims=True)
    made[:, :-1][:, bins] = logs - top - np.log(np.exp(logs - top).sum(axis=1, keepdims=True))
    made[:, -1] = profiles[:, -1]
    return made


def summed(cube: Cube, made: Segmentation, size: int) -> Generator[FitEvent, None, ClassSpectra]:
    """Class spectra on the cube's own axis."""
    spectra, done = ClassSpectra(cube.n_bands, int(made.labels.max(initial=0)) + 1), 0
    for block in cube.blocks(size):
        y, x = np.nonzero(np.isfinite(made.reconstruction_error[block.rows, block.columns]))
        labels = made.labels[block.rows, block.columns]
        spectra.add(np.ascontiguousarray(block.data[:, y, x].T), labels[y, x])
        done += labels.size
        yield FitEvent("label", on_bar("label", done / cube.n_pixels), "Class spectra on the cube's own axis")
    spectra.n[:] = np.bincount(made.labels.ravel(), minlength=len(spectra.n))
    return spectra


def _reach(result: Segmentation) -> tuple[float, dict[int, tuple[Float32, float]]]:
    """How far nearly all known pixels are: by reconstruction error, and by code for every class."""
    finite = result.reconstruction_error[np.isfinite(result.reconstruction_error)]
    error = float(np.quantile(finite, _NEARLY_ALL)) if finite.size else 1.0
    places = {}
    flat, labels = result.latent.reshape(-1, result.latent.shape[-1]), result.labels.ravel()
    for info in result.classes:
        own = flat[labels == info.id][:20000].astype(np.float32)
        own = own[np.isfinite(own).all(axis=1)]
        if len(own) > 1:
            centre = own.mean(axis=0)
            far = float(np.quantile(np.linalg.norm(own - centre, axis=1), _NEARLY_ALL))
            places[info.id] = centre, max(far, 1e-6)
    return max(error, 1e-6), places


def _apart(found: Found, result: Segmentation, reach: tuple[float, dict[int, tuple[Float32, float]]]) -> Float32:
    """How many times farther than nearly all known pixels each pixel (y, x) is, by whichever says more."""
    error, places = reach
    apart = np.nan_to_num(found.error / np.float32(error), nan=0.0, posinf=np.inf).astype(np.float32)
    for class_id, (centre, far) in places.items():
        mine = found.labels == class_id
        away = np.linalg.norm(found.latent[mine].astype(np.float32) - centre, axis=1) / far
        apart[mine] = np.maximum(apart[mine], np.nan_to_num(away))
    return np.asarray(apart, np.float32)


def _notes(result: Segmentation, covered: NDArray[np.bool_], unlike: int, cube: Cube, known: list[int]) -> list[str]:
    notes = [f"classes of {result.source.name}, found in {cube.source.name} without training"]
    if not covered.all():
        mean = np.nan_to_num(result.spectra.total.sum(axis=0))
        part = np.abs(mean[~covered]).sum() / max(np.abs(mean).sum(), 1e-300)
        notes.append(
            f"the cube lacks {(~covered).sum()} of the model's {len(covered)} bands, which hold {100 * part:.0f} % of "
            "the known spectra; labels follow the others"
        )
    if unlike:
        notes.append(f"{unlike} pixels look like nothing that the model knows, and have no class")
    lost = [c.name for c in result.classes if c.id not in known]
    if lost:
        notes.append(f"not known to the model, so not found: {', '.join(lost)}; refine the first result to teach it")
    return notes
