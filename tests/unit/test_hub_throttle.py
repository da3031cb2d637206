"""Whoever guesses passwords waits longer and longer."""

from hepspark_hub import throttle
from hepspark_hub.throttle import Throttle


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_ten_wrong_passwords_are_slow_and_a_right_one_is_forgiven():
    slow = Throttle(Clock())
    waits = []
    for _ in range(10):
        waits.append(slow.seconds("ada"))
        slow.failed("ada")
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]
    assert slow.seconds("bob") == 0
    slow.succeeded("ada")
    assert slow.seconds("ada") == 0


def test_failures_of_long_ago_do_not_count():
    clock = Clock()
    slow = Throttle(clock)
    for _ in range(5):
        slow.failed("ada")
    clock.now += throttle.FORGOTTEN_AFTER_SECONDS + 1
    assert slow.seconds("ada") == 0
    slow.failed("ada")
    assert slow.seconds("ada") == 0


def test_a_flood_of_names_takes_no_memory(monkeypatch):
    monkeypatch.setattr(throttle, "MOST_NAMES", 3)
    slow = Throttle(Clock())
    for _ in range(4):
        slow.failed("ada")
    for name in "bcd":
        slow.failed(name)
    assert slow.seconds("ada") == 0
    assert len(slow._failures) == 3
