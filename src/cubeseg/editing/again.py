"""An operation by hand from its entry in the log, on another segmentation of the same cube."""

from __future__ import annotations

from collections.abc import Callable

from cubeseg.editing import operations as by_hand
from cubeseg.editing.edits import Edit
from cubeseg.record.logbook import Entry
from cubeseg.segmentation import Segmentation

__all__ = ["repeated"]


def repeated(result: Segmentation, said: Entry, settled: bool = True) -> Edit | None:
    """The operation that an entry tells of, ready to be done.

    Parameters
    ----------
    result : Segmentation
    said : Entry
    settled : bool
        Whether the class spectra are up to date, see :func:`cubeseg.editing.merge`.

    Returns
    -------
    Edit or None
        None for operations that make another segmentation, as refining does, or another axis.

    Raises
    ------
    ConfigError
        If it cannot be done there, as with classes that are not there.
    """
    make: dict[str, Callable[[], Edit]] = {
        "paint": lambda: _strokes(result, said),
        "merge": lambda: by_hand.merge(result, [said["kept"], *said["merged"]], settled),
        "delete": lambda: by_hand.delete(result, said["classes"], settled),
        "split": lambda: by_hand.split(result, said["class"], len(said["into"]), said["seed"]),
        "rename": lambda: by_hand.rename(result, said["class"], said["name"]),
        "recolour": lambda: by_hand.recolour(result, said["class"], said["colour"]),
        "note": lambda: by_hand.annotate(result, said["class"], said["note"]),
        "lock": lambda: by_hand.lock(result, said["classes"], said["locked"]),
        "show": lambda: by_hand.show(result, said["classes"]),
        "reorder": lambda: by_hand.reorder(result, said["classes"]),
    }
    found = make.get(said["operation"])
    return None if found is None else found()


def _strokes(result: Segmentation, said: Entry) -> Edit:
    assert said.changes is not None
    where, _, after = said.changes.joined()
    return by_hand.paint(result, where, after, said["labels"])
