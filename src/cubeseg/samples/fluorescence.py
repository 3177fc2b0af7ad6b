"""X-ray fluorescence of layered paint under a tube, as a silicon drift detector counts it: a forward model.

Attenuation, photoelectric and scattering cross-sections, edge jumps, fluorescence yields and line shares are those of
Elam, Ravel & Sieber (2002), read through xraydb. A stack of layers is lit at normal incidence and seen at 45 degrees:
a layer of mass thickness m below layers that attenuate by A emits of line l, with chi = mu(E) + mu(l)/sin 45,

    I_l = sum_E I0(E) A(E, l) c tau_shell(E) omega p_l (1 - exp(-chi m)) / chi        (Sherman 1955, primary term)

and scatters tube photons by the same integral, coherently at E and incoherently at the Compton energy of 135 degrees.

Left out: secondary fluorescence, Coster-Kronig transitions, polarisation and the angle dependence of scattering.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layer", "detected", "emitted"]

Float64 = NDArray[np.float64]

_TUBE_KV = 40.0
_TAKE_OFF = 1 / np.sin(np.radians(45))
_EXCITATION = np.arange(1.25, _TUBE_KV, 0.5)
# the continuum is computed every 0.5 keV and must not show it; lines are sharp
_GRID_WIDTH = np.r_[np.full(len(_EXCITATION), 0.3), np.zeros(3)]
_RHODIUM = ((20.216, 0.052), (20.074, 0.027), (22.72, 0.021))  # keV, share of the tube's photons


@dataclass(frozen=True)
class Layer:
    """What one layer is made of and how much of it there is.

    Parameters
    ----------
    composition : tuple of (str, float)
        Chemical formulas and their mass fractions.
    mass : float
        Mass per area in g/cm^2.
    """

    composition: tuple[tuple[str, float], ...]
    mass: float


def emitted(layers: tuple[Layer, ...]) -> tuple[Float64, Float64, Float64]:
    """All that leaves a stack towards the detector.

    Parameters
    ----------
    layers : tuple of Layer
        From the surface inwards.

    Returns
    -------
    energies : array, shape (n,)
        keV.
    photons : array, shape (n,)
        Relative to the photons of the tube.
    width : array, shape (n,)
        Natural or Compton width (sigma) in keV.
    """
    tube, weight = _tube()
    energies: list[Float64] = []
    photons: list[Float64] = []
    widths: list[Float64] = []
    above = [dict[str, float]()]
    masses = [0.0]
    for layer in layers:
        elements = _elements(layer.composition)
        mu_in = _attenuation(elements, tube)
        shade_in = sum((m * _attenuation(e, tube) for e, m in zip(above, masses, strict=True)), np.zeros_like(tube))

        def leaving(
            out: Float64, made: Float64, layer: Layer = layer, elements: dict[str, float] = elements,
            mu_in: Float64 = mu_in, shade_in: Float64 = shade_in,
        ) -> Float64:  # fmt: skip
            """Photons of energies `out` for production `made` per g/cm^2; both broadcast against the tube's."""
            shade = shade_in + _TAKE_OFF * sum(
                (m * _attenuation(e, out) for e, m in zip(above, masses, strict=True)), np.zeros_like(out)
            )
            chi = mu_in + _TAKE_OFF * _attenuation(elements, out)
            return np.asarray(weight * np.exp(-shade) * made * -np.expm1(-chi * layer.mass) / chi)

        for element, share in elements.items():
            for energy, made in _fluorescence(element):
                energies.append(np.array([energy]))
                photons.append(leaving(np.full_like(tube, energy), share * made).sum(keepdims=True))
                widths.append(np.zeros(1))
        scattered = _attenuation(elements, tube, "coh")
        energies.append(tube)
        photons.append(leaving(tube, scattered))
        widths.append(_GRID_WIDTH)
        shifted = tube / (1 + tube / 511.0 * (1 - np.cos(np.radians(135))))
        energies.append(shifted)
        photons.append(leaving(shifted, _attenuation(elements, tube, "incoh")))
        widths.append(np.hypot(_GRID_WIDTH, 0.012 * shifted))
        above.append(elements)
        masses.append(layer.mass)
    return np.concatenate(energies), np.concatenate(photons), np.concatenate(widths)


def detected(axis: Float64, energies: Float64, photons: Float64, widths: Float64) -> Float64:
    """Expected spectrum on the channels of an SDD.

    FWHM^2 = (2.355)^2 (sigma_el^2 + F eps E) with F = 0.114, eps = 3.65 eV, sigma_el = 28.9 eV (135 eV at 5.9 keV); a
    low-energy tail of 2 %, a shelf of 0.3 %, silicon escape peaks, sum peaks of 0.3 % of the photons.

    Parameters
    ----------
    axis : array, shape (bands,)
        Channel energies in keV, evenly spaced.
    energies, photons, widths : arrays, shape (n,)
        As :func:`emitted` gives them.

    Returns
    -------
    array, shape (bands,)
    """
    step = axis[1] - axis[0]
    seen = photons * _sensitivity(energies)
    keep = seen > 1e-7 * seen.sum()
    energy, area, width = energies[keep, None], seen[keep, None], widths[keep, None]
    sigma = np.sqrt((28.9**2 + 0.114 * 3.65 * 1000 * energy) / 1e6 + width**2)
    x = axis[None]
    lit = 0.977 * _gaussian(x - energy, sigma) + 0.02 * np.exp(np.minimum(x - energy, 0) / 0.4) * (x < energy) / 0.4
    lit += 0.003 * (x < energy) / energy
    found = (area * lit).sum(axis=0) * step
    escaping = (energy > 1.84) & (energy < 12)
    escape = area * 0.01 * np.exp(-(energy - 2) / 3) * escaping
    found += (escape * _gaussian(x - (energy - 1.74), sigma)).sum(axis=0) * step
    pile = np.convolve(found, found) / found.sum()
    offset = round(axis[0] / step)
    summed = np.zeros_like(found)
    summed[offset:] = pile[: len(found) - offset]
    return np.asarray(0.997 * found + 0.003 * summed)


def _gaussian(x: Float64, sigma: Float64) -> Float64:
    return np.asarray(np.exp(-0.5 * (x / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)))


def _sensitivity(energies: Float64) -> Float64:
    """Transmission of 12.5 um Be times absorption in 450 um Si, and of 1 cm air on the way."""
    beryllium = np.exp(-_attenuation({"Be": 1.0}, energies) * 1.848 * 12.5e-4)
    silicon = -np.expm1(-_attenuation({"Si": 1.0}, energies) * 2.33 * 450e-4)
    return np.asarray(beryllium * silicon * np.exp(-_attenuation(_elements(AIR.composition), energies) * AIR.mass))


def _tube() -> tuple[Float64, Float64]:
    """Energies (keV) and shares of the tube's photons: Kramers' continuum behind 125 um Be, and Rh K lines."""
    beryllium = np.exp(-_attenuation({"Be": 1.0}, _EXCITATION) * 1.848 * 125e-4)
    continuum = (_TUBE_KV / _EXCITATION - 1) * beryllium
    continuum *= 0.9 / continuum.sum()
    lines = np.array(_RHODIUM)
    return np.concatenate([_EXCITATION, lines[:, 0]]), np.concatenate([continuum, lines[:, 1]])


@cache
def _fluorescence(element: str) -> tuple[tuple[float, Float64], ...]:
    """Lines above 1 keV: energy (keV) and production (cm^2/g) at each energy of the tube."""
    import xraydb

    tube = _tube()[0]
    photo = xraydb.mu_elam(element, tube * 1000, kind="photo")
    edges = {name: edge for name, edge in xraydb.xray_edges(element).items() if name[0] in "KLM"}
    found = []
    for line in xraydb.xray_lines(element).values():
        energy = line.energy / 1000
        edge = edges.get(line.initial_level)
        if edge is None or energy < 1.0 or line.intensity * edge.fyield < 1e-5:
            continue
        # of the absorbed photons, deeper shells that are open take their part first
        share = np.where(tube * 1000 > edge.energy, 1 - 1 / edge.jump_ratio, 0.0)
        for other in edges.values():
            if other.energy > edge.energy:
                share = np.where(tube * 1000 > other.energy, share / other.jump_ratio, share)
        found.append((energy, photo * share * edge.fyield * line.intensity))
    return tuple(found)


def _attenuation(elements: dict[str, float], energies: Float64, kind: str = "total") -> Float64:
    """Mass attenuation (cm^2/g) of a mixture given by mass fractions, at energies in keV."""
    total = np.zeros_like(energies)
    for element, share in elements.items():
        total += share * np.exp(np.interp(np.log(energies), *_table(element, kind)))
    return total


@cache
def _table(element: str, kind: str) -> tuple[Float64, Float64]:
    import xraydb

    grid = np.geomspace(0.25, 45, 800)
    return np.log(grid), np.log(np.maximum(xraydb.mu_elam(element, grid * 1000, kind=kind), 1e-12))


def _elements(composition: tuple[tuple[str, float], ...]) -> dict[str, float]:
    """Mass fractions of the elements of a mixture of formulas."""
    import xraydb

    found: dict[str, float] = {}
    total = sum(share for _, share in composition)
    for formula, share in composition:
        atoms = xraydb.chemparse(formula)
        masses = {element: n * xraydb.atomic_mass(element) for element, n in atoms.items()}
        for element, mass in masses.items():
            found[element] = found.get(element, 0.0) + share / total * mass / sum(masses.values())
    return found


AIR = Layer((("N2", 0.755), ("O2", 0.232), ("Ar", 0.013)), 1.2e-3)
