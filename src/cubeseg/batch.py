"""Many cubes, one folder of results: a bad one is named and the rest goes on; a table says what became of each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from cubeseg.bundle import load
from cubeseg.config import FitConfig
from cubeseg.cube import Cube, Source
from cubeseg.errors import CubeSegError, DataError, JobError
from cubeseg.events import FitEvent
from cubeseg.files import written
from cubeseg.record.provenance import Stopwatch
from cubeseg.segmentation import Segmentation
from cubeseg.steps import passing
from cubeseg.training.applying import apply, fingerprint
from cubeseg.training.replaying import source_of
from cubeseg.training.series import segment_series

__all__ = ["SUMMARY", "Job", "OneModel", "Row", "Summary", "each", "outcome", "together", "trained"]

SUMMARY = "summary.csv"
Steps = Generator[FitEvent, None, Segmentation]


@dataclass(frozen=True, eq=False)
class Job:
    """A cube, how it is opened, and where its result goes."""

    path: Path
    output: Path
    opened: Callable[[], Cube]


@dataclass(frozen=True)
class Row:
    """What became of a cube: a line of the table.

    Attributes
    ----------
    file, result : str
        The cube; its result file, empty where there is none.
    status : str
        "done", "kept" (it was there already) or "failed".
    message : str
        Why it failed, or what should be known about the result.
    classes, pixels : int
        Classes that hold pixels; pixels that have a class.
    agreement : float
        Part of the pairs of neighbouring pixels that have the same class; NaN where there are none.
    seconds : float
    """

    file: str
    result: str = ""
    status: str = "failed"
    message: str = ""
    classes: int = 0
    pixels: int = 0
    agreement: float = float("nan")
    seconds: float = 0.0


@dataclass(eq=False)
class Summary:
    """The table of a batch, written anew whenever a cube is done; and what went wrong, by the place of the cube.

    Parameters
    ----------
    folder : Path
        Is made with the first result.
    jobs : sequence of Job
    told : callable
        Called with each row.
    """

    folder: Path
    jobs: Sequence[Job]
    told: Callable[[Row], None]
    rows: dict[int, Row] = field(default_factory=dict)
    failed: dict[int, CubeSegError] = field(default_factory=dict)

    def keep(self, index: int, result: Segmentation, seconds: float) -> None:
        """Save a result."""
        self._made()
        result.save(self.jobs[index].output)
        self._row(index, result, "done", seconds)

    def there(self, index: int, result: Segmentation) -> None:
        """A result is there already."""
        self._row(index, result, "kept", 0.0)

    def fail(self, index: int, error: Exception, seconds: float = 0.0) -> None:
        """A cube could not be segmented."""
        if not isinstance(error, CubeSegError):
            kind = DataError if isinstance(error, OSError) else JobError
            error = kind(f"{self.jobs[index].path}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        self.failed[index] = error
        self._put(index, Row(str(self.jobs[index].path), message=str(error), seconds=seconds))

    def _row(self, index: int, result: Segmentation, status: str, seconds: float) -> None:
        job = self.jobs[index]
        self._put(
            index,
            Row(
                str(job.path), str(job.output), status, "; ".join(result.notes), result.n_clusters,
                int((result.labels > 0).sum()), _agreement(result), seconds,
            ),
        )  # fmt: skip

    def _put(self, index: int, row: Row) -> None:
        self.rows[index] = row
        self.told(row)
        if self.folder.is_dir():
            with written(self.folder / SUMMARY) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, [f.name for f in fields(Row)])
                table.writeheader()
                for _, one in sorted(self.rows.items()):
                    share = "" if np.isnan(one.agreement) else f"{one.agreement:.4f}"
                    table.writerow(asdict(one) | {"agreement": share})

    def _made(self) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder}: the folder cannot be made ({error.strerror}); choose another") from error


def each(
    jobs: Sequence[Job], steps: Callable[[Cube], Steps], summary: Summary, known: Callable[[Segmentation, Cube], bool]
) -> Generator[FitEvent, None, None]:
    """One cube after the other.

    Parameters
    ----------
    jobs : sequence of Job
    steps : callable
        What makes the result of a cube.
    summary : Summary
    known : callable (Segmentation, Cube) -> bool
        Whether a result that is there already is the one that would be made.

    Yields
    ------
    FitEvent
    """
    for number, job in enumerate(jobs):
        watch = Stopwatch()

        def of_all(event: FitEvent, number: int = number, job: Job = job) -> FitEvent:
            return replace(event, done=(number + event.done) / len(jobs), message=f"{job.path.name}: {event.message}")

        try:
            yield FitEvent("read", number / len(jobs), f"{job.path.name}: Opening")
            cube = job.opened()
            if job.output.exists() and cube.source.path and job.output.samefile(cube.source.path):
                raise DataError(f"{job.output}: is the cube itself; give the results another folder")
            there = _stored(job, cube, known)
            if there is not None and len(there.run.get("series", [])) < 2:
                summary.there(number, there)
                continue
            result = yield from passing(steps(cube), of_all)
            summary.keep(number, result, watch.seconds)
        except Exception as error:
            # one bad cube of a long night must not cost the others
            summary.fail(number, error, watch.seconds)


class OneModel:
    """Steps for :func:`each`: the first cube is trained on, unless there is a model; all others are labelled with it.

    Parameters
    ----------
    steps : callable
        How the first cube is segmented.
    known : callable
        As for :func:`each`, for the first one.
    model : Segmentation, optional
    """

    def __init__(
        self,
        steps: Callable[[Cube], Steps],
        known: Callable[[Segmentation, Cube], bool],
        model: Segmentation | None = None,
    ) -> None:
        self._steps, self._known, self._model = steps, known, model

    def __call__(self, cube: Cube) -> Steps:
        """The steps for a cube."""
        if self._model is not None:
            return (yield from apply(self._model, cube))
        self._model = yield from self._steps(cube)
        return self._model

    def known(self, result: Segmentation, cube: Cube) -> bool:
        """Whether a result that is there is the one that would be made."""
        if self._model is None:
            if self._known(result, cube):
                self._model = result
                return True
            return False
        first = result.log[0] if result.log else {}
        return first.get("operation") == "apply" and first.get("model") == fingerprint(self._model)


def together(
    jobs: Sequence[Job], config: FitConfig, summary: Summary, known: Callable[[Segmentation, Cube], bool]
) -> Generator[FitEvent, None, None]:
    """One dictionary for all cubes; made anew unless all that can be opened were part of the one that is there.

    Parameters
    ----------
    jobs, summary, known
        As for :func:`each`.
    config : FitConfig
        Of a method that learns from patches.

    Yields
    ------
    FitEvent
    """
    found = _series_there(jobs, known)
    if found is not None:
        for index, there in found.items():
            if isinstance(there, Segmentation):
                summary.there(index, there)
            else:
                summary.fail(index, there)
        return
    watch = Stopwatch()
    steps = segment_series(
        [j.opened for j in jobs], config, lambda i, made: summary.keep(i, made, watch.seconds), summary.fail
    )
    yield from steps


def trained(result: Segmentation, config: FitConfig) -> bool:
    """Whether a result was trained with these options, not labelled with the model of another."""
    return result.config == config and not (result.log and result.log[0]["operation"] == "apply")


def _series_there(
    jobs: Sequence[Job], known: Callable[[Segmentation, Cube], bool]
) -> dict[int, Segmentation | Exception] | None:
    """The results of the series where all are there; None where they are to be made."""
    if not all(j.output.exists() for j in jobs) and not any(j.output.exists() for j in jobs):
        return None
    found: dict[int, Segmentation | Exception] = {}
    sources: list[Source] = []
    for index, job in enumerate(jobs):
        try:
            cube = job.opened()
        except (CubeSegError, OSError) as error:
            found[index] = error
            continue
        there = _stored(job, cube, known)
        if there is None:
            return None
        found[index] = there
        sources.append(cube.source)
    results = [r for r in found.values() if isinstance(r, Segmentation)]
    learned = [[Source.from_record(s) for s in r.run.get("series", [])] for r in results]
    return found if results and all(names == sources for names in learned) else None


def _stored(job: Job, cube: Cube, known: Callable[[Segmentation, Cube], bool]) -> Segmentation | None:
    """The whole result that is there already and would be made again; None where it is to be made."""
    if not job.output.is_file():
        return None
    try:
        there = load(job.output)
    except DataError:
        return None
    source = replace(source_of(there), path=cube.source.path)
    same = source == cube.source and there.fingerprint == cube.source.fingerprint()
    return there if same and known(there, cube) else None


def _agreement(result: Segmentation) -> float:
    labels, same, pairs = result.labels, 0, 0
    for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        both = (first > 0) & (second > 0)
        pairs += int(both.sum())
        same += int((both & (first == second)).sum())
    return same / pairs if pairs else float("nan")


def outcome(summary: Summary) -> None:
    """Raise what went wrong, as one line.

    Raises
    ------
    DataError
        If a cube is no good input.
    JobError
        If all failures are those of the computation.
    """
    if summary.failed:
        reasons = "; ".join(str(error) for _, error in sorted(summary.failed.items()))
        kind = JobError if all(isinstance(e, JobError) for e in summary.failed.values()) else DataError
        total = len(summary.jobs)
        raise kind(f"{total - len(summary.failed)} of {total} cubes were segmented; not: {reasons}")
