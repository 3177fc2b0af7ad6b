"""Corrections by hand, each one step of a history: painting, merging, splitting, fewer classes, more coherence."""

from cubeseg.editing.operations import (
    annotate,
    delete,
    lock,
    members,
    merge,
    paint,
    recolour,
    rename,
    reorder,
    show,
    split,
)

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
