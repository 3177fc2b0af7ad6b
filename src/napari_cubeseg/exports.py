"""Writing the active segmentation to files, in the background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info
from psygnal import Signal

from cubeseg.errors import CubeSegError
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, ignore, one

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Exports"]


class Exports:
    """What a session writes.

    Parameters
    ----------
    session : Session
    """

    written = Signal(object)
    """Files were written (list of Path); an empty list where writing failed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def write(self, folder: str | Path, formats: Sequence[str]) -> None:
        """Write the active segmentation in the given formats."""
        from cubeseg.exporting import export

        result = self._session.result
        if result is None:
            show_error("There is nothing to export yet: run a segmentation first")
            self.written.emit([])
            return

        def written(paths: list[Path]) -> None:
            if "hdf5" in formats and len(result.log) == len(snapshot.log):
                self._session.autosave.exported(layer)
            show_info(f"{len(paths)} {'file' if len(paths) == 1 else 'files'} written to {Path(folder)}")
            self.written.emit(paths)

        def failed(error: CubeSegError) -> None:
            show_error(str(error))
            self.written.emit([])

        snapshot, layer = result.copy(), self._session.labels_layer
        cube = our.cube_behind(result, self._session.viewer)
        self._session.runner(
            lambda: one(lambda: export(snapshot, folder, formats, cube=cube)),
            Control(),
            ignore,
            written,
            failed,
            ignore,
            title=f"Exporting {result.source.name}",
        )
