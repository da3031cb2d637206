"""Trains a network in committed steps; the same command continues a run that was interrupted."""

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hepspark import dataset
from hepspark.config import Config, SparkConfig, StorageConfig, TrainConfig, given
from hepspark.errors import HepsparkError, RunError, first_line, told_by_executor
from hepspark.model import artefact, scaler
from hepspark.model.inference import accuracy, cross_entropy, log_probabilities
from hepspark.model.network import NETWORKS, Floats, initial_weights
from hepspark.model.optimizer import fresh
from hepspark.progress import Tracker, say, track
from hepspark.run import commits, plan, shards
from hepspark.run.plan import Plan, PlannedSource
from hepspark.sources import Role, Source, check_distinct, open_source
from hepspark.spark import run_tasks, spark_context
from hepspark.storage import check_conditional_writes, join, refuse_strangers, store_for
from hepspark.versions import versions

if TYPE_CHECKING:
    from pyspark import SparkContext

    from hepspark.model.bigdl import Trainer


def run(config: Config) -> dict[str, Any]:
    """Train, or continue, or tell that it is done.

    Returns:
        The model's URL, the counts of its data and its final metrics.

    Raises:
        InputError: the data, the output or the batch size is not usable.
        RunError: a step failed; the commit before it stands.
    """
    train = config.train
    output = given(train.output, "train.output")
    given(train.input, "train.input")
    model_url = join(output, "model")
    planned = plan.load_plan(output, config.storage)
    if planned:
        plan.check_same(output, planned, train)
        _tell_of_changes(output, planned, config.storage)
        if artefact.exists(model_url, config.storage):
            say(f"{output}: this run is complete")
            return artefact.load(model_url, config.storage).summary
    else:
        refuse_strangers(output, config.storage, "train.output", ["shards/*/*.parquet"])
    with spark_context(_fitting(config.spark, train.batch), bigdl=True) as context:
        from hepspark.model.bigdl import check_parallelism

        check_parallelism(train.batch)
        check_conditional_writes(output, config.storage)
        planned = planned or _freeze(context, output, train, config.storage)
        commit = _train(context, output, planned, config.storage)
    return _save(model_url, planned, commit, config.storage)


def _tell_of_changes(output: str, planned: Plan, storage: StorageConfig) -> None:
    """Say that data sets are others than when the run was planned, which goes on with the events of then."""
    for source in planned.sources:
        try:
            found = dataset.find(source.url, storage)
        except HepsparkError:
            continue  # the run has all that it needs in its shards
        if found and found.fingerprint != source.fingerprint:
            say(
                f"{source.url}: changed since {output} was planned, which stays with the events of then; to train on "
                "what is there now, choose another train.output"
            )


def _fitting(config: SparkConfig, batch: int) -> SparkConfig:
    """`local[*]` on the largest number of this machine's cores that can share a batch evenly."""
    if config.master != "local[*]":
        return config
    cores = next(n for n in range(len(os.sched_getaffinity(0)), 0, -1) if batch % n == 0)
    return config.model_copy(update={"master": f"local[{cores}]"})


def _freeze(context: "SparkContext", output: str, train: TrainConfig, storage: StorageConfig) -> Plan:
    sources = _sources(train, storage)
    chunks = [chunk for source in sources if source.role != "test" for chunk in source.chunks]
    index = shards.index(context, chunks, train.validation_fraction, storage)
    selection = plan.select(index, train.balance)
    rows = train.batch * train.batches_per_step
    written = shards.write_shards(context, chunks, selection, train.validation_fraction, rows, output, storage)
    training = written["train"]
    frozen = Plan(
        config=train,
        sources=tuple(PlannedSource(url=s.url, role=s.role, fingerprint=s.fingerprint, files=s.files) for s in sources),
        network=NETWORKS[train.network],
        scaler=scaler.fit(
            [entry.shard.rows for entry in training],
            [entry.mean for entry in training],
            [entry.squares for entry in training],
        ),
        counts=selection.counts,
        shards=tuple(entry.shard for entry in training),
        validation=tuple(entry.shard for entry in written["validation"]),
        versions=versions(),
    )
    if not store_for(output, storage).create(join(output, plan.PLAN), frozen.model_dump_json(indent=1).encode()):
        raise RunError(f"{output}: another driver planned this run at the same time; run the same command again")
    return frozen


def _sources(train: TrainConfig, storage: StorageConfig) -> list[Source]:
    role: Role = "train" if train.test_input else "split"
    sources = [open_source(url, storage, role) for url in train.input]
    sources += [open_source(url, storage, "test") for url in train.test_input]
    check_distinct(sources, "train.input and train.test_input")
    return sources


def _train(context: "SparkContext", output: str, frozen: Plan, storage: StorageConfig) -> commits.Commit:
    generation = commits.take_generation(output, storage)
    events = sum(shard.rows for shard in frozen.shards)
    say(
        f"Training on {events:,} events, {frozen.steps_per_epoch} steps an epoch, {frozen.config.epochs} epochs; "
        f"validating on {sum(shard.rows for shard in frozen.validation):,}"
    )
    with track("Training", events * frozen.config.epochs, "events") as tracker:
        shown = 0
        while True:
            commit = commits.newest(output, storage) or _initial(frozen, generation)
            commit = replace(commit, generation=generation)
            tracker.advance(commit.events - shown)
            shown = commit.events
            if commit.step:
                say(f"Continuing after step {commit.step} of {frozen.steps}")
            try:
                return _steps(context, output, frozen, commit, storage, tracker)
            except commits.StaleError:
                say("An older driver of this run committed meanwhile; going on from there")


def _initial(frozen: Plan, generation: int) -> commits.Commit:
    weights = initial_weights(frozen.network, frozen.config.seed)
    return commits.Commit(step=0, generation=generation, state=fresh(weights), best_weights=weights)


def _steps(
    context: "SparkContext",
    output: str,
    frozen: Plan,
    commit: commits.Commit,
    storage: StorageConfig,
    tracker: Tracker,
) -> commits.Commit:
    if commit.step and commit.step % frozen.steps_per_epoch == 0:
        _report(output, commit, frozen, storage)  # which a driver that ended right after its commit did not do
    if commit.finished:
        return commit
    from hepspark.model.bigdl import Trainer

    load = shards.loader(output, frozen.shards, frozen.scaler, storage)
    trainer = Trainer(context, frozen.network, commit.state, frozen.rates, frozen.config.batch, load)
    while not commit.finished:
        commit = _step(context, output, frozen, commit, trainer, storage)
        commits.write(output, commit, storage)
        rows, last = commit.steps[-1]["events"], commit.steps[-1]
        tracker.advance(
            rows, f"epoch {last['epoch']} loss {last['loss']:.4f} {last['events_per_second']:,.0f} events/s"
        )
        if commit.step % frozen.steps_per_epoch == 0:
            _report(output, commit, frozen, storage)
    return commit


def _step(
    context: "SparkContext",
    output: str,
    frozen: Plan,
    before: commits.Commit,
    trainer: "Trainer",
    storage: StorageConfig,
) -> commits.Commit:
    index = before.step
    shard = frozen.shard_of(index)
    started = time.monotonic()
    try:
        state, loss = trainer.step(index, shard)
    except Exception as error:
        told = error if isinstance(error, HepsparkError) else told_by_executor(error)
        if told:
            raise told from error
        raise RunError(
            f"{output}: step {index + 1} of {frozen.steps} failed; step {index} is committed, and the same command "
            f"goes on from there: {first_line(error)}"
        ) from error
    seconds = time.monotonic() - started
    rows = frozen.shards[shard].rows
    record = {
        "step": index + 1,
        "epoch": index // frozen.steps_per_epoch + 1,
        "shard": shard,
        "events": rows,
        "loss": loss,
        "learning_rate": frozen.rates[index],
        "seconds": round(seconds, 4),
        "events_per_second": round(rows / seconds, 1),
    }
    starts_epoch = index % frozen.steps_per_epoch == 0
    after = replace(
        before,
        step=index + 1,
        state=state,
        events=before.events + rows,
        steps=(record,) if starts_epoch else (*before.steps, record),
    )
    return _end_epoch(context, output, frozen, after, storage) if after.step % frozen.steps_per_epoch == 0 else after


def _end_epoch(
    context: "SparkContext", output: str, frozen: Plan, commit: commits.Commit, storage: StorageConfig
) -> commits.Commit:
    epoch = commit.step // frozen.steps_per_epoch
    train = frozen.config
    metrics = {
        "epoch": epoch,
        "events": sum(step["events"] for step in commit.steps),
        "learning_rate": commit.steps[-1]["learning_rate"],
        "seconds": round(sum(step["seconds"] for step in commit.steps), 4),
    }
    metrics["events_per_second"] = round(metrics["events"] / metrics["seconds"], 1)
    for name, files in (("", frozen.shards[: len(frozen.validation)]), ("validation_", frozen.validation)):
        score = partial(_score, output, files, frozen, commit.state.weights, storage)
        found = np.array(run_tasks(context, score, range(len(files))))
        rows, loss, right = found.sum(axis=0)
        metrics |= {f"{name}loss": loss / rows, f"{name}accuracy": right / rows}
    better = metrics["validation_loss"] < commit.best_loss
    best_epoch = epoch if better else commit.best_epoch
    patience = train.early_stopping_epochs
    stopped = "early" if patience and epoch - best_epoch >= patience else ""
    return replace(
        commit,
        epochs=(*commit.epochs, metrics),
        best_weights=commit.state.weights if better else commit.best_weights,
        best_loss=metrics["validation_loss"] if better else commit.best_loss,
        best_epoch=best_epoch,
        finished="all epochs" if epoch == train.epochs else stopped,
    )


def _score(
    output: str, files: tuple[plan.Shard, ...], frozen: Plan, weights: Floats, storage: StorageConfig, number: int
) -> tuple[float, float, float]:
    """Events, summed loss and correct answers of one shard."""
    features, labels = shards.load_shard(output, files, frozen.scaler, storage, number)
    log_p = log_probabilities(frozen.network, weights, features)
    rows = len(labels)
    return rows, cross_entropy(log_p, labels) * rows, accuracy(log_p, labels) * rows


def _report(output: str, commit: commits.Commit, frozen: Plan, storage: StorageConfig) -> None:
    """Tell of a finished epoch, and bring metrics.jsonl up to it."""
    epoch = commit.epochs[-1]
    say(
        f"Epoch {epoch['epoch']} of {frozen.config.epochs}: "
        f"loss {epoch['loss']:.4f}, accuracy {epoch['accuracy']:.4f}; validation loss {epoch['validation_loss']:.4f}, "
        f"accuracy {epoch['validation_accuracy']:.4f}; {epoch['events_per_second']:,.0f} events/s"
    )
    url = join(output, "metrics.jsonl")
    store = store_for(output, storage)
    lines = store.read(url).decode().splitlines() if store.exists(url) else []
    # A repeated epoch replaces what an interrupted driver may have written of it.
    earlier = [line for line in lines if json.loads(line)["epoch"] < epoch["epoch"]]
    own = [json.dumps(record) for record in (*commit.steps, epoch)]
    store.write(url, "".join(f"{line}\n" for line in (*earlier, *own)).encode())


def _save(url: str, frozen: Plan, commit: commits.Commit, storage: StorageConfig) -> dict[str, Any]:
    best = commit.epochs[commit.best_epoch - 1]
    summary = {
        "model": url,
        "network": frozen.network.name,
        "counts": frozen.counts,
        "epochs": len(commit.epochs),
        "stopped": commit.finished,
        "steps": commit.step,
        "events_applied": commit.events,
        "best_epoch": commit.best_epoch,
        "validation_loss": best["validation_loss"],
        "validation_accuracy": best["validation_accuracy"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    artefact.save(
        artefact.Model(
            url=url,
            network=frozen.network,
            weights=commit.best_weights,
            scaler=frozen.scaler,
            sources=tuple(source.model_dump() for source in frozen.sources),
            counts=frozen.counts,
            config=frozen.config.model_dump(mode="json"),
            history=commit.epochs,
            summary=summary,
            versions=versions(),
        ),
        storage,
    )
    say(f"Model of epoch {commit.best_epoch} written to {url}")
    return summary
