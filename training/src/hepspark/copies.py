"""Events that are there more than once, found by their hashes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_TOLD: Final = 10


@dataclass(frozen=True)
class Copies:
    """What is there more than once in a row of groups of events, such as files."""

    later: tuple[npt.NDArray[np.bool_], ...]
    """Of each group: whether an event is there before, in an earlier group or earlier in this one."""
    shared: dict[tuple[int, int], int]
    """Group, and the group that has the events first (which may be the same), to the number of events."""


def find(groups: Sequence[npt.NDArray[np.int64]]) -> Copies:
    """Events that are in several groups, or several times in one.

    Args:
        groups: The hashes of the events of each group, the group that keeps an event first.
    """
    hashes = np.concatenate([np.empty(0, np.int64), *groups])
    in_order = np.sort(hashes)
    places = np.flatnonzero(np.isin(hashes, np.unique(in_order[1:][in_order[1:] == in_order[:-1]])))
    _, first, which = np.unique(hashes[places], return_index=True, return_inverse=True)
    firsts = places[first[which]]
    is_copy = places != firsts
    later = np.zeros(len(hashes), np.bool_)
    later[places[is_copy]] = True
    ends = np.cumsum([len(group) for group in groups])
    pairs = np.searchsorted(ends, np.stack([places[is_copy], firsts[is_copy]], axis=1), side="right")
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    return Copies(
        later=tuple(np.split(later, ends[:-1])),
        shared={(int(a), int(b)): int(count) for (a, b), count in zip(found, counts, strict=True)},
    )


def told(shared: Mapping[tuple[int, int], int], names: Sequence[str]) -> list[str]:
    """Sentences for people: how many events are doubled, and in which groups; the largest numbers come first.

    Args:
        shared: See `Copies.shared`.
        names: Of the groups.
    """
    ranked = sorted(shared.items(), key=lambda item: -item[1])
    sentences = [
        sentence(names[group], names[first] if group != first else None, count)
        for (group, first), count in ranked[:_TOLD]
    ]
    rest = [count for _, count in ranked[_TOLD:]]
    return [*sentences, f"{sum(rest):,} more events in {len(rest):,} more pairs"] if rest else sentences


def sentence(name: str, first: str | None, count: int) -> str:
    """That so many events of one group are in another too, or (where that is None) twice in the group itself."""
    events = f"{count:,} event{'s are' if count != 1 else ' is'}"
    return f"{name}: {events} in {first} too" if first else f"{name}: {events} there twice"
