"""A series of cubes under one dictionary: a class means the same in all of them, and may be absent in some."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, CubeSegError, DataError
from cubeseg.events import FitEvent, on_bar
from cubeseg.models import model_class
from cubeseg.parallel.threads import limited
from cubeseg.record.provenance import Stopwatch
from cubeseg.sampling.probe import Probe, probe
from cubeseg.sampling.resampling import resampled
from cubeseg.segmentation import Segmentation
from cubeseg.steps import passing
from cubeseg.training.applying import summed
from cubeseg.training.fitting import block_bytes, executor_of, guarded, labelled_by, learned_from_patches

__all__ = ["SeriesOutcome", "segment_series"]


@dataclass(eq=False)
class SeriesOutcome:
    """What became of a series: how many cubes have a result, and for the others the reason, by their place in it."""

    done: int = 0
    failed: dict[int, CubeSegError] = field(default_factory=dict)


def segment_series(
    cubes: Sequence[Callable[[], Cube]],
    config: FitConfig,
    keep: Callable[[int, Segmentation], None],
    failed: Callable[[int, CubeSegError], None] = lambda index, error: None,
) -> Generator[FitEvent, None, SeriesOutcome]:
    """Learn one dictionary of classes from all cubes, then label one after the other.

    Cubes on other spectral axes than the first one are resampled to it while they are read
    (:func:`cubeseg.sampling.resampling.resampled`). What cannot be read, or does not fit, is left out; the rest goes
    on. Memory does not grow with the length of the series.

    Parameters
    ----------
    cubes : sequence of callables
        Each opens a cube, and raises :class:`cubeseg.errors.DataError` where it cannot.
    config : FitConfig
        Of a method that learns from patches.
    keep : callable (index, Segmentation)
        Saves each result, which is then forgotten.
    failed : callable (index, CubeSegError)
        Told of each cube that is left out.

    Yields
    ------
    FitEvent

    Returns
    -------
    SeriesOutcome

    Raises
    ------
    ConfigError
        If the method does not learn from patches.
    DataError
        If no cube of the series can be used; it says what is wrong with each.
    JobError
        If the training fails.
    """
    watch = Stopwatch()
    yield FitEvent("read", 0.0, "Loading the method")
    make = model_class(config.method)
    if not make.reach:
        raise ConfigError(f"method '{config.method}' takes one cube at a time; a series takes --method global")
    outcome = SeriesOutcome()
    members: list[_Member] = []
    for index, opened in enumerate(cubes):
        yield FitEvent("read", 0.0, f"Opening cube {index + 1} of {len(cubes)}")
        try:
            members.append(_looked_at(index, opened, members, config.noise))
        except (CubeSegError, OSError) as error:
            outcome.failed[index] = error if isinstance(error, CubeSegError) else DataError(str(error))
            failed(index, outcome.failed[index])
    if not members:
        reasons = "; ".join(str(error) for error in outcome.failed.values())
        raise DataError(f"no cube of the series can be used: {reasons}")
    with guarded(members[0].cube), limited(config.threads), executor_of(config) as executor:
        views, probes = [m.view for m in members], [m.probe for m in members]
        learned = yield from learned_from_patches(views, probes, config, make)
        for number, member in enumerate(members):
            event = _counted(number, len(members), member.cube.source.name)
            try:
                with guarded(member.cube):
                    result = yield from passing(labelled_by(learned, member.view, config, executor), event)
                    if member.view is not member.cube:
                        spectra = yield from passing(summed(member.cube, result, block_bytes(config)), event)
                        result = replace(result, axis=member.cube.axis, spectra=spectra)
            except CubeSegError as error:
                outcome.failed[member.index] = error
                failed(member.index, error)
                continue
            result.run = watch.record(learned.model, member.cube.source, config.seed, config.threads)
            # what the dictionary was learned from, in this order
            result.run["series"] = [asdict(m.cube.source) for m in members]
            absent = [c.name for c in result.classes if not result.pixels(c.id)]
            if absent:
                result.notes.append(f"{', '.join(absent)}: absent here, present in other cubes of the series")
            keep(member.index, result)
            outcome.done += 1
    return outcome


@dataclass(frozen=True, eq=False)
class _Member:
    """A cube of the series, as it is and on the common axis, with a first look at it."""

    index: int
    cube: Cube
    view: Cube
    probe: Probe


def _looked_at(index: int, opened: Callable[[], Cube], members: Sequence[_Member], noise: str) -> _Member:
    cube = opened()
    view = cube
    if members:
        first = members[0].cube
        try:
            view = resampled(cube, first.axis)[0]
        except DataError as error:
            own, other = (f"{len(c.axis)} bands, {c.axis.label}" for c in (cube, first))
            raise DataError(f"{error}. Its axis: {own}; that of {first.name}: {other}") from error
    with guarded(cube):
        look = probe(view)
    if members and noise == "auto" and look.noise != members[0].probe.noise:
        kinds = {"poisson": "counts", "gaussian": "continuous values"}
        raise DataError(
            f"{cube.name}: holds {kinds[look.noise]}, {members[0].cube.name} {kinds[members[0].probe.noise]}; "
            "segment it apart, or say --noise gaussian for all"
        )
    return _Member(index, cube, view, look)


def _counted(number: int, total: int, name: str) -> Callable[[Any], FitEvent]:
    """Events of labelling one cube as those of the whole series."""

    def event(step: FitEvent) -> FitEvent:
        inside = (step.done - on_bar("label", 0.0)) / (1 - on_bar("label", 0.0))
        return replace(
            step, done=on_bar("label", (number + max(inside, 0.0)) / total), message=f"{name}: {step.message}"
        )

    return event
