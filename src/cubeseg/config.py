"""Every option of a run, checked once, in one frozen object that is stored with the result."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from cubeseg.errors import ConfigError, first_line
from cubeseg.mixing import Mixing

__all__ = ["PRESETS", "FitConfig", "Ramp", "Scaling", "parse_clusters", "parse_coherence", "parse_memory"]

Method = Literal["deep", "global", "pca", "unmix"]
NoiseChoice = Literal["auto", "poisson", "gaussian"]
Scaling = Literal["hellinger", "log-max", "shape", "shape+brightness", "whitened", "signal", "signal+brightness"]
# bytes of a configuration: one known component of 16,384 bands takes 300 KB
_LONGEST = 16 << 20
# keys of so many parts take the parser minutes
_NESTED = re.compile(r"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*\.[ \t]*){64}")
# more than these no network is built with, no machine has
_MOST = {"layers": 64, "encoding": 1 << 16, "latent": 1 << 12, "threads": 1024}
# where a method has defaults of its own: unmixing finds the number of components by itself
_OF_METHOD: dict[str, dict[str, Any]] = {"unmix": {"clusters": (1, 255)}}


@dataclass(frozen=True)
class Ramp:
    """A weight that rises linearly from `low` to `high` (Bombini et al. 2024, beta(t) and gamma(t)).

    Parameters
    ----------
    low, high : float
        Weight before `start` and from `end` on.
    start, end : float
        As fractions of the whole training, 0 to 1, so that they hold for any number of epochs.
    """

    low: float = 0.0
    high: float = 0.0
    start: float = 0.0
    end: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.low < math.inf and 0 <= self.high < math.inf):
            raise ConfigError("a loss weight is a number that is not negative; use 0 to switch the term off")
        if not 0 <= self.start <= self.end <= 1:
            raise ConfigError("a ramp needs 0 <= start <= end <= 1 (fractions of the training)")

    def at(self, progress: float) -> float:
        """Weight at a point of the training (0 = start, 1 = end)."""
        if progress >= self.end:
            return self.high
        if progress <= self.start:
            return self.low
        return self.low + (self.high - self.low) * (progress - self.start) / (self.end - self.start)


@dataclass(frozen=True)
class FitConfig:
    """Options of :func:`cubeseg.fit`; the defaults are meant to be left alone.

    Parameters
    ----------
    method : {"deep", "global", "pca", "unmix"}
        "deep": autoencoder + iterative K-means (arXiv 2401.17695). "global": one dictionary of classes learned from
        patches, neighbours included, for cubes and series of any size (arXiv 2512.24172). "pca": principal components +
        K-means, as a quick look and a baseline. "unmix": component spectra and abundances (after arXiv 2507.23600); the
        class of a pixel is its largest component.
    clusters : (int, int)
        Smallest and largest number of classes; equal numbers fix it.
    epochs : int
        Passes over the training spectra.
    seed : int
        The same seed gives the same labels on the same machine.
    device : str
        "auto", "cpu", "cuda" or "mps".
    noise : {"auto", "poisson", "gaussian"}
        Likelihood of the reconstruction; "auto" looks at the file and the data.
    threads : int
        CPU threads of the computation; 0 = one for every core.
    memory : int
        Peak memory in bytes that the run aims to keep to, whatever the cube's size.
    network : {"infovae", "ae"}
        Variational with the MMD term of InfoVAE, or a plain autoencoder.
    block : {"snn", "dnn"}
        SELU with alpha dropout, or ReLU with dropout.
    layers : int
        Linear layers of the encoder before the two heads; widths halve from one to the next.
    encoding, latent : int
        Width of the last encoder layer and dimension of the latent space.
    dropout : float
    linear : bool
        A linear path beside the network, started from principal components (not for counts, whose likelihood has no
        such start, nor as published).
    beta, gamma : Ramp
        Weights of the MMD term and of the clustering term.
    coordinates : {"decoded", "latent"}
        Where K-means measures: on the principal axes of what the codes decode to, in the metric of the noise, or
        on the codes themselves, whose distances an autoencoder leaves arbitrary.
    scaling : str
        "auto" chooses by the agreement of neighbours among those that suit the data (:mod:`cubeseg.sampling.scaling`);
        or one of "shape", "shape+brightness", "whitened", "signal", "signal+brightness", "hellinger", "log-max".
    refine : bool
        After K-means. For counts: let each pixel choose the class whose mean spectrum explains its photons best (hard
        expectation-maximisation under the multinomial, Banerjee et al. 2005). Otherwise: measure distances by the
        covariance inside the classes (a mixture with one shared, shrunk covariance).
    selection : {"agreement", "silhouette"}
        How the number of classes is chosen: by what neighbours agree on
        (:func:`cubeseg.training.refinement.choose_number`), or by the simplified silhouette of iterative K-means;
        without `refine` always the latter.
    coherence : float or "auto"
        Strength of the spatial coherence of the labels, in nats per agreeing neighbour
        (:mod:`cubeseg.clustering.spatial`); 0 = every pixel for itself, "auto" = what the image itself suggests.
    combine : {"sum", "product"}
        Total loss: rec + beta*mmd + gamma*cluster, or (rec + beta*mmd)(1 + gamma*cluster)/(1 + gamma).
    clustering_loss : {"silhouette", "kmeans", "prototypes"}
        Soft silhouette, deep k-means or sharpened memberships (:mod:`cubeseg.models.losses`).
    weighting : {"fixed", "constrained"}
        "constrained": gamma grows as long as the reconstruction stays within 2 % of the best it has reached, and
        shrinks where it does not (GECO, Rezende & Viola 2018, 1810.00597).
    reconstruction : {"relative", "absolute"}
        Unit of the reconstruction term: that of the mean spectrum, or the plain mean over bands as published.
    schedule : {"onecycle", "plateau"}
        Learning rate: up and down once, or divided by ten when the loss no longer falls, as published.
    bounded : bool
        Codes within [-1, 1] and outputs within [0, 1], as published; needs scaling "log-max".
    settled : float
        The training ends early when this part of the labels is the same in three previews one after the other; 1 =
        never.
    batch : int
    learning_rate : float
    bins : int
        Spectra with more bands are summed (counts) or averaged down to at most this many.
    sample : int
        At most this many spectra are drawn for the training, evenly over the image.
    patch : int
        Side in pixels of the patches that method "global" learns from.
    objective : {"information", "published"}
        Of method "global": information about the classes with registered views and a reconstruction that holds it, or
        the published set of losses, which is kept for comparison.
    scheduler : str
        Address of a running Dask scheduler ("tcp://host:8786") whose workers read and label the cube; empty = this
        machine. The labels are the same.
    mixing : Mixing
        Options of the method "unmix".
    """

    method: Method = "deep"
    clusters: tuple[int, int] = (4, 12)
    epochs: int = 20
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    noise: NoiseChoice = "auto"
    memory: int = 1 << 30
    network: Literal["infovae", "ae"] = "infovae"
    block: Literal["snn", "dnn"] = "snn"
    layers: int = 3
    encoding: int = 32
    latent: int = 8
    dropout: float = 0.0
    linear: bool = True
    beta: Ramp = Ramp(0.0, 0.05, 0.2, 0.5)
    gamma: Ramp = Ramp(0.0, 0.05, 0.4, 0.7)
    coordinates: Literal["decoded", "latent"] = "decoded"
    scaling: Scaling | Literal["auto"] = "auto"
    refine: bool = True
    selection: Literal["agreement", "silhouette"] = "agreement"
    coherence: float | Literal["auto"] = "auto"
    combine: Literal["sum", "product"] = "sum"
    clustering_loss: Literal["silhouette", "kmeans", "prototypes"] = "silhouette"
    weighting: Literal["fixed", "constrained"] = "fixed"
    reconstruction: Literal["relative", "absolute"] = "relative"
    schedule: Literal["onecycle", "plateau"] = "onecycle"
    bounded: bool = False
    settled: float = 0.995
    batch: int = 256
    learning_rate: float = 1e-3
    bins: int = 1024
    sample: int = 32768
    patch: int = 32
    objective: Literal["information", "published"] = "information"
    scheduler: str = ""
    mixing: Mixing = field(default_factory=Mixing)

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name}: '{getattr(self, name)}' is not one of {', '.join(allowed)}")
        low, high = self.clusters
        if low < 1:
            raise ConfigError(f"clusters: at least 1 class is needed, not {low}")
        if high < low:
            raise ConfigError(f"clusters: the range {low}:{high} is reversed; write {high}:{low}")
        if high > 255:
            raise ConfigError(f"clusters: {high} classes are more than anyone can tell apart; at most 255")
        for name in ("epochs", "layers", "encoding", "latent", "batch", "bins", "sample"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("epochs", "layers", "encoding", "latent", "batch", "bins", "sample", "seed", "threads"):
            if getattr(self, name) > (most := _MOST.get(name, 2**31 - 1)):
                raise ConfigError(f"{name} must be at most {most}")
        if not 8 <= self.patch <= 256:
            raise ConfigError(f"patch: its side must lie between 8 and 256 pixels, not {self.patch}")
        if self.threads < 0:
            raise ConfigError(f"threads must not be negative, not {self.threads}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, not {self.seed}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must lie in [0, 1), not {self.dropout}")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate must be a positive number, not {self.learning_rate}")
        if self.coherence != "auto" and not 0 <= self.coherence <= 10:
            raise ConfigError(f"coherence must lie between 0 (off) and 10, or be auto, not {self.coherence}")
        if not 0 < self.settled <= 1:
            raise ConfigError(f"settled is a part of the labels, above 0 and at most 1, not {self.settled}")
        if self.bounded and self.scaling != "log-max":
            raise ConfigError("bounded: only scaling 'log-max' lies between 0 and 1; set both or none")
        if self.memory < 64 << 20:
            raise ConfigError("memory: less than 64MiB leaves no room to work; try 1GiB")

    @property
    def cluster_range(self) -> range:
        """All numbers of classes to be tried."""
        return range(self.clusters[0], self.clusters[1] + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :meth:`from_mapping` reads them back."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> FitConfig:
        """Build from plain values, as TOML and JSON give them; "preset" names one of :data:`PRESETS` to start from.

        Raises
        ------
        ConfigError
            For an unknown option or a value of the wrong kind.
        """
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        options = dict(options)
        preset = options.pop("preset", "default")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ConfigError(f"preset: '{preset}' is not one of {', '.join(PRESETS)}")
        own = _OF_METHOD.get(str(options.get("method")), {})
        for name, value in (PRESETS[preset] | own | options).items():
            if name not in known:
                raise ConfigError(f"unknown option '{name}'; known are {', '.join(sorted(known))}")
            try:
                values[name] = _coerce(name, value, known[name].default)
            except (TypeError, ValueError, OverflowError):
                raise ConfigError(f"{name}: {str(value)[:80]!r} makes no sense") from None
        return cls(**values)

    @classmethod
    def from_toml(cls, path: str | Path, **overrides: Any) -> FitConfig:
        """Read a TOML file; `overrides` (those that are not None) win over it.

        Raises
        ------
        ConfigError
            If the file is missing, is no TOML, or holds an unknown option.
        """
        try:
            with Path(path).open("rb") as file:
                text = file.read(_LONGEST + 1)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
        if len(text) > _LONGEST:
            raise ConfigError(f"{path}: is too long for a configuration; at most {_LONGEST >> 20} MiB are read")
        try:
            # editors of Windows begin a text with a mark of its encoding
            decoded = text.decode("utf-8-sig")
            if _NESTED.search(decoded):
                raise ValueError("a key has more than 64 parts")
            options = tomllib.loads(decoded)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: is not valid TOML ({first_line(error)})") from error
        try:
            return cls.from_mapping(options | {k: v for k, v in overrides.items() if v is not None})
        except ConfigError as error:
            # names and values come from the file, and may hold anything
            raise ConfigError(f"{path}: {' '.join(str(error).split())[:500]}") from error


# "paper": the class defaults of the published code (arXiv 2401.17695); "paper-global": the loss set of the published
# code of Deep Global Clustering (arXiv 2512.24172); see docs/how-it-works.md for what differs
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "clusters": (4, 12), "epochs": 100, "network": "ae", "block": "snn", "layers": 4, "encoding": 32, "latent": 6,
        "dropout": 0.1, "linear": False, "beta": 0.0, "gamma": 0.05, "combine": "sum", "clustering_loss": "silhouette",
        "reconstruction": "absolute", "scaling": "log-max", "bounded": True, "coordinates": "latent", "refine": False,
        "coherence": 0.0, "batch": 256, "learning_rate": 1e-3, "schedule": "plateau", "settled": 1.0,
    },
    "paper-global": {"method": "global", "objective": "published", "settled": 1.0, "coherence": 0.0},
}  # fmt: skip

_CHOICES: dict[str, tuple[str, ...]] = {
    "method": get_args(Method),
    "noise": get_args(NoiseChoice),
    "device": ("auto", "cpu", "cuda", "mps"),
    "network": ("infovae", "ae"),
    "block": ("snn", "dnn"),
    "combine": ("sum", "product"),
    "coordinates": ("decoded", "latent"),
    "clustering_loss": ("silhouette", "kmeans", "prototypes"),
    "selection": ("agreement", "silhouette"),
    "weighting": ("fixed", "constrained"),
    "objective": ("information", "published"),
    "reconstruction": ("relative", "absolute"),
    "schedule": ("onecycle", "plateau"),
    "scaling": ("auto", *get_args(Scaling)),
}


def _coerce(name: str, value: Any, default: Any) -> Any:
    if name == "clusters":
        return parse_clusters(value)
    if name == "memory":
        return parse_memory(value)
    if name == "coherence":
        return parse_coherence(value)
    if isinstance(default, Ramp):
        if isinstance(value, Ramp):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return Ramp(float(value), float(value))
        if isinstance(value, Mapping) and set(value) <= {f.name for f in fields(Ramp)}:
            return Ramp(**{k: float(v) for k, v in value.items()})
        raise ConfigError(f"{name} must be a number or a table with low, high, start and end")
    if name == "mixing":
        if isinstance(value, Mixing):
            return value
        if isinstance(value, Mapping):
            return Mixing.from_mapping(value)
        raise ConfigError("mixing must be a table of options")
    wanted = type(default)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, wanted) or isinstance(value, bool) is not (wanted is bool):
        raise ConfigError(f"{name} must be of type {wanted.__name__}, not {value!r}")
    return value


def parse_clusters(value: Any) -> tuple[int, int]:
    """Read ``8``, ``"8"``, ``"4:12"`` or ``(4, 12)``.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(v, int) for v in value):
        return int(value[0]), int(value[1])
    match = re.fullmatch(r"\s*(\d+)\s*(?::\s*(\d+)\s*)?", value) if isinstance(value, str) else None
    if not match:
        raise ConfigError(f"clusters: '{value}' is neither a number (8) nor a range (4:12)")
    low = int(match[1])
    return low, int(match[2]) if match[2] else low


def parse_coherence(value: Any) -> float | Literal["auto"]:
    """Read a number, as such or as text, or ``"auto"``.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if value == "auto":
        return "auto"
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"coherence: '{value}' is neither a number nor auto") from None


def parse_memory(value: Any) -> int:
    """Read a number of bytes or ``"1GiB"``, ``"800MB"``.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?\s*", str(value), re.IGNORECASE)
    if not match:
        raise ConfigError(f"memory: '{value}' is no size; write for example 1GiB or 800MB")
    unit = (match[2] or "").upper()
    base = 1024 if unit.endswith("I") else 1000
    return int(float(match[1]) * base ** " KMGT".index(unit[0] if unit else " "))
