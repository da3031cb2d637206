"""The run plan: what is trained on what, in which order. Frozen when a run starts; everything follows from it."""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from operator import add
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError, model_validator

from hepspark.config import BalanceConfig, StorageConfig, TrainConfig
from hepspark.config.base import Section, Url
from hepspark.errors import InputError
from hepspark.model.network import NETWORKS, Network
from hepspark.model.optimizer import learning_rates
from hepspark.model.scaler import Scaler
from hepspark.schema import CLASSES, PLAN_SCHEMA
from hepspark.storage import join, store_for
from hepspark.versions import check_schema, first_fault

Hashes = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int8]
Rank = TypeVar("Rank", int, npt.NDArray[np.int64])

PLAN = "plan.json"


class Shard(Section):
    """A slice of the training or validation events, in an order whose every stretch has their class mix."""

    path: str
    """Below the run directory."""
    rows: int
    sha256: str


class PlannedSource(Section):
    """Events that a run was planned on."""

    url: Url
    role: str
    fingerprint: str
    files: dict[str, str]
    """SHA-256 to name: of the published files, or of the ROOT files that a data set was made from."""
    compatibility: str | None = None
    """See `sources.Source`; None also in plans that were made before this was noted."""


class Plan(Section):
    """A frozen run."""

    schema_version: int = PLAN_SCHEMA
    config: TrainConfig
    """What the run goes by: the keys that were given, and the defaults of then for the others."""
    given: tuple[str, ...]
    """Keys of the configuration's section `train` that were given, as `schedule.rate`."""
    sources: tuple[PlannedSource, ...]
    network: Network
    scaler: Scaler
    counts: dict[str, dict[str, int]]
    """Side (train, validation) to class to events."""
    shards: tuple[Shard, ...]
    """Training shards; all but the last hold `batches_per_step` whole batches."""
    validation: tuple[Shard, ...]
    versions: dict[str, str]

    @model_validator(mode="after")
    def _given_keys_are_known(self) -> "Plan":
        if strange := set(self.given) - set(_keys(self.config)):
            raise ValueError(f"given: no such keys: {', '.join(sorted(strange))}")
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Committed steps in one epoch, one per shard."""
        return len(self.shards)

    @property
    def steps(self) -> int:
        """Committed steps of the whole run, if it is not stopped early."""
        return self.config.epochs * self.steps_per_epoch

    @cached_property  # asked for at every step
    def rates(self) -> list[float]:
        """Learning rate of every step."""
        return learning_rates(self.config.schedule, self.config.batch, self.steps, self.steps_per_epoch)

    def shard_of(self, step: int) -> int:
        """Which shard a step works on: a new order of the full shards each epoch, and the short one last."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self.config.seed, epoch)).permutation(self.steps_per_epoch - 1)
        return int(order[position]) if position < len(order) else self.steps_per_epoch - 1


@dataclass(frozen=True)
class Layout:
    """Which events of one side a run takes, in which order, and in which shard each of them is."""

    sizes: tuple[int, ...]
    """By label: how many events are taken."""
    largest: tuple[int, ...]
    """By label: the largest hash that is taken."""
    first: npt.NDArray[np.int64]
    """Shape (shards, classes): how many events of each class lie in the shards before."""
    starts: tuple[Hashes, ...]
    """By label: for each shard but the first, the smallest hash of the events in it or after it. Shards after the last
    event of the class have none."""

    @property
    def shards(self) -> int:
        """Number of shards."""
        return len(self.first)

    def shard_of(self, hashes: Hashes, labels: Labels) -> npt.NDArray[np.int64]:
        """The shard of each event, -1 where it is not taken; all arrays have the shape (n,)."""
        found = np.full(len(hashes), -1, np.int64)
        for label, (largest, starts) in enumerate(zip(self.largest, self.starts, strict=True)):
            own = (labels == label) & (hashes <= largest)
            found[own] = np.searchsorted(starts, hashes[own], side="right")
        return found

    def order(self, shard: int, hashes: Hashes, labels: Labels) -> npt.NDArray[np.int64]:
        """The indices that bring all events of a shard into the run's order; all arrays have the shape (n,)."""
        by_class = np.lexsort((hashes, labels))
        counts = np.bincount(labels, minlength=len(self.sizes))
        ranks = [first + np.arange(count) for first, count in zip(self.first[shard], counts, strict=True)]
        places = [position(label, own, self.sizes) for label, own in enumerate(ranks)]
        order: npt.NDArray[np.int64] = by_class[np.argsort(np.concatenate(places))]
        return order


def sides(is_train: npt.NDArray[np.bool_], split_hash: Hashes, held_out: float) -> dict[str, npt.NDArray[np.bool_]]:
    """Masks of the training and validation events.

    Validation is a slice of the training side, cut by the same hash as train and test, so that events that share
    a parent stay together.

    Args:
        is_train: Whether an event is on the training side, shape (n,).
        split_hash: Hash that decides the side, shape (n,).
        held_out: Hashes below this share of their range are held out.
    """
    validation = is_train & (split_hash.view(np.uint64) < np.uint64(round(held_out * 2**64)))
    return {"train": is_train & ~validation, "validation": validation}


def select(index: dict[str, tuple[Hashes, Labels]], balance: BalanceConfig) -> dict[str, tuple[Hashes, ...]]:
    """Choose the events of a run: of each class those with the smallest hashes.

    Args:
        index: Side to the hashes and labels of its events.
        balance: How many of each class.

    Returns:
        Side to the hashes that are taken, by label, ascending.

    Raises:
        InputError: a class has no event on a side, or two events have the same identity.
    """
    chosen: dict[str, tuple[Hashes, ...]] = {}
    for side, (hashes, labels) in index.items():
        of_class = [np.sort(hashes[labels == label]) for label in range(len(CLASSES))]
        empty = [name for name, own in zip(CLASSES, of_class, strict=True) if not len(own)]
        if empty:
            raise InputError(f"train.input: no {side} events of class {', '.join(empty)}; add data of this class")
        most = min(map(len, of_class)) if balance.mode == "smallest" else len(hashes)
        chosen[side] = tuple(own[: min(most, balance.max_per_class or most)] for own in of_class)
        if (np.diff(np.sort(np.concatenate(chosen[side]))) == 0).any():
            raise InputError("train.input: the same events are in it twice; list each data set once")
    return chosen


def position(label: int, rank: Rank, sizes: Sequence[int]) -> Rank:
    """Where an event stands in an order whose every stretch has the class mix of the whole.

    Event r of the n of its class stands after the share (r + 1/2) / n of the whole; where classes meet, the lower
    label comes first. That is the order of Sainte-Laguë, by which parliaments deal out seats. The first k events hold
    each class in its proportion to less than one event, any other stretch to less than two. It is reckoned in whole
    numbers, so that every machine finds the same.

    Args:
        label: Class of the event.
        rank: Its rank among all of its class, from 0; or those of many events of this class.
        sizes: By label: how many events there are, at most 2³⁰.

    Returns:
        The position from 0.
    """
    share = 2 * rank + 1  # in units of 1 / (2 sizes[label])
    # Of each class: how many events have a smaller share, or the same and a lower label.
    before = [((share * size - (other >= label)) // sizes[label] + 1) // 2 for other, size in enumerate(sizes)]
    return reduce(add, before)


def lay_out(chosen: Sequence[Hashes], rows: int) -> Layout:
    """Divide the events of one side into shards of `rows` events each; the last one holds what is left.

    Args:
        chosen: By label: the hashes of the events, ascending.
        rows: Events in a shard.
    """
    sizes = tuple(map(len, chosen))
    first = np.array(
        [
            [
                bisect_left(range(size), begin, key=partial(position, label, sizes=sizes))
                for label, size in enumerate(sizes)
            ]
            for begin in range(0, sum(sizes), rows)
        ]
    )
    return Layout(
        sizes=sizes,
        largest=tuple(int(own[-1]) for own in chosen),
        first=first,
        starts=tuple(own[ranks[ranks < len(own)]] for own, ranks in zip(chosen, first[1:].T, strict=True)),
    )


def load_plan(run: str, storage: StorageConfig) -> Plan | None:
    """The plan of a run directory, or None where there is none yet.

    Raises:
        InputError: it is not readable, or is of another schema version.
    """
    url = join(run, PLAN)
    store = store_for(url, storage)
    if not store.exists(url):
        return None
    try:
        content = {"schema_version": 0} | json.loads(store.read(url))
        check_schema(url, "plan", content, PLAN_SCHEMA, "choose another train.output")
        return Plan.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"{url}: not the plan of a run of this hepspark ({first_fault(error)}); choose another train.output"
        ) from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{url}: not the plan of a run of hepspark ({error}); choose another train.output") from error


def given_keys(config: TrainConfig) -> tuple[str, ...]:
    """The keys that were given, without the output, which may move."""
    return tuple(_flat(config.model_dump(mode="json", exclude_unset=True, exclude={"output"})))


def check_same(run: str, plan: Plan, asked: TrainConfig) -> str:
    """Refuse to continue a run under another configuration. A default that has changed makes no other configuration.

    Returns:
        What the run was planned with, for people.

    Raises:
        InputError: with the keys that differ.
    """
    planned, now = _keys(plan.config), _keys(asked)
    differing = [key for key in planned if planned[key] != now[key]]
    given = given_keys(asked)
    changed = [
        f"train.{key} is {now[key]}, was {planned[key]}" if key in given
        else f"train.{key} is not given, so it is {now[key]}; it was given as {planned[key]}"
        for key in differing if key in given or key in plan.given
    ]  # fmt: skip
    if changed:
        raise InputError(
            f"{run}: holds a run with another configuration ({'; '.join(changed)}); give the same values, or choose "
            "another train.output"
        )
    made_with = ", ".join(f"train.{key}={planned[key]}" for key in plan.given)
    kept = "".join(f"; train.{key} stays {planned[key]}, although the default is now {now[key]}" for key in differing)
    return f"{run}: planned by hepspark {plan.versions.get('hepspark', '(unknown)')} with {made_with}{kept}"


def _keys(config: TrainConfig) -> dict[str, Any]:
    """Key to value, without the output, which may move. Widths that are left out are those of the network."""
    widths = [layer.units for layer in NETWORKS[config.network](config.hidden).layers[:-1]]
    return _flat(config.model_dump(mode="json", exclude={"output"}) | {"hidden": widths})


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in data.items():
        result |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result
