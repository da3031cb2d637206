"""Which events are kept, and which lepton stands for each."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hepspark.events import Collection, Events, Floats, Integers
from hepspark.features.isolation import OWN_TRACK
from hepspark.features.loops import cone_sums

LEPTON_PT: Final = 23.0
"""A lepton's pT must be above this, in GeV."""

ISOLATION: Final = 0.45
"""A lepton's relative isolation must be below this."""

CANDIDATES: Final = (("EFlowTrack", "PT", 0.5), ("EFlowPhoton", "ET", 1.0), ("EFlowNeutralHadron", "ET", 1.0))
"""Collections of particles, in the order of the isolation sums, with the momentum they must exceed in GeV."""


@dataclass(frozen=True)
class Leptons:
    """M leptons; every array has shape (M,) but `isolation`."""

    event: Integers
    """The event of each, counted from 0."""
    index: Integers
    """Its place in its collection."""
    pt: Floats
    eta: Floats
    phi: Floats
    charge: Floats
    is_electron: npt.NDArray[np.bool_]
    isolation: Floats
    """Shape (M, 3): relative to tracks, photons, neutral hadrons."""

    def take(self, which: npt.NDArray[np.bool_] | Integers) -> "Leptons":
        """Some of them, by mask or index."""
        return Leptons(**{name: values[which] for name, values in vars(self).items()})


def candidates(events: Events) -> tuple[Collection, Collection, Collection]:
    """Tracks, photons and neutral hadrons above their thresholds, each with columns PT, Eta, Phi at least."""
    tracks, photons, neutrals = (_above(events.collections[name], key, cut) for name, key, cut in CANDIDATES)
    return tracks, photons, neutrals


def _above(collection: Collection, key: str, cut: float) -> Collection:
    columns = {("PT" if name == key else name): values for name, values in collection.columns.items()}
    return Collection(collection.offsets, columns).where(columns["PT"] > cut)


def hard_leptons(events: Events, groups: tuple[Collection, ...], wrap_at: float, *, published: bool) -> Leptons:
    """Electrons and tight muons above the pT cut, with their isolations.

    Args:
        events: n events.
        groups: Their tracks, photons and neutral hadrons.
        wrap_at: See `loops.cone_sums`.
        published: Whether to take it for granted, as the published code does, that a lepton's own track is among
            the tracks with the lepton's pT, instead of looking for it.
    """
    parts = [_hard(events.collections[name], is_electron=name == "Electron") for name in ("Electron", "MuonTight")]
    leptons = Leptons(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})
    for kind, group in enumerate(groups):
        columns = (group.columns["PT"], group.columns["Eta"], group.columns["Phi"], group.offsets)
        beyond = OWN_TRACK if kind == 0 and not published else -1.0
        sums = cone_sums(leptons.eta, leptons.phi, leptons.event, *columns, wrap_at, beyond)
        leptons.isolation[:, kind] = sums / leptons.pt
    if published:
        leptons.isolation[:, 0] -= 1.0
    return leptons


def _hard(collection: Collection, *, is_electron: bool) -> Leptons:
    columns = collection.columns
    keep = columns["PT"] > LEPTON_PT
    index = np.arange(len(keep)) - np.repeat(collection.offsets[:-1], collection.counts)
    return Leptons(
        event=collection.event[keep],
        index=index[keep],
        pt=columns["PT"][keep],
        eta=columns["Eta"][keep],
        phi=columns["Phi"][keep],
        charge=columns["Charge"][keep],
        is_electron=np.full(np.count_nonzero(keep), is_electron),
        isolation=np.zeros((np.count_nonzero(keep), 3)),
    )


def choose(isolated: Leptons, *, published: bool) -> Leptons:
    """One lepton for each event that has any: that of the highest pT.

    Of equals, electrons come before muons, and then the first in the file.

    Args:
        isolated: Leptons that pass the cuts.
        published: Whether to take the first electron or the first muon, whichever lies at larger η, as the
            published code does.
    """
    is_muon = ~isolated.is_electron
    if not published:
        return isolated.take(_best((isolated.event,), (-isolated.pt, is_muon, isolated.index)))
    first = isolated.take(_best((isolated.event, is_muon), (isolated.index,)))
    return first.take(_best((first.event,), (-first.eta, first.is_electron)))


def _best(group: tuple[npt.NDArray[np.generic], ...], preference: tuple[npt.NDArray[np.generic], ...]) -> Integers:
    """Index of the smallest by `preference` within each group, ordered by group."""
    order: Integers = np.lexsort((*preference[::-1], *group[::-1]))
    if not len(order):
        return order
    changes = [np.diff(key[order]) != 0 for key in group]
    first: Integers = order[np.concatenate([[True], np.any(changes, axis=0)])]
    return first
