"""What the order of a run's events does to its network: trained by plain numpy, as BigDL would, from several seeds.

python -m benchmarks.order --output FOLDER

Compares events in the order of their hashes over all classes, where the last batches hold one class alone if the
others are rarer; events in a run's order, whose every batch has the class mix; and the latter dealt out anew within
their shard at each epoch.
"""

import json
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from benchmarks.conditions import begin, table
from hepspark.config import BalanceConfig, StorageConfig, TrainConfig
from hepspark.events import TRAIN_FRACTION
from hepspark.model.inference import accuracy, cross_entropy, log_probabilities
from hepspark.model.network import Floats, hlf, initial_weights
from hepspark.model.optimizer import AdamState, fresh
from hepspark.model.scaler import fit
from hepspark.run.plan import Plan, Shard, lay_out, select, sides
from hepspark.schema import CLASSES
from hepspark.sources import open_source, read_chunk
from tests.reference import adam

SAMPLE = "tests/data/sample"
NETWORK = hlf()


@dataclass(frozen=True)
class Events:
    """Hashes, labels and features of events, which are scaled where they are trained on or scored."""

    hashes: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int8]
    features: Floats

    def __getitem__(self, rows: Any) -> "Events":
        return Events(self.hashes[rows], self.labels[rows], self.features[rows])


@dataclass(frozen=True)
class Case:
    """What is trained on, and how."""

    name: str
    config: TrainConfig
    parts: tuple[int, ...] | None = None
    """Proportion of the classes, all where left out."""
    copies: int = 1
    """How often each training event is there: as another event, each feature smeared by a tenth of its width."""
    seeds: range = range(42, 52)


CASES = (
    Case("sample, as it is trained by `make train`", TrainConfig()),
    Case("1:2:10, all events, batch 256", TrainConfig(batch=256, balance=BalanceConfig(mode="none")), (1, 2, 10)),
    Case("1:2:10, smallest, batch 256", TrainConfig(batch=256), (1, 2, 10)),
    Case("sample, each event 10 times, smeared, 10 epochs", TrainConfig(epochs=10), copies=10, seeds=range(42, 45)),
)


def read(parts: tuple[int, ...] | None) -> dict[str, Events]:
    """The events of the committed sample, by side."""
    chunks = [read_chunk(chunk, StorageConfig()) for chunk in open_source(SAMPLE, StorageConfig()).chunks]
    hashes, labels, features, split, is_train = (
        np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in ("event_hash", "label", "features", "split_hash", "is_train")
    )
    kept = np.ones(len(labels), bool)
    if parts:
        unit = min(np.bincount(labels) // parts)
        for label, part in enumerate(parts):
            kept[np.flatnonzero(labels == label)[unit * part :]] = False
    masks = sides(is_train, split, TRAIN_FRACTION * TrainConfig().validation_fraction) | {"test": ~is_train}
    return {side: Events(hashes, labels, features)[mask & kept] for side, mask in masks.items()}


def in_order(events: Events) -> Events:
    """All events in a run's order."""
    chosen = [np.sort(events.hashes[events.labels == label]) for label in range(len(CLASSES))]
    return events[lay_out(chosen, len(events.labels)).order(0, events.hashes, events.labels)]


def copied(events: Events, copies: int) -> Events:
    """Each event so many times, each time another one, as a larger sample would have it."""
    generator = np.random.default_rng(0)
    many = events[np.tile(np.arange(len(events.labels)), copies)]
    hashes = generator.integers(-(2**63), 2**63, len(many.labels))
    smear = 0.1 * many.features.std(axis=0) * generator.normal(size=many.features.shape)
    return replace(many, hashes=hashes, features=(many.features + smear).astype(np.float32))


def taken(events: Events, balance: BalanceConfig) -> Events:
    """The events that a run takes, by their hashes."""
    chosen = select({"train": (events.hashes, events.labels)}, balance)["train"]
    return events[np.flatnonzero(np.isin(events.hashes, np.concatenate(chosen)))]


def train(order: str, config: TrainConfig, parts: dict[str, Events]) -> dict[str, Any]:
    """One run; gives its figures."""
    own, rows = parts["train"], config.batch * config.batches_per_step
    own = own[np.argsort(own.hashes)] if order == "hash" else in_order(own)
    shards = [own[first : first + rows] for first in range(0, len(own.labels), rows)]
    centre = own.features.mean(axis=0, dtype=np.float64)
    plan = Plan(
        config=config,
        given=(),
        sources=(),
        network=NETWORK,
        scaler=fit([len(own.labels)], [centre], [((own.features - centre) ** 2).sum(axis=0)]),
        counts={},
        shards=tuple(Shard(path="", rows=len(shard.labels), sha256="") for shard in shards),
        validation=(),
        versions={},
    )
    parts = {side: replace(events, features=plan.scaler(events.features)) for side, events in parts.items()}
    shards = [replace(shard, features=plan.scaler(shard.features)) for shard in shards]
    state = fresh(initial_weights(NETWORK, config.seed))
    epochs: list[tuple[float, float, Floats]] = []
    for step in range(plan.steps):
        shard = shards[plan.shard_of(step)]
        if order == "shuffled":
            hashes = np.random.default_rng((config.seed, step)).permutation(len(shard.labels))
            shard = in_order(replace(shard, hashes=hashes))
        size = config.batch
        batches = [
            (shard.features[k : k + size], shard.labels[k : k + size]) for k in range(0, len(shard.labels), size)
        ]
        after, _ = adam.train(  # type: ignore[no-untyped-call] # the reference is kept as plain as it can be
            NETWORK.shapes,
            *(state.weights, state.first_moment, state.second_moment, state.updates),
            *(batches, plan.rates[step], 1),
        )
        state = AdamState(*after)
        if (step + 1) % plan.steps_per_epoch == 0:
            loss, right, _ = score(state.weights, parts["validation"])
            epochs.append((loss, right, state.weights))
            best = min(range(len(epochs)), key=lambda epoch: epochs[epoch][0])
            if len(epochs) - 1 - best >= config.early_stopping_epochs:
                break
    loss, right, auc = score(epochs[best][2], parts["test"])
    return {
        "last_batch": np.bincount(shards[-1].labels[-(len(shards[-1].labels) % size or size) :], minlength=3).tolist(),
        "first_epoch": epochs[0][1],
        "validation_loss": epochs[best][0],
        "loss": loss,
        "accuracy": right,
        "auc": auc,
    }


def score(weights: Floats, events: Events) -> tuple[float, float, float]:
    """Loss, accuracy, and the mean AUC of each class against the rest."""
    log_p = log_probabilities(NETWORK, weights, events.features)
    areas = [roc_auc_score(events.labels == label, log_p[:, label]) for label in range(len(CLASSES))]
    return cross_entropy(log_p, events.labels), accuracy(log_p, events.labels), float(np.mean(areas))


def main(argv: list[str]) -> int:
    """Measure, print a table, and write order.json."""
    output, measured_on = begin(__doc__, argv)
    rows = []
    for case in CASES:
        parts = read(case.parts)
        own = parts["train"] if case.copies == 1 else copied(parts["train"], case.copies)
        parts["train"] = taken(own, case.config.balance)
        for order in ("hash", "run", "shuffled"):
            runs = [train(order, case.config.model_copy(update={"seed": seed}), parts) for seed in case.seeds]
            rows.append(
                {"case": case.name, "order": order, "seeds": len(runs), "last_batch": runs[0]["last_batch"]}
                | _spread(runs)
            )
            print(json.dumps(rows[-1]), flush=True)
    output.mkdir(parents=True, exist_ok=True)
    (output / "order.json").write_text(json.dumps({"conditions": measured_on, "orders": rows}, indent=1))
    print(table("Mean and standard deviation", list(rows[0]), rows))
    return 0


def _spread(runs: list[dict[str, Any]]) -> dict[str, str]:
    figures = {name: [run[name] for run in runs] for name in runs[0] if name != "last_batch"}
    return {name: f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" for name, values in figures.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
