"""What must hold whatever a user does, and what is listened to meanwhile: errors, Qt's warnings, stalls."""

from __future__ import annotations

import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable

import numpy as np
from napari.utils.notifications import NotificationSeverity, notification_manager
from qtpy.QtCore import QObject, Qt, QTimer, qInstallMessageHandler

from napari_cubeseg import layers as our

# seconds without a beat of the window that people notice
STALL = 0.25
# what Qt says of this machine or of napari alone
_IDLE = (
    "propagateSizeHints", "This plugin does not support", "Could not parse stylesheet", "XDG_RUNTIME_DIR",
    "QStandardPaths", "libpng warning",
)  # fmt: skip

# faults of napari alone: a click beside the labels while they are shown in 3D
_NAPARI = ("self.data[tuple(np.round(c).astype(int))]",)


class Watch(QObject):
    """Collects everything that should not have happened in :attr:`wrong`; stalls are only counted.

    Attributes
    ----------
    doing : str
        What the user is doing; whatever goes wrong is told with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.doing = "start"
        self.wrong: list[str] = []
        self.told: Counter[str] = Counter()
        self.stalls: list[tuple[str, float, float]] = []
        self._beat = QTimer(self)
        self._beat.setTimerType(Qt.TimerType.PreciseTimer)
        self._beat.setInterval(20)
        self._beat.timeout.connect(self.beat)
        self._last = self._worked = 0.0
        self.stalled: Callable[[], None] = lambda: None

    def __enter__(self) -> Watch:
        self._hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
        sys.excepthook = lambda kind, error, trace: self._raised(error)
        threading.excepthook = lambda args: self._raised(args.exc_value)
        sys.unraisablehook = lambda args: self._raised(args.exc_value)
        self._handler = qInstallMessageHandler(self._said)
        notification_manager.notification_ready.connect(self._notified)
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self._beat.stop()
        notification_manager.notification_ready.disconnect(self._notified)
        qInstallMessageHandler(self._handler)
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._hooks

    def resume(self) -> None:
        """What follows is the user's time."""
        self._last, self._worked = time.monotonic(), time.thread_time()
        self._beat.start()

    def rest(self) -> None:
        """What follows is the harness's own time."""
        self.beat()
        self._beat.stop()

    def beat(self) -> None:
        """The window is alive."""
        now, worked = time.monotonic(), time.thread_time()
        if now - self._last > STALL:
            self.stalls.append((self.doing, now - self._last, worked - self._worked))
            self.stalled()
        self._last, self._worked = now, worked

    def _raised(self, error: BaseException | None) -> None:
        try:
            text = "".join(traceback.format_exception(error)) if error is not None else "an exception without a value"
        except RecursionError:
            # no room is left to tell more
            self.wrong.append("without end")
            return
        if not any(part in text for part in _NAPARI):
            self.wrong.append(f"{self.doing}: {text}")

    def _said(self, kind: object, context: object, text: str | None) -> None:
        if text and not any(part in text for part in _IDLE):
            self.wrong.append(f"{self.doing}: Qt says {text}")

    def _notified(self, notification: object) -> None:
        text = str(notification.message)
        self.told[text] += 1
        error = notification.severity == NotificationSeverity.ERROR
        if type(notification).__name__ in ("ErrorNotification", "WarningNotification") or (
            error and "unexpected" in text
        ):
            trace = notification.as_html() if hasattr(notification, "as_html") else ""
            self.wrong.append(f"{self.doing}: told {text} {trace}")


def faults(session: object, spectra: bool = False) -> list[str]:
    """What does not agree in the state of a viewer; with `spectra`, the class spectra are counted anew too."""
    found, layers = [], session.viewer.layers
    for name in ("labels_layer", "cube_layer"):
        layer = getattr(session, name)
        if layer is not None and layer not in layers:
            found.append(f"the session's {name} is not in the layer list")
    for layer in layers:
        if our.role(layer) == "labels":
            found += [f"{layer.name}: {text}" for text in _faults_of(session, layer, spectra)]
    if session.result is None and session.selected:
        found.append(f"selected without a segmentation: {session.selected}")
    return found


def _faults_of(session: object, layer: object, spectra: bool) -> list[str]:
    result, bench = our.result_of(layer), session.desks.at(layer)[0]
    shown = result.labels if bench._preview is None else bench._preview
    if layer.data.shape != shown.shape or (layer.data != shown).any():
        return ["the layer does not hold the labels"]
    found, ids = [], [c.id for c in result.classes]
    counts = np.bincount(result.labels.ravel())
    if set(np.flatnonzero(counts)) - {0, *ids}:
        found.append(f"labels without a class: {set(np.flatnonzero(counts)) - {0, *ids}}")
    if len(set(ids)) != len(ids):
        found.append(f"ids twice: {ids}")
    for row in result.table():
        there = int(counts[row["id"]]) if row["id"] < len(counts) else 0
        if row["pixels"] != there:
            found.append(f"class {row['id']}: {row['pixels']} pixels in the table, {there} in the layer")
    cube = our.cube_behind(result, session.viewer)
    # what was painted without the cube has no sums, and what sliders make of it has none either
    if spectra and bench._counting.complete and our.made_from(result, cube):
        data = np.asarray(cube.data[:], dtype=np.float64)
        for info in result.classes:
            mine = data[:, result.labels == info.id]
            with warnings.catch_warnings(action="ignore"):
                off = np.abs(result.spectra.mean(info.id) - np.nanmean(mine, axis=1)) if mine.shape[1] else np.zeros(1)
            if not (np.nan_to_num(off) <= 1e-6 * np.nanmax(np.abs(data))).all():
                done = ", ".join(step.title for step in bench.history._done[-6:])
                found.append(
                    f"class {info.id}: its mean spectrum is off by {np.nanmax(off):g} after {done or 'nothing'}"
                )
    return found
