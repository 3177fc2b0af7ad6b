"""What takes long the first time is done while the user looks around, not when training starts or labels come."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
from napari.layers import Labels

from cubeseg.models import preload
from napari_cubeseg import layers as our

__all__ = ["begin", "stop"]

_stopped = threading.Event()
_begun = threading.Event()


def begin() -> None:
    """Load torch, and let napari compile the way it draws labels, in a thread; once for all viewers."""
    if not _begun.is_set():
        _begun.set()
        # no job: it touches nothing that the viewer owns, so it may end after the window
        threading.Thread(target=_run, name="cubeseg-warming").start()


def stop() -> None:
    """Leave the rest for when it is needed."""
    _stopped.set()


def _run() -> None:
    for _ in _steps():
        if _stopped.is_set():
            return


def _steps() -> Iterator[None]:
    yield
    preload()
    yield
    labels = np.arange(4, dtype=np.int32).reshape(2, 2)
    # one routine is compiled for labels of napari's own colours and one for labels of given ones
    layer = Labels(labels)
    yield
    our.preview_colours(layer, 64)
    yield
    layer.data = labels.copy()
