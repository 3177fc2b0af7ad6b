"""Answers that hold for every file of the same layout, kept in the user's settings folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cubeseg.errors import DataError
from cubeseg.files import kept_answers, written

__all__ = ["keep", "recall"]


def keep(signature: str, answer: Mapping[str, Any]) -> None:
    """Keep an answer; where the folder cannot be written it is lost, which is no error."""
    known = kept_answers(_path()) | {signature: dict(answer)}
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as temporary:
            temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    except (OSError, DataError):
        return


def recall(signature: str) -> dict[str, Any] | None:
    """The answer for a layout; None where there is none."""
    answer = kept_answers(_path()).get(signature)
    if not isinstance(answer, dict):
        return None
    kinds = {"dataset": str, "spectral_axis": int, "axis": str}
    return {name: answer[name] for name, kind in kinds.items() if isinstance(answer.get(name), kind)}


def _path() -> Path:
    import platformdirs

    folder = os.environ.get("CUBESEG_SETTINGS") or platformdirs.user_config_dir("napari-cubeseg", appauthor=False)
    return Path(folder) / "layouts.json"
