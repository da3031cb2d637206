"""How work is told to stop, and tells how it fares: the narrow seam between the steps and what runs them.

A step gets a `Supervision`. On one machine that is SIGTERM's handler or nothing at all; in a Job of Kubernetes it is
the run's Lease and Events too (`hepspark.cluster.driver`).
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Protocol

from hepspark.config import Config
from hepspark.errors import HepsparkError, RunError, TerminatedError, UnreachableError
from hepspark.interrupts import tell, tell_what_is_finished


class Supervision(Protocol):
    """What a step asks and tells."""

    def begin(self, config: Config) -> None:
        """Become the one driver of this run, and wait until an earlier one has ended.

        Called when all that can be checked without Spark is checked, and before anything is read that an earlier
        driver may still change. More than one call does no more than one.

        Raises:
            HandedOverError: a newer submission of the run is there.
        """

    def unbroken(self, work: str) -> AbstractContextManager[None]:
        """Work inside goes on when it is asked to stop; `stop_if_asked` is to follow soon.

        Args:
            work: What a person is told that is finished first.
        """

    def stop_if_asked(self) -> None:
        """End here, where nothing is lost, if that was asked for.

        Raises:
            TerminatedError: this process is to end.
            HandedOverError: another driver goes on with the run.
        """

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Tell those who watch the run; never fails."""


class Unsupervised:
    """Nobody stops the work or watches it: a notebook, a test."""

    def begin(self, config: Config) -> None:
        """Nothing."""

    def unbroken(self, _work: str) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def stop_if_asked(self) -> None:
        """Nothing."""

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Nothing."""


UNSUPERVISED = Unsupervised()


class Stop(Unsupervised):
    """Ends the main thread's work when somebody asks: at once, or where the work allows it.

    Outside of `unbroken` nothing is half done that could not be done again, so that there the work ends at once.
    """

    def __init__(self) -> None:
        self.begun = False
        """Whether work has begun: from here on a store that does not answer is lost, not misnamed."""
        self._asked: HepsparkError | None = None
        self._protected = ""
        """What is finished before the end."""
        self._broken_off = False
        self._signals = 0

    def begin(self, _config: Config) -> None:
        """See `Supervision`."""
        self.begun = True

    def ask(self, why: HepsparkError) -> None:
        """Ask the main thread to end with an error; from any thread. The first reason stays."""
        self._asked = self._asked or why
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    @contextmanager
    def unbroken(self, work: str) -> Iterator[None]:
        """See `Supervision`. A second SIGTERM breaks even this off; commits make that safe."""
        before, self._protected = self._protected, work
        try:
            yield
        finally:
            self._protected = before

    def stop_if_asked(self) -> None:
        """See `Supervision`."""
        if self._asked:
            raise self._asked

    @contextmanager
    def explained(self) -> Iterator[None]:
        """The work: what it ends with tells why.

        Where it is broken off that is the reason, whatever error it made of that: py4j takes an exception that is
        raised inside one of its calls for a broken connection, and raises its own.

        Raises:
            RunError: a store was lost on the way.
        """
        try:
            yield
        except Exception as error:
            if self._broken_off and self._asked and error is not self._asked:
                raise self._asked from error
            if self.begun and isinstance(error, UnreachableError):
                raise RunError(f"{error}; run the same command again") from error
            raise

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handle SIGTERM, and SIGUSR1 by which `ask` wakes the main thread."""
        if number == signal.SIGTERM:
            self._signals += 1
            self._asked = self._asked or TerminatedError(
                "ended by SIGTERM; the commits stay, and the same command continues from the last one"
            )
        if not self._asked:
            return
        if self._protected and self._signals < 2:
            if not self._broken_off:
                tell(f"asked to end: {self._protected} is finished first; a second SIGTERM interrupts it")
            return
        if not self._broken_off:
            tell_what_is_finished("asked to end", "the commits stay")
        self._broken_off, self._protected = True, "the end"  # which the next request does not break off
        quieten_py4j()
        raise self._asked


@contextmanager
def stoppable() -> Iterator[Stop]:
    """A `Stop` that SIGTERM asks, while the block runs."""
    stop = Stop()
    before = {number: signal.signal(number, stop.on_signal) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def quieten_py4j() -> None:
    """Py4j would tell of the call that is broken off, in several messages with stack traces."""
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_not_of_py4j)


def _is_not_of_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in record.pathname
