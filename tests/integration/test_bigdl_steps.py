"""BigDL's steps against a plain numpy Adam, across numbers of executors and processes."""

import subprocess
import sys

import numpy as np
import pytest

from hepspark.model.optimizer import AdamState
from tests.integration import step_job
from tests.reference import adam

# Sums of 32-bit floats in another order, at weights of order 1; a step moves a weight by about 1e-3 to 1e-2.
WEIGHT_TOLERANCE = 2e-5


def job(tmp_path, master, executors, first, count, source, name, fault=""):
    """Run steps in another process; gives its states."""
    target = tmp_path / f"{name}.npz"
    command = [sys.executable, "-m", "tests.integration.step_job", master, str(executors), str(first), str(count)]
    done = subprocess.run(
        [*command, str(source), str(target), *([fault] if fault else [])], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return step_job.read(target)


def expected(state, index, partitions):
    features, labels = step_job.shard(index % len(step_job.ROWS))
    size = step_job.BATCH
    batches = [(features[k : k + size], labels[k : k + size]) for k in range(0, len(labels), size)]
    return AdamState(
        *adam.train(
            step_job.NETWORK.shapes,
            *(state.weights, state.first_moment, state.second_moment, state.updates),
            *(batches, step_job.rates()[index], partitions),
        )
    )


def check(before, states, first, partitions):
    """Each step, from where BigDL's last one ended, gives what the reference gives."""
    for index, after in enumerate(states, start=first):
        reference = expected(before, index, partitions)
        assert after.updates == reference.updates
        np.testing.assert_allclose(after.weights, reference.weights, atol=WEIGHT_TOLERANCE)
        np.testing.assert_allclose(after.first_moment, reference.first_moment, atol=1e-3)
        np.testing.assert_allclose(after.second_moment, reference.second_moment, atol=1e-5)
        before = after


def test_one_partition_follows_the_reference(tmp_path):
    states = job(tmp_path, "local[2]", 1, 0, 6, "none", "local")
    check(step_job.start(), states, 0, 1)


@pytest.fixture(scope="module")
def trained_on_two(tmp_path_factory, spark_master):
    """States after each of three steps on two executors, and the file they are in."""
    folder = tmp_path_factory.mktemp("two")
    return job(folder, spark_master, 2, 0, 3, "none", "base"), folder / "base.npz"


def test_two_partitions_follow_the_reference(trained_on_two):
    check(step_job.start(), trained_on_two[0], 0, 2)


@pytest.mark.parametrize("executors", [1, 2, 3])
def test_moments_enter_a_new_process_at_any_size(tmp_path, spark_master, trained_on_two, executors):
    before, source = trained_on_two
    states = job(tmp_path, spark_master, executors, 3, 3, source, "resumed")
    check(before[-1], states, 3, executors)


def test_a_misplaced_shard_is_refused_and_would_train_wrongly(tmp_path, spark_master):
    """The job itself sees the refusal; forced through, BigDL goes on without a word and the weights are wrong."""
    states = job(tmp_path, spark_master, 2, 0, 3, "none", "misplaced", "misplaced")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(step_job.start(), states, 0, 2)
