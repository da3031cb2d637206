import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepspark.config import BalanceConfig, ScheduleConfig, StorageConfig, checked
from hepspark.errors import InputError
from hepspark.model.bigdl import check_batch, fill_up, mean_loss
from hepspark.model.network import hlf
from hepspark.model.scaler import Scaler
from hepspark.run.plan import Plan, Shard, check_same, given_keys, lay_out, load_plan, position, select, sides
from hepspark.schema import PLAN_SCHEMA


def index_of(counts, seed=0):
    labels = np.repeat(np.arange(3), counts).astype(np.int8)
    hashes = np.random.default_rng(seed).choice(10**6, len(labels), replace=False) - 500_000
    return hashes.astype(np.int64), labels


def asked(**section):
    return checked({"train": {"input": ["/data"], "output": "/run", **section}}, "a test").train


def plan(shards=4, **config):
    train = asked(**config)
    rows = train.batch * train.batches_per_step
    return Plan(
        config=train,
        given=given_keys(train),
        sources=(),
        network=hlf(),
        scaler=Scaler(mean=(0.0,) * 14, width=(1.0,) * 14),
        counts={},
        shards=tuple(Shard(path=f"{n}", rows=rows, sha256="") for n in range(shards)),
        validation=(),
        versions={},
    )


def written(chosen, hashes, labels, rows):
    """Labels and hashes of all events in the order in which shards of so many rows hold them."""
    layout = lay_out(chosen, rows)
    shard = layout.shard_of(hashes, labels)
    kept = []
    for number in range(layout.shards):
        own = np.flatnonzero(shard == number)
        assert 1 <= len(own) <= rows
        assert len(own) == rows or number == layout.shards - 1
        kept.append(own[layout.order(number, hashes[own], labels[own])])
    order = np.concatenate(kept)
    return labels[order], hashes[order]


def deviations(labels, counts):
    """How many more events of each class the first k of an order hold than their share, for all k; (k, classes)."""
    held = np.cumsum(np.eye(len(counts))[labels], axis=0)
    return held - np.arange(1, len(labels) + 1)[:, None] * np.array(counts) / sum(counts)


SIZES = st.one_of(
    st.lists(st.integers(1, 60), min_size=3, max_size=3), st.integers(1, 30).map(lambda n: [n, 2 * n, 10 * n])
)


@given(SIZES, st.integers(1, 40), st.randoms(use_true_random=False))
def test_every_taken_event_is_in_one_shard_and_every_stretch_has_the_class_mix(counts, rows, random):
    hashes, labels = index_of(counts)
    chosen = select({"train": (hashes, labels)}, BalanceConfig(mode="none"))["train"]
    own, order = written(chosen, hashes, labels, rows)
    np.testing.assert_array_equal(np.sort(order), np.sort(hashes))
    beyond = deviations(own, counts)
    assert np.abs(beyond).max() < 1
    assert np.ptp(beyond, axis=0).max() < 2
    # Neither the order in which files are read nor the size of a shard has a say.
    shuffled = list(range(len(labels)))
    random.shuffle(shuffled)
    np.testing.assert_array_equal(written(chosen, hashes[shuffled], labels[shuffled], rows)[1], order)
    np.testing.assert_array_equal(written(chosen, hashes, labels, len(labels))[1], order)


@pytest.mark.parametrize("balance", [{"mode": "smallest"}, {"mode": "none"}, {"mode": "none", "max_per_class": 300}])
def test_batches_of_classes_of_which_one_is_rare(balance):
    hashes, labels = index_of([100, 200, 1000])
    chosen = select({"train": (hashes, labels)}, BalanceConfig(**balance))["train"]
    own, _ = written(chosen, hashes, labels, 64)
    share = np.array([len(taken) for taken in chosen]) / len(own)
    for first in range(0, len(own), 16):
        batch = own[first : first + 16]
        assert np.abs(np.bincount(batch, minlength=3) - len(batch) * share).max() < 2


def test_equal_classes_alternate():
    assert sorted((position(label, rank, (4, 4, 4)), label) for label in range(3) for rank in range(4)) == [
        (place, place % 3) for place in range(12)
    ]


def test_single_events_among_very_many_are_in_the_middle():
    sizes = (1, 1, 2**30 - 2)
    assert [position(label, 0, sizes) for label in range(3)] == [2**29 - 1, 2**29, 0]
    assert position(2, np.array([sizes[2] - 1]), sizes).tolist() == [2**30 - 1]  # no overflow


def test_balancing_takes_the_smallest_hashes_of_each_class():
    hashes, labels = index_of([50, 20, 30])
    chosen = select({"train": (hashes, labels)}, BalanceConfig())["train"]
    for label in range(3):
        np.testing.assert_array_equal(chosen[label], np.sort(hashes[labels == label])[:20])
    assert np.bincount(lay_out(chosen, 7).shard_of(hashes, labels) + 1).tolist() == [40, *[7] * 8, 4]


def test_the_bound_on_a_class():
    chosen = select({"train": index_of([50, 20, 30])}, BalanceConfig(mode="none", max_per_class=25))
    assert [len(own) for own in chosen["train"]] == [25, 20, 25]


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


def planned_by_defaults_of_then(then, **section):
    """The plan of a hepspark some of whose defaults were others."""
    config = asked(**section)
    frozen = plan(**section)
    return frozen.model_copy(update={"config": config.model_copy(update=then), "given": given_keys(config)})


def test_the_same_configuration_goes_on_also_in_another_place():
    told = check_same(
        "/run", plan(epochs=5, schedule={"rate": 0.1}), asked(epochs=5, schedule={"rate": 0.1}, output="/moved")
    )
    assert "with train.input=['/data'], train.epochs=5, train.schedule.rate=0.1" in told
    assert "stays" not in told


def test_a_default_that_has_changed_is_kept_and_told():
    then = {"seed": 7, "schedule": ScheduleConfig(max_rate=0.5)}
    told = check_same("/run", planned_by_defaults_of_then(then, epochs=5), asked(epochs=5))
    assert told.endswith(
        "; train.schedule.max_rate stays 0.5, although the default is now 0.01; "
        "train.seed stays 7, although the default is now 42"
    )


def test_giving_what_was_the_default_then_changes_nothing():
    frozen = planned_by_defaults_of_then({"seed": 7})
    check_same("/run", frozen, asked(seed=7))
    with pytest.raises(InputError, match=r"train\.seed is 42, was 7"):
        check_same("/run", frozen, asked(seed=42))


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        ({}, {"batch": 96}, r"train\.batch is 96, was 2304"),
        ({"batch": 96}, {"batch": 192}, r"train\.batch is 192, was 96"),
        ({"batch": 96}, {}, r"train\.batch is not given, so it is 2304; it was given as 96"),
        (
            {"balance": {"mode": "none"}},
            {},
            r"train\.balance\.mode is not given, so it is smallest; it was given as none",
        ),
        ({}, {"schedule": {"rate": 1.0}}, r"train\.schedule\.rate is 1\.0, was 0\.004"),
        ({"hidden": [5]}, {"hidden": None}, r"train\.hidden is \[50, 20, 10\], was \[5\]"),
        ({}, {"input": ["/other"]}, r"train\.input is \['/other'\], was \['/data'\]"),
        ({"epochs": 3}, {"epochs": 5, "seed": 1}, r"train\.epochs is 5, was 3; train\.seed is 1, was 42"),
    ],
)
def test_another_configuration_of_the_same_run_is_refused(then, now, message):
    with pytest.raises(InputError, match=rf"/run: .*{message}.*choose another train\.output"):
        check_same("/run", plan(**then), asked(**now))


def test_a_key_that_was_given_as_its_default_may_be_left_out():
    check_same("/run", plan(epochs=30), asked())
    check_same("/run", plan(hidden=[50, 20, 10]), asked())
    check_same("/run", plan(), asked(hidden=[50, 20, 10]))
    assert "train.hidden=[50, 20, 10]" in check_same("/run", plan(hidden=None), asked())


def test_a_plan_comes_back_as_it_was(tmp_path):
    (tmp_path / "plan.json").write_text(plan(batch=96).model_dump_json())
    assert load_plan(str(tmp_path), StorageConfig()) == plan(batch=96)


def test_a_plan_without_a_version_is_too_old(tmp_path):
    content = json.loads(plan().model_dump_json())
    del content["schema_version"], content["given"]
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"plan\.json: the plan has schema version 0.*older.*choose another train\.output"
    ):
        load_plan(str(tmp_path), StorageConfig())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"schema_version": PLAN_SCHEMA + 1, "shape": "unknown"},
            r"schema version 2.*a newer hepspark made it; use that",
        ),
        ({"schema_version": "2"}, "not a plan of hepspark: its schema_version is '2', not a number"),
        ({"schema_version": True}, "not a plan of hepspark: its schema_version is True, not a number"),
        ({"schema_version": PLAN_SCHEMA}, r"not the plan of a run of this hepspark \(config: Field required\)"),
        ([], r"not the plan of a run of hepspark"),
    ],
)
def test_what_is_no_plan_of_this_hepspark_is_told(tmp_path, content, message):
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"plan\.json: .*{message}"):
        load_plan(str(tmp_path), StorageConfig())


def test_keys_that_were_given_are_those_of_the_configuration(tmp_path):
    content = json.loads(plan().model_dump_json()) | {"given": ["epochs", "epoch", "schedule"]}
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"plan\.json: .*given: no such keys: epoch, schedule"):
        load_plan(str(tmp_path), StorageConfig())


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


@pytest.mark.parametrize(
    ("losses", "rows", "mean"), [([1.0, 2.0], 8, 1.5), ([1.0, 2.0, 9.0], 9, 21 / 9), ([3.0], 1, 3.0), ([3.0], 4, 3.0)]
)
def test_the_loss_of_a_step_is_the_mean_over_its_events(losses, rows, mean):
    assert mean_loss(losses, 4, rows) == pytest.approx(mean)
