"""Further proton collisions in the same bunch crossing, drawn from a pool of minimum-bias events."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hepspark.simulation.particles import NAMES, Integers, Particles, concatenate, renumbered, wrap_phi
from hepspark.simulation.processes import generate

SHARD_EVENTS = 500
"""Pool events that are generated together; a fixed number, so that the pool does not depend on the workers."""
BEAM_SPOT_Z = 53.0
"""Spread of the collisions along the beam, in mm."""
_PT_MIN, _ETA_MAX = 0.3, 5.0


@dataclass(frozen=True)
class Pool:
    """Minimum-bias events: event i is particles[offsets[i]:offsets[i + 1]]."""

    particles: Particles
    offsets: Integers

    def __len__(self) -> int:
        return len(self.offsets) - 1


def make_shard(events: int, seed: int, path: Path, progress: Callable[[int], None]) -> None:
    """Generate a part of the pool into a file, telling now and then how many more events there are."""
    parts: list[Particles] = []
    done = 0
    for truth in generate("minbias", seed, events):
        chosen = truth.particles
        visible = (chosen.pt > _PT_MIN) & (np.abs(chosen.eta) < _ETA_MAX) & (chosen.event < events - done)
        part = chosen[visible]
        parts.append(renumbered(part, part.event + done))
        progress(min(len(truth), events - done))
        done += len(truth)
        if done >= events:
            break
    np.savez(path, events=np.int64(events), **vars(concatenate(parts)))


def load_pool(shards: list[Path]) -> Pool:
    """The pool that shards make up together."""
    parts: list[Particles] = []
    done = 0
    for path in shards:
        with np.load(path) as stored:
            part = Particles(**{name: stored[name] for name in NAMES})
            parts.append(renumbered(part, part.event + done))
            done += int(stored["events"])
    particles = concatenate(parts)
    return Pool(particles, np.searchsorted(particles.event, np.arange(done + 1)))


def overlay(pool: Pool, events: int, mean: float, rng: np.random.Generator) -> Particles:
    """Pile-up of a batch of events.

    Every pool event is used with a random azimuth, side of the detector and place along the beam,
    so that a pool much smaller than the sample does not repeat itself visibly.

    Args:
        pool: Where collisions are drawn from.
        events: Length of the batch.
        mean: Mean number of further collisions, which is Poisson distributed.
        rng: Source of random numbers.
    """
    crossing = np.repeat(np.arange(events, dtype=np.int64), rng.poisson(mean, events))
    drawn = rng.integers(len(pool), size=len(crossing))
    turn = rng.uniform(-np.pi, np.pi, len(crossing))
    side = rng.choice([-1.0, 1.0], len(crossing))
    shift = rng.normal(0.0, BEAM_SPOT_Z, len(crossing))

    counts = pool.offsets[drawn + 1] - pool.offsets[drawn]
    which = np.repeat(np.arange(len(crossing)), counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = pool.particles[pool.offsets[drawn][which] + within]
    cos, sin = np.cos(turn)[which], np.sin(turn)[which]
    return Particles(
        event=crossing[which],
        pid=chosen.pid,
        pt=chosen.pt,
        eta=chosen.eta * side[which],
        phi=wrap_phi(chosen.phi + turn[which]),
        energy=chosen.energy,
        x=chosen.x * cos - chosen.y * sin,
        y=chosen.x * sin + chosen.y * cos,
        z=chosen.z * side[which] + shift[which],
    )
