"""Under what circumstances a result came about: versions, machine, device, time, and the content of the input."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cubeseg import __version__
from cubeseg.parallel.threads import allowed
from cubeseg.record.content import known_digest
from cubeseg.record.logbook import now
from cubeseg.source import Source

__all__ = ["Stopwatch", "differences", "machine"]

_PACKAGES = ("torch", "numpy", "scikit-learn", "scipy", "h5py")
# what may change the last digits of a computation
_DECIDING = ("versions", "platform", "processor", "device", "threads")


class Stopwatch:
    """Runs from when it is made; tells how a run went."""

    def __init__(self) -> None:
        self._begun, self._start = now(), time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return round(time.monotonic() - self._start, 1)

    def record(self, model: Any, source: Source, seed: int, threads: int) -> dict[str, Any]:
        """What the record of a run holds.

        Parameters
        ----------
        model : Model
            That was trained.
        source : Source
            Of the cube, as it was opened.
        seed : int
        threads : int
            As configured; 0 is written as how many that was.
        """
        return {
            **machine(),
            "device": device_of(model),
            "seed": seed,
            "threads": threads or allowed(),
            "begun": self._begun,
            "seconds": self.seconds,
            "source": asdict(source),
            "sha256": known_digest(source.path),
        }


@cache
def machine() -> Mapping[str, Any]:
    """Versions of what computes here, and on what machine."""
    versions = {"python": platform.python_version(), "cubeseg": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "platform": platform.platform(), "processor": _processor()}


def device_of(model: Any) -> str:
    """What a model computes on: ``"cpu"``, or the name of a graphics processor."""
    device = getattr(model, "device", None)
    if device is None or device.type == "cpu":
        return "cpu"
    if device.type == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name(device)})"
    return str(device.type)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What may make two runs differ, one line for each: ``"torch 2.4.0, now 2.5.1"``."""
    if not before:
        return ["versions, machine and device were not recorded"]
    found = []
    for name in _DECIDING:
        old, new = before.get(name), after.get(name)
        if name == "versions" and isinstance(old, Mapping) and isinstance(new, Mapping):
            for package in dict.fromkeys([*old, *new]):
                if old.get(package) != new.get(package):
                    found.append(f"{package} {old.get(package, 'absent')}, now {new.get(package, 'absent')}")
        elif old != new:
            found.append(f"{name} {old if old else 'not recorded'}, now {new}")
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
