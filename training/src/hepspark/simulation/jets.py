"""Anti-kT jets of many events at once, their b-tags, and the leptons that are kept out of them."""

import awkward as ak
import fastjet
import numpy as np

from hepspark.simulation.detector import b_tag_probability
from hepspark.simulation.particles import Floats, Integers, Mask, Particles, delta_r, from_cartesian
from hepspark.simulation.processes import heavy_flavour

RADIUS = 0.5
PT_MIN = 20.0
ISOLATED_BELOW = 0.25
_CONE = 0.3
_TAG_ETA_MAX = 2.5
_HADRON_PT_MIN = 5.0


def isolation(leptons: Particles, candidates: Particles) -> Floats:
    """Scalar pT sum of the candidates within ΔR < 0.3 of each lepton, itself left out, over its pT."""
    near, which = _pairs(leptons, candidates, _CONE)
    around = np.bincount(near, candidates.pt[which], len(leptons))
    return np.asarray((around - leptons.pt) / leptons.pt)


def cluster(candidates: Particles, events: int) -> Particles:
    """Jets of more than 20 GeV, R = 0.5, by decreasing pT in each event; candidates are taken as massless."""
    counts = np.bincount(candidates.event, minlength=events)
    px, py = candidates.pt * np.cos(candidates.phi), candidates.pt * np.sin(candidates.phi)
    pz = candidates.pt * np.sinh(candidates.eta)
    energy = candidates.pt * np.cosh(candidates.eta)
    # A particle far too soft to matter: fastjet's arrays want something in every event.
    ghosts = np.full(events, 1e-6)
    order = np.argsort(np.concatenate([candidates.event, np.arange(events)]), kind="stable")
    momenta = {
        name: np.concatenate([values, ghost])[order]
        for name, values, ghost in (
            ("px", px, ghosts), ("py", py, 0 * ghosts), ("pz", pz, 0 * ghosts), ("E", energy, ghosts)
        )
    }  # fmt: skip
    array = ak.unflatten(ak.zip(momenta, with_name="Momentum4D"), counts + 1)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    found = fastjet.ClusterSequence(array, definition).inclusive_jets(min_pt=PT_MIN)
    event = np.repeat(np.arange(events, dtype=np.int64), ak.num(found.px).to_numpy())
    flat = ak.flatten(found)
    zero = np.zeros(len(event))
    momentum = [np.asarray(flat[name].to_numpy(), np.float64) for name in ("px", "py", "pz", "E")]
    jets = from_cartesian(event, zero.astype(np.int64), momentum, (zero, zero, zero))
    return jets[np.lexsort((-jets.pt, jets.event))]


def flavour(jets: Particles, hadrons: Particles) -> Integers:
    """Heaviest quark (5, 4 or 0) of the generated hadrons above 5 GeV inside each jet."""
    hard = hadrons[hadrons.pt > _HADRON_PT_MIN]
    found = np.zeros(len(jets), np.int64)
    near, which = _pairs(jets, hard, RADIUS)
    np.maximum.at(found, near, heavy_flavour(hard.pid)[which])
    return found


def b_tags(jets: Particles, hadrons: Particles, rng: np.random.Generator) -> Mask:
    """Which jets are tagged as coming from b quarks; only where there are tracks."""
    probability = b_tag_probability(flavour(jets, hadrons), jets.pt)
    return np.asarray((rng.random(len(jets)) < probability) & (np.abs(jets.eta) < _TAG_ETA_MAX))


def _pairs(centres: Particles, others: Particles, radius: float) -> tuple[Integers, Integers]:
    """Indices of all pairs (centre, other) of the same event that are closer than a radius."""
    start = np.searchsorted(others.event, centres.event, "left")
    counts = np.searchsorted(others.event, centres.event, "right") - start
    centre = np.repeat(np.arange(len(centres)), counts)
    other = np.arange(len(centre)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(start, counts)
    distance = delta_r(centres.eta[centre], centres.phi[centre], others.eta[other], others.phi[other])
    return centre[distance < radius], other[distance < radius]
