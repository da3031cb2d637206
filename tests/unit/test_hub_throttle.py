"""Whoever guesses passwords waits longer and longer."""

import pytest
from hepspark_hub import throttle
from hepspark_hub.throttle import Throttle


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slow(clock):
    return Throttle(1.0, 30.0, clock)


def one_after_the_other(slow, clock, name, attempts):
    """How long each waits of whoever tries again as soon as there was an answer."""
    waits = []
    for _ in range(attempts):
        waits.append(slow.attempt(name))
        clock.now += waits[-1]
    return waits


def test_ten_wrong_passwords_are_slow_and_a_right_one_is_forgiven(slow, clock):
    assert one_after_the_other(slow, clock, "ada", 10) == [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]
    assert slow.attempt("bob") == 0
    slow.succeeded("ada")
    assert slow.attempt("ada") == 0


def test_many_at_once_are_no_faster(slow, clock):
    assert [slow.attempt("ada") for _ in range(10)] == [0, 0, 0, 1, 3, 7, 15, None, None, None]
    clock.now += 15
    assert slow.attempt("ada") == 16  # those that were refused do not count


def test_who_types_slowly_does_not_wait(slow, clock):
    one_after_the_other(slow, clock, "ada", 5)
    clock.now += 4
    assert slow.attempt("ada") == 0


def test_failures_of_long_ago_do_not_count(slow, clock):
    one_after_the_other(slow, clock, "ada", 8)
    clock.now += throttle.FORGOTTEN_AFTER_SECONDS + 1
    assert one_after_the_other(slow, clock, "ada", 4) == [0, 0, 0, 1]


def test_a_flood_of_names_takes_no_memory(slow, monkeypatch):
    monkeypatch.setattr(throttle, "MOST_NAMES", 3)
    for name in ["ada"] * 4 + [*"bcd"]:
        slow.attempt(name)
    assert slow.attempt("ada") == 0
    assert len(slow._attempts) == 3


def test_a_long_name_takes_no_memory(slow):
    assert [slow.attempt("a" * 1_000_000) for _ in range(4)] == [0, 0, 0, 1]
    assert len(next(iter(slow._attempts))) < 1000
