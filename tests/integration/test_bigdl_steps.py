"""BigDL's steps against a plain numpy Adam, across numbers of executors and processes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from hepspark.model.bigdl import fill_up
from hepspark.model.optimizer import AdamState
from tests.integration import step_job
from tests.reference import adam

LOSS_TOLERANCE = 1e-5
# Sums of 32-bit floats in another order, at weights of order 1; a step moves a weight by about 1e-3 to 1e-2.
WEIGHT_TOLERANCE = 2e-5


def job(target, executors, first, count, source=None, *, fault=False):
    """What `step_job` is asked for: steps from the start, or from a state in a file."""
    return {
        "target": str(target), "executors": executors, "first": first, "count": count,
        "source": source and str(source), "fault": fault,
    }  # fmt: skip


def run(master, *jobs):
    """Run jobs in one new process; gives state and losses after each step of each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.step_job", master, json.dumps(jobs)],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [step_job.read(job["target"]) for job in jobs]


def expected(state, index, partitions):
    features, labels = step_job.shard(index % len(step_job.ROWS))
    size = step_job.BATCH
    batches = [(features[k : k + size], labels[k : k + size]) for k in range(0, len(labels), size)]
    after, losses = adam.train(
        step_job.NETWORK.shapes,
        *(state.weights, state.first_moment, state.second_moment, state.updates),
        *(batches, step_job.rates()[index], partitions),
    )
    return AdamState(*after), losses


def check(before, steps, first, partitions):
    """Each step, from where BigDL's last one ended, gives what the reference gives."""
    for index, (after, losses) in enumerate(steps, start=first):
        reference, of_batches = expected(before, index, partitions)
        assert after.updates == reference.updates
        np.testing.assert_allclose(after.weights, reference.weights, atol=WEIGHT_TOLERANCE)
        np.testing.assert_allclose(after.first_moment, reference.first_moment, atol=1e-3)
        np.testing.assert_allclose(after.second_moment, reference.second_moment, atol=1e-5)
        np.testing.assert_allclose(losses, of_batches, atol=LOSS_TOLERANCE)
        before = after


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("steps")


@pytest.fixture(scope="module")
def on_one(folder):
    """Three steps on one partition: the file that they are in, and state and losses after each."""
    target = folder / "1.npz"
    return target, run("local[2]", job(target, 1, 0, 3))[0]


@pytest.fixture(scope="module")
def resumed(folder, on_one, spark_master):
    """A new process takes these states up on two executors, on two with a misplaced shard, and on three."""
    source, _ = on_one
    jobs = {
        "two": job(folder / "2.npz", 2, 3, 3, source),
        "misplaced": job(folder / "misplaced.npz", 2, 3, 3, source, fault=True),
        "three": job(folder / "3.npz", 3, 3, 3, source),
    }
    return dict(zip(jobs, run(spark_master, *jobs.values()), strict=True))


def test_one_partition_follows_the_reference(on_one):
    check(step_job.start(), on_one[1], 0, 1)


@pytest.mark.parametrize(("name", "partitions"), [("two", 2), ("three", 3)])
def test_moments_enter_a_new_process_on_more_partitions(on_one, resumed, name, partitions):
    check(on_one[1][-1][0], resumed[name], 3, partitions)


@pytest.mark.usefixtures("resumed")
@pytest.mark.parametrize("partitions", [1, 2, 3])
def test_each_batch_holds_the_same_events_on_any_number_of_partitions(folder, partitions):
    """BigDL puts a batch together of as many consecutive rows of every partition; each has the mix of the classes."""
    last = len(step_job.ROWS) - 1
    held = step_job.read_held(folder / f"{partitions}.npz")
    share = step_job.BATCH // partitions
    batches = held.reshape(partitions, -1, share, held.shape[-1]).swapaxes(0, 1).reshape(-1, step_job.BATCH, 17)
    features, labels = step_job.shard(last)
    inputs = step_job.NETWORK.inputs
    np.testing.assert_array_equal(batches[:, :, :inputs].reshape(-1, inputs), fill_up(features, labels, 96)[0])
    taken = np.bincount(labels) / len(labels)
    for batch in batches:
        found = (batch[:, inputs:] < 0).sum(axis=0)
        assert np.abs(found - found.sum() * taken).max() < 2
    assert found.sum() == step_job.ROWS[last] % step_job.BATCH


def test_moments_of_two_partitions_enter_a_new_process_on_one(folder, resumed):
    (states,) = run("local[2]", job(folder / "1-again.npz", 1, 6, 3, folder / "2.npz"))
    check(resumed["two"][-1][0], states, 6, 1)


def test_a_misplaced_shard_is_refused_and_would_train_wrongly(on_one, resumed):
    """The job itself sees the refusal; forced through, BigDL goes on without a word and the weights are wrong."""
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(on_one[1][-1][0], resumed["misplaced"], 3, 2)
