"""Identity of events and their side of the split."""

import numpy as np
import pytest

from hepspark.events import TRAIN_FRACTION, Collection, event_hashes, is_train, split_hashes

BORDER = -3689348814741909504  # 0.8 of 2^64, as a signed integer
FILE = "0c867e04-e6bb-11f1-a3a3-02fc00000001"


def test_hashes_never_change():
    # Plans, shards and splits of data sets that exist rest on these values.
    assert event_hashes(FILE, [0, 1]).tolist() == [-8668211507123822194, -99766603799485227]
    assert split_hashes(FILE, [0, 1]).tolist() == [4028610757672901050, 844200200152456705]


def test_a_hash_depends_on_file_and_entry_alone():
    together = event_hashes(FILE, range(100))
    apart = np.concatenate([event_hashes(FILE, range(start, start + 20)) for start in range(0, 100, 20)])
    assert np.array_equal(together, apart)
    assert len({*together.tolist(), *event_hashes(FILE[::-1], range(100)).tolist()}) == 200


def test_four_in_five_events_are_for_training():
    n = 50_000
    fraction = is_train(split_hashes(FILE, range(n))).mean()
    assert fraction == pytest.approx(TRAIN_FRACTION, abs=5 * np.sqrt(0.16 / n))


def test_the_split_is_no_function_of_the_order():
    sides = is_train(split_hashes(FILE, range(20_000)))
    largest = event_hashes(FILE, range(20_000)) > 0
    assert sides[largest].mean() == pytest.approx(sides[~largest].mean(), abs=0.03)


def test_events_of_one_parent_stay_together():
    sides = is_train(split_hashes(FILE, [7] * 40))
    assert len(set(sides.tolist())) == 1


@pytest.mark.parametrize(
    ("value", "train"),
    [(0, True), (2**62, True), (-1, False), (-(2**63), True), (BORDER - 1, True), (BORDER, False)],
)
def test_the_border_is_on_the_unsigned_value(value, train):
    assert is_train(np.array([value])).tolist() == [train]


def test_no_events_have_no_hashes():
    assert event_hashes(FILE, []).shape == (0,)


def test_objects_are_dropped_from_their_own_event():
    jets = Collection(np.array([0, 2, 2, 5]), {"PT": np.array([1.0, 2.0, 3.0, 4.0, 5.0])})
    assert jets.counts.tolist() == [2, 0, 3]
    assert jets.event.tolist() == [0, 0, 2, 2, 2]
    kept = jets.where(jets.columns["PT"] % 2 == 1)
    assert kept.offsets.tolist() == [0, 1, 1, 3]
    assert kept.columns["PT"].tolist() == [1.0, 3.0, 5.0]
