"""The particle sequence of an event."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from hepspark.events import Collection, Floats, Integers
from hepspark.features.isolation import OWN_TRACK
from hepspark.features.loops import falling_order, pair_sums
from hepspark.features.selection import Leptons
from hepspark.schema import PARTICLE_TYPES

LIMITS: Final = (450, 150, 200)
"""Most tracks, photons and neutral hadrons in a sequence; the lepton makes it 801."""

_TYPES: Final = np.array([PARTICLE_TYPES.index(name) for name in ("charged_hadron", "photon", "neutral_hadron")])
_Kind = TypeVar("_Kind", bound=np.generic)
_ELECTRON: Final = PARTICLE_TYPES.index("electron")
_MUON: Final = PARTICLE_TYPES.index("muon")


@dataclass(frozen=True)
class Sequences:
    """The particles of m events, N together: the lepton last, the others by falling ΔR to it."""

    offsets: Integers
    """Shape (m + 1,)."""
    columns: Mapping[str, npt.NDArray[np.float32 | np.int8]]
    """`schema.PARTICLE_COLUMNS` to N values."""


def sequences(
    groups: tuple[Collection, Collection, Collection], leptons: Leptons, wrap_at: float, *, published: bool
) -> Sequences:
    """Particle sequences of selected events.

    Args:
        groups: Tracks, photons and neutral hadrons of n events.
        leptons: The lepton of each of m selected events, by rising event.
        wrap_at: See `loops.pair_sums`.
        published: Whether isolations are as in the published code, which adds a particle to its own sum and takes
            its pT off the charged one, whatever it is; and whether the particles of a kind above its limit are
            those that come last in the file, and not the softest.
    """
    kept = [_of_events(group, leptons.event) for group in groups]
    offsets = np.sum([group.offsets for group in kept], axis=0)
    into = _places(kept, offsets)
    pt, eta, phi = (_merged([group.columns[name] for group in kept], into) for name in ("PT", "Eta", "Phi"))
    kind = _merged([np.full(len(places), number) for number, places in enumerate(into)], into)

    sums = pair_sums(pt, eta, phi, kind, offsets, wrap_at)
    if published:
        sums[np.arange(len(kind)), kind] += pt
        sums[:, 0] -= pt
    distance2 = _distance2(eta, phi, leptons, np.diff(offsets))
    keep = np.ones(len(pt), dtype=np.bool_)
    keep[into[0]] = np.sqrt(distance2[into[0]]) > OWN_TRACK
    for group, places, limit in zip(kept, into, LIMITS, strict=True):
        _drop_surplus(keep, pt, places, group.offsets, limit, published=published)
    found = np.flatnonzero(keep)
    ends = np.concatenate([[0], np.cumsum(keep)])[offsets]
    chosen = found[falling_order(distance2[found], ends)]

    # One place more in each event, at its end, for the lepton.
    ends = ends + np.arange(len(ends))
    last = ends[1:] - 1
    others = np.ones(ends[-1], dtype=np.bool_)
    others[last] = False

    def column(values: npt.NDArray[Any], of_lepton: Floats | Integers | float, dtype: Any = np.float32) -> Any:
        result: npt.NDArray[Any] = np.empty(ends[-1], dtype)
        result[others] = values[chosen]
        result[last] = of_lepton
        return result

    tracks, n = kept[0], len(pt)
    relative = sums / pt[:, None]
    columns = {
        "particle_pt": column(pt, leptons.pt),
        "particle_eta": column(eta, leptons.eta),
        "particle_phi": column(phi, leptons.phi),
        **{
            f"particle_vtx_{axis.lower()}": column(_scattered(tracks.columns[axis], into[0], n), 0.0)
            for axis in ("X", "Y", "Z")
        },
        **{
            f"particle_iso_{name}": column(relative[:, number], leptons.isolation[:, number])
            for number, name in enumerate(("ch", "gamma", "neu"))
        },
        "particle_type": column(_TYPES[kind], np.where(leptons.is_electron, _ELECTRON, _MUON), np.int8),
        "particle_charge": column(_scattered(np.sign(tracks.columns["PID"]), into[0], n), leptons.charge, np.int8),
    }
    return Sequences(ends, columns)


def _of_events(group: Collection, chosen: Integers) -> Collection:
    if len(chosen) == len(group.offsets) - 1:
        return group
    keep = np.zeros(len(group.offsets) - 1, dtype=np.bool_)
    keep[chosen] = True
    kept = group.where(np.repeat(keep, group.counts))
    return Collection(np.concatenate([kept.offsets[:-1][keep], kept.offsets[-1:]]), kept.columns)


def _places(groups: list[Collection], offsets: Integers) -> list[Integers]:
    """Where the objects of each group go when those of one event are put side by side."""
    places, begin = [], offsets[:-1]
    for group in groups:
        places.append(np.arange(group.offsets[-1]) + np.repeat(begin - group.offsets[:-1], group.counts))
        begin = begin + group.counts
    return places


def _drop_surplus(
    keep: npt.NDArray[np.bool_], pt: Floats, places: Integers, offsets: Integers, limit: int, *, published: bool
) -> None:
    """Keep no more than `limit` particles of one kind in each event; few events have so many."""
    for event in np.flatnonzero(np.diff(offsets) > limit):
        own = places[offsets[event] : offsets[event + 1]]
        own = own[keep[own]]
        # The published code counts in the file's order.
        preferred = own if published else own[np.argsort(-pt[own], kind="stable")]
        keep[preferred[limit:]] = False


def _merged(values: list[npt.NDArray[_Kind]], into: list[Integers]) -> npt.NDArray[_Kind]:
    merged = np.empty(sum(map(len, into)), values[0].dtype)
    for part, places in zip(values, into, strict=True):
        merged[places] = part
    return merged


def _scattered(values: Floats, into: Integers, n: int) -> Floats:
    result = np.zeros(n)
    result[into] = values
    return result


def _distance2(eta: Floats, phi: Floats, leptons: Leptons, counts: Integers) -> Floats:
    d_eta = eta - np.repeat(leptons.eta, counts)
    d_phi = np.abs(phi - np.repeat(leptons.phi, counts))
    d_phi = np.where(d_phi > np.pi, 2.0 * np.pi - d_phi, d_phi)
    distance2: Floats = d_eta * d_eta + d_phi * d_phi
    return distance2
