"""Result files that somebody, or a failing disk, has changed: bytes, or what is in the HDF5 file."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_ODD: list[Any] = [
    None, -1, 0, 1e308, float("nan"), float("inf"), 2**70, "", "x", "\x00", [], {}, [[[]]], True, "a" * 5000, [1, "x"],
]  # fmt: skip


def tampered(content: bytes, path: Path, rng: random.Random) -> str:
    """Write a changed file; returns what was changed, in a word or two."""
    path.write_bytes(content)
    if rng.random() < 0.4:
        return _bytes(content, path, rng)
    said = []
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            # what an earlier change has broken cannot be changed further
            with suppress(Exception):
                said.append(_structure(file, path, rng))
    return ", ".join(said)


def _bytes(content: bytes, path: Path, rng: random.Random) -> str:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(rng.choice([min(2000, len(changed)), len(changed)]) or 1)
        kind = rng.random()
        if kind < 0.5:
            changed[at] = rng.randrange(256)
        elif kind < 0.7:
            changed[at : at + 8] = rng.choice([bytes(8), b"\xff" * 8, b"\x7f" + b"\xff" * 7])
        elif kind < 0.9:
            del changed[at : at + rng.randint(1, 400)]
        else:
            del changed[at:]
        if not changed:
            break
    path.write_bytes(bytes(changed))
    return "bytes"


def _structure(file: h5py.File, path: Path, rng: random.Random) -> str:
    names: list[str] = []
    file.visit(names.append)
    datasets = [n for n in names if isinstance(file[n], h5py.Dataset)]
    if not datasets:
        return "nothing left"
    name = rng.choice(datasets)
    kind = rng.choice([
        "record", "record", "record", "delete", "shape", "cut", "values", "kind", "huge", "external", "virtual", "soft",
        "link", "group", "attribute", "transposed", "text",
    ])  # fmt: skip
    values = file[name][()]
    numbers = isinstance(values, np.ndarray)
    if kind == "record":
        record = json.loads(file["record"][()]) if "record" in file else {}
        where = _mutate(record, rng)
        _replace(file, "record", json.dumps(record))
        return f"record {where}"
    if kind == "delete":
        del file[rng.choice(names)]
    elif kind == "shape" and numbers:
        _replace(file, name, np.zeros([rng.randint(0, 5) for _ in range(rng.randint(0, 4))], values.dtype))
    elif kind == "cut" and numbers and values.ndim:
        _replace(file, name, values[: rng.randint(0, len(values))])
    elif kind == "values" and numbers and values.size:
        changed = values.copy()
        for _ in range(rng.randint(1, 20)):
            odd = rng.choice(
                [-1, 0, 1, 255, 2**31 - 1, -(2**31)] if values.dtype.kind in "iu" else [np.nan, np.inf, -5]
            )
            with np.errstate(all="ignore"):
                changed.flat[rng.randrange(values.size)] = np.array(odd).astype(values.dtype)
        file[name][...] = changed
    elif kind == "kind" and numbers:
        with np.errstate(all="ignore"):
            _replace(file, name, np.nan_to_num(values).astype(rng.choice(["i1", "u8", "f8", "?", "S3", "c8"])))
    elif kind == "huge":
        del file[name]
        file.create_dataset(name, shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000))
    elif kind == "external":
        del file[name]
        file.create_dataset(name, (4, 4), "i4", external=[(str(path.with_suffix(".raw")), 0, 64)])
    elif kind == "virtual":
        del file[name]
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (4,))
        file.create_virtual_dataset(name, layout)
    elif kind == "soft":
        del file[name]
        file[name] = h5py.SoftLink(rng.choice(["/labels", "/nowhere", f"/{name}"]))
    elif kind == "link":
        del file[name]
        file[name] = h5py.ExternalLink(rng.choice(["other.h5", path.name]), "/labels")
    elif kind == "group":
        del file[name]
        file.create_group(name)
    elif kind == "attribute":
        there = file if rng.random() < 0.5 else file[rng.choice(names)]
        keys = list(there.attrs)
        if keys:
            there.attrs[rng.choice(keys)] = rng.choice([-1, 99, "x", np.zeros(3), b"\xff", np.nan])
    elif kind == "transposed" and numbers:
        _replace(file, name, np.ascontiguousarray(values.T))
    elif kind == "text":
        _replace(file, name, rng.choice(["", "{", "[1, 2", "nul", "[" * 100_000, "9" * 5000]))
    return f"{kind} {name}"


def _replace(file: h5py.File, name: str, value: Any) -> None:
    if name in file:
        del file[name]
    file[name] = value


def _mutate(record: Any, rng: random.Random) -> str:
    """Change something somewhere in the record."""
    at, path = record, ""
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return path
        key = rng.choice(keys)
        path += f".{key}"
        inside = at[key]
        if isinstance(inside, (dict, list)) and inside and rng.random() < 0.7:
            at = inside
            continue
        if rng.random() < 0.25:
            del at[key]
        elif isinstance(at, list) and rng.random() < 0.3:
            at.append(inside)
        else:
            at[key] = rng.choice(_ODD)
        return path
