"""Arrays of particles of many events, and the little geometry they need."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

ELECTRON, MUON, PHOTON = 11, 13, 22
NEUTRINOS = (12, 14, 16)
CHARGED = (11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334)
"""PDG codes, without sign, of the charged particles that reach a detector."""


@dataclass(frozen=True)
class Particles:
    """Particles of a batch of events: one entry per particle in every array, ordered by event.

    Momenta and energies are in GeV, positions of production in mm.
    """

    event: Integers
    pid: Integers
    pt: Floats
    eta: Floats
    phi: Floats
    energy: Floats
    x: Floats
    y: Floats
    z: Floats

    def __len__(self) -> int:
        return len(self.event)

    def __getitem__(self, chosen: Mask | Integers) -> "Particles":
        return Particles(**{name: getattr(self, name)[chosen] for name in NAMES})


NAMES = tuple(field.name for field in fields(Particles))
"""The arrays of `Particles`."""


def concatenate(parts: Sequence[Particles]) -> Particles:
    """Particles of several sources, brought into the order of their events."""
    joined = Particles(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in NAMES})
    return joined[np.argsort(joined.event, kind="stable")]


def renumbered(particles: Particles, event: Integers | int) -> Particles:
    """The same particles in events of other numbers."""
    return replace(particles, event=np.broadcast_to(np.asarray(event, np.int64), (len(particles),)))


def of_events(particles: Particles, kept: Integers) -> Particles:
    """The particles of chosen events, given in ascending order; they are numbered 0, 1, 2, … afterwards."""
    chosen = particles[np.isin(particles.event, kept)]
    return renumbered(chosen, np.searchsorted(kept, chosen.event))


def nothing() -> Particles:
    """No particles."""
    integers, floats = np.zeros(0, np.int64), np.zeros(0)
    return Particles(integers, integers, *[floats] * (len(NAMES) - 2))


def from_cartesian(event: Integers, pid: Integers, momentum: Sequence[Floats], vertex: Sequence[Floats]) -> Particles:
    """Particles from (px, py, pz, E) in GeV and where they were produced, (x, y, z) in mm."""
    px, py, pz, energy = momentum
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.maximum(pt, 1e-9))
    x, y, z = vertex
    return Particles(event, pid, pt, eta, np.arctan2(py, px), energy, x, y, z)


def wrap_phi(phi: Floats) -> Floats:
    """Azimuths or their differences, in [-π, π)."""
    return (phi + np.pi) % (2 * np.pi) - np.pi


def delta_r(eta1: Floats, phi1: Floats, eta2: Floats, phi2: Floats) -> Floats:
    """Distance √(Δη² + Δφ²) of directions; broadcasts."""
    return np.hypot(eta1 - eta2, wrap_phi(phi1 - phi2))


def is_charged(pid: Integers) -> Mask:
    """Whether particles leave tracks."""
    return np.isin(np.abs(pid), CHARGED)
