"""Whether a result file holds what a result must: looked at before its arrays are read, and when they have been."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.models import METHODS
from cubeseg.segmentation import Segmentation

__all__ = ["check_file", "check_model", "check_result", "model_digest"]

# deflate packs no tighter; small arrays may be anything
_TIGHTEST, _SMALL = 1100, 1 << 20
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def check_file(file: Any) -> None:
    """Refuse a file whose values lie elsewhere, or that asks for far more memory than there can be in it.

    Parameters
    ----------
    file : h5py.File

    Raises
    ------
    ValueError
        What is wrong, without the name of the file.
    """
    import h5py

    faults: list[str] = []

    # h5py does not let an error through what it calls
    def link(name: str, found: Any) -> None:
        if not isinstance(found, h5py.HardLink):
            faults.append(f"'{name}' is a link to elsewhere, which no result has")

    def item(name: str, found: Any) -> None:
        if not isinstance(found, h5py.Dataset):
            return
        if found.external or found.is_virtual:
            faults.append(f"the values of '{name}' lie in other files, which is so in no result")
        elif found.nbytes > _SMALL + _TIGHTEST * found.id.get_storage_size():
            faults.append(f"'{name}' is said to take {found.nbytes / 2**20:.0f} MiB, which are not there")

    file.visititems_links(link)
    if not faults:
        file.visititems(item)
    if faults:
        raise ValueError(faults[0])


def check_result(result: Segmentation) -> None:
    """Refuse what does not fit together.

    Raises
    ------
    ValueError
        What is wrong.
    """
    height, width = result.labels.shape
    for name in ("confidence", "reconstruction_error", "painted"):
        found = getattr(result, name)
        _check(found is None or found.shape == (height, width), f"{name} and the labels differ in shape")
    _check(result.latent.ndim == 3 and result.latent.shape[:2] == (height, width), "latent and labels differ in shape")
    _check_clusters(result)
    ids = [c.id for c in result.classes]
    _check(
        all(_whole(i, 1) for i in ids) and len(set(ids)) == len(ids), "the ids of the classes are no different numbers"
    )
    for c in result.classes:
        _check(isinstance(c.name, str) and isinstance(c.note, str), f"class {c.id} has no name")
        _check(isinstance(c.colour, str) and bool(_COLOUR.fullmatch(c.colour)), f"the colour of class {c.id} is none")
        _check(isinstance(c.locked, bool) and isinstance(c.visible, bool), f"class {c.id} is neither locked nor free")
    table = np.zeros(len(result.spectra.n), bool)
    _check(max(ids, default=0) < len(table), "there are classes without spectra")
    table[[0, *ids]] = True
    lowest, highest = int(result.labels.min(initial=0)), int(result.labels.max(initial=0))
    _check(lowest >= 0 and highest < len(table), f"labels reach from {lowest} to {highest}, beyond the classes")
    _check(bool(table[result.labels].all()), "there are labels that no class has")
    _check(int(result.spectra.n.min()) >= 0, "a class has fewer than no pixels")
    for m in result.tree:
        _check(_whole(m.kept, 0) and _whole(m.gone, 0) and _number(m.height), "the merge tree is none")
    _check(
        _number(result.spread) and _number(result.coherence) and result.coherence >= 0, "spread or coherence is none"
    )
    _check_words(result)
    found = result.unmixed
    if found is not None:
        bands = (len(found), len(result.axis))
        _check(found.components.shape == bands == found.spread.shape, "the components do not fit the axis")
        _check(found.abundances.shape == (len(found), height, width), "the abundances do not fit the labels")


def check_model(method: Any, prepare: Any, stored: str, arrays: Mapping[str, NDArray[Any]], settings: Any) -> None:
    """Refuse a model that is not the one that was written.

    Parameters
    ----------
    method : str
    prepare : Preprocessor
    stored : str
        Its hash; empty where none was written.
    arrays, settings
        Of the model.

    Raises
    ------
    ValueError
        What is wrong.
    """
    _check(method in METHODS, f"there is no method '{method}'")
    _check(isinstance(settings, dict), "the settings of the model are none")
    _check(all(a.dtype.kind in "fiub" for a in arrays.values()), "the weights of the model are no numbers")
    bins = int(prepare.groups.max(initial=-1)) + 1
    whole = all(
        a.dtype.kind in "iu" and a.ndim == 1 and int(a.min(initial=0)) >= 0 for a in (prepare.bands, prepare.groups)
    )
    _check(whole and len(prepare.bands) == len(prepare.groups), "the bands and the bins of the model differ in number")
    for name in ("centre", "band_noise", "ceiling"):
        found = getattr(prepare, name)
        _check(found.ndim == 1 and len(found) in (1, bins), f"{name} of the model does not fit its {bins} bins")
    _check(
        not stored or stored == model_digest(arrays, settings),
        "the weights of the model are not those that were written",
    )


def model_digest(arrays: Mapping[str, NDArray[Any]], settings: Any) -> str:
    """SHA-256 of the weights and the settings of a model."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_clusters(result: Segmentation) -> None:
    k = len(result.lineage)
    _check(result.lineage.ndim == 1 and int(result.lineage.min(initial=0)) >= 0, "the classes of the clusters are none")
    _check(result.centroids.ndim == 2 and len(result.centroids) == k, f"there are {k} clusters, and other centres")
    shape = (k, *result.labels.shape)
    _check(not result.evidence.size or result.evidence.shape == shape, f"there are {k} clusters, and other likelihoods")
    profiles = result.profiles
    _check(
        profiles is None or (profiles.ndim == 2 and len(profiles) == k), f"there are {k} clusters, and other profiles"
    )
    for name in ("centroids", "profiles", "latent", "confidence", "reconstruction_error"):
        found = getattr(result, name)
        _check(found is None or found.dtype.kind == "f", f"{name} holds no numbers")


def _check_words(result: Segmentation) -> None:
    """What is said in words, and lists of numbers."""
    source, spatial = result.source, result.spatial
    words = [result.unit, result.fingerprint, spatial.unit, spatial.wcs, *result.notes]
    words += [getattr(source, f.name) for f in fields(source) if f.name not in ("spectral_axis", "settings")]
    _check(all(isinstance(w, str) for w in words), "what should be words is not")
    _check(source.spectral_axis is None or isinstance(source.spectral_axis, int), "the spectral axis is no number")
    size = spatial.pixel_size
    _check(len(size) == 2 and all(_number(s) and s > 0 for s in size), "a pixel has no size")
    _check(isinstance(result.history, list) and all(_losses(h) for h in result.history), "the losses are no numbers")
    _check_run(result.run)
    for said in result.log:
        _check(isinstance(said.get("operation"), str), "an operation has no name")


def _check_run(run: Any) -> None:
    kinds: dict[str, Any] = {
        "versions": dict, "platform": str, "processor": str, "device": str, "seed": int, "threads": int, "begun": str,
        "seconds": (int, float), "source": dict, "sha256": str, "series": list,
    }  # fmt: skip
    _check(isinstance(run, dict), "the run is told wrongly")
    for name, kind in kinds.items():
        _check(name not in run or isinstance(run[name], kind), f"'{name}' of the run is told wrongly")


def _losses(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(v, (int, float)) for v in found.values())


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check(fits: bool, why: str) -> None:
    if not fits:
        raise ValueError(why)
