"""What a run of unmixing may be told: the way, what is known about components and concentrations, how they add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from cubeseg.errors import ConfigError

__all__ = ["Known", "Mixing"]

Way = Literal["gates", "nmf", "nmf-kl", "ica", "mcr-als", "vca", "n-findr", "references"]
Prior = Literal["volume", "smooth", "sparse", "none"]


@dataclass(frozen=True)
class Known:
    """A component that is known beforehand and stays as it is.

    Parameters
    ----------
    name : str
    values : tuple of float
        One for each band of the cube, not negative, in any unit; NaN where nothing is known.
    """

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Mixing:
    """Options of the method "unmix".

    Parameters
    ----------
    way : str
        "gates": the number of components is found, and the components are learned (after EB-gMCR, 2507.23600).
        For comparison, and as quick choices: "nmf" and "nmf-kl" (non-negative matrix factorisation with the Frobenius
        norm or the Kullback-Leibler divergence), "ica" (independent components), "mcr-als" (alternating least
        squares), "vca" and "n-findr" (purest pixels), "references" (only what is in `known`); concentrations by
        non-negative least squares.
    positive : bool
        Components are not negative.
    sum_to_one : {"auto", "yes", "no"}
        Whether the abundances of a pixel sum to one; "auto" = where asking for it does not double what is unexplained.
    prior : {"volume", "smooth", "sparse", "none"}
        What is asked of components beyond explaining the data: that they enclose the data tightly (minimum volume),
        that neighbouring bands are alike, or that most bands are empty.
    strength : float
        Factor on the weight of the prior, which the data set.
    aggregation : {"linear", "absorbance"}
        How components add up: directly, or as optical depths, of which exp(-depth) is measured.
    restarts : int
        Further fits from other starts; their spread tells how well determined the components are.
    known : tuple of Known
        Components that stay as they are.
    """

    way: Way = "gates"
    positive: bool = True
    sum_to_one: Literal["auto", "yes", "no"] = "auto"
    prior: Prior = "volume"
    strength: float = 1.0
    aggregation: Literal["linear", "absorbance"] = "linear"
    restarts: int = 3
    known: tuple[Known, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"mixing.{name}: '{getattr(self, name)}' is not one of {', '.join(allowed)}")
        if not 0 <= self.strength <= 1000:
            raise ConfigError(f"mixing.strength must lie between 0 and 1000, not {self.strength}")
        if not 0 <= self.restarts <= 50:
            raise ConfigError(f"mixing.restarts must lie between 0 and 50, not {self.restarts}")
        if self.way == "references" and not self.known:
            raise ConfigError("unmixing against reference spectra takes reference spectra; name them with --references")
        for known in self.known:
            values = np.asarray(known.values, float)
            if not (values[np.isfinite(values)] > 0).any():
                raise ConfigError(f"known component '{known.name}': there is no value above zero in it")
            if self.positive and (values[np.isfinite(values)] < 0).any():
                raise ConfigError(
                    f"known component '{known.name}': has negative values, but components are not negative; "
                    "set mixing.positive to false"
                )

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Mixing:
        """Build from plain values, as TOML and JSON give them.

        Raises
        ------
        ConfigError
            For an unknown option or a value of the wrong kind.
        """
        known = {f.name: f.default for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in options.items():
            if name not in known:
                raise ConfigError(f"unknown option 'mixing.{name}'; known are {', '.join(sorted(known))}")
            if name == "known":
                values[name] = tuple(_known(one) for one in value)
                continue
            wanted = type(known[name])
            if wanted is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if not isinstance(value, wanted) or isinstance(value, bool) is not (wanted is bool):
                raise ConfigError(f"mixing.{name} must be of type {wanted.__name__}, not {value!r}")
            values[name] = value
        return cls(**values)


def _known(one: Any) -> Known:
    if isinstance(one, Known):
        return one
    try:
        return Known(str(one["name"]), tuple(float("nan") if v is None else float(v) for v in one["values"]))
    except (TypeError, KeyError, ValueError):
        raise ConfigError("mixing.known: each component is a table with a name and values") from None


_CHOICES: dict[str, tuple[str, ...]] = {
    "way": get_args(Way),
    "sum_to_one": ("auto", "yes", "no"),
    "prior": get_args(Prior),
    "aggregation": ("linear", "absorbance"),
}
