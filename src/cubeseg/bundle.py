"""The result file: one HDF5 file with labels, classes, spectra, model, record; no pickle."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg import __version__
from cubeseg.axis import SpectralAxis
from cubeseg.config import FitConfig
from cubeseg.cube import Source, Spatial
from cubeseg.errors import CubeSegError, DataError
from cubeseg.files import written
from cubeseg.io.hdf5_guard import check_hdf5
from cubeseg.models import restored
from cubeseg.record.logbook import Changes, Entry
from cubeseg.sampling.preprocess import Preprocessor
from cubeseg.segmentation import ClassInfo, Merge, Segmentation
from cubeseg.statistics import ClassSpectra
from cubeseg.unmixing.unmixed import Unmixed
from cubeseg.wholeness import check_file, check_model, check_result, model_digest

__all__ = ["FORMAT", "VERSION", "is_result", "load", "save"]

FORMAT = "cubeseg-result"
VERSION = 3
# the oldest layout that is still read: without what doing the operations by hand again takes
_OLDEST = 2
_MAPS = ("labels", "confidence", "reconstruction_error", "latent", "evidence")
# those that work by hand mostly leave as they are
_OF_THE_RUN = ("reconstruction_error", "latent", "evidence")
# bytes of maps up to which a file is made in memory
_SMALL = 64 << 20
_CHANGES = ("where", "before", "after")
_PREPROCESSING = ("bands", "groups", "centre", "band_noise", "ceiling", "projection")


def is_result(path: str | Path) -> bool:
    """Whether a file is one of our result files (a look at its first attribute, nothing else is read)."""
    import h5py

    try:
        check_hdf5(path)
        with h5py.File(path, "r") as file:
            return _text(file.attrs.get("format", "")) == FORMAT
    except Exception:
        # a damaged file may fail in any way, and is none then
        return False


def save(result: Segmentation, path: str | Path, base: str = "") -> None:
    """Write a result file; the target appears whole or not at all.

    Parameters
    ----------
    result : Segmentation
    path : str or Path
    base : str
        Name of another result file in the same folder, of the same run: its large maps and its model are not written
        again, and that file must stay.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    import h5py

    size = sum(getattr(result, name).nbytes for name in _MAPS if not base or name not in _OF_THE_RUN)
    if size <= _SMALL:
        # made in memory first: HDF5 itself does not recover cleanly from a disk that fills up while it writes
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            _fill(file, result, base)
        with written(path) as temporary, temporary.open("wb") as out:
            out.write(buffer.getbuffer())
        return
    folder = Path(path).parent
    if folder.is_dir() and shutil.disk_usage(folder).free < size:
        raise DataError(f"{path}: may take {size / 2**20:.0f} MiB, and there is less room; choose another folder")
    with written(path) as temporary, h5py.File(temporary, "w") as file:
        _fill(file, result, base)


def _fill(file: Any, result: Segmentation, base: str) -> None:
    file.attrs.update(
        format=FORMAT,
        version=VERSION,
        cubeseg=__version__,
        created=datetime.now(UTC).isoformat("T", "seconds"),
    )
    if base:
        file.attrs["base"] = base
    skipped: tuple[str, ...] = _OF_THE_RUN if base else ()
    if result.unmixed is not None:
        skipped += _save_unmixed(file.create_group("unmixed"), result, bool(base))
    for name in _MAPS:
        if name in skipped:
            continue
        file.create_dataset(name, data=getattr(result, name), compression="gzip", compression_opts=1, shuffle=True)
    file["axis"] = result.axis.values
    file["axis"].attrs.update(unit=result.axis.unit, kind=result.axis.kind, medium=result.axis.medium)
    file["axis"].attrs["rest"] = result.axis.rest
    spectra = file.create_group("spectra")
    for name in ("n", "total", "squares", "finite"):
        spectra.create_dataset(name, data=getattr(result.spectra, name), compression="gzip", compression_opts=1)
    file["centroids"] = result.centroids
    file["lineage"] = result.lineage
    if result.painted is not None:
        file.create_dataset("painted", data=result.painted, compression="gzip", compression_opts=1)
    if result.profiles is not None:
        file["profiles"] = result.profiles
    record = {
        "classes": [asdict(c) for c in result.classes],
        "config": result.config.to_dict(),
        "history": result.history,
        "criteria": {name: {str(k): v for k, v in found.items()} for name, found in result.criteria.items()},
        "spread": result.spread,
        "coherence": result.coherence,
        "tree": [asdict(m) for m in result.tree],
        "spatial": asdict(result.spatial),
        "source": asdict(result.source),
        "unit": result.unit,
        "fingerprint": result.fingerprint,
        "notes": result.notes,
        "log": _save_log(file, result.log),
        "run": result.run,
    }
    file["record"] = json.dumps(record)
    if result.model is not None and not base:
        _save_model(file.create_group("model"), result.model)


def _save_log(file: Any, log: list[Entry]) -> list[dict[str, Any]]:
    """Write the pixels that were painted, those of all entries one after the other; the entries, with their place."""
    plain, parts, end = [], [], 0
    for one in list(log):
        said = dict(one)
        if one.changes is not None:
            parts.append(one.changes.joined())
            said["changes"] = [end, end := end + len(parts[-1][0])]
        plain.append(said)
    if parts:
        for name, arrays in zip(_CHANGES, zip(*parts, strict=True), strict=True):
            file.create_dataset(
                f"changes/{name}", data=np.concatenate(arrays), compression="gzip", compression_opts=1, shuffle=True
            )
    return plain


def _load_log(file: Any, log: list[dict[str, Any]], pixels: int) -> list[Entry]:
    stored = [file[f"changes/{name}"][()] for name in _CHANGES] if "changes" in file else []
    made = []
    for said in log:
        one = Entry(said)
        if "changes" in one:
            start, end = one.pop("changes")
            where, before, after = (array[start:end] for array in stored)
            if len(where) != end - start or len({len(a) for a in stored}) > 1:
                raise ValueError("changes: pixels are missing")
            if len(where) and not (where.min() >= 0 and where.max() < pixels and after.min() >= 0):
                raise ValueError("changes: pixels lie outside of the image")
            one.changes = Changes(where, before, after)
        made.append(one)
    return made


def _save_unmixed(group: Any, result: Segmentation, base: bool) -> tuple[str, ...]:
    """Components, their spread, abundances; the maps that need not be written beside them."""
    found = result.unmixed
    assert found is not None
    group.attrs.update(sum_to_one=found.sum_to_one, classes=found.classes)
    group["names"] = json.dumps(found.names)
    if base:
        return ()
    group["components"], group["spread"] = found.components, found.spread
    group.create_dataset("abundances", data=found.abundances, compression="gzip", compression_opts=1, shuffle=True)
    same = np.shares_memory(found.abundances, result.latent)
    return ("latent",) if same else ()


def _load_unmixed(file: Any, run: Any) -> Unmixed | None:
    if "unmixed" not in file:
        return None
    own, of_run = file["unmixed"], run["unmixed"]
    names = tuple(str(name) for name in json.loads(_text(own["names"][()])))
    components, spread, abundances = (
        of_run[name][()].astype(np.float32) for name in ("components", "spread", "abundances")
    )
    if len({len(names), len(components), len(spread), len(abundances)}) > 1:
        raise ValueError("components, abundances and their names differ in number")
    told = bool(own.attrs["sum_to_one"]), bool(own.attrs["classes"])
    return Unmixed(components, spread, abundances, names, *told)


def load(path: str | Path) -> Segmentation:
    """Open a result file.

    Raises
    ------
    DataError
        One line: missing, no result file, of a newer version, or damaged.
    """
    import h5py

    if not Path(path).is_file():
        raise DataError(f"{path}: there is no such file")
    check_hdf5(path)
    if not is_result(path):
        raise DataError(f"{path}: is no result of cubeseg; a result is what 'cubeseg segment -o' writes")
    try:
        with h5py.File(path, "r") as file:
            version = int(file.attrs["version"])
            if version > VERSION:
                raise DataError(f"{path}: was written by a newer cubeseg (layout {version}); update napari-cubeseg")
            if version < _OLDEST:
                raise DataError(
                    f"{path}: was written by a development version (layout {version}); segment the cube again"
                )
            base = Path(path).parent / Path(_text(file.attrs["base"])).name if "base" in file.attrs else None
            if base is None:
                check_file(file)
                return _load(file, file)
            if not base.is_file():
                raise DataError(f"{path}: belongs to {base.name}, which is no longer beside it")
            check_hdf5(base)
            with h5py.File(base, "r") as run:
                check_file(file)
                check_file(run)
                return _load(file, run)
    except CubeSegError as error:
        if str(path) in str(error):
            raise
        raise DataError(f"{path}: the result file is damaged ({error})") from error
    except Exception as error:
        # whatever is in a file that anyone may have written
        raise DataError(f"{path}: the result file is damaged ({_first_line(error)})") from error


def _load(file: Any, run: Any) -> Segmentation:
    record = json.loads(_text(file["record"][()]))
    said = file["axis"].attrs
    attributes: dict[str, Any] = {name: _text(said[name]) for name in ("unit", "kind", "medium")}
    axis = SpectralAxis(file["axis"][()], **attributes, rest=float(said.get("rest", 0)))
    spectra = ClassSpectra(len(axis), len(file["spectra/n"]))
    for name in ("n", "total", "squares", "finite"):
        stored = file[f"spectra/{name}"][()]
        if stored.shape != getattr(spectra, name).shape:
            raise ValueError(f"spectra/{name} has shape {stored.shape}")
        setattr(spectra, name, stored)
    labels = file["labels"][()].astype(np.int32)
    maps = {"confidence": file["confidence"][()].astype(np.float32)}
    maps["reconstruction_error"] = run["reconstruction_error"][()].astype(np.float32)
    unmixed = _load_unmixed(file, run)
    if "latent" in run:
        latent = run["latent"]
        maps["latent"] = latent[()] if latent.dtype == np.float16 else latent[()].astype(np.float32)
    elif unmixed is not None:
        # abundances are the codes
        maps["latent"] = np.moveaxis(unmixed.abundances, 0, -1)
    else:
        raise KeyError("latent")
    if labels.ndim != 2 or any(m.shape[:2] != labels.shape for m in maps.values()):
        raise ValueError("the label image and the maps differ in shape")
    source, spatial = record["source"], record["spatial"]
    config = FitConfig.from_mapping(record["config"])
    made = Segmentation(
        labels=labels,
        classes=[ClassInfo(**c) for c in record["classes"]],
        axis=axis,
        spectra=spectra,
        config=config,
        model=_load_model(run["model"], config) if "model" in run else None,
        centroids=file["centroids"][()],
        spread=float(record["spread"]),
        evidence=run["evidence"][()].astype(np.float16),
        coherence=float(record["coherence"]),
        lineage=file["lineage"][()].astype(np.int32),
        tree=[Merge(**m) for m in record["tree"]],
        painted=file["painted"][()].astype(bool) if "painted" in file else None,
        profiles=file["profiles"][()] if "profiles" in file else None,
        history=record["history"],
        criteria={name: {int(k): float(v) for k, v in found.items()} for name, found in record["criteria"].items()},
        spatial=Spatial(tuple(spatial["pixel_size"]), spatial["unit"], spatial["wcs"]),
        source=Source.from_record(source),
        unit=record["unit"],
        fingerprint=record["fingerprint"],
        notes=record["notes"],
        log=_load_log(file, record["log"], labels.size),
        run=record.get("run", {}),
        unmixed=unmixed,
        **maps,
    )
    check_result(made)
    return made


def _save_model(group: Any, model: Any) -> None:
    prepare = model.preprocessor
    arrays, settings = model.arrays(), model.settings()
    group.attrs.update(method=model.method, sha256=model_digest(arrays, json.loads(json.dumps(settings))))
    group["settings"] = json.dumps(settings)
    group["preprocessor"] = json.dumps(
        {
            "kind": prepare.kind,
            "scaling": prepare.scaling,
            "scale": prepare.scale,
            "brightness": list(prepare.brightness),
        }
    )
    for name in _PREPROCESSING:
        group[f"preprocessing/{name}"] = getattr(prepare, name)
    for name, array in arrays.items():
        group[f"arrays/{name}"] = array


def _load_model(group: Any, config: FitConfig) -> Any:
    plain = json.loads(_text(group["preprocessor"][()]))
    prepare = Preprocessor(
        kind=plain["kind"],
        scaling=plain["scaling"],
        scale=plain["scale"],
        brightness=tuple(plain["brightness"]),
        **{name: group[f"preprocessing/{name}"][()] for name in _PREPROCESSING},
    )
    arrays: dict[str, NDArray[Any]] = {name: array[()] for name, array in group["arrays"].items()}
    settings = json.loads(_text(group["settings"][()]))
    method = _text(group.attrs["method"])
    check_model(method, prepare, _text(group.attrs.get("sha256", "")), arrays, settings)
    return StoredModel(method, prepare, config, arrays, settings)


class StoredModel:
    """A trained model as it lies in the file; the network is rebuilt when it is first used.

    So that opening a result does not cost the seconds that importing torch takes.
    """

    epochs = 0

    def __init__(
        self,
        method: str,
        preprocessor: Preprocessor,
        config: FitConfig,
        arrays: dict[str, NDArray[Any]],
        settings: dict[str, Any],
    ) -> None:
        self.method, self.preprocessor, self._config = method, preprocessor, config
        self._arrays, self._settings = arrays, settings
        self._live: Any = None
        self.reach = int(settings.get("reach", 0))

    def encode(
        self, spectra: NDArray[np.float32], variance: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Codes and reconstruction errors of binned spectra (n, bins)."""
        codes, errors = self._model().encode(spectra, variance)
        return codes, errors

    def encode_around(
        self, spectra: NDArray[np.float32], variance: NDArray[np.float32] | None, usable: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Codes and errors of binned spectra (y, x, bins) that see each other, and these as likelihoods see them."""
        codes, errors, seen = self._model().encode_around(spectra, variance, usable)
        return codes, errors, seen

    def _model(self) -> Any:
        if self._live is None:
            self._live = restored(self.method, self.preprocessor, self._config, self._arrays, self._settings)
        return self._live

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Weights, by name."""
        return self._arrays

    def settings(self) -> dict[str, Any]:
        """What rebuilding needs beside the arrays."""
        return self._settings


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
