"""Training runs as a user starts, interrupts and continues them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepspark.config import StorageConfig, load
from hepspark.environment import for_command
from hepspark.errors import InputError
from hepspark.model import artefact
from hepspark.run.plan import load_plan
from hepspark.session import spark_session
from hepspark.steps import train
from hepspark.supervision import UNSUPERVISED
from tests.accounting import newest_step

STORAGE = StorageConfig()
EPOCHS = 3
WAIT_SECONDS = 120
# The command, which leaves a file where a step begins: from outside, only its end is seen.
WITH_MARKS = """
import sys
from pathlib import Path
from hepspark.__main__ import run
from hepspark.model.bigdl import Trainer
step, begun = Trainer.step, Path(sys.argv.pop(1))
def marked(trainer, index, shard):
    (begun / str(index + 1)).touch()
    return step(trainer, index, shard)
Trainer.step = marked
run()
"""


def settings(source, output, *overrides):
    return [
        f"train.input=[{source}]",
        f"train.output={output}",
        f"train.epochs={EPOCHS}",
        "train.batch=96",
        "train.batches_per_step=4",
        "train.schedule.scaling=none",
        "train.schedule.rate=5e-3",
        "spark.master=local[2]",
        "spark.driver_memory=1g",
        *overrides,
    ]


def arguments(source, output, *overrides):
    return ["train", *(word for setting in settings(source, output, *overrides) for word in ("--set", setting))]


def run(source, output, *overrides):
    command = [sys.executable, "-m", "hepspark", *arguments(source, output, *overrides)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def interrupt(source, output, after, how):
    """Start the command in a session of its own; end it by a signal in the step after one that is committed."""
    begun = output.with_name(f"{output.name}-begun")
    begun.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_MARKS, begun, *arguments(source, output)],
        env=for_command(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip

    def is_in_step():
        newest = newest_step(output)
        return newest >= after and (begun / str(newest + 1)).exists()

    until(lambda: is_in_step() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    os.kill(process.pid, how)
    errors = process.communicate(timeout=WAIT_SECONDS)[1]
    until(lambda: not alive(process.pid))
    return process.returncode, errors


def until(condition):
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(session):
    """Whether a process of a session is left, such as its JVM."""
    return subprocess.run(["pgrep", "-s", str(session)], stdout=subprocess.DEVNULL).returncode == 0


@pytest.fixture(scope="module")
def finished(published, tmp_path_factory):
    """A run that nothing interrupted."""
    output = tmp_path_factory.mktemp("finished")
    done = run(published, output)
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout)


def check_accounting(output):
    """Every event counts exactly once per epoch, and nothing else does."""
    plan = load_plan(str(output), STORAGE)
    events = sum(shard.rows for shard in plan.shards)
    assert len(plan.shards) > 2
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if "shard" in record]
    assert [record["step"] for record in steps] == list(range(1, EPOCHS * len(plan.shards) + 1))
    for epoch in range(1, EPOCHS + 1):
        own = [record for record in steps if record["epoch"] == epoch]
        assert sorted(record["shard"] for record in own) == list(range(len(plan.shards)))
        assert sum(record["events"] for record in own) == events
    check_order([pq.read_table(output / shard.path) for shard in plan.shards])
    return events


def check_order(shards):
    """Each event is there once, and any stretch of them, such as a batch, holds the classes in their proportion."""
    hashes, labels = (np.concatenate([shard[name].to_numpy() for shard in shards]) for name in ("event_hash", "label"))
    assert len(np.unique(hashes)) == len(hashes)
    one_hot = np.eye(3)[labels]
    assert np.ptp(np.cumsum(one_hot - one_hot.mean(axis=0), axis=0), axis=0).max() < 2


def test_every_event_counts_once_per_epoch(finished):
    output, summary = finished
    assert summary["events_applied"] == EPOCHS * check_accounting(output)
    assert summary["validation_accuracy"] > 0.5  # three classes: guessing gives 0.33
    assert artefact.load(summary["model"], STORAGE).summary == summary


def test_the_loss_of_steps_lies_between_the_losses_before_and_after_their_epoch(finished):
    records = [json.loads(line) for line in (finished[0] / "metrics.jsonl").read_text().splitlines()]
    after = [record["loss"] for record in records if "shard" not in record]
    for epoch in range(2, EPOCHS + 1):
        own = [(step["loss"], step["events"]) for step in records if step["epoch"] == epoch and "shard" in step]
        losses, events = zip(*own, strict=True)
        assert after[epoch - 1] < np.average(losses, weights=events) < after[epoch - 2]


@pytest.fixture
def local_spark():
    with spark_session(load(None, ["spark.master=local[2]", "spark.driver_memory=1g"]), UNSUPERVISED) as context:
        yield context


@pytest.mark.parametrize(
    ("balance", "counts"),
    [
        ("balance.mode=smallest", [1, 1, 1]),
        ("balance.mode=none", [1, 2, 10]),
        ("balance={mode: none, max_per_class: 130}", None),
    ],
)
def test_shards_and_batches_of_uneven_classes_have_their_mix(local_spark, uneven, tmp_path, balance, counts):
    config = load(None, settings(uneven, tmp_path, f"train.{balance}", "train.batch=48", "train.batches_per_step=2"))
    plan = train._freeze(local_spark, str(tmp_path), config.train, STORAGE)
    of_classes = np.array(list(plan.counts["train"].values()))
    assert of_classes.sum() == sum(shard.rows for shard in plan.shards)
    if counts:
        np.testing.assert_allclose(of_classes / of_classes[0], counts, rtol=0.25)
    else:
        assert of_classes.max() == 130 > of_classes.min()
    tables = [pq.read_table(tmp_path / shard.path) for shard in plan.shards]
    check_order(tables)
    for table in tables:
        labels = table["label"].to_numpy()
        for batch in (labels[first : first + 48] for first in range(0, len(labels), 48)):
            expected = len(batch) * of_classes / of_classes.sum()
            assert np.abs(np.bincount(batch, minlength=3) - expected).max() < 2


def test_a_run_goes_on_after_interrupts_and_loses_nothing(finished, published, tmp_path, capfd):
    code, errors = interrupt(published, tmp_path, 2, signal.SIGINT)
    assert code == 130
    at_once, last = [line for line in errors.splitlines() if line.startswith("hepspark: ")]
    assert re.match(
        r"hepspark: interrupted: step \d+ of \d+ is committed, .*; Spark is stopped first \(Ctrl-C", at_once
    )
    assert "the same command continues" in last
    assert "Traceback" not in errors
    code, errors = interrupt(published, tmp_path, newest_step(tmp_path) + 2, signal.SIGTERM)
    assert code == 143
    assert re.search(r"^hepspark: asked to end: step \d+ of \d+ is finished first", errors, re.MULTILINE)
    assert errors.splitlines()[-1].startswith("hepspark: ended by SIGTERM; the commits stay")
    interrupt(published, tmp_path, newest_step(tmp_path) + 2, signal.SIGKILL)
    stopped = newest_step(tmp_path)
    # Under another spelling, too.
    here = os.path.relpath(published)
    summary = train.run(load(None, settings(f"./{here}/", f"{tmp_path.parent}/./{tmp_path.name}//")))
    told = capfd.readouterr().err
    assert f"Continuing after step {stopped}" in told
    assert re.findall(r"^Epoch (\d+) of", told, re.MULTILINE) == [str(epoch + 1) for epoch in range(EPOCHS)]
    assert summary["events_applied"] == EPOCHS * check_accounting(tmp_path)
    uninterrupted = finished[1]
    assert summary["steps"] == uninterrupted["steps"]
    ours, theirs = (artefact.load(found["model"], STORAGE).weights for found in (summary, uninterrupted))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_finished_run_stays_finished(finished, published):
    output, summary = finished
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    again = run(published, output)
    assert again.returncode == 0, again.stderr
    assert "this run is complete" in again.stderr
    assert json.loads(again.stdout) == summary
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == before


def test_a_run_whose_data_was_moved_is_the_same_run(finished, published, tmp_path):
    """The data is known by what it holds; other data is another run."""
    moved = shutil.copytree(published, tmp_path / "moved")
    train.check(load(None, settings(moved, finished[0])))
    (moved / "part-2.parquet").unlink()
    with pytest.raises(InputError, match=r"train\.input is .*moved.*, was "):
        train.check(load(None, settings(moved, finished[0])))


def test_what_a_driver_that_ended_too_early_did_not_write_is_written(finished, published, tmp_path, capfd):
    """Its commit is there, but neither the metrics of its last epoch nor the model; a default was another then."""
    output = shutil.copytree(finished[0], tmp_path / "run")
    frozen = json.loads((output / "plan.json").read_text())
    frozen["config"]["early_stopping_epochs"] = 7
    (output / "plan.json").write_text(json.dumps(frozen))
    shutil.rmtree(output / "model")
    metrics = output / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(line for line in lines if json.loads(line)["epoch"] < EPOCHS))
    train.run(load(None, settings(published, output)))
    assert metrics.read_text() == "".join(lines)
    assert artefact.load(f"{output}/model", STORAGE).config["early_stopping_epochs"] == 7
    told = capfd.readouterr().err
    assert "train.batch=96" in told
    assert "train.early_stopping_epochs stays 7, although the default is now 8" in told


def test_a_shard_that_was_altered_is_named(finished, published, tmp_path):
    output = shutil.copytree(finished[0], tmp_path / "run")
    shutil.rmtree(output / "model")
    *_, before, _ = sorted((output / "commits").iterdir())
    for path in (output / "commits").iterdir():
        if path.name > before.name:
            path.unlink()
    for path in (output / "shards" / "train").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"shards/train/\d+\.parquet: was altered since the run was planned; restore it"
    ):
        train.run(load(None, settings(published, output)))


def test_data_given_for_training_and_for_testing_is_refused(published, tmp_path):
    with pytest.raises(InputError, match="same events"):
        train.run(load(None, settings(published, tmp_path / "run", f"train.test_input=[{published}/part-0.parquet]")))
    assert not (tmp_path / "run" / "plan.json").exists()


def test_an_output_with_something_else_in_it_is_refused(published, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"contains other files \(.*thesis\.tex"):
        train.run(load(None, settings(published, tmp_path)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.batch=192", "train.batch is 192, was 96"),
        ("train.epochs=5", "train.epochs is 5, was 3"),
    ],
)
def test_another_configuration_in_the_same_place_is_refused(finished, published, override, message):
    done = run(published, finished[0], override)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_batch_that_bigdl_cannot_split_is_refused_before_anything_is_written(published, tmp_path):
    with pytest.raises(InputError, match="95 events cannot be split evenly"):
        train.run(load(None, settings(published, tmp_path / "run", "train.batch=95")))
    assert not (tmp_path / "run").exists()


def test_early_stopping_ends_the_run(published, tmp_path):
    # At a rate far too large the loss soon stops falling.
    changes = (
        "train.epochs=50", "train.early_stopping_epochs=1", "train.schedule.rate=1.0", "train.batches_per_step=99",
    )  # fmt: skip
    summary = train.run(load(None, settings(published, tmp_path, *changes)))
    assert summary["stopped"] == "early"
    assert summary["epochs"] < 50
    assert summary["best_epoch"] == summary["epochs"] - 1


def test_a_network_of_other_widths_is_trained_and_saved(published, tmp_path):
    summary = train.run(load(None, settings(published, tmp_path, "train.hidden=[12, 6]", "train.epochs=1")))
    model = artefact.load(summary["model"], STORAGE)
    assert [layer.units for layer in model.network.layers] == [12, 6, 3]
    assert model.weights.shape == (14 * 12 + 12 + 12 * 6 + 6 + 6 * 3 + 3,)
