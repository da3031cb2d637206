"""Slows down whoever guesses passwords."""

import time
from collections.abc import Callable

FREE_ATTEMPTS = 3
FORGOTTEN_AFTER_SECONDS = 900.0
MOST_NAMES = 10_000
"""Names that are remembered; a flood of invented ones forgets the oldest."""
_LONGEST_NAME = 255
"""Characters, as the hub keeps them."""


class Throttle:
    """Gives each attempt to sign in its time, so that those at one name are further and further apart.

    Attempts at the same moment get times one after the other: trying many at once is no faster.

    Args:
        first: Seconds between the last free attempt and the next one; they double from there.
        longest: Seconds between two attempts at most.
        clock: Seconds that only grow.
    """

    def __init__(self, first: float, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._first, self._longest, self._clock = first, longest, clock
        self._attempts: dict[str, tuple[int, float]] = {}

    def attempt(self, name: str) -> float | None:
        """Seconds until an attempt may be looked at; None where so many wait that it has to be refused."""
        key, now = name[:_LONGEST_NAME], self._clock()
        count, last = self._attempts.get(key, (0, now))
        if now - last > FORGOTTEN_AFTER_SECONDS:
            count = 0
        apart = min(self._first * 2.0 ** (count - FREE_ATTEMPTS), self._longest) if count >= FREE_ATTEMPTS else 0.0
        turn = max(now, last + apart)
        if turn - now > self._longest:
            return None
        self._attempts.pop(key, None)
        self._attempts[key] = (min(count + 1, 64), turn)
        if len(self._attempts) > MOST_NAMES:
            del self._attempts[next(iter(self._attempts))]
        return turn - now

    def succeeded(self, name: str) -> None:
        """Forget what was wrong before."""
        self._attempts.pop(name[:_LONGEST_NAME], None)
