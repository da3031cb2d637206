"""Identity of events and their side of the split."""

import numpy as np
import pytest

from hepspark.events import TRAIN_FRACTION, Collection, is_train, row_hashes, split_hashes

BORDER = -3689348814741909504  # 0.8 of 2^64, as a signed integer
FILE = "0c867e04-e6bb-11f1-a3a3-02fc00000001"


def test_hashes_never_change():
    # Plans, shards and splits of data sets that exist rest on these values.
    assert row_hashes(FILE, [0, 1]).tolist() == [-8668211507123822194, -99766603799485227]
    assert split_hashes(np.array([0, 1, -1])).tolist() == [
        -1404790466725414248,
        -554693268698977569,
        -1146694403306378218,
    ]


def test_a_row_hash_depends_on_file_and_row_alone():
    together = row_hashes(FILE, range(100))
    apart = np.concatenate([row_hashes(FILE, range(start, start + 20)) for start in range(0, 100, 20)])
    assert np.array_equal(together, apart)
    assert len({*together.tolist(), *row_hashes(FILE[::-1], range(100)).tolist()}) == 200


@pytest.mark.parametrize("families", [np.arange(50_000), np.arange(50_000) << 40, row_hashes(FILE, range(50_000))])
def test_four_in_five_events_are_for_training(families):
    """Also where numbers of parents are small or have only high bits."""
    fraction = is_train(split_hashes(families)).mean()
    assert fraction == pytest.approx(TRAIN_FRACTION, abs=5 * np.sqrt(0.16 / len(families)))
    assert len(set(split_hashes(families).tolist())) == len(families)


def test_the_split_is_no_function_of_the_order():
    hashes = row_hashes(FILE, range(20_000))
    sides = is_train(split_hashes(hashes))
    assert sides[hashes > 0].mean() == pytest.approx(sides[hashes <= 0].mean(), abs=0.03)


def test_events_of_one_parent_stay_together():
    assert len(set(split_hashes(np.full(40, 7)).tolist())) == 1


@pytest.mark.parametrize(
    ("value", "train"),
    [(0, True), (2**62, True), (-1, False), (-(2**63), True), (BORDER - 1, True), (BORDER, False)],
)
def test_the_border_is_on_the_unsigned_value(value, train):
    assert is_train(np.array([value])).tolist() == [train]


def test_no_events_have_no_hashes():
    assert row_hashes(FILE, []).shape == (0,)
    assert split_hashes(np.empty(0, np.int64)).shape == (0,)


def test_objects_are_dropped_from_their_own_event():
    jets = Collection(np.array([0, 2, 2, 5]), {"PT": np.array([1.0, 2.0, 3.0, 4.0, 5.0])})
    assert jets.counts.tolist() == [2, 0, 3]
    assert jets.event.tolist() == [0, 0, 2, 2, 2]
    kept = jets.where(jets.columns["PT"] % 2 == 1)
    assert kept.offsets.tolist() == [0, 1, 1, 3]
    assert kept.columns["PT"].tolist() == [1.0, 3.0, 5.0]
