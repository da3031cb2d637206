"""Progress of long work: a bar on a terminal or in a notebook, plain lines elsewhere."""

import html
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True, force_jupyter=False)
"""Everything meant for a person goes to standard error; standard output is for results."""

_page = Console(highlight=False, soft_wrap=True, force_jupyter=False)
"""A notebook paints standard error red, and its results are not on standard output."""

LINE_EVERY_SECONDS = 10.0
SHOW_EVERY_SECONDS = 0.2


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


class CellBar:
    """One output of a notebook's cell, which is changed as the work goes on."""

    def __init__(self, title: str, total: float, unit: str, display: Callable[..., Any], link: str = "") -> None:
        """Show it, with nothing done.

        Args:
            title: What is being done.
            total: How much there is to do, in the unit of `advance`.
            unit: Name of that unit.
            display: Of IPython.
            link: HTML that stands behind the text.
        """
        self._title, self._total, self._unit, self._note, self._link = title, total, unit, "", link
        self._done, self._start, self._last = 0.0, time.monotonic(), time.monotonic()
        self._handle = display(self._shown(), raw=True, display_id=True)

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Add finished work, with a short note that replaces the one before."""
        is_first = not self._done  # it may be what was done before, and the next may take long
        self._done, self._note = self._done + amount, note
        if is_first or self._done >= self._total or time.monotonic() - self._last >= SHOW_EVERY_SECONDS:
            self.show()

    def replace(self, done: float, total: float, note: str) -> None:
        """Show other work than before: how much of it is done, and how much there is."""
        self._done, self._total, self._note = done, total, note
        self.show()

    def show(self) -> None:
        """Bring the output up to date."""
        self._last = time.monotonic()
        self._handle.update(self._shown(), raw=True)

    def _shown(self) -> dict[str, str]:
        seconds = time.monotonic() - self._start
        text = f"{self._title}: {self._done:,.0f} of {self._total:,.0f} {self._unit}, {seconds:.0f} s"
        text += f" {self._note}" if self._note else ""
        bar = f'<progress max="{self._total}" value="{self._done}" style="width: 16em"></progress>'
        return {"text/plain": text, "text/html": f"{bar} {html.escape(text)} {self._link}".rstrip()}


_bars: list[CellBar] = []
"""Those of `track` that are shown."""


def is_tracking() -> bool:
    """Whether a cell shows the progress of a step of hepspark, so that nothing else has to."""
    return bool(_bars)


def cell_display() -> Callable[..., Any] | None:
    """What shows output in a cell of a notebook; None where this is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if not hasattr(shell, "kernel"):
        return None
    return cast(Callable[..., Any], importlib.import_module("IPython.display").display)


@contextmanager
def track(title: str, total: float, unit: str = "") -> Iterator[Tracker]:
    """Show how far a piece of work has come.

    Args:
        title: What is being done.
        total: How much there is to do, in the unit of `advance`.
        unit: Name of that unit.
    """
    if display := cell_display():
        tracker = CellBar(title, total, unit, display)
        _bars.append(tracker)
        try:
            yield tracker
        finally:
            _bars.remove(tracker)
            tracker.show()
        return
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
    (_page if cell_display() else console).print(message, markup=False)
