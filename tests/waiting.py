"""Waiting for what others do, until it is seen; a test that waits in vain says for what."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

QUIET_SECONDS = 120
"""How long a run, a notebook or a page may show nothing new before a test takes it for hanging."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


def until(look: Callable[[], Found], what: str, seconds: float = QUIET_SECONDS) -> Found:
    """What `look` finds, as soon as it finds something."""
    end, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while not (found := look()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)
    return found


def while_it_goes_on(look: Callable[[], Found], what: str, shown: Callable[[], str]) -> Found:
    """What `look` finds, however long it takes, as long as something new is `shown` in every `QUIET_SECONDS`."""
    before, now = None, shown()
    while now != before:
        end = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < end:
            if found := look():
                return found
            time.sleep(_LONGEST_PAUSE)
        before, now = now, shown()
    raise AssertionError(f"{what}: not yet, and nothing new in {QUIET_SECONDS} s; the last was\n{now}")
