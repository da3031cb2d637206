"""What a check found, as a table for people and as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Finding:
    """What one check has to say.

    Attributes:
        ok: Whether all is well.
        message: A plain sentence.
        next: Arguments of the next kubectl command; empty when all is well.
    """

    ok: bool
    message: str
    next: str = ""


@dataclass(frozen=True)
class Result:
    """A finding with the name of its check and the seconds that it took."""

    check: str
    finding: Finding
    seconds: float


def passed(message: str) -> Finding:
    """The finding that all is well."""
    return Finding(True, message)


def failed(message: str, kubectl: str) -> Finding:
    """The finding that something is not, and with which kubectl command to look further."""
    return Finding(False, message, kubectl)


def as_json(results: Sequence[Result], kubectl: str) -> str:
    """The results as one JSON object."""
    checks = [
        {
            "check": result.check,
            "ok": result.finding.ok,
            "message": result.finding.message,
            "next": f"{kubectl} {result.finding.next}" if result.finding.next else None,
            "seconds": round(result.seconds, 1),
        }
        for result in results
    ]
    return json.dumps({"ok": all(result.finding.ok for result in results), "checks": checks}, indent=1)


def print_table(results: Sequence[Result], kubectl: str, console: Console) -> None:
    """Print a table of the results, and below it the next command for each failure."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("check", "", "seconds", "found"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for result in results:
        state = Text("ok", "green") if result.finding.ok else Text("FAILED", "bold red")
        table.add_row(result.check, state, f"{result.seconds:.1f}", Text(result.finding.message))
    console.print(table)
    failures = [result for result in results if not result.finding.ok]
    for result in failures:
        # Commands are to be copied: never wrapped, never styled.
        console.print(Text(f"{result.check}, next:\n  {kubectl} {result.finding.next}"), soft_wrap=True)
    if not failures:
        console.print("The cluster is ready.")
