"""The run plan: what is trained on what, in which order. Frozen when a run starts; everything follows from it."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from hepspark.config import BalanceConfig, StorageConfig, TrainConfig
from hepspark.config.base import Section, Url
from hepspark.errors import InputError
from hepspark.model.network import Network
from hepspark.model.optimizer import learning_rates
from hepspark.model.scaler import Scaler
from hepspark.schema import CLASSES
from hepspark.storage import join, store_for

Hashes = npt.NDArray[np.int64]

PLAN = "plan.json"


class Shard(Section):
    """A slice of the training or validation events, in the order of their hashes."""

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


class Plan(Section):
    """A frozen run."""

    config: TrainConfig
    sources: tuple[PlannedSource, ...]
    network: Network
    scaler: Scaler
    counts: dict[str, dict[str, int]]
    """Side (train, validation) to class to events."""
    shards: tuple[Shard, ...]
    """Training shards; all but the last hold `batches_per_step` whole batches."""
    validation: tuple[Shard, ...]
    versions: dict[str, str]

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
class Selection:
    """Which events a run takes: up to a hash per class, on each side."""

    limits: dict[str, dict[int, int]]
    """Side to label to the largest hash that is taken; a class that is not there takes none."""
    order: dict[str, Hashes]
    """Side to the hashes of all its events, ascending."""
    counts: dict[str, dict[str, int]]


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


def select(index: dict[str, tuple[Hashes, npt.NDArray[np.int8]]], balance: BalanceConfig) -> Selection:
    """Choose the events of a run: of each class those with the smallest hashes.

    Args:
        index: Side to the hashes and labels of its events.
        balance: How many of each class.

    Raises:
        InputError: a class has no event on a side, or two events have the same identity.
    """
    limits: dict[str, dict[int, int]] = {}
    order: dict[str, Hashes] = {}
    counts: dict[str, dict[str, int]] = {}
    for side, (hashes, labels) in index.items():
        of_class = {label: np.sort(hashes[labels == label]) for label in range(len(CLASSES))}
        empty = [CLASSES[label] for label, own in of_class.items() if not len(own)]
        if empty:
            raise InputError(f"train.input: no {side} events of class {', '.join(empty)}; add data of this class")
        take = {label: len(own) for label, own in of_class.items()}
        if balance.mode == "smallest":
            take = dict.fromkeys(take, min(take.values()))
        if balance.max_per_class:
            take = {label: min(number, balance.max_per_class) for label, number in take.items()}
        chosen = {label: own[: take[label]] for label, own in of_class.items()}
        limits[side] = {label: int(own[-1]) for label, own in chosen.items()}
        order[side] = np.sort(np.concatenate(list(chosen.values())))
        if (np.diff(order[side]) == 0).any():
            raise InputError("train.input: the same events are in it twice; list each data set once")
        counts[side] = {CLASSES[label]: len(own) for label, own in chosen.items()}
    return Selection(limits, order, counts)


def boundaries(order: Hashes, rows: int) -> Hashes:
    """The largest hash of each shard but the last, where shards hold `rows` events each."""
    return order[rows - 1 : len(order) - 1 : rows]


def load_plan(run: str, storage: StorageConfig) -> Plan | None:
    """The plan of a run directory, or None where there is none yet.

    Raises:
        InputError: it is not readable.
    """
    url = join(run, PLAN)
    store = store_for(url, storage)
    if not store.exists(url):
        return None
    try:
        return Plan.model_validate_json(store.read(url))
    except ValidationError as error:
        raise InputError(f"{url}: not the plan of a run of this hepspark; choose another train.output") from error


def check_same(run: str, plan: Plan, config: TrainConfig) -> None:
    """Refuse to continue a run under another configuration.

    Raises:
        InputError: with the keys that differ.
    """
    planned, asked = (_flat(json.loads(c.model_dump_json(exclude={"output"}))) for c in (plan.config, config))
    changed = [
        f"train.{key} is {asked.get(key)}, was {planned.get(key)}" for key in planned if planned[key] != asked.get(key)
    ]
    if changed:
        raise InputError(
            f"{run}: holds a run with another configuration ({'; '.join(changed)}); choose another train.output"
        )


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in data.items():
        result |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result
