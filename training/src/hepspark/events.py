"""Events in columnar form, their identity, and the side of the train/test split they belong to."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

TRAIN_FRACTION: Final = 0.8
"""Share of the events on the training side, as in arXiv:1909.10389."""

_EVENT_SALT: Final = b"hepspark-event"
_SPLIT_SALT: Final = b"hepspark-split"
# Train if the unsigned hash is below this; a power of two is exact as a float, so no event falls between.
_TRAIN_BELOW: Final = round(TRAIN_FRACTION * 2**64)


@dataclass(frozen=True)
class Collection:
    """Objects of one kind in n events, N of them together."""

    offsets: Integers
    """Shape (n + 1,): the objects of event i are offsets[i] to offsets[i + 1]."""
    columns: Mapping[str, Floats]
    """Quantity to its N values, by the names of Delphes; momenta in GeV, angles in radians, lengths in mm."""

    @property
    def counts(self) -> Integers:
        """Shape (n,): objects in each event."""
        return np.diff(self.offsets)

    @property
    def event(self) -> Integers:
        """Shape (N,): the event that each object belongs to, counted from 0."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.counts)

    def where(self, keep: npt.NDArray[np.bool_]) -> "Collection":
        """Those objects, of shape (N,), that are to be kept; the events stay."""
        offsets = np.concatenate([[0], np.cumsum(keep)])[self.offsets]
        return Collection(offsets, {name: values[keep] for name, values in self.columns.items()})


@dataclass(frozen=True)
class Events:
    """Consecutive entries of one file."""

    start: int
    """Entry of the first."""
    collections: Mapping[str, Collection]
    """Of EFlowTrack, EFlowPhoton, EFlowNeutralHadron, Electron, MuonTight, Jet."""
    met: Floats
    """Shape (n,): missing transverse momentum in GeV."""
    met_phi: Floats
    """Shape (n,): its azimuth."""
    parents: Integers
    """Shape (n,): number of the parent event; events with the same one stay on one side of the split."""

    def __len__(self) -> int:
        return len(self.met)


def event_hashes(file_id: str, entries: Sequence[int]) -> Integers:
    """64-bit hashes that name events, the same on every machine.

    Args:
        file_id: UUID of the ROOT file.
        entries: Their entries in it.
    """
    return np.frombuffer(b"".join(_digest(_EVENT_SALT, file_id, entry) for entry in entries), dtype="<i8")


def split_hashes(file_id: str, parents: Sequence[int]) -> Integers:
    """64-bit hashes that decide the side of events: a property of their parent alone.

    Args:
        file_id: UUID of the ROOT file.
        parents: Their parent events in it, which are their entries where none is shared.
    """
    return np.frombuffer(b"".join(_digest(_SPLIT_SALT, file_id, parent) for parent in parents), dtype="<i8")


def is_train(split_hash: Integers) -> npt.NDArray[np.bool_]:
    """Whether events are on the training side, by their split hashes."""
    return split_hash.view(np.uint64) < np.uint64(_TRAIN_BELOW)


def _digest(salt: bytes, file_id: str, number: int) -> bytes:
    return hashlib.blake2b(f"{file_id}:{number}".encode(), digest_size=8, person=salt).digest()
