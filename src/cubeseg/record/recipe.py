"""A run in writing: its options as the TOML that ``--config`` reads, or as a command to be run in a terminal."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from cubeseg.config import FitConfig
from cubeseg.errors import ConfigError, DataError
from cubeseg.mixing import Mixing
from cubeseg.source import Source

__all__ = ["as_command", "as_toml", "read_options"]

# options of the run that the command has a word for
_WORDS = ("epochs", "seed", "device", "noise", "coherence", "memory", "scheduler")


def as_toml(config: FitConfig) -> str:
    """The options of a run, as ``cubeseg segment --config`` and :meth:`cubeseg.FitConfig.from_toml` read them.

    Method, number of classes, epochs and seed, and whatever else is not as it would be anyway.
    """
    lines = [f"method = {_value(config.method)}", f"clusters = {_value(_clusters(config))}"]
    special = _special(config)
    mixing = special.pop("mixing", {})
    for name, value in ({"epochs": config.epochs, "seed": config.seed} | special).items():
        lines.append(f"{name} = {_value(value)}")
    known = mixing.pop("known", ())
    if mixing:
        lines += ["", "[mixing]", *(f"{name} = {_value(value)}" for name, value in mixing.items())]
    for one in known:
        lines += ["", "[[mixing.known]]", *(f"{name} = {_value(value)}" for name, value in one.items())]
    return "\n".join(lines) + "\n"


def as_command(config: FitConfig, source: Source, output: str | Path | None = None) -> str:
    """A run as a command for the terminal of this system.

    Parameters
    ----------
    config : FitConfig
    source : Source
        Of the cube.
    output : str or Path, optional
        The result file; beside the cube where not given.

    Raises
    ------
    ConfigError
        If the options do not fit on a line: components that are known take a file.
    DataError
        If the cube is in no file.
    """
    if not source.path:
        raise DataError("the cube is in no file, so no command can name it; save it first")
    if config.mixing.known:
        raise ConfigError(
            "components that stay are too long for a command; save the settings, and name that file with --config"
        )
    path = Path(source.path)
    said = ["cubeseg", "segment", str(path), "-o", str(output or path.with_name(f"{path.stem}-classes.h5"))]
    said += ["--method", config.method, "--clusters", _clusters(config)]
    special = _special(config)
    mixing = special.pop("mixing", {})
    if "way" in mixing:
        said += ["--way", mixing.pop("way")]
    for name in _WORDS:
        if name in special:
            said += [f"--{name}", str(special.pop(name))]
    if mixing:
        special["mixing"] = mixing
    for name, value in special.items():
        said += ["--option", f"{name}={_value(value)}"]
    if source.dataset:
        said += ["--dataset", source.dataset]
    if source.spectral_axis is not None:
        said += ["--spectral-axis", str(source.spectral_axis)]
    if source.axis:
        said += [f"--axis={source.axis}"]
    for name, value in source.settings:
        said += ["--set", f"{name}={value}"]
    return subprocess.list2cmdline(said) if os.name == "nt" else shlex.join(said)


def read_options(texts: Iterable[str]) -> dict[str, Any]:
    """What ``--option NAME=VALUE`` says, values as in TOML; words need no quotation marks.

    Raises
    ------
    ConfigError
        If it cannot be understood.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier():
            raise ConfigError(f"--option takes NAME=VALUE, not '{text}'")
        try:
            found |= tomllib.loads(f"{name} = {value}")
        except tomllib.TOMLDecodeError:
            if not value or any(c in value for c in "[]{}\"'"):
                raise ConfigError(f"--option {name}: '{value}' cannot be read; write it as in TOML") from None
            found[name] = value
    return found


def _special(config: FitConfig) -> dict[str, Any]:
    """Options that are not what the method has by itself; of unmixing too."""
    usual = FitConfig.from_mapping({"method": config.method})
    names = [f.name for f in fields(FitConfig) if f.name not in ("method", "clusters")]
    found = {n: getattr(config, n) for n in names if getattr(config, n) != getattr(usual, n)}
    if "mixing" in found:
        plain, mixing = asdict(config.mixing), Mixing.__dataclass_fields__
        found["mixing"] = {n: v for n, v in plain.items() if v != mixing[n].default}
    return {n: asdict(v) if hasattr(v, "__dataclass_fields__") else v for n, v in found.items()}


def _clusters(config: FitConfig) -> str:
    low, high = config.clusters
    return str(low) if low == high else f"{low}:{high}"


def _value(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return repr(value)
