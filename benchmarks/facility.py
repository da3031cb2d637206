"""A benchmark on a lab of its own, which has room for the platform."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.conditions import begin, table
from tests.e2e.facility import ROOMY, Ended, Facility

Measured = tuple[list[dict[str, Any]], dict[str, Any]]
"""Rows of a table, and what they were computed from."""


def succeeded(ended: Ended) -> Ended:
    """A command that had to work."""
    if ended.code:
        raise SystemExit(f"ended with {ended.code}:\n{ended.text}")
    return ended


def benchmark(title: str, measure: Callable[[Facility], Measured], description: str | None, argv: Sequence[str]) -> int:
    """Measure, print, write `title`.json."""
    output, measured_on = begin(description, argv)
    with tempfile.TemporaryDirectory(prefix="hepspark-bench-") as folder:
        facility = Facility(Path(folder), lab=ROOMY, platform=True)
        facility.hosts("down")  # of a measurement that was killed
        try:
            succeeded(facility.make("lab"))
            rows, raw = measure(facility)
        finally:
            facility.make("lab-down")
    print(table(title.capitalize(), ["what", "measured", "wanted"], rows))
    output.mkdir(parents=True, exist_ok=True)
    result = {"conditions": measured_on, "totals": rows, "raw": raw}
    (output / f"{title}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0
