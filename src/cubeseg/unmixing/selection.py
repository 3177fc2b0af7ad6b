"""How many components: alternating least squares whose every gate and every component has to pay for itself.

The energy is half the squared residuals in units of the noise (nats), plus a price for every open gate and a price for
every component: a description length (Rissanen 1978; Schwarz 1978), whose minimum fits the noise level by itself:
neither is there a threshold on the error, nor does chance in the evaluation add components.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeseg.unmixing.abundances import nonnegative
from cubeseg.unmixing.initial import extreme

__all__ = ["Mixture", "components_of", "usage"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_ROUNDS, _ANNEALED, _AFTER = 40, 20, 10
# components that are tried on top, as a part of those found
_MORE = 0.05


@dataclass(frozen=True, eq=False)
class Mixture:
    """What was found for a sample.

    Attributes
    ----------
    components : array of float32, shape (k, d)
        Of unit length.
    amounts : array, shape (n, k)
    chi2 : float
        Squared residuals in units of the noise, per degree of freedom: what remains after components and open gates.
    """

    components: Float32
    amounts: Float64
    chi2: float


def components_of(
    spectra: Float32,
    rank: int,
    fixed: Float32 | None = None,
    exactly: int = 0,
    nonnegative_components: bool = True,
    tries: int = 3,
    beside: int = 1,
) -> Generator[float, None, Mixture]:
    """Find the number of components, and the components.

    From successive projection of the denoised spectra; then least squares for the open gates and the components in
    turn, while the price of a gate rises to its full height. The spectra that are explained worst then offer
    themselves as further components, and every component that does not pay its price is given up.

    Parameters
    ----------
    spectra : array, shape (n, d)
        In units of their noise.
    rank : int
        How many stand out of the noise (:func:`cubeseg.unmixing.bound.rank_of`).
    fixed : array, shape (m, d), optional
        Known components, which stay as they are and are never given up.
    exactly : int
        How many there are; 0 = to be found.
    nonnegative_components : bool
    tries : int
        Times that further components are tried.
    beside : int
        See :func:`cubeseg.unmixing.initial.extreme`.

    Yields
    ------
    float
        Part of the work that is done.

    Returns
    -------
    Mixture
    """
    n, d = spectra.shape
    known = np.zeros((0, d), np.float32) if fixed is None else _unit(fixed)[0]
    k = max(exactly or rank, len(known) + (0 if len(known) else 1))
    state = _State(spectra, _begin(spectra, k, max(rank, k), known, beside), len(known), nonnegative_components)
    total = _ROUNDS + tries * (2 * _AFTER)
    for turn in range(_ROUNDS):
        state.improve(min(1.0, turn / _ANNEALED), sweeps=10 if turn == 0 else 2)
        yield turn / total
    done = _ROUNDS
    for _ in range(0 if exactly else tries):
        before, energy = state.copy(), state.energy()
        state.extend(max(2, int(np.ceil(_MORE * len(state.components)))))
        for _ in range(_AFTER):
            state.improve()
            yield done / total
            done += 1
        while state.prune():
            for _ in range(3):
                state.improve()
            yield done / total
        for _ in range(_AFTER):
            state.improve()
            yield done / total
            done += 1
        if state.energy() >= energy - 1e-6 * abs(energy):
            # nothing was gained; those that do not pay are given up all the same
            if len(before.components) <= len(state.components):
                state = before
                while state.prune():
                    for _ in range(3):
                        state.improve()
                    yield min(done / total, 1.0)
            break
    free = n * d - (len(state.components) - len(known)) * d - int((state.amounts > 0).sum())
    return Mixture(state.components, state.amounts, float(2 * state.misfit() / max(free, 1)))


def usage(amounts: NDArray[np.floating]) -> Float64:
    """The part of all that is mixed that each component carries, shape (k,), from amounts (n, k) of unit components."""
    mass = (np.asarray(amounts, np.float64) ** 2).sum(axis=0)
    return np.asarray(mass / max(float(mass.sum()), 1e-300))


def _begin(spectra: Float32, k: int, rank: int, known: Float32, beside: int) -> Float32:
    """Known components, and the most extreme spectra of what they do not explain."""
    leading = np.linalg.eigh((spectra.T @ spectra).astype(np.float64))[1][:, ::-1][:, : min(rank, len(spectra))]
    axes = leading.astype(np.float32)
    denoised = (spectra @ axes) @ axes.T
    way = axes[:, 0] * np.sign(axes[:, 0].sum() or 1.0)
    rank = axes.shape[1]
    depth = denoised @ way
    flat = denoised / np.maximum(depth, 1e-2 * np.median(np.abs(depth)) + 1e-30)[:, None]
    if len(known):
        basis = np.linalg.qr(known.T.astype(np.float64))[0]
        flat = flat - (flat @ basis) @ basis.T
    wanted = min(k - len(known), rank)
    places, purest = extreme(flat, wanted, beside)
    # where the rank does not reach for as many as are wanted, any spectra do
    rest = np.setdiff1d(np.arange(len(spectra)), places)[: k - len(known) - wanted]
    first = denoised[places] if len(known) or beside == 1 else purest
    found = np.concatenate([known, np.maximum(first, 0), np.maximum(denoised[rest], 0)])
    return _unit(found)[0]


def _unit(spectra: NDArray[np.floating]) -> tuple[Float32, Float64]:
    norms = np.linalg.norm(spectra, axis=1)
    safe = np.where(norms > 0, norms, 1.0)
    return (spectra / safe[:, None]).astype(np.float32), safe.astype(np.float64)


class _State:
    """Components and amounts on their way; the first `known` components stay."""

    def __init__(self, spectra: Float32, components: Float32, known: int, positive: bool) -> None:
        self.spectra, self.components, self.known, self.positive = spectra, components, known, positive
        self.amounts = np.zeros((len(spectra), len(components)))

    def copy(self) -> _State:
        made = _State(self.spectra, self.components.copy(), self.known, self.positive)
        made.amounts = self.amounts.copy()
        return made

    @property
    def price(self) -> float:
        """Of an open gate: which component it is, and how much of it (half a logarithm of what tells it)."""
        return float(np.log(max(len(self.components), 2)) + 0.5 * np.log(self.spectra.shape[1]))

    @property
    def cost(self) -> float:
        """Of a component: half a logarithm of the spectra for each of its values."""
        n, d = self.spectra.shape
        return float(0.5 * d * np.log(max(n, 2)))

    def misfit(self) -> float:
        rest = self.spectra - self.amounts.astype(np.float32) @ self.components
        return 0.5 * float(np.einsum("nd,nd->", rest, rest, dtype=np.float64))

    def energy(self) -> float:
        opened = int((self.amounts > 0).sum())
        return self.misfit() + self.price * opened + self.cost * (len(self.components) - self.known)

    def improve(self, part: float = 1.0, sweeps: int = 2) -> None:
        """Amounts, then components, once; `part` of the price of a gate counts."""
        gram = (self.components @ self.components.T).astype(np.float64)
        products = self.spectra @ self.components.T
        self.amounts = nonnegative(gram, products, self.amounts, sweeps, part * self.price)
        moments = self.amounts.T @ self.amounts
        wanted = (self.amounts.astype(np.float32).T @ self.spectra).astype(np.float32)
        weights = moments.astype(np.float32)
        for j in range(self.known, len(self.components)):
            if moments[j, j] <= 0:
                continue
            new = self.components[j] + (wanted[j] - weights[j] @ self.components) / weights[j, j]
            self.components[j] = np.maximum(new, 0) if self.positive else new
        self.components, norms = _unit(self.components)
        self.amounts *= norms

    def extend(self, more: int) -> None:
        """The spectra that are explained worst become components."""
        rest = self.spectra - self.amounts.astype(np.float32) @ self.components
        worst = np.argsort(-np.einsum("nd,nd->n", rest, rest))[:more]
        self.components = np.concatenate([self.components, _unit(self.spectra[worst])[0]])
        self.amounts = np.concatenate([self.amounts, np.zeros((len(self.spectra), len(worst)))], axis=1)

    def prune(self) -> bool:
        """Give up the components that do not pay, the worst third at once; False where all pay."""
        k = len(self.components)
        if k <= max(self.known, 1):
            return False
        gram = (self.components @ self.components.T).astype(np.float64)
        # what is lost at least, if the others may take over without limits
        alone = 1 / np.maximum(np.diag(np.linalg.pinv(gram, hermitian=True)), 1e-12)
        least = 0.5 * (self.amounts**2).sum(axis=0) * alone
        gain = np.full(k, np.inf)
        for j in np.flatnonzero(least < 2 * self.cost):
            if j >= self.known:
                gain[j] = self._gain(int(j), gram)
        poor = np.flatnonzero(gain < self.cost)
        if not poor.size:
            return False
        gone = poor[np.argsort(gain[poor])[: min(max(1, len(poor) // 3), k - max(self.known, 1))]]
        kept = np.setdiff1d(np.arange(k), gone)
        self.components, self.amounts = self.components[kept], self.amounts[:, kept]
        return True

    def _gain(self, j: int, gram: Float64) -> float:
        """By how much the energy of the spectra that use a component would rise without it."""
        users = np.flatnonzero(self.amounts[:, j] > 0)
        if not users.size:
            return 0.0
        kept = np.delete(np.arange(len(self.components)), j)
        own, others = self.spectra[users], self.components[kept]
        with_it, start = self.amounts[users], self.amounts[np.ix_(users, kept)]
        without = nonnegative(gram[np.ix_(kept, kept)], own @ others.T, start, 6, self.price)

        def energy(amounts: Float64, components: Float32) -> float:
            rest = own - amounts.astype(np.float32) @ components
            squares = 0.5 * float(np.einsum("nd,nd->", rest, rest, dtype=np.float64))
            return squares + self.price * int((amounts > 0).sum())

        return energy(without, others) - energy(with_it, self.components)
