import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepspark.config import BalanceConfig, TrainConfig
from hepspark.errors import InputError
from hepspark.model.bigdl import check_batch, fill_up
from hepspark.model.network import hlf
from hepspark.model.scaler import Scaler
from hepspark.run.plan import Plan, Shard, boundaries, check_same, select, sides


def index_of(counts, seed=0):
    labels = np.repeat(np.arange(3), counts).astype(np.int8)
    hashes = np.random.default_rng(seed).choice(10**6, len(labels), replace=False) - 500_000
    return hashes.astype(np.int64), labels


def plan(shards=4, **config):
    train = TrainConfig(input=("/data",), output="/run", **config)
    rows = train.batch * train.batches_per_step
    return Plan(
        config=train,
        sources=(),
        network=hlf(),
        scaler=Scaler(mean=(0.0,) * 14, width=(1.0,) * 14),
        counts={},
        shards=tuple(Shard(path=f"{n}", rows=rows, sha256="") for n in range(shards)),
        validation=(),
        versions={},
    )


@given(st.lists(st.integers(1, 60), min_size=3, max_size=3), st.integers(1, 40))
def test_every_taken_event_is_in_exactly_one_shard_and_all_but_the_last_are_full(counts, rows):
    hashes, labels = index_of(counts)
    selection = select({"train": (hashes, labels)}, BalanceConfig(mode="none"))
    order = selection.order["train"]
    np.testing.assert_array_equal(np.sort(hashes), order)
    shard = np.searchsorted(boundaries(order, rows), order, side="left")
    sizes = np.bincount(shard)
    assert sizes.sum() == sum(counts)
    assert (sizes[:-1] == rows).all()
    assert 1 <= sizes[-1] <= rows


def test_balancing_takes_the_smallest_hashes_of_each_class():
    hashes, labels = index_of([50, 20, 30])
    selection = select({"train": (hashes, labels)}, BalanceConfig())
    assert selection.counts["train"] == {"qcd": 20, "ttbar": 20, "wjets": 20}
    own = np.sort(hashes[labels == 0])
    assert selection.limits["train"][0] == own[19]


def test_the_bound_on_a_class():
    selection = select({"train": index_of([50, 20, 30])}, BalanceConfig(mode="none", max_per_class=25))
    assert selection.counts["train"] == {"qcd": 25, "ttbar": 20, "wjets": 25}


def test_a_class_without_events_is_refused():
    with pytest.raises(InputError, match="no train events of class ttbar"):
        select({"train": index_of([5, 0, 5])}, BalanceConfig())


def test_the_same_events_twice_are_refused():
    hashes, labels = index_of([5, 5, 5])
    with pytest.raises(InputError, match="twice"):
        select({"train": (np.tile(hashes, 2), np.tile(labels, 2))}, BalanceConfig(mode="none"))


def test_validation_is_a_slice_of_the_training_side():
    split_hash = np.random.default_rng(0).integers(-(2**63), 2**63, 20_000)
    is_train = split_hash.view(np.uint64) < 0.8 * 2**64
    found = sides(is_train, split_hash, 0.8 * 0.1)
    assert not (found["train"] & found["validation"]).any()
    np.testing.assert_array_equal(found["train"] | found["validation"], is_train)
    assert found["validation"].sum() / is_train.sum() == pytest.approx(0.1, abs=0.01)


def test_an_epoch_visits_every_shard_once_and_the_short_one_last():
    frozen = plan(shards=7, epochs=3)
    for epoch in range(3):
        visited = [frozen.shard_of(step) for step in range(7 * epoch, 7 * epoch + 7)]
        assert sorted(visited) == list(range(7))
        assert visited[-1] == 6
    assert [frozen.shard_of(step) for step in range(6)] != [frozen.shard_of(step) for step in range(7, 13)]


def test_a_run_of_one_shard():
    assert [plan(shards=1).shard_of(step) for step in range(3)] == [0, 0, 0]


def test_another_configuration_of_the_same_run_is_refused():
    frozen = plan()
    check_same("/run", frozen, frozen.config.model_copy(update={"output": "/moved"}))
    with pytest.raises(InputError, match=r"train\.batch is 96, was 2304"):
        check_same("/run", frozen, frozen.config.model_copy(update={"batch": 96}))


@pytest.mark.parametrize(("executors", "cores"), [(1, 2), (3, 1), (4, 2), (24, 1)])
def test_batches_that_can_be_shared(executors, cores):
    check_batch(768, executors, cores)


def test_a_batch_that_cannot_be_shared_names_the_nearest_executors():
    with pytest.raises(InputError, match=r"768 events cannot be split evenly over 5 executors.*use 4 or 6 executors"):
        check_batch(768, 5, 1)


def test_a_short_last_batch_is_filled_up_and_weighs_as_much_as_its_events():
    features, labels = np.ones((5, 14), np.float32), np.array([0, 1, 2, 0, 1], np.int8)
    padded, targets = fill_up(features, labels, 4)
    assert padded.shape == (8, 14)
    np.testing.assert_array_equal(padded[5:], 0)
    np.testing.assert_array_equal(targets[:4], -np.eye(3)[[0, 1, 2, 0]])
    np.testing.assert_array_equal(targets[4:], [[0, -4, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_whole_batches_are_left_as_they_are():
    padded, targets = fill_up(np.ones((8, 14), np.float32), np.zeros(8, np.int8), 4)
    assert padded.shape == (8, 14)
    assert (targets.sum(axis=1) == -1).all()
