"""All features of a chunk of events."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hepspark.events import Events, Integers
from hepspark.features.hlf import high_level
from hepspark.features.particles import Sequences, sequences
from hepspark.features.selection import ISOLATION, candidates, choose, hard_leptons

CUTS: Final = ("read", "candidates", "lepton", "isolated")
"""Cuts in their order: events read; with a track, a photon and a neutral hadron; with an electron or tight muon
above 23 GeV; with an isolated one."""


@dataclass(frozen=True)
class Features:
    """What is computed of m selected events."""

    selected: Integers
    """Shape (m,): which events of the chunk they are, counted from 0, rising."""
    hlf: npt.NDArray[np.float32]
    """Shape (m, 14), in the order of `schema.HLF`."""
    sequences: Sequences | None
    """Their particles, if asked for."""
    cut_flow: dict[str, int]
    """Events left after each of `CUTS`."""


def compute(events: Events, *, particles: bool = True, published: bool = False) -> Features:
    """Select events and compute their features.

    Args:
        events: Any number of events.
        particles: Whether to make the particle sequences.
        published: Whether to reproduce the published code (cerndb/SparkDLTrigger) where it differs from its
            description: MT is squared, isolation cones break at φ = ±π, the choice between electron and muon is by
            η, isolations count the particle itself as that code does, and of too many particles the first are kept.
    """
    wrap_at = 2.0 * np.pi if published else np.pi
    groups = candidates(events)
    complete = np.all([group.counts > 0 for group in groups], axis=0)
    leptons = hard_leptons(events, groups, wrap_at, published=published)
    leptons = leptons.take(complete[leptons.event])
    isolated = leptons.take(leptons.isolation.sum(axis=1) < ISOLATION)
    chosen = choose(isolated, published=published)
    cut_flow = (len(events), np.count_nonzero(complete), len(np.unique(leptons.event)), len(chosen.event))
    return Features(
        selected=chosen.event,
        hlf=high_level(events, chosen, published=published),
        sequences=sequences(groups, chosen, wrap_at, published=published) if particles else None,
        cut_flow=dict(zip(CUTS, map(int, cut_flow), strict=True)),
    )
