"""Slows down whoever guesses passwords."""

import time
from collections.abc import Callable

FREE_ATTEMPTS = 3
LONGEST_SECONDS = 30.0
FORGOTTEN_AFTER_SECONDS = 900.0
MOST_NAMES = 10_000
"""Names that are remembered; a flood of invented ones forgets the oldest."""


class Throttle:
    """Counts failures of each name.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}

    def seconds(self, name: str) -> float:
        """How long the next attempt has to wait: nothing at first, then doubling from one second."""
        failures, last = self._failures.get(name, (0, 0.0))
        if failures < FREE_ATTEMPTS or self._clock() - last > FORGOTTEN_AFTER_SECONDS:
            return 0.0
        return float(min(2.0 ** (failures - FREE_ATTEMPTS), LONGEST_SECONDS))

    def failed(self, name: str) -> None:
        """Note a wrong password."""
        failures, last = self._failures.pop(name, (0, 0.0))
        if self._clock() - last > FORGOTTEN_AFTER_SECONDS:
            failures = 0
        self._failures[name] = (min(failures + 1, 64), self._clock())
        if len(self._failures) > MOST_NAMES:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, name: str) -> None:
        """Forget what was wrong before."""
        self._failures.pop(name, None)
