"""Interrupt in a notebook: what Spark does for its kernel ends, and then the cell.

By itself the SIGINT of Jupyter's Interrupt breaks off the call to Java alone: the job goes on, and the next action
waits behind it. Here all jobs of the kernel are cancelled, those of its other threads, too: they hold the executors.
Streaming queries are stopped, as the loss of a job would make them fail.
"""

import signal
import sys
import threading
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from hepspark.spark import cancel_jobs, is_running, stop_queries
from hepspark.supervision import quieten_py4j

if TYPE_CHECKING:
    from pyspark import SparkContext

PATIENCE_SECONDS = 5.0
"""How long Java may take to answer a call whose jobs were cancelled; what waits for something else never does."""

_ERROR = "x"
"""How an answer of py4j begins that is an exception of Java."""

_watched: "Watch | None" = None


class Interrupted(KeyboardInterrupt):
    """A cell was interrupted while Spark worked for it."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: where in Spark's own code the cell was is of no use."""
        return [str(self)]


def watch(context: "SparkContext") -> None:
    """Have an interrupt of this kernel cancel the jobs of a Spark; elsewhere than in a kernel nothing changes."""
    global _watched
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    if _watched is None:
        shell.events.register("pre_run_cell", _before_cell)
    _watched = Watch(context)
    if threading.current_thread() is threading.main_thread():  # otherwise the next cell is the first
        _before_cell()


def _before_cell(_cell: object = None) -> None:
    """IPython gives each cell its own handler of the signal: take its place, and leave the rest to it."""
    if _watched and is_running(_watched.context):
        _watched.begin()


class Watch:
    """The jobs of one Spark, and the calls to Java by which the main thread waits for them."""

    def __init__(self, context: "SparkContext") -> None:
        self.context = context
        self._calling = self._asked = self._cancelled = False
        self._canceller = threading.Thread()
        self._next: Any = None
        client: Any = context._gateway._gateway_client  # type: ignore[union-attr]
        self._send = partial(type(client).send_command, client)
        client.send_command = self._send_command

    def begin(self) -> None:
        """Look after a cell."""
        # Cancelled tasks hold their cores until they notice; an interrupt of their threads is noticed at once.
        self.context.setLocalProperty("spark.job.interruptOnCancel", "true")
        before = signal.signal(signal.SIGINT, self._on_signal)
        if before != self._on_signal:  # a cell may run another
            self._next = before

    def _send_command(self, *arguments: Any, **named: Any) -> Any:
        """A call to Java, as py4j's own. An interrupt is raised when its answer has been read."""
        if threading.current_thread() is not threading.main_thread():
            return self._send(*arguments, **named)
        self._calling, answer = True, ""
        try:
            answer = self._send(*arguments, **named)
            return answer
        finally:
            self._calling = False
            if self._asked:
                self._end()
                # A job may begin and be cancelled between two looks at the list of jobs: its call ends in an error.
                self._cancelled = self._cancelled or answer.startswith(_ERROR)
                raise Interrupted(self._told())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:  # a second time, or Java does not answer: py4j makes another connection for what follows
            self._asked = False
            quieten_py4j()
            raise Interrupted("Interrupted; Java may still finish its current work")
        if not is_running(self.context):
            self._next(number, frame)
            return
        self._asked = True
        is_calling = self._calling
        self._canceller = threading.Thread(target=self._cancel)
        self._canceller.start()
        if is_calling:
            return
        self._end()
        try:
            self._next(number, frame)
        except KeyboardInterrupt:
            if not self._cancelled:
                raise
            raise Interrupted(self._told()) from None

    def _cancel(self) -> None:
        """In a thread of its own, whose connection to Java is free."""
        had_queries = stop_queries(self.context)
        self._cancelled = cancel_jobs(self.context, lambda: self._calling, PATIENCE_SECONDS) or had_queries
        if self._calling:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _end(self) -> None:
        """Wait until nothing more is cancelled: what the next cell starts is not meant."""
        self._canceller.join()
        self._asked = False

    def _told(self) -> str:
        return "Interrupted; the job was cancelled" if self._cancelled else "Interrupted"
