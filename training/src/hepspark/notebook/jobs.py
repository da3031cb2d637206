"""Shows below a cell of a notebook what Spark works on, while it does."""

import html
import sys
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hepspark.progress import CellBar, cell_display, is_tracking

if TYPE_CHECKING:
    from pyspark import SparkContext

LOOK_SECONDS = 0.5
"""Between two looks. What is over by the second one is not shown: it would leave a line in every cell."""


@dataclass(frozen=True)
class Job:
    """A job that Spark works on, and how many of its tasks are done."""

    number: int
    tasks: int
    done: int


def active_job(context: "SparkContext") -> Job | None:
    """The oldest job under way, None where there is none."""
    tracker = context.statusTracker()
    for number in tracker.getActiveJobsIds():
        job = tracker.getJobInfo(number)
        stages = [stage for own in (job.stageIds if job else ()) if (stage := tracker.getStageInfo(own))]
        if stages:
            done = sum(stage.numCompletedTasks for stage in stages)
            return Job(number, sum(stage.numTasks for stage in stages), done)
    return None


class JobProgress:
    """A thread that looks at Spark again and again, and shows what it finds below the cell that is running."""

    def __init__(self, look: Callable[[], Job | None], pages: str) -> None:
        """Begin with the cell that is running.

        Args:
            look: Gives the job under way.
            pages: Address of Spark's own pages.
        """
        self._look = look
        link = f'<a href="{html.escape(pages)}" target="_blank" rel="noopener">Spark\'s pages</a>'
        self._link = link if pages else ""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._cell: Context | None = None
        self._bar: CellBar | None = None
        self._job: Job | None = None
        self.begin()
        threading.Thread(target=self._run, name="hepspark-jobs", daemon=True).start()

    def begin(self, *_: object) -> None:
        """A cell begins; called where it runs, since that tells where its output goes."""
        with self._lock:
            self._cell, self._bar, self._job = copy_context(), None, None

    def end(self, result: Any = None) -> None:
        """The cell has ended, and its output stays as it is.

        Args:
            result: IPython's, of the cell.
        """
        with self._lock:
            if self._cell and self._bar and self._job:
                done = self._job.tasks if result and result.success else self._job.done
                self._cell.run(self._bar.replace, done, self._job.tasks, "")
            self._cell = self._bar = None

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self.end()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            if self._cell is None or is_tracking():
                continue
            try:
                job = self._look()
            except Exception:  # noqa: S112 (Spark ends, or has ended: there is nothing to be shown)
                continue
            with self._lock:
                if job and self._job and self._cell:
                    self._cell.run(self._show, job)
                self._job = job or self._job

    def _show(self, job: Job) -> None:
        if self._bar is None and (display := cell_display()):
            self._bar = CellBar("Spark", job.tasks, "tasks", display, self._link)
        if self._bar:
            self._bar.replace(job.done, job.tasks, f"(job {job.number}; ■ stops it)")


def show_jobs(context: "SparkContext", pages: str) -> Callable[[], None]:
    """Show what a Spark works on below each cell from now on.

    Args:
        context: The Spark.
        pages: Address of its own pages.

    Returns:
        What ends that; nothing is shown where this is no notebook.
    """
    if cell_display() is None:
        return lambda: None
    events: Any = sys.modules["IPython"].get_ipython().events
    progress = JobProgress(lambda: active_job(context), pages)
    hooks = {"pre_run_cell": progress.begin, "post_run_cell": progress.end}
    for name, hook in hooks.items():
        events.register(name, hook)

    def end() -> None:
        for name, hook in hooks.items():
            events.unregister(name, hook)
        progress.close()

    return end
