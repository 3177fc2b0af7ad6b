"""Work that was not exported is kept in the settings folder, and offered when its cube is opened again."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.notifications import show_error
from psygnal import Signal

from cubeseg.bundle import load, save
from cubeseg.cube import Source
from cubeseg.errors import CubeSegError
from cubeseg.segmentation import Segmentation
from napari_cubeseg import layers as our
from napari_cubeseg.jobs import Control, Steps, ignore, one, run_now
from napari_cubeseg.preferences import preferences

if TYPE_CHECKING:
    from napari_cubeseg.session import Session

__all__ = ["Autosave", "Kept"]

_DELAY = 3.0  # seconds without a change
_MOST = 8
_BASE = ".base.h5"


@dataclass(frozen=True)
class Kept:
    """Work on a cube that was kept: its file, and when it was written."""

    path: Path
    when: datetime


class Autosave:
    """Writes the active segmentation a few seconds after the last change, in the background.

    The large maps of a run are written once; what is done by hand goes into a small file beside them.

    Parameters
    ----------
    session : Session
    """

    offer_changed = Signal()
    """There is kept work for the active cube (`offer`), or no longer."""

    deleted_changed = Signal()
    """A segmentation was removed with its layer (`deleted`), or brought back."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.deleted: list[Labels] = []
        self.offer: Kept | None = None
        self._due = 0.0
        self._layer: Labels | None = None
        self._busy = self._failed = False
        self._control = Control()
        # what the large maps are from, and the file that holds them
        self._bases: weakref.WeakKeyDictionary[Labels, tuple[Any, Any, str]] = weakref.WeakKeyDictionary()
        session.cube_changed.connect(self._look)

    def deleted_with(self, layer: Labels) -> None:
        """A labels layer was removed: remember it, with its segmentation."""
        self.deleted = [*self.deleted[-1:], layer]
        self.deleted_changed.emit()

    def bring_back_layer(self) -> None:
        """Add the labels layer that was removed last again."""
        if self.deleted:
            layer = self.deleted.pop()
            self._session.viewer.add_layer(layer)
            self._session.viewer.layers.selection.active = layer
            self.deleted_changed.emit()

    def touch(self, layer: Labels) -> None:
        """Something changed: keep it once nothing has changed for a while."""
        if self._session.runner is run_now or self._failed or not preferences().keep:
            return
        if self._layer is not layer:
            self.save_now()
        self._layer, self._due = layer, time.monotonic() + _DELAY
        if not self._busy:
            self._busy = True
            self._session.runner(self._wait, self._control, ignore, lambda _: self.save_now(), self._lost, ignore)

    def save_now(self) -> None:
        """Keep what there is without waiting."""
        layer, self._layer = self._layer, None
        result = our.result_of(layer)
        if layer is None or result is None:
            self._busy = False
            return
        self._busy = True
        work = self._writer(layer, result.copy())
        self._session.runner(lambda: one(work), Control(), ignore, self._kept, self._lost, ignore)

    def bring_back(self) -> None:
        """Open the kept work that is offered."""
        offer = self.offer
        if offer is None:
            return

        def opened(result: Segmentation) -> None:
            self._set_offer(None)
            name = f"{result.source.name} classes"
            for layer in our.map_layers(result, result.source.name):
                self._session.add(layer)
            made = self._session.add(our.segmentation_layer(result.labels.copy(), result.spatial, name, result))
            made.metadata[our.KEY]["kept"] = offer.path.stem

        def failed(error: CubeSegError) -> None:
            self._set_offer(None)
            show_error(str(error))

        self._session.runner(lambda: one(lambda: load(offer.path)), Control(), ignore, opened, failed, ignore)

    def discard(self) -> None:
        """Throw the kept work away that is offered."""
        if self.offer is not None:
            _remove(self.offer.path)
            self._set_offer(None)

    def exported(self, layer: Labels | None) -> None:
        """The whole of a segmentation was written where the user wants it; it need not be kept."""
        name = None if layer is None else layer.metadata[our.KEY].get("kept")
        if layer is not None and name:
            for folder in _folders():
                _remove(folder / f"{name}.h5")
            self._bases.pop(layer, None)

    def stop(self) -> None:
        """Write what is pending; the window is closing."""
        self._control.cancel()
        layer, self._layer = self._layer, None
        result = our.result_of(layer)
        if layer is not None and result is not None:
            # the window may be half gone, and with it the libraries: nothing can be told any more
            with suppress(Exception):
                self._writer(layer, result)()

    def _wait(self) -> Steps:
        while time.monotonic() < self._due:
            time.sleep(0.05)
            yield None

    def _writer(self, layer: Labels, result: Segmentation) -> Callable[[], None]:
        name = layer.metadata[our.KEY].get("kept", "")
        latent, evidence, file = self._bases.get(layer, (None, None, ""))

        def write() -> None:
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True)
            stem = name or f"{_key(result.source)}-{uuid.uuid4().hex[:8]}"
            base = file
            same = latent is result.latent and evidence is result.evidence
            if not same or not (folder / base).is_file():
                base = f"{stem}-{uuid.uuid4().hex[:8]}{_BASE}"
                save(result, folder / base)
            save(result, folder / f"{stem}.h5", base=base)
            for old in folder.glob(f"{stem}-*{_BASE}"):
                if old.name != base:
                    old.unlink(missing_ok=True)
            layer.metadata[our.KEY]["kept"] = stem
            self._bases[layer] = (result.latent, result.evidence, base)
            _prune(folder)

        return write

    def _kept(self, _: Any) -> None:
        self._busy = False
        if self._layer is not None:
            self.touch(self._layer)

    def _lost(self, error: CubeSegError) -> None:
        self._busy, self._failed = False, True
        show_error(f"Your work is not kept for the case of a crash: {error}")

    def _look(self) -> None:
        """Offer the kept work on the cube that was opened, if there is any."""
        self._set_offer(None)
        session, cube = self._session, self._session.cube
        if cube is None or not cube.source.path or session.runner is run_now:
            return
        if any(our.made_from(our.result_of(layer), cube) for layer in session.viewer.layers):
            return

        def found(kept: Kept | None) -> None:
            if session.cube is cube and session.result is None:
                self._set_offer(kept)

        session.runner(lambda: one(lambda: _find(cube.source)), Control(), ignore, found, ignore, ignore)

    def _set_offer(self, kept: Kept | None) -> None:
        if kept != self.offer:
            self.offer = kept
            self.offer_changed.emit()


def _folder() -> Path:
    return _folders()[0]


def _folders() -> list[Path]:
    """Where work is kept, and then where it is unless the user wants it elsewhere."""
    import platformdirs

    usual = os.environ.get("CUBESEG_SETTINGS") or platformdirs.user_data_dir("napari-cubeseg", appauthor=False)
    chosen = preferences().folder
    # a folder of its own inside: what is too old is deleted there
    return [*([] if chosen is None else [chosen / "napari-cubeseg-kept"]), Path(usual) / "kept"]


def _key(source: Source) -> str:
    """Names the cube by what is in its file; folders by their place."""
    said = source.fingerprint() or str(Path(source.path).resolve())
    return hashlib.sha256(f"{said} {source.dataset}".encode()).hexdigest()[:16]


def _find(source: Source) -> Kept | None:
    found = [path for folder in _folders() for path in folder.glob(f"{_key(source)}-*.h5")]
    there = [path for path in found if not path.name.endswith(_BASE)]
    times = {path: path.stat().st_mtime for path in there}
    if not times:
        return None
    newest = max(times, key=lambda p: times[p])
    return Kept(newest, datetime.fromtimestamp(times[newest]))


def _remove(path: Path) -> None:
    for file in [path, *path.parent.glob(f"{path.stem}-*{_BASE}")]:
        file.unlink(missing_ok=True)


def _prune(folder: Path) -> None:
    """Only the newest few are kept."""
    there = [p for p in folder.glob("*.h5") if not p.name.endswith(_BASE)]
    for old in sorted(there, key=lambda p: p.stat().st_mtime, reverse=True)[_MOST:]:
        _remove(old)
