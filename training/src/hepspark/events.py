"""Events in columnar form, their identity, and the side of the train/test split they belong to."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

TRAIN_FRACTION: Final = 0.8
"""Share of the events on the training side, as in arXiv:1909.10389."""

_ROW_SALT: Final = b"hepspark-event"
# Independent of the order by event hash, in which training takes events.
_SPLIT_SALT: Final = np.uint64(0x73706C69_745F7631)
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
    parents: Integers | None
    """Shape (n,): number of the parent event, where the file has one; events with the same one stay on one side of
    the split."""

    def __len__(self) -> int:
        return len(self.met)


def split_hashes(families: Integers) -> Integers:
    """64-bit hashes that decide the side of events: a property of their family alone.

    Args:
        families: Shape (n,): the numbers of their parent events where they share any, else their own hashes.
    """
    return mixed(families.view(np.uint64) ^ _SPLIT_SALT).view(np.int64)


def mixed(words: Words) -> Words:
    """Words of which each bit depends on each bit of the given ones, one to one (the last step of SplitMix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def row_hashes(file_id: str, rows: Sequence[int]) -> Integers:
    """64-bit hashes that name events of which there is nothing but rows of features.

    Args:
        file_id: Checksum of their file.
        rows: Their rows in it.
    """
    return np.frombuffer(b"".join(_digest(file_id, row) for row in rows), dtype="<i8")


def is_train(split_hash: Integers) -> npt.NDArray[np.bool_]:
    """Whether events are on the training side, by their split hashes."""
    return split_hash.view(np.uint64) < np.uint64(_TRAIN_BELOW)


def _digest(file_id: str, number: int) -> bytes:
    return hashlib.blake2b(f"{file_id}:{number}".encode(), digest_size=8, person=_ROW_SALT).digest()
