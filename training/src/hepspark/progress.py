"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""Everything meant for a person goes to standard error; standard output is for results."""

LINE_EVERY_SECONDS = 10.0


class Tracker(Protocol):
    """Counts finished work."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Add finished work, with a short note that replaces the one before."""


class _Bar:
    def __init__(self, progress: Progress, title: str, total: float) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, note="")

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._progress.update(self._task, advance=amount, note=note)


class _Lines:
    def __init__(self, title: str, total: float, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = 0.0
        self._last = time.monotonic()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        if not amount:
            return
        self._done += amount
        now = time.monotonic()
        if self._done >= self._total or now - self._last >= LINE_EVERY_SECONDS:
            self._last = now
            text = f"{self._title}: {self._done:,.0f} of {self._total:,.0f} {self._unit} {note}"
            console.print(text.rstrip(), markup=False)


@contextmanager
def track(title: str, total: float, unit: str = "") -> Iterator[Tracker]:
    """Show how far a piece of work has come.

    Args:
        title: What is being done.
        total: How much there is to do, in the unit of `advance`.
        unit: Name of that unit.
    """
    if not sys.stderr.isatty():
        yield _Lines(title, total, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, title, total)


def say(message: str) -> None:
    """Tell the user one thing."""
    console.print(message, markup=False)
