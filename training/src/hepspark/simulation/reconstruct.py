"""Generated events become events as a detector records them."""

from dataclasses import dataclass, replace

import numpy as np

from hepspark.simulation import detector, jets
from hepspark.simulation.particles import ELECTRON, MUON, Floats, Integers, Mask, Particles, concatenate, of_events
from hepspark.simulation.pileup import BEAM_SPOT_Z, Pool, overlay
from hepspark.simulation.processes import Truth

LEPTON_PT_MIN = 20.0
"""An event is recorded if it has a reconstructed electron or muon above this pT in GeV."""


@dataclass(frozen=True)
class Recorded:
    """Recorded events, numbered from 0; all collections are ordered by event, leptons and jets by falling pT too."""

    parent: Integers
    tracks: Particles
    photons: Particles
    neutral_hadrons: Particles
    electrons: Particles
    muons: Particles
    jets: Particles
    b_tag: Mask
    missing_et: Floats
    missing_phi: Floats

    def __len__(self) -> int:
        return len(self.parent)


def reconstruct(truth: Truth, pool: Pool | None, pileup: float, rng: np.random.Generator) -> Recorded:
    """What the detector records of those generated events that have a lepton."""
    events = len(truth)
    vertex_z = rng.normal(0.0, BEAM_SPOT_Z, events)
    signal = truth.particles
    particles = replace(signal, z=signal.z + vertex_z[signal.event])
    if pool is not None:
        particles = concatenate([particles, overlay(pool, events, pileup, rng)])

    tracks, tracked = detector.tracks(particles, rng)
    tracks = tracks[(tracks.pt > detector.TRACK_PT_MIN) & detector.from_vertex(tracks, vertex_z)]
    photons = detector.photons(particles, tracked, rng)
    photons = photons[photons.pt > detector.NEUTRAL_ET_MIN]
    neutrals = detector.neutral_hadrons(particles, tracked, rng)
    neutrals = neutrals[neutrals.pt > detector.NEUTRAL_ET_MIN]

    candidates = concatenate([tracks, photons, neutrals])
    lepton = np.isin(np.abs(candidates.pid), (ELECTRON, MUON))
    lepton[lepton] = detector.identified(candidates[lepton], rng)
    leptons = candidates[lepton]
    isolated = np.zeros(len(candidates), np.bool_)
    isolated[lepton] = jets.isolation(leptons, candidates) < jets.ISOLATED_BELOW

    found = jets.cluster(candidates[~isolated], events)
    tagged = jets.b_tags(found, truth.hadrons, rng)
    size, azimuth = detector.missing_et(candidates, events)

    leptons = leptons[np.lexsort((-leptons.pt, leptons.event))]
    everything = Recorded(
        parent=truth.parent,
        tracks=tracks,
        photons=photons,
        neutral_hadrons=neutrals,
        electrons=leptons[np.abs(leptons.pid) == ELECTRON],
        muons=leptons[np.abs(leptons.pid) == MUON],
        jets=found,
        b_tag=tagged,
        missing_et=size,
        missing_phi=azimuth,
    )
    return chosen(everything, np.unique(leptons.event[leptons.pt > LEPTON_PT_MIN]))


def chosen(recorded: Recorded, kept: Integers) -> Recorded:
    """Some of the events, given in ascending order, numbered from 0 again."""
    return Recorded(
        parent=recorded.parent[kept],
        tracks=of_events(recorded.tracks, kept),
        photons=of_events(recorded.photons, kept),
        neutral_hadrons=of_events(recorded.neutral_hadrons, kept),
        electrons=of_events(recorded.electrons, kept),
        muons=of_events(recorded.muons, kept),
        jets=of_events(recorded.jets, kept),
        b_tag=recorded.b_tag[np.isin(recorded.jets.event, kept)],
        missing_et=recorded.missing_et[kept],
        missing_phi=recorded.missing_phi[kept],
    )
