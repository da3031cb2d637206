"""Trains a network in committed steps; the same command continues a run that was interrupted."""

import json
import os
import re
import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hepspark import dataset
from hepspark.config import Config, SparkConfig, StorageConfig, TrainConfig, given
from hepspark.errors import HepsparkError, RunError, told_by_executor
from hepspark.interrupts import finishing
from hepspark.model import artefact, scaler
from hepspark.model.bigdl import Trainer, check_batch, check_parallelism, mean_loss
from hepspark.model.inference import accuracy, cross_entropy, log_probabilities
from hepspark.model.network import NETWORKS, Floats, initial_weights
from hepspark.model.optimizer import fresh
from hepspark.overlap import check_apart
from hepspark.progress import Tracker, say, track
from hepspark.run import commits, plan, shards
from hepspark.run.plan import Plan, PlannedSource
from hepspark.schema import CLASSES
from hepspark.session import spark_session
from hepspark.sources import NothingThereError, Role, Source, check_alike, check_distinct, open_source
from hepspark.spark import reason, run_tasks
from hepspark.storage import check_conditional_writes, join, refuse_strangers, store_for
from hepspark.supervision import UNSUPERVISED, Supervision
from hepspark.versions import versions
from hepspark.wording import counted

if TYPE_CHECKING:
    from pyspark import SparkContext

_INPUTS = "train.input and train.test_input"
_TOLD_AGAIN = 20
"""Epochs that a run tells again when it goes on."""


def check(config: Config, made: Collection[str] = ()) -> None:
    """Refuse what can be known to fail without Spark.

    Args:
        config: What to do.
        made: URLs that steps before this one will have made; they are not looked at.

    Raises:
        InputError: a key is not given, the data, the output or the batch size is not usable, or the store cannot
            hold commits.
    """
    train, storage = config.train, config.storage
    output = given(train.output, "train.output")
    given(train.input, "train.input")
    planned = plan.load_plan(output, storage)
    if planned:
        plan.check_same(output, planned, _as_planned(train, planned, storage))
        if finished(config):
            return
    else:
        refuse_strangers(output, storage, "train.output", ["shards/*/*.parquet"])
    batch = planned.config.batch if planned else train.batch
    parallelism = _parallelism(_fitting(config.spark, batch))
    if parallelism:
        check_batch(batch, *parallelism)
    if not planned:
        _sources(train, storage, made)
    check_conditional_writes(output, storage)


def finished(config: Config) -> dict[str, Any] | None:
    """The summary of a run that is complete, None where it is not."""
    output = given(config.train.output, "train.output")
    url = join(output, "model")
    if not is_planned(config) or not artefact.exists(url, config.storage):
        return None
    return artefact.load(url, config.storage).summary


def is_planned(config: Config) -> bool:
    """Whether the run has its own copy of its data, and so needs the inputs no more."""
    output = given(config.train.output, "train.output")
    return store_for(output, config.storage).exists(join(output, plan.PLAN))


def run(config: Config, supervision: Supervision = UNSUPERVISED) -> dict[str, Any]:
    """Train, or continue, or tell that it is done.

    Args:
        config: What to do.
        supervision: Who may stop it, between two steps.

    Returns:
        The model's URL, the counts of its data and its final metrics.

    Raises:
        InputError: the data, the output or the batch size is not usable.
        RunError: a step failed; the commit before it stands.
    """
    check(config)
    train = config.train
    output = given(train.output, "train.output")
    done = finished(config)
    if not done:
        supervision.begin(config)
        done = finished(config)  # an earlier driver may have finished it meanwhile
    planned = plan.load_plan(output, config.storage)
    if planned:
        say(plan.check_same(output, planned, _as_planned(train, planned, config.storage)))
        _tell_of_changes(output, planned, config.storage)
    if done:
        say(f"{output}: this run is complete")
        return done
    with spark_session(fitting(config), supervision, bigdl=True) as context:
        check_parallelism((planned.config if planned else train).batch)
        planned = planned or _freeze(context, output, train, config.storage)
        commit = _train(context, output, planned, config.storage, supervision)
    return _save(join(output, "model"), planned, commit, config.storage)


def _as_planned(train: TrainConfig, planned: Plan, storage: StorageConfig) -> TrainConfig:
    """What is asked for, where data that was only moved since the run was planned has its old place."""
    asked, before = [*train.input, *train.test_input], [*planned.config.input, *planned.config.test_input]
    if asked == before or len(asked) != len(before):
        return train
    for index, (url, source) in enumerate(zip(asked, planned.sources, strict=False)):
        try:
            if url != before[index] and open_source(url, storage).fingerprint == source.fingerprint:
                asked[index] = before[index]
        except NothingThereError:
            continue
    inputs = len(train.input)
    return train.model_copy(update={"input": tuple(asked[:inputs]), "test_input": tuple(asked[inputs:])})


def _tell_of_changes(output: str, planned: Plan, storage: StorageConfig) -> None:
    """Say which data sets have changed since the run was planned; the run uses the events that it was planned with."""
    for source in planned.sources:
        try:
            found = dataset.find(source.url, storage)
        except HepsparkError:
            continue  # the run has all that it needs in its shards
        if found and found.fingerprint != source.fingerprint:
            say(
                f"{source.url}: changed since {output} was planned. The run uses the events that it was planned with; "
                "to train on the new events, choose another train.output"
            )


def fitting(config: Config) -> Config:
    """The configuration with a Spark that can share a batch evenly: that of the plan, where the run has one."""
    planned = plan.load_plan(config.train.output, config.storage) if config.train.output else None
    batch = (planned.config if planned else config.train).batch
    return config.model_copy(update={"spark": _fitting(config.spark, batch)})


def _fitting(config: SparkConfig, batch: int) -> SparkConfig:
    """`local[*]` on the largest number of this machine's cores that can share a batch evenly."""
    if config.master != "local[*]":
        return config
    cores = next(n for n in range(len(os.sched_getaffinity(0)), 0, -1) if batch % n == 0)
    return config.model_copy(update={"master": f"local[{cores}]"})


def _parallelism(config: SparkConfig) -> tuple[int, int] | None:
    """Executors and cores of each, as BigDL will count them; None where only the running Spark tells."""
    if config.on_kubernetes:
        return config.executor.instances, config.executor.cores
    local = re.fullmatch(r"local(?:\[(\d+)\])?", config.master)
    return (1, int(local[1] or 1)) if local else None


def _freeze(context: "SparkContext", output: str, train: TrainConfig, storage: StorageConfig) -> Plan:
    sources = _sources(train, storage)
    chunks = [chunk for source in sources if source.role != "test" for chunk in source.chunks]
    check_apart(context, sources, _INPUTS, storage)
    index = shards.index(context, chunks, train.validation_fraction, storage)
    chosen = plan.select(index, train.balance)
    rows = train.batch * train.batches_per_step
    written = shards.write_shards(context, chunks, chosen, train.validation_fraction, rows, output, storage)
    training = written["train"]
    frozen = Plan(
        config=train,
        given=plan.given_keys(train),
        sources=tuple(PlannedSource.model_validate(source, from_attributes=True) for source in sources),
        network=NETWORKS[train.network](train.hidden),
        scaler=scaler.fit(
            [entry.shard.rows for entry in training],
            [entry.mean for entry in training],
            [entry.squares for entry in training],
        ),
        counts={side: dict(zip(CLASSES, map(len, own), strict=True)) for side, own in chosen.items()},
        shards=tuple(entry.shard for entry in training),
        validation=tuple(entry.shard for entry in written["validation"]),
        versions=versions(),
    )
    if not store_for(output, storage).create(join(output, plan.PLAN), frozen.model_dump_json(indent=1).encode()):
        raise RunError(f"{output}: another driver planned this run at the same time; run the same command again")
    return frozen


def _sources(train: TrainConfig, storage: StorageConfig, made: Collection[str] = ()) -> list[Source]:
    role: Role = "train" if train.test_input else "split"
    sources = [open_source(url, storage, role) for url in train.input if url not in made]
    sources += [open_source(url, storage, "test") for url in train.test_input if url not in made]
    check_distinct(sources, _INPUTS)
    check_alike(sources, _INPUTS)
    return sources


def _train(
    context: "SparkContext", output: str, frozen: Plan, storage: StorageConfig, supervision: Supervision
) -> commits.Commit:
    generation = commits.take_generation(output, storage)
    events = sum(shard.rows for shard in frozen.shards)
    say(
        f"Training on {events:,} events, {counted(frozen.steps_per_epoch, 'step')} an epoch, "
        f"{counted(frozen.config.epochs, 'epoch')}; validating on {sum(shard.rows for shard in frozen.validation):,}"
    )
    with track("Training", events * frozen.config.epochs, "events") as tracker:
        shown = 0
        while True:
            commit = commits.newest(output, storage) or _initial(frozen, generation)
            commit = replace(commit, generation=generation)
            tracker.advance(commit.events - shown)
            shown = commit.events
            if commit.step:
                _tell_again(commit, frozen)
                say(f"Continuing after step {commit.step} of {frozen.steps}")
            try:
                return _steps(context, output, frozen, commit, storage, tracker, supervision)
            except commits.StaleError:
                say("An older driver of this run has committed a step; continuing from there")


def _tell_again(commit: commits.Commit, frozen: Plan) -> None:
    """Tell the epochs so far, for those who did not see them: a page that was closed, a driver that is new."""
    is_told_by_steps = commit.step % frozen.steps_per_epoch == 0
    earlier = commit.epochs[:-1] if is_told_by_steps else commit.epochs
    if len(earlier) > _TOLD_AGAIN:
        say(f"Epochs 1 to {len(earlier) - _TOLD_AGAIN} are in metrics.jsonl")
    for epoch in earlier[-_TOLD_AGAIN:]:
        say(_told(epoch, frozen))


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
    supervision: Supervision,
) -> commits.Commit:
    if commit.step and commit.step % frozen.steps_per_epoch == 0:
        _report(output, commit, frozen, storage)  # which a driver that ended right after its commit did not do
    if commit.finished:
        return commit
    load = shards.loader(output, frozen.shards, frozen.scaler, storage)
    trainer = Trainer(context, frozen.network, commit.state, frozen.rates, frozen.config.batch, load)
    while not commit.finished:
        step, given_up = commit.step + 1, f"step {commit.step} of {frozen.steps} is committed, the next one is not"
        with supervision.unbroken(f"step {step} of {frozen.steps}"), finishing(given_up):
            commit = _step(context, output, frozen, commit, trainer, storage)
            commits.write(output, commit, storage)
        rows, last = commit.steps[-1]["events"], commit.steps[-1]
        tracker.advance(
            rows, f"epoch {last['epoch']} loss {last['loss']:.4f} {last['events_per_second']:,.0f} events/s"
        )
        if commit.step % frozen.steps_per_epoch == 0:
            supervision.event("Epoch", _report(output, commit, frozen, storage))
        supervision.stop_if_asked()
    return commit


def _step(
    context: "SparkContext",
    output: str,
    frozen: Plan,
    before: commits.Commit,
    trainer: Trainer,
    storage: StorageConfig,
) -> commits.Commit:
    index = before.step
    shard = frozen.shard_of(index)
    started = time.monotonic()
    try:
        state, losses = trainer.step(index, shard)
    except Exception as error:
        told = error if isinstance(error, HepsparkError) else told_by_executor(error)
        if told:
            raise told from error
        raise RunError(
            f"{output}: step {index + 1} of {frozen.steps} failed; step {index} is committed, and the same command "
            f"continues from there: {reason(context, error)}"
        ) from error
    seconds = time.monotonic() - started
    rows = frozen.shards[shard].rows
    record = {
        "step": index + 1,
        "epoch": index // frozen.steps_per_epoch + 1,
        "shard": shard,
        "events": rows,
        "loss": mean_loss(losses, frozen.config.batch, rows),
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


def _report(output: str, commit: commits.Commit, frozen: Plan, storage: StorageConfig) -> str:
    """Tell of a finished epoch, and bring metrics.jsonl up to it; returns what was told."""
    epoch = commit.epochs[-1]
    told = _told(epoch, frozen)
    say(told)
    url = join(output, "metrics.jsonl")
    store = store_for(output, storage)
    lines = store.read(url).decode().splitlines() if store.exists(url) else []
    # A repeated epoch replaces what an interrupted driver may have written of it.
    earlier = [line for line in lines if json.loads(line)["epoch"] < epoch["epoch"]]
    own = [json.dumps(record) for record in (*commit.steps, epoch)]
    store.write(url, "".join(f"{line}\n" for line in (*earlier, *own)).encode())
    return told


def _told(epoch: dict[str, Any], frozen: Plan) -> str:
    return (
        f"Epoch {epoch['epoch']} of {frozen.config.epochs}: "
        f"loss {epoch['loss']:.4f}, accuracy {epoch['accuracy']:.4f}; validation loss {epoch['validation_loss']:.4f}, "
        f"accuracy {epoch['validation_accuracy']:.4f}; {epoch['events_per_second']:,.0f} events/s"
    )


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
