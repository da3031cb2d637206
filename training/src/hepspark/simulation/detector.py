"""A fast parametrised detector after the CMS cards of Delphes (arXiv:1307.6346).

Every function takes arrays over many events and returns arrays of the same length, unless it says otherwise.
Momenta and energies are in GeV, lengths in mm.

Left out: the magnetic field's bending (particles keep their direction), showers that overlap with tracks, conversions,
and pile-up subtraction for neutral particles; pile-up tracks are dropped by their longitudinal distance to the vertex.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hepspark.simulation.particles import (
    ELECTRON,
    MUON,
    PHOTON,
    Floats,
    Integers,
    Mask,
    Particles,
    is_charged,
    wrap_phi,
)

TRACKER_ETA_MAX = 2.5
CALORIMETER_ETA_MAX = 5.0
BARREL_ETA_MAX = 1.5
TRACK_PT_MIN = 0.5
NEUTRAL_ET_MIN = 1.0
VERTEX_DISTANCE_MAX = 1.0
"""How far along the beam a track may pass from the vertex to belong to it. b hadrons fly far, yet their tracks,
extrapolated to the beam line, miss the vertex by little in z."""
_VERTEX_RESOLUTION = 0.05
# An energy counts if it is so many times its resolution; that is more than the calorimeters' own thresholds.
_ECAL_SIGMAS, _HCAL_SIGMAS = 2.0, 1.0
_NEUTRAL_HADRON = 130  # a long-lived kaon stands for all


def track_efficiency(pid: Integers, pt: Floats, eta: Floats) -> Floats:
    """Probability that a charged particle gives a track."""
    kind = np.abs(pid)
    barrel = np.abs(eta) <= BARREL_ETA_MAX
    soft, hard = pt <= 1.0, pt > 100.0
    hadron = np.where(soft, np.where(barrel, 0.70, 0.60), np.where(barrel, 0.95, 0.85))
    electron_firm = np.where(barrel, np.where(hard, 0.99, 0.95), np.where(hard, 0.90, 0.83))
    electron = np.where(soft, np.where(barrel, 0.73, 0.50), electron_firm)
    muon = np.where(soft, np.where(barrel, 0.75, 0.70), np.where(barrel, 0.99, 0.98))
    efficiency = np.select([kind == ELECTRON, kind == MUON], [electron, muon], hadron)
    return np.where((pt > 0.1) & (np.abs(eta) <= TRACKER_ETA_MAX), efficiency, 0.0)


def track_resolution(pid: Integers, pt: Floats, eta: Floats) -> Floats:
    """Relative pT resolution of tracks: a constant and a term that grows with pT, by region."""
    kind = np.abs(pid)
    region = np.digitize(np.abs(eta), [0.5, BARREL_ETA_MAX])
    hadron_constant, hadron_slope = np.array([0.06, 0.10, 0.25]), np.array([1.3e-3, 1.7e-3, 3.1e-3])
    constant = np.select(
        [kind == ELECTRON, kind == MUON],
        [np.array([0.03, 0.05, 0.15])[region], np.array([0.01, 0.015, 0.025])[region]],
        hadron_constant[region],
    )
    slope = np.where(kind == MUON, np.array([1.0e-4, 1.5e-4, 3.5e-4])[region], hadron_slope[region])
    return np.hypot(constant, slope * pt)


def ecal_resolution(energy: Floats, eta: Floats) -> Floats:
    """Energy resolution of the electromagnetic calorimeter, absolute."""
    size = np.abs(eta)
    central = np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    forward = np.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy)
    barrel, endcap = (1 + 0.64 * eta**2) * central, (2.16 + 5.6 * (size - 2) ** 2) * central
    return np.where(size <= BARREL_ETA_MAX, barrel, np.where(size <= 2.5, endcap, forward))


def hcal_resolution(energy: Floats, eta: Floats) -> Floats:
    """Energy resolution of the hadronic calorimeter, absolute."""
    central = np.sqrt((0.050 * energy) ** 2 + 1.50**2 * energy)
    forward = np.sqrt((0.130 * energy) ** 2 + 2.70**2 * energy)
    return np.where(np.abs(eta) <= 3.0, central, forward)


def smear(value: Floats, sigma: Floats, rng: np.random.Generator) -> Floats:
    """Positive values drawn around `value`, log-normal with that mean and standard deviation."""
    width = np.sqrt(np.log1p((sigma / value) ** 2))
    return np.asarray(value * np.exp(width * rng.standard_normal(len(value)) - width**2 / 2))


def z_at_beam_line(particles: Particles) -> Floats:
    """The z at which a straight track, extrapolated from where it began, comes closest to the beam line."""
    along = particles.x * np.cos(particles.phi) + particles.y * np.sin(particles.phi)
    return np.asarray(particles.z - along * np.sinh(particles.eta))


def tracks(particles: Particles, rng: np.random.Generator) -> tuple[Particles, Mask]:
    """Tracks of charged particles, and which of the given particles gave one."""
    efficiency = track_efficiency(particles.pid, particles.pt, particles.eta)
    seen = is_charged(particles.pid) & (rng.random(len(particles)) < efficiency)
    true = particles[seen]
    pt = smear(true.pt, true.pt * track_resolution(true.pid, true.pt, true.eta), rng)
    x, y, z = (axis + rng.normal(0.0, _VERTEX_RESOLUTION, len(true)) for axis in (true.x, true.y, true.z))
    return replace(true, pt=pt, energy=true.energy * pt / true.pt, x=x, y=y, z=z), seen


def from_vertex(tracks: Particles, vertex_z: Floats) -> Mask:
    """Which tracks point at the vertex of their event; the others are taken for pile-up.

    Args:
        tracks: Tracks of all events.
        vertex_z: The vertex of each event.
    """
    return np.asarray(np.abs(z_at_beam_line(tracks) - vertex_z[tracks.event]) < VERTEX_DISTANCE_MAX)


def photons(particles: Particles, tracked: Mask, rng: np.random.Generator) -> Particles:
    """What the electromagnetic calorimeter sees of photons, and of electrons that left no track."""
    kind = np.abs(particles.pid)
    seen = (kind == PHOTON) | ((kind == ELECTRON) & ~tracked)
    return _towers(particles[seen], PHOTON, 0.0174, np.pi / 180, ecal_resolution, _ECAL_SIGMAS, rng)


def neutral_hadrons(particles: Particles, tracked: Mask, rng: np.random.Generator) -> Particles:
    """What the hadronic calorimeter sees of neutral hadrons, and of charged ones that left no track."""
    seen = ~np.isin(np.abs(particles.pid), (PHOTON, ELECTRON, MUON)) & ~tracked
    return _towers(particles[seen], _NEUTRAL_HADRON, 0.087, np.pi / 36, hcal_resolution, _HCAL_SIGMAS, rng)


def _towers(
    particles: Particles,
    pid: int,
    eta_width: float,
    phi_width: float,
    resolution: Callable[[Floats, Floats], Floats],
    sigmas: float,
    rng: np.random.Generator,
) -> Particles:
    """Particles that hit the same cell become one, of smeared energy, if it stands out of the noise."""
    particles = particles[np.abs(particles.eta) < CALORIMETER_ETA_MAX]
    n_eta = int(2 * CALORIMETER_ETA_MAX / eta_width) + 2
    n_phi = round(2 * np.pi / phi_width) + 1
    i_eta = ((particles.eta + CALORIMETER_ETA_MAX) / eta_width).astype(np.int64)
    i_phi = ((wrap_phi(particles.phi) + np.pi) / phi_width).astype(np.int64)
    number = (particles.event * n_eta + i_eta) * n_phi + i_phi
    cells, first, cell = np.unique(number, return_index=True, return_inverse=True)
    hit = replace(particles[first], pid=np.full(len(cells), pid))

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(cell, values, len(cells)), np.float64)

    energy = total(particles.energy)
    # Cells do not reach over the border of φ, so that plain means of the angles are right.
    eta = total(particles.energy * particles.eta) / energy
    phi = total(particles.energy * wrap_phi(particles.phi)) / energy
    measured = smear(energy, resolution(energy, eta), rng)
    kept = measured > sigmas * resolution(measured, eta)
    pt = measured / np.cosh(eta)
    return replace(hit, pt=pt, eta=eta, phi=phi, energy=measured)[kept]


def identified(leptons: Particles, rng: np.random.Generator) -> Mask:
    """Which electron and muon tracks of more than 10 GeV pass identification."""
    size = np.abs(leptons.eta)
    electron = np.where(size <= BARREL_ETA_MAX, 0.95, np.where(size <= 2.5, 0.85, 0.0))
    muon = np.where(size <= 2.4, 0.95, 0.0)
    efficiency = np.where(np.abs(leptons.pid) == ELECTRON, electron, muon)
    return np.asarray((leptons.pt > 10.0) & (rng.random(len(leptons)) < efficiency))


def b_tag_probability(flavour: Integers, pt: Floats) -> Floats:
    """Probability that a jet is tagged: efficiency for b (5), mistag for c (4) and light quarks or gluons (0)."""
    b = 0.85 * np.tanh(0.0025 * pt) * 25.0 / (1 + 0.063 * pt)
    c = 0.25 * np.tanh(0.018 * pt) / (1 + 0.0013 * pt)
    return np.select([flavour == 5, flavour == 4], [b, c], 0.01 + 0.000038 * pt)


def missing_et(candidates: Particles, events: int) -> tuple[Floats, Floats]:
    """Size and azimuth of the momentum that balances all candidates in the transverse plane, per event."""
    x = np.bincount(candidates.event, candidates.pt * np.cos(candidates.phi), events)
    y = np.bincount(candidates.event, candidates.pt * np.sin(candidates.phi), events)
    return np.hypot(x, y), np.arctan2(-y, -x)
