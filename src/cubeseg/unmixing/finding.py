"""From a sample of spectra to components: how many, which, in which unit, and how well determined."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cubeseg.clustering.spatial import agreement
from cubeseg.errors import ConfigError
from cubeseg.mixing import Mixing
from cubeseg.steps import passing
from cubeseg.unmixing.abundances import Abundances
from cubeseg.unmixing.ambiguity import spread_of
from cubeseg.unmixing.bound import rank_of
from cubeseg.unmixing.classical import CLASSICAL, classical_components
from cubeseg.unmixing.gathered import gathered_simplex
from cubeseg.unmixing.initial import extreme, largest_simplex
from cubeseg.unmixing.selection import components_of
from cubeseg.unmixing.simplex import likeliest_simplex
from cubeseg.unmixing.volume import tightest

__all__ = ["Evidence", "Found", "find"]

Float32 = NDArray[np.float32]
Places = NDArray[np.intp]
Float64 = NDArray[np.float64]

# by how much squared residuals may rise for components that enclose the data tightly, where the noise is not known
_ALLOWED = 0.1
# numbers of components that are compared where the noise is not known
_MOST_COMPARED = 12
_PURE = 0.01
# spectra for comparisons and restarts; twice as many for the components themselves
_FEW = 1200
# unknown noise is white where no more directions than these stand out of what the smaller ones leave
_WHITE = 0.25
# weight of the volume where numbers of components are compared, as a part of the squared residuals
_COMPARED = 0.1


@dataclass(frozen=True, eq=False)
class Evidence:
    """The spectra that components are looked for in.

    Attributes
    ----------
    spectra : array of float32, shape (n, bins)
    noise : array, shape (n, bins), or None
        Standard deviation; None where it is not known.
    counts : bool
    pairs : (array, array), each of shape (m, bins)
        Spectra of neighbouring pixels.
    known : array, shape (m, bins)
        Components that stay.
    """

    spectra: Float32
    noise: NDArray[np.floating] | None
    counts: bool
    pairs: tuple[Float32, Float32]
    known: Float64


@dataclass(frozen=True, eq=False)
class Found:
    """Components (k, bins) in the unit of the data, the known ones first, and how they were found.

    Attributes
    ----------
    components, spread : array, shape (k, bins)
    rank : int
        How many spectra stand out of the noise.
    weight : float
        Of the volume, for each spectrum.
    scores : dict
        For every number of components that was compared.
    settled : bool
        Whether the components are likeliest as they are, so that nothing is left to learn.
    """

    components: Float64
    spread: Float64
    rank: int
    weight: float = 0.0
    scores: dict[int, float] = field(default_factory=dict)
    settled: bool = False


def find(evidence: Evidence, mixing: Mixing, numbers: tuple[int, int], seed: int) -> Generator[float, None, Found]:
    """Find components.

    Counts, and data whose noise is known: the number of smallest description length
    (:mod:`cubeseg.unmixing.selection`). Where the noise is not known but white, the number of directions that stand out
    of it. Otherwise what counts as noise is unknown, and the number is that whose components neighbouring pixels agree
    on best (:func:`cubeseg.clustering.spatial.agreement`), among those that vary more over the image than between
    neighbours.

    Yields
    ------
    float
        Part of the work that is done.

    Raises
    ------
    ConfigError
        If more components are asked for than the bands, or the spectra, can tell.
    """
    n, d = evidence.spectra.shape
    most = min(n, d)
    low, high = numbers
    if low > most:
        raise ConfigError(
            f"{low} components were asked for, but {n} spectra of {d} bands tell no more than {most}; ask for fewer"
        )
    if high < len(evidence.known):
        raise ConfigError(f"{len(evidence.known)} components are known, so there cannot be only {high}")
    scale = _whitening(evidence)
    rows = (evidence.spectra / scale[0][:, None] * scale[1]).astype(np.float32)
    known = evidence.known * scale[1]
    beyond = evidence.noise is not None
    rank = min(max(rank_of(rows)[0] if beyond else _beyond_neighbours(evidence), 1), most)
    exactly = low if low == high else 0
    if mixing.way == "references":
        return Found(evidence.known, np.zeros_like(evidence.known), rank)
    if mixing.way in CLASSICAL:
        k = exactly or int(np.clip(min(rank, _MOST_COMPARED), low, high))
        made = classical_components(mixing.way, evidence.spectra, k, seed)
        return Found(np.asarray(made, np.float64), np.zeros(made.shape), rank)
    standing = 0 if beyond else rank_of(evidence.spectra, None)[0]
    white = not beyond and standing <= most * _WHITE
    work = _Work(evidence, mixing, rows, known, scale[1], seed, white)
    scores: dict[int, float] = {}
    if beyond:
        start = yield from passing(work.paying(rank, exactly, (low, min(high, most))), lambda part: 0.6 * part)
    else:
        k = exactly
        if not exactly and white:
            k = int(np.clip(standing, max(low, len(known), 1), min(high, most)))
        elif not exactly:
            last = min(high, most, max(rank, low), _MOST_COMPARED + low - 1)
            candidates = range(max(low, 2, len(known)), last + 1)
            scores = yield from passing(work.compared(candidates), lambda part: 0.6 * part)
            k = max(scores, key=lambda one: scores[one]) if scores else max(low, len(known))
        start = work.extremes(rows, k, seed)
    few, weight = np.arange(0, n, max(1, n // 2 // _FEW)), 0.0
    if work.simplex:
        components = yield from passing(work.cornered(few, start, seed), lambda _: 0.6)
    else:
        components, weight = yield from passing(work.enclosed(rows[few], start), lambda _: 0.6)
    restarts = yield from passing(work.again(components, weight, beyond), lambda part: 0.7 + 0.3 * part)
    components = components / scale[1]
    spread = spread_of(components, [one / scale[1] for one in restarts])
    components, spread = _in_unit(components, np.asarray(spread, np.float64), evidence)
    return Found(components, spread, rank, weight, scores, work.simplex)


@dataclass(frozen=True, eq=False)
class _Work:
    """The steps of :func:`find`, on spectra (n, bins) whose noise is alike."""

    evidence: Evidence
    mixing: Mixing
    rows: Float32
    known: Float64
    bands: Float64
    seed: int
    white: bool

    @property
    def simplex(self) -> bool:
        """Whether the likeliest simplex tells the components: noise is not known, and none of them is.

        Not for depths, whose noise grows with them: there the model is learned in what was measured.
        """
        mixing = self.mixing
        unknown = self.evidence.noise is None and not len(self.known) and mixing.aggregation == "linear"
        return unknown and mixing.prior == "volume" and mixing.strength > 0

    def paying(self, rank: int, exactly: int, numbers: tuple[int, int]) -> Generator[float, None, Float64]:
        """Components that pay for themselves."""
        known, positive, beside = self.known.astype(np.float32), self.mixing.positive, _beside(len(self.rows))
        # from the number that pays for itself the same number comes out better than from the most extreme spectra
        found = yield from components_of(self.rows, rank, known, 0, positive, beside=beside)
        k = exactly or int(np.clip(len(found.components), max(numbers[0], len(known)), numbers[1]))
        if k != len(found.components):
            found = yield from components_of(self.rows, rank, known, k, positive, beside=beside)
        return found.components.astype(np.float64)

    def compared(self, candidates: range) -> Generator[float, None, dict[int, float]]:
        """How well neighbours agree on the components, for several numbers of them."""
        scores: dict[int, float] = {}
        few = self.rows[:: max(1, len(self.rows) // _FEW)]
        for turn, k in enumerate(candidates):
            start = self.extremes(few, k, self.seed)
            weight = _COMPARED * _left(few, start) / len(few) if self.mixing.prior == "volume" else 0.0
            steps = tightest(
                few, start, 0.0, len(self.known), self.mixing.positive, self.mixing.strength, weight, rounds=60
            )
            made = yield from passing(steps, _constant(turn / len(candidates)))
            scores[k] = _agreed(made.components / self.bands, self.evidence)
        return scores

    def extremes(self, rows: Float32, k: int, seed: int) -> Float64:
        """The known components, and the most extreme spectra beside them."""
        flat = np.asarray(rows, np.float64)
        if seed:
            flat = flat[np.random.default_rng(seed).permutation(len(flat))[: max(len(flat) // 2, k)]]
        if not len(self.known):
            return np.asarray(extreme(flat, k, _beside(len(flat)))[1])
        basis = np.linalg.qr(self.known.T)[0]
        places = extreme(flat - (flat @ basis) @ basis.T, k - len(self.known))[0]
        return np.concatenate([self.known, flat[places]])

    def cornered(self, drawn: Places, start: Float64, seed: int) -> Generator[float, None, Float64]:
        """The likeliest simplex, or the purest spectra where it explains less than they do.

        Components that are much alike differ by little more than noise; a simplex can then fall short of the data.
        """
        # white noise is the same in each spectrum, however bright
        rows = self.evidence.spectra[drawn] if self.white else self.rows[drawn]
        if len(start) < 2:
            return likeliest_simplex(rows, start, self.mixing.positive)
        purest = rows[largest_simplex(rows, len(start), seed)].astype(np.float64)
        if self.white:
            gathered = yield from passing(gathered_simplex(rows, purest, self.mixing.positive), lambda _: 0.0)
            return purest if gathered is None else gathered
        made = likeliest_simplex(rows, start, self.mixing.positive)
        return min((made, purest), key=lambda one: _left(rows, one))

    def enclosed(self, rows: Float32, start: Float64) -> Generator[float, None, tuple[Float64, float]]:
        """Components under the prior of tightness, and its weight."""
        # with known noise: no more than the components' own uncertainty, a unit for each of their values
        unknown = self.evidence.noise is None
        allowed = _ALLOWED if unknown else start.size / max(rows.size - start.size, 1)
        factor = self.mixing.strength if self.mixing.prior == "volume" else 0.0
        begin = np.array(start, np.float64)
        begin[: len(self.known)] = self.known
        found = yield from tightest(rows, begin, allowed, len(self.known), self.mixing.positive, factor)
        return found.components, found.weight

    def again(self, components: Float64, weight: float, beyond: bool) -> Generator[float, None, list[Float64]]:
        """The same fit of spectra drawn anew, from other starts where noise did not fix them."""
        k, others = len(components), []
        for restart in range(self.mixing.restarts if k > len(self.known) else 0):
            rng = np.random.default_rng((self.seed, restart))
            drawn = rng.integers(0, len(self.rows), min(len(self.rows), _FEW))
            rows = self.rows[drawn]
            begin = components if beyond else self.extremes(rows, k, self.seed + restart + 1)
            if self.simplex:
                corners = self.cornered(drawn, begin, restart)
                others.append((yield from passing(corners, _constant(restart / self.mixing.restarts))))
                continue
            steps = tightest(rows, begin, 0.0, len(self.known), self.mixing.positive, weight=weight)
            others.append((yield from passing(steps, _constant(restart / self.mixing.restarts))).components)
        return others


def _left(rows: Float32, components: Float64) -> float:
    """Squared residuals of what non-negative amounts of components leave."""
    unit = components / np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-30)
    return float(((rows - Abundances(unit, np.ones(rows.shape[1]), False, False)(rows) @ unit) ** 2).sum())


def _constant(part: float) -> Callable[[float], float]:
    return lambda _: part


def _whitening(evidence: Evidence) -> tuple[Float64, Float64]:
    """Noise of each spectrum (n,), and one over that of each band (bins,): together they make the noise alike."""
    x = evidence.spectra.astype(np.float64)
    if evidence.counts:
        share = np.maximum(x.sum(axis=0), 0.5)
        share /= share.sum()
        return np.sqrt(np.maximum(x.sum(axis=1), 1.0)), 1 / np.sqrt(share)
    if evidence.noise is None:
        return np.maximum(np.linalg.norm(x, axis=1), 1e-3 * np.median(np.linalg.norm(x, axis=1)) + 1e-30), np.ones(
            x.shape[1]
        )
    band = np.sqrt(np.maximum(np.median(evidence.noise.astype(np.float64) ** 2, axis=0), 1e-30))
    return np.maximum(np.median(evidence.noise / band, axis=1), 1e-12), 1 / band


def _beyond_neighbours(evidence: Evidence) -> int:
    """How many directions vary more over the image than between neighbours: noise, light and texture do not.

    Minimum noise fractions (Green et al. 1988) of the shape of the spectra, with a signal of at least half.
    """
    first, second = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in evidence.pairs)
    if len(first) < 50:
        return min(3, len(evidence.spectra))
    both = np.concatenate([first, second]).astype(np.float64)
    leading = np.linalg.eigh(both.T @ both)[1][:, ::-1][:, : min(40, both.shape[1])]
    apart = (first - second) @ leading / np.sqrt(2)
    noise = apart.T @ apart / len(apart)
    noise += np.eye(len(noise)) * max(np.trace(noise) / len(noise) * 1e-4, 1e-15)
    white = both @ leading @ np.linalg.inv(np.linalg.cholesky(noise)).T
    values = np.linalg.eigvalsh(white.T @ white / len(white))
    return len(values[values > 2])


def _beside(n: int) -> int:
    return max(1, n // 200)


def _agreed(components: Float64, evidence: Evidence) -> float:
    """How well neighbours agree on their largest component."""
    unit = components / np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-30)
    solve = Abundances(unit, np.ones(unit.shape[1]), False, False)
    first, second = (solve(x).argmax(axis=1).astype(np.int32) for x in evidence.pairs)
    return agreement(first, second, len(components))


def _in_unit(components: Float64, spread: Float64, evidence: Evidence) -> tuple[Float64, Float64]:
    """Components of counts sum to one, so that abundances are photons; others are as bright as the purest pixels."""
    if evidence.counts:
        factor = 1 / np.maximum(components.sum(axis=1), 1e-30)
    else:
        unit = components / np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-30)
        amounts = Abundances(unit, np.ones(unit.shape[1]), False, False)(evidence.spectra).astype(np.float64)
        shares = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-30)
        pure = max(1, int(_PURE * len(shares)))
        factor = np.array([np.median(amounts[np.argsort(-shares[:, j])[:pure], j]) for j in range(len(unit))])
        factor = np.where(factor > 0, factor, 1.0) / np.maximum(np.linalg.norm(components, axis=1), 1e-30)
    return components * factor[:, None], spread * factor[:, None]
