"""What takes long the first time is done while the user looks around, not when training starts or labels come."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from napari.layers import Labels

from cubeseg.models import preload
from napari_cubeseg import layers as our

__all__ = ["begin", "leave_triton_out", "stop"]

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


@cache
def leave_triton_out() -> None:
    """Keep torch from loading triton, which we have no use for, where OpenGL draws by LLVM: two of these crash.

    That was seen with the CUDA build of torch and Mesa's software driver, with no word before the end.
    """
    maps = Path("/proc/self/maps")
    if "triton" not in sys.modules and maps.exists() and "/libLLVM" in maps.read_text():
        cast("dict[str, Any]", sys.modules)["triton"] = None


def _run() -> None:
    leave_triton_out()
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
