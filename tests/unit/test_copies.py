"""Events that are there more than once."""

import numpy as np
import pytest

from hepspark.copies import find, told


def groups(*lists):
    return [np.array(content, dtype=np.int64) for content in lists]


@pytest.mark.parametrize("content", [[], [[]], [[], []], [[1, 2], [], [3]], [[2**63 - 1, -(2**63)]]])
def test_no_copies(content):
    found = find(groups(*content))
    assert found.shared == {}
    assert not any(mask.any() for mask in found.later)


def test_the_first_group_keeps_an_event():
    found = find(groups([5, 1, 9], [], [9, 2, 5], [2, 7, 9]))
    assert found.shared == {(2, 0): 2, (3, 2): 1, (3, 0): 1}
    assert [mask.tolist() for mask in found.later] == [[False] * 3, [], [True, False, True], [True, False, True]]


def test_an_event_may_be_twice_in_one_group():
    found = find(groups([4, 4, 4], [4]))
    assert found.shared == {(0, 0): 2, (1, 0): 1}
    assert [mask.tolist() for mask in found.later] == [[False, True, True], [True]]


def test_against_sets():
    rng = np.random.default_rng(3)
    content = [rng.integers(0, 500, size) for size in (300, 1, 0, 200, 99)]
    seen: set[int] = set()
    for mask, group in zip(find(content).later, content, strict=True):
        for is_later, event in zip(mask.tolist(), group.tolist(), strict=True):
            assert is_later is (event in seen)
            seen.add(event)


def test_the_largest_numbers_are_told_first_and_not_all():
    found = find(groups(range(100), [1, 1], *[range(n) for n in range(1, 13)]))
    lines = told(found.shared, ["a", "b", *[f"c{n}" for n in range(1, 13)]])
    assert lines[0] == "c12: 12 events are in a too"
    assert len(lines) == 11
    assert lines[-1] == "5 more events in 3 more pairs"
    one = find(groups([1, 2], [2], [3, 3]))
    assert told(one.shared, ["x", "y", "x"]) == ["y: 1 event is in x too", "x: 1 event is there twice"]
