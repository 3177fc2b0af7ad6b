"""The errors a user can meet, each worded as one line: what is wrong, where, and what to do."""

from __future__ import annotations

__all__ = ["ConfigError", "CubeSegError", "DataError", "JobError", "first_line"]


class CubeSegError(Exception):
    """Base of every error that cubeseg raises on purpose."""


class DataError(CubeSegError):
    """A file or an array that cannot be used as it is."""


class ConfigError(CubeSegError):
    """An option, or a combination of options, that makes no sense for this cube."""


class JobError(CubeSegError):
    """A computation that failed while it ran (out of memory, losses that became non-finite)."""


def first_line(error: BaseException) -> str:
    """What a library says of an error, in one line; its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
