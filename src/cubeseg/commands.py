"""What the commands do; everything heavy is imported when it is needed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from cubeseg.errors import ConfigError, DataError, JobError
from cubeseg.files import refuse_to_replace
from cubeseg.terminal import driven

__all__ = ["apply", "export", "info", "refine", "replay", "report", "sample", "score", "segment"]


def _opened(options: argparse.Namespace) -> Any:
    """The cube that the options name."""
    from cubeseg.io import open_cube

    settings = {}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--set takes NAME=VALUE, not '{text}'")
        settings[name] = value
    return open_cube(
        options.cube, dataset=options.dataset, spectral_axis=options.spectral_axis, axis=options.axis, **settings
    )


def info(options: argparse.Namespace) -> None:
    """``cubeseg info``."""
    from cubeseg.describe import describe

    facts = describe(_opened(options))
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    axis = facts["spectral_axis"]
    print(f"{facts['path']}: {facts['format']}" + (f", dataset {facts['dataset']}" if facts["dataset"] else ""))
    bands, height, width = facts["shape"]
    print(f"  shape          {bands} bands, {height} x {width} pixels, {facts['dtype']}")
    print(f"  spectral axis  {axis['name']} {axis['first']:g} to {axis['last']:g} {axis['unit']}".rstrip())
    print(f"  unit of data   {facts['data_unit'] or 'not said'}")
    print(f"  noise          {facts['noise']}")
    print(f"  masked pixels  {facts['masked_pixels']} of {height * width}")
    for note in facts["notes"]:
        print(f"  note           {note}")


def segment(options: argparse.Namespace) -> None:
    """``cubeseg segment``: a cube, a series, or a result whose classes are merged."""
    from cubeseg.bundle import is_result
    from cubeseg.config import FitConfig
    from cubeseg.record.recipe import read_options
    from cubeseg.training.fitting import fit

    given = {
        name: getattr(options, name)
        for name in (
            "preset",
            "method",
            "clusters",
            "epochs",
            "seed",
            "device",
            "noise",
            "coherence",
            "memory",
            "scheduler",
        )
        if getattr(options, name) is not None
    }
    given = read_options(options.option) | given
    config = FitConfig.from_toml(options.config, **given) if options.config else FitConfig.from_mapping(given)
    output = Path(options.output)
    if options.model and (given or options.config or options.way or options.references):
        raise ConfigError("--model brings all options of its own run along; leave the others out")
    several = len(options.cube) > 1 or options.each or options.first or options.model or options.resume
    if several or (output.is_dir() and config.method == "global"):
        _batch(options, config, output)
        return
    if output.is_dir():
        raise DataError(f"{output}: is a folder; give the result a name, for example {output / 'result.h5'}")
    options.cube = options.cube[0]
    if not output.parent.is_dir():
        raise DataError(f"{output}: the folder {output.parent} does not exist; make it first")
    if is_result(options.cube):
        if not (output.exists() and output.samefile(options.cube)):
            _not_there(options.force, output)
        _coarsen(options, config.clusters, output)
        return
    cube = _opened(options)
    if output.exists() and output.samefile(cube.source.path):
        raise DataError(f"{output}: is the cube itself; give the result another name")
    config = _unmixing(config, options, cube)
    _not_there(options.force, output)
    _finish(_hashed(fit(cube, config), options.hash), output)


def _hashed(steps: Any, wanted: bool) -> Any:
    """A run that takes the hash of the whole file too, where that is wanted."""
    result = yield from steps
    if wanted and result.source.path and not result.run.get("sha256"):
        from cubeseg.events import reported
        from cubeseg.record.content import whole_digest

        result.run["sha256"] = yield from reported(whole_digest(result.source.path), "label", "Hash of the file", 1.0)
    return result


def _unmixing(config: Any, options: argparse.Namespace, cube: Any) -> Any:
    """The configuration with what was said about unmixing."""
    from dataclasses import replace

    if not (options.way or options.references):
        return config
    if config.method != "unmix":
        raise ConfigError("--way and --references belong to --method unmix")
    mixing = config.mixing
    if options.references:
        from cubeseg.mixing import Known
        from cubeseg.references.library_files import load_library

        library = load_library(options.references)
        values = library.on(cube.axis).values
        if len(cube.axis) > 1 and cube.axis.values[0] > cube.axis.values[-1]:
            values = values[:, ::-1]
        if not values.any(axis=1).all():
            raise DataError(f"{options.references}: a spectrum has no value in the range of the cube")
        mixing = replace(mixing, known=tuple(map(Known, library.names, map(tuple, values.tolist()))))
    return replace(config, mixing=replace(mixing, way=options.way or mixing.way))


def _batch(options: argparse.Namespace, config: Any, folder: Path) -> None:
    """Many cubes into one folder: under one dictionary, a model each, or one model for all."""
    from cubeseg import batch
    from cubeseg.bundle import load
    from cubeseg.training.fitting import fit

    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; the results of a series go into a folder")
    if not folder.exists() and not folder.parent.is_dir():
        raise DataError(f"{folder}: the folder {folder.parent} does not exist; make it first")
    if not folder.exists() and folder.suffix.lower() in (".h5", ".hdf5"):
        raise DataError(f"{folder}: is the name of a file; the results of several cubes go into a folder")
    paths = [Path(name) for name in options.cube]
    outputs = [folder / f"{name}.h5" for name in _distinct([p.stem for p in paths])]
    for path, output in zip(paths, outputs, strict=True):
        if output.exists() and path.exists() and output.samefile(path):
            raise DataError(f"{output}: is one of the cubes; give the results another folder")
    if not options.resume:
        _not_there(options.force, *outputs)

    def opener(path: Path) -> Any:
        return lambda: _opened(argparse.Namespace(**(vars(options) | {"cube": str(path)})))

    def steps(cube: Any) -> Any:
        return _hashed(fit(cube, _unmixing(config, options, cube)), options.hash)

    def known(result: Any, cube: Any) -> bool:
        return bool(options.resume) and batch.trained(result, _unmixing(config, options, cube))

    def told(row: batch.Row) -> None:
        if row.status != "failed":
            kept = " (was there already)" if row.status == "kept" else ""
            print(f"{row.result}: {row.classes} classes, {row.pixels} pixels{kept}", flush=True)

    jobs = [batch.Job(path, output, opener(path)) for path, output in zip(paths, outputs, strict=True)]
    summary = batch.Summary(folder, jobs, told)
    if options.model or options.first:
        one = batch.OneModel(steps, known, load(options.model) if options.model else None)
        driven(batch.each(jobs, one, summary, lambda *both: options.resume and one.known(*both)))
    elif options.each or config.method != "global":
        driven(batch.each(jobs, steps, summary, known))
    else:
        driven(batch.together(jobs, config, summary, known))
    for row in summary.rows.values():
        if row.message and row.status != "failed":
            print(f"cubeseg: note: {row.result}: {row.message}", file=sys.stderr)
    batch.outcome(summary)


def _distinct(names: list[str]) -> list[str]:
    """Names of files, numbered where some are the same."""
    found: list[str] = []
    for name in names:
        number, given = 2, name
        while given in found:
            given, number = f"{name}-{number}", number + 1
        found.append(given)
    return found


def _finish(steps: Any, output: Path) -> None:
    """Drive a long job to its end with a bar, and save its result."""
    result = driven(steps)
    result.save(output)
    for note in result.notes:
        print(f"cubeseg: note: {note}", file=sys.stderr)
    print(f"{output}: {len(result.classes)} classes, {int((result.labels > 0).sum())} pixels")


def _not_there(force: bool, *outputs: Path) -> None:
    """Refuse to replace files, unless that is wanted."""
    if not force:
        refuse_to_replace([path for path in outputs if path.exists()], "give another name")


def _new_file(output: str, *inputs: str) -> Path:
    """Where a result is to go: a folder that is there, and none of the inputs."""
    path = Path(output)
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist; make it first")
    for other in inputs:
        if path.exists() and Path(other).exists() and path.samefile(other):
            raise DataError(f"{path}: is one of the inputs; give the new result another name")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the name of a file")
    return path


def refine(options: argparse.Namespace) -> None:
    """``cubeseg refine``."""
    from cubeseg.bundle import load
    from cubeseg.io import open_cube, reopen
    from cubeseg.io.label_images import read_labels
    from cubeseg.training.refining import RefineConfig, refine

    output = _new_file(options.output, options.result, *([options.corrections] if options.corrections else []))
    result = load(options.result)
    corrections = None
    if options.corrections:
        height, width = result.labels.shape
        corrections = read_labels(options.corrections, (height, width))
        if corrections.shape != result.labels.shape:
            raise DataError(
                f"{options.corrections}: is {corrections.shape[0]} x {corrections.shape[1]} pixels, "
                f"the result {height} x {width}"
            )
    if options.cube:
        cube = open_cube(options.cube, dataset=result.source.dataset or None)
    elif not result.source.path or not Path(result.source.path).exists():
        raise DataError(
            f"{options.result}: its cube, {result.source.path or 'without a file'}, is not there; name it with --cube"
        )
    else:
        cube = reopen(result.source)
    given = {n: getattr(options, n) for n in ("epochs", "seed") if getattr(options, n) is not None}
    _not_there(options.force, output)
    _finish(refine(result, cube, corrections, RefineConfig(**given)), output)


def replay(options: argparse.Namespace) -> None:
    """``cubeseg replay``."""
    from cubeseg.bundle import load
    from cubeseg.io import open_cube
    from cubeseg.record.content import whole_digest
    from cubeseg.steps import finish
    from cubeseg.training.replaying import replay, source_of

    output = _new_file(options.output, options.result, options.cube) if options.output else None
    result = load(options.result)
    source = source_of(result)
    cube = open_cube(
        options.cube, dataset=source.dataset or None, spectral_axis=source.spectral_axis, axis=source.axis,
        **dict(source.settings),
    )  # fmt: skip
    if output is not None:
        _not_there(options.force, output)
    if options.hash and result.run.get("sha256"):
        # known from here on
        finish(whole_digest(options.cube))
    found = driven(replay(result, cube))
    if output is not None:
        found.result.save(output)
    if options.json:
        facts = {
            "agrees": found.agrees, "agreement": found.agreement, "wanted": found.wanted, "same": found.same,
            "pixels": found.labels.size, "operations": len(result.log), "missed": found.missed,
            "other": found.other, "content": found.content,
        }  # fmt: skip
        print(json.dumps(facts))
    else:
        print(f"{found.same} of {found.labels.size} pixels have the same label ({100 * found.agreement:.3f} %)")
        print(f"{len(result.log) - len(found.missed)} of {len(result.log)} operations by hand were done again")
        for line in found.missed:
            print(f"  not done again  {line}")
        print(f"  content of cube {found.content or 'the same'}")
        for line in found.other or ["versions, machine, device: the same"]:
            print(f"  {line}")
    if not found.agrees:
        differs = [*found.missed[:1], *([f"the cube ({found.content})"] if found.content else []), *found.other]
        why = f"; what differs: {'; '.join(differs)}" if differs else ""
        raise JobError(
            f"{options.result}: only {100 * found.agreement:.3f} % of the labels came out as recorded, "
            f"{100 * found.wanted:g} % must{why}"
        )


def apply(options: argparse.Namespace) -> None:
    """``cubeseg apply``."""
    from cubeseg.bundle import load
    from cubeseg.training.applying import apply

    output = _new_file(options.output, options.result, options.cube)
    result, cube = load(options.result), _opened(options)
    _not_there(options.force, output)
    _finish(apply(result, cube), output)


def _coarsen(options: argparse.Namespace, clusters: tuple[int, int], output: Path) -> None:
    """Fewer classes from a result file, along its merge tree."""
    from cubeseg.bundle import load
    from cubeseg.editing.hierarchy import coarser

    if options.clusters is None or clusters[0] != clusters[1]:
        raise ConfigError(f"{options.cube}: is a result; say with --clusters N how many of its classes to keep")
    if output.exists() and output.samefile(options.cube):
        raise DataError(f"{output}: is the result itself; give the new one another name")
    result = coarser(load(options.cube), clusters[0])
    result.save(output)
    print(f"{output}: {len(result.classes)} classes, {int((result.labels > 0).sum())} pixels")


def score(options: argparse.Namespace) -> None:
    """``cubeseg score``."""
    from cubeseg.bundle import load
    from cubeseg.io.label_images import read_labels
    from cubeseg.metrics import score

    labels = load(options.result).labels
    height, width = labels.shape
    try:
        found = score(labels, read_labels(options.truth, (height, width)))
    except DataError as error:
        text = str(error)
        raise error if options.truth in text else DataError(f"{options.truth}: {text}") from error
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:10} {value:.4f}" if isinstance(value, float) else f"{name:10} {value}")


def report(options: argparse.Namespace) -> None:
    """``cubeseg report``."""
    from cubeseg.bundle import load
    from cubeseg.exporting.report import write_report
    from cubeseg.terminal import driven

    output = _new_file(options.output, options.result)
    result = load(options.result)
    _not_there(options.force, output)
    path = driven(write_report(result, output))
    print(path)


def export(options: argparse.Namespace) -> None:
    """``cubeseg export``."""
    from cubeseg.bundle import load
    from cubeseg.exporting import export
    from cubeseg.io import open_cube

    formats = [f.strip().lower() for f in options.format.split(",") if f.strip()]
    result = load(options.result)
    cube = None if options.cube is None else open_cube(options.cube)
    for path in export(result, options.output, formats, cube=cube, force=options.force):
        print(path)


def sample(options: argparse.Namespace) -> None:
    """``cubeseg sample``."""
    from cubeseg.samples import write_leaf, write_sample
    from cubeseg.samples.scene import truth_of

    output = _new_file(options.output)
    _not_there(options.force, output, truth_of(output))
    others = ("counts", "tier") if options.name == "leaf" else ("day",)
    foreign = [name for name in others if getattr(options, name) is not None]
    if foreign:
        raise ConfigError(f"--{foreign[0]}: is no option of the sample '{options.name}'; leave it out")
    names = ("size", "seed", "day") if options.name == "leaf" else ("size", "seed", "counts", "tier")
    said = {name: value for name in names if (value := getattr(options, name)) is not None}
    truth = write_leaf(output, **said) if options.name == "leaf" else write_sample(options.name, output, **said)
    print(f"{options.output} and its truth {truth}")
