"""What the user has set under File > Preferences > napari-cubeseg; what there is to set stands in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cubeseg.config import FitConfig
from napari_cubeseg.jobs import Control, Runner, ignore, one

__all__ = ["Preferences", "preferences", "with_preferences"]


@dataclass(frozen=True)
class Preferences:
    """The settings, read anew whenever they are needed.

    Attributes
    ----------
    method : str
        That the Train panel begins with.
    memory : int
        Bytes that a run aims to keep to.
    spare_cores : int
        Cores that a run leaves to the window and to other programs.
    keep : bool
        Whether work that was not exported is kept.
    folder : Path, optional
        Where it is kept; None for the settings folder.
    tour : bool
        Whether new users are offered the tour.
    """

    method: Literal["deep", "global", "unmix", "pca"] = "deep"
    memory: int = FitConfig().memory
    spare_cores: int = 1
    keep: bool = True
    folder: Path | None = None
    tour: bool = True


def preferences() -> Preferences:
    """The settings as they stand; the defaults where napari does not know the plugin, or its file is damaged."""
    from napari.settings import get_plugin_settings

    try:
        found = get_plugin_settings("napari-cubeseg")
    except (KeyError, ValueError, AssertionError, OSError):
        return Preferences()
    run, work = found.run, found.work
    # a folder that is not there is one that is being written
    folder = Path(work.folder).expanduser() if work.folder else None
    return Preferences(
        method=run.method,
        memory=round(run.memory * (1 << 30)),
        spare_cores=run.spare_cores,
        keep=work.keep,
        folder=folder if folder is not None and folder.is_dir() else None,
        tour=work.tour,
    )


def with_preferences(runner: Runner, use: Callable[[Preferences], None]) -> None:
    """Read the settings in the background, and use them: the first time napari reads the manifests of all plugins."""
    runner(lambda: one(preferences), Control(), ignore, use, ignore, ignore)
