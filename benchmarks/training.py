"""Speed and accuracy of training the HLF network by BigDL, by batch size, beside numpy and xgboost.

python -m benchmarks.training --output FOLDER
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.conditions import conditions, table
from hepspark.config import Config, ScheduleConfig, SparkConfig, StorageConfig, TrainConfig, load
from hepspark.model import artefact
from hepspark.model.bigdl import Trainer
from hepspark.model.inference import predict
from hepspark.model.network import Floats, hlf, initial_weights
from hepspark.model.optimizer import fresh, learning_rates
from hepspark.run import commits
from hepspark.run.plan import load_plan
from hepspark.run.shards import load_shard
from hepspark.sources import open_source, read_chunk
from hepspark.spark import spark_context
from hepspark.steps import train
from tests.reference import adam

SAMPLE = "tests/data/sample"
BATCHES = (256, 768, 2048, 2304, 16384)
EPOCHS = 12
REPEATS = 5
ROWS = 65536
STORAGE = StorageConfig()


def speed(batches: tuple[int, ...], master: str = "local[2]") -> list[dict[str, Any]]:
    """Events/s inside a step, and the fixed cost of a committed step, for each batch size.

    A step of one batch and a step of many are timed after a warm-up; the difference is the cost of the batches, and
    what is left of the short one is the cost of the step. The commit is timed apart.
    """
    network = hlf()
    generator = np.random.default_rng(0)
    features = generator.normal(size=(ROWS, network.inputs)).astype(np.float32)
    labels = generator.integers(0, 3, ROWS).astype(np.int8)
    results = []
    with spark_context(SparkConfig(master=master), bigdl=True) as context:
        for batch in batches:
            many = ROWS // batch
            rates = learning_rates(ScheduleConfig(), batch, 1000, 2)
            state = fresh(initial_weights(network, 1))

            def rows(shard: int, batch: int = batch) -> tuple[Floats, npt.NDArray[np.int8]]:
                count = batch if shard == 0 else ROWS
                return features[:count], labels[:count]

            trainer = Trainer(context, network, state, rates, batch, rows)
            times: dict[int, list[float]] = {0: [], 1: []}
            for index in range(2 * (REPEATS + 2)):
                started = time.perf_counter()
                state, _ = trainer.step(index, index % 2)
                times[index % 2].append(time.perf_counter() - started)
            one, all_of_them = (statistics.median(times[shard][2:]) for shard in (0, 1))
            per_batch = (all_of_them - one) / (many - 1)
            commit = _median(lambda state=state: _commit(state))  # type: ignore[misc] # bound at once
            reference = _median(lambda batch=batch: _numpy_batch(features, labels, batch))  # type: ignore[misc] # same
            results.append(
                {
                    "batch": batch,
                    "events_per_second": round(batch / per_batch),
                    "batch_ms": round(1e3 * per_batch, 1),
                    "step_ms": round(1e3 * (one - per_batch), 1),
                    "commit_ms": round(1e3 * commit, 1),
                    "numpy_events_per_second": round(batch / reference),
                    "ratio_to_numpy": round(reference / per_batch, 3),
                }
            )
    return results


def accuracy(batches: tuple[int, ...]) -> list[dict[str, Any]]:
    """Validation accuracy at equal epochs and at equal time, from whole runs on the committed sample."""
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            model, _ = _train(f"{folder}/{batch}", batch, EPOCHS)
            seconds = np.cumsum([epoch["seconds"] for epoch in model.history])
            results.append(
                {
                    "batch": batch,
                    "seconds": [round(value, 2) for value in seconds.tolist()],
                    "validation_accuracy": [round(epoch["validation_accuracy"], 4) for epoch in model.history],
                }
            )
    limit = min(entry["seconds"][-1] for entry in results)
    for entry in results:
        done = [a for s, a in zip(entry["seconds"], entry["validation_accuracy"], strict=True) if s <= limit]
        entry["equal_epochs"] = entry["validation_accuracy"][-1]
        entry["equal_seconds"] = done[-1] if done else None
        entry["limit_seconds"] = limit
    return results


def against_xgboost() -> dict[str, Any]:
    """Accuracy and AUC of the default training and of xgboost, trained and tested on the same rows."""
    import xgboost
    from sklearn.metrics import roc_auc_score

    with tempfile.TemporaryDirectory() as folder:
        model, seconds = _train(f"{folder}/run", TrainConfig().batch, TrainConfig().epochs)
        plan = load_plan(f"{folder}/run", STORAGE)
        if plan is None:
            raise RuntimeError("the run left no plan")
        parts = [load_shard(f"{folder}/run", plan.shards, plan.scaler, STORAGE, n) for n in range(len(plan.shards))]
    features, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    chunks = [read_chunk(chunk, STORAGE) for chunk in open_source(SAMPLE, STORAGE).chunks]
    test = np.concatenate([chunk.features[~chunk.is_train] for chunk in chunks])
    truth = np.concatenate([chunk.label[~chunk.is_train] for chunk in chunks])
    started = time.perf_counter()
    trees = xgboost.XGBClassifier(n_estimators=100, max_depth=6, learning_rate=0.1, n_jobs=2, random_state=1)
    trees.fit(features, labels)
    result: dict[str, Any] = {"train_events": len(labels), "test_events": len(truth)}
    scored = {
        "hepspark": (predict(model, test), seconds),
        "xgboost": (trees.predict_proba(model.scaler(test)), time.perf_counter() - started),
    }
    for name, (scores, took) in scored.items():
        result[name] = {
            "accuracy": round(float((scores.argmax(axis=1) == truth).mean()), 4),
            "auc": [round(float(roc_auc_score(truth == label, scores[:, label])), 4) for label in range(3)],
            "seconds": round(took, 1),
        }
    return result


def _train(output: str, batch: int, epochs: int) -> tuple[artefact.Model, float]:
    config: Config = load(
        None,
        [
            *(f"train.input=[{SAMPLE}]", f"train.output={output}", f"train.batch={batch}", f"train.epochs={epochs}"),
            "train.early_stopping_epochs=0",
        ],
    )
    started = time.perf_counter()
    summary = train.run(config)
    return artefact.load(summary["model"], STORAGE), time.perf_counter() - started


def _commit(state: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        commits.write(folder, commits.Commit(1, 0, state, state.weights), STORAGE)


def _numpy_batch(features: Floats, labels: npt.NDArray[np.int8], batch: int) -> None:
    network = hlf()
    state = fresh(initial_weights(network, 1))
    adam.train(  # type: ignore[no-untyped-call] # the reference is kept as plain as it can be
        network.shapes,
        *(state.weights, state.first_moment, state.second_moment, 0),
        *([(features[:batch], labels[:batch])], 1e-3, 1),
    )


def _median(work: Callable[[], None]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main(argv: list[str]) -> int:
    """Measure, print tables, and write training.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(argv)
    result: dict[str, Any] = {"conditions": conditions(), "speed": speed(BATCHES), "accuracy": accuracy(BATCHES)}
    result["against_xgboost"] = against_xgboost()
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "training.json").write_text(json.dumps(result, indent=1))
    columns: tuple[str, ...]
    columns = ("batch", "events_per_second", "batch_ms", "step_ms", "commit_ms", "ratio_to_numpy")
    print(table("BigDL, HLF network, local[2]: inside a step, and beside it", columns, result["speed"]))
    columns = ("batch", "equal_epochs", "equal_seconds", "limit_seconds")
    print(table(f"Validation accuracy after {EPOCHS} epochs, and after equal time", columns, result["accuracy"]))
    rows = [{"trained by": name, **result["against_xgboost"][name]} for name in ("hepspark", "xgboost")]
    print(table("On the same rows", ("trained by", "accuracy", "auc", "seconds"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
