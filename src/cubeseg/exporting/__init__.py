"""Exports: one file per family of formats, each with its `FORMATS`; a format is added by adding it to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, DataError
from cubeseg.exporting import components, containers, fits_file, labels, picture, report, tables, vector
from cubeseg.exporting.base import Format
from cubeseg.files import refuse_to_replace
from cubeseg.segmentation import Segmentation

__all__ = ["FORMATS", "Format", "Planned", "export", "planned"]

FORMATS: dict[str, Format] = {
    known.name: known
    for module in (labels, picture, fits_file, tables, vector, components, containers, report)
    for known in module.FORMATS
}


@dataclass(frozen=True)
class Planned:
    """A file that an export would write.

    Attributes
    ----------
    format : Format
    path : Path
    size : int
        About how many bytes.
    exists : bool
        Whether there is one already.
    """

    format: Format
    path: Path
    size: int
    exists: bool


def planned(result: Segmentation, folder: str | Path, formats: Iterable[str], stem: str = "") -> list[Planned]:
    """What :func:`export` would write.

    Raises
    ------
    ConfigError
        For an unknown format.
    """
    made = []
    for name in dict.fromkeys(formats):
        if name not in FORMATS:
            raise ConfigError(f"unknown format '{name}'; there are {', '.join(FORMATS)}")
        known = FORMATS[name]
        path = Path(folder) / known.file.format(stem=stem or result.source.name)
        made.append(Planned(known, path, known.size(result), path.exists()))
    return made


def export(
    result: Segmentation,
    folder: str | Path,
    formats: Sequence[str],
    stem: str = "",
    *,
    cube: Cube | None = None,
    force: bool = True,
) -> list[Path]:
    """Write several formats into a folder.

    Parameters
    ----------
    result : Segmentation
    folder : path-like
        Made if it is missing.
    formats : sequence of str
        Keys of :data:`FORMATS`.
    stem : str
        Beginning of the file names; the cube's name where not given.
    cube : Cube, optional
        That was segmented, for what is read from it: percentiles of the spectra, the overlay.
    force : bool
        Whether files that are there already are replaced.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ConfigError
        For an unknown format, or a file that is there already; nothing is written then.
    DataError
        If a file cannot be written, or a format needs the cube; those written before it stay, each of them whole.
    """
    plan = planned(result, folder, formats, stem)
    if not force:
        refuse_to_replace([item.path for item in plan if item.exists], "choose another folder")
    for item in plan:
        if item.format.unmixed and result.components is None:
            raise ConfigError(f"format '{item.format.name}' is for results of unmixing; this one has no components")
        if item.format.cube and cube is None:
            raise DataError(
                f"format '{item.format.name}' reads the cube, which is not at hand; give --cube, or leave it"
            )
    if cube is not None and cube.image_shape != result.labels.shape:
        raise DataError(f"{cube.name}: is not the cube that was segmented, its size differs")
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{target}: the folder cannot be made ({error.strerror}); choose another") from error
    for item in plan:
        item.format.write(result, item.path, cube)
    return [item.path for item in plan]
