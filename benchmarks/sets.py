"""The cubes of the benchmark with their truth: synthetic ones, and real ones where they lie in CUBESEG_DATA."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cubeseg.axis import SpectralAxis
from cubeseg.cube import Cube
from cubeseg.samples import Sample, galaxy, painting

DATA = Path(os.environ.get("CUBESEG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

SYNTHETIC = (
    "painting-2-30", "painting-2-100", "painting-2-300", "painting-2-1000", "painting-2-5000", "painting-1",
    "painting-3", "galaxy-1", "galaxy-2", "galaxy-3",
)  # fmt: skip
REAL = ("samson", "moffett", "houston", "raman_chondro")
ANOMALIES = ("abu-beach-4", "abu-urban-2", "HYDICE_data")


@dataclass(frozen=True, eq=False)
class Case:
    """A cube, its truth (0 = not labelled), the number of true classes."""

    cube: Cube
    truth: np.ndarray
    k: int
    sample: Sample | None = None


def case(name: str, seed: int) -> Case:
    """Make or read one set; `seed` makes another painting or galaxy, and changes nothing about a real cube."""
    kind, *rest = name.split("-")
    if kind in ("painting", "galaxy"):
        tier = int(rest[0])
        counts = float(rest[1]) if len(rest) > 1 else None
        made = painting(96, counts, seed, tier=tier) if kind == "painting" else galaxy(64, counts, seed, tier=tier)
        return Case(made.cube, made.truth, len(made.class_names), made)
    image, truth = _real(name)
    data = np.ascontiguousarray(np.moveaxis(image, -1, 0), dtype=np.float32)
    return Case(Cube(data, SpectralAxis.channels(len(data))), truth, len(np.unique(truth[truth > 0])))


def there(name: str) -> bool:
    """Whether the set can be had on this machine."""
    if name in SYNTHETIC:
        return True
    try:
        _real(name)
    except OSError:
        return False
    return True


def _real(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Image (y, x, bands) and truth (y, x)."""
    from scipy.io import loadmat

    if name == "samson":
        found = loadmat(DATA / "samson/samson_dataset.mat")
        truth = found["A"].reshape(3, 95, 95, order="F").argmax(axis=0) + 1
        return np.moveaxis(found["Y"].reshape(156, 95, 95, order="F"), 0, -1), truth
    if name == "moffett":
        found = loadmat(DATA / "moffett/moffett.mat")
        return np.moveaxis(found["Y"].reshape(-1, 50, 50, order="F"), 0, -1), found["S_GT"].argmax(axis=2) + 1
    if name == "houston":
        image = loadmat(DATA / "houston2018_crop/houston_dataset.mat")["hyprImg"]
        return image, np.load(DATA / "houston2018_crop/labels_128_pure_pixels.npy")
    if name == "raman_chondro":
        with np.load(DATA / "raman_chondro/chondro_cube.npz", allow_pickle=False) as found:
            names, labels = np.unique(found["labels"], return_inverse=True)
            labels = labels.reshape(found["labels"].shape)
            first = 0 if names.dtype.kind in "iu" else 1
            unlabelled = {"", "NA", "nan", "0"}
            known = np.array([str(n) not in unlabelled for n in names])
            return found["cube"], np.where(known[labels], labels + first, 0)
    found = loadmat(DATA / f"abu_anomaly/{name}.mat")
    return found["data"], found["map"].astype(int) + 1
