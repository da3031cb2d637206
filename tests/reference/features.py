"""The features of one event, by plain loops and `math`: slow, and meant to be read.

This follows the definitions in prose (arXiv:1909.10389 and arXiv:1807.00083) and shares nothing with
`hepspark.features` but them. `published=True` gives what the published code computes where it differs.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from tests.reference.delphes import Event

CONE = 0.3
OWN_TRACK = 1e-4

Row = tuple[float, ...]
"""An object of an event: pT, η, φ and more."""


class Particle(NamedTuple):
    """One particle of the sequence."""

    pt: float
    eta: float
    phi: float
    vtx_x: float
    vtx_y: float
    vtx_z: float
    iso_ch: float
    iso_gamma: float
    iso_neu: float
    type: int
    charge: int


@dataclass
class Result:
    """How far an event came and, where it was selected, its features."""

    passed: tuple[bool, bool, bool]
    """Has all three kinds of candidates; a lepton above 23 GeV; an isolated one."""
    hlf: list[float] | None = None
    particles: list[Particle] | None = None


def features(event: Event, *, published: bool = False) -> Result:
    """The features of an event."""
    tracks = [track for track in event.tracks if track[0] > 0.5]
    photons = [photon for photon in event.photons if photon[0] > 1.0]
    neutrals = [neutral for neutral in event.neutrals if neutral[0] > 1.0]
    if not (tracks and photons and neutrals):
        return Result((False, False, False))

    def isolations(lepton: Row) -> list[float]:
        pt = lepton[0]
        around = [
            [c for c in group if distance2(c, lepton, published) < CONE * CONE] for group in (tracks, photons, neutrals)
        ]
        if published:  # takes it for granted that the lepton's track is there, with the lepton's pT
            return [
                sum(c[0] for c in around[0]) / pt - 1,
                sum(c[0] for c in around[1]) / pt,
                sum(c[0] for c in around[2]) / pt,
            ]
        others = [c for c in around[0] if not is_own_track(c, lepton)]
        return [sum(c[0] for c in group) / pt for group in (others, around[1], around[2])]

    hard = [("electron", e) for e in event.electrons if e[0] > 23.0] + [("muon", m) for m in event.muons if m[0] > 23.0]
    if not hard:
        return Result((True, False, False))
    isolated = [(kind, lepton) for kind, lepton in hard if sum(isolations(lepton)) < 0.45]
    if not isolated:
        return Result((True, True, False))
    kind, lepton = published_choice(isolated) if published else max(isolated, key=lambda item: item[1][0])

    met, met_phi = event.met
    jets = [jet for jet in event.jets if jet[0] > 30.0 and abs(jet[1]) < 2.6]
    mt2 = 2.0 * met * lepton[0] * (1.0 - math.cos(lepton[2] - met_phi))
    iso = isolations(lepton)
    hlf = [
        sum(jet[0] for jet in jets),
        met,
        met_phi,
        mt2 if published else math.sqrt(mt2),
        len(jets),
        sum(1 for jet in jets if jet[2] > 0),
        *lepton[:3],
        *iso,
        lepton[3],
        1.0 if kind == "electron" else 0.0,
    ]

    groups = (tracks, photons, neutrals)
    sequence = []
    for number, limit in enumerate((450, 150, 200)):
        kept = [c for c in groups[number] if not (number == 0 and is_own_track(c, lepton))]
        if published:  # counts in the file's order
            kept = kept[:limit]
        else:
            hardest = sorted(kept, key=lambda c: -c[0])[:limit]  # stable: of equal pT the first in the file stay
            kept = [c for c in kept if any(c is k for k in hardest)]
        for c in kept:
            sums = [
                sum(o[0] for o in group if o is not c and distance2(c, o, published) < CONE * CONE) for group in groups
            ]
            if published:  # adds each particle to its own sum, and takes 1 off every charged one
                sums[number] += c[0]
                sums[0] -= c[0]
            vertex = c[4:7] if number == 0 else (0.0, 0.0, 0.0)
            charge = int(math.copysign(1, c[3])) if number == 0 and c[3] != 0 else 0
            sequence.append(Particle(*c[:3], *vertex, *(s / c[0] for s in sums), (0, 2, 1)[number], charge))
    sequence.sort(key=lambda p: -distance2((p.pt, p.eta, p.phi), lepton, published=False))
    sequence.append(Particle(*lepton[:3], 0.0, 0.0, 0.0, *iso, 3 if kind == "electron" else 4, int(lepton[3])))
    return Result((True, True, True), hlf, sequence)


def distance2(a: Row, b: Row, published: bool) -> float:
    """ΔR² of two objects that begin with pT, η, φ."""
    turn = 2 * math.pi
    if published:  # reduces differences beyond 2π, where it should be π
        difference = a[2] - b[2]
        difference -= turn * (difference > turn) - turn * (difference < -turn)
    else:
        difference = math.remainder(a[2] - b[2], turn)
    return (a[1] - b[1]) ** 2 + difference**2


def is_own_track(track: Row, lepton: Row) -> bool:
    """Whether a track is the lepton's: they have the same direction."""
    return math.sqrt(distance2(track, lepton, published=False)) <= OWN_TRACK


def published_choice(isolated: list[tuple[str, Row]]) -> tuple[str, Row]:
    """The first electron or the first muon, whichever lies at larger η."""
    electron = next((item for item in isolated if item[0] == "electron"), None)
    muon = next((item for item in isolated if item[0] == "muon"), None)
    if electron and muon:
        return electron if electron[1][1] > muon[1][1] else muon
    return electron or muon or isolated[0]
