"""What a measurement was made on, and how its table is printed."""

import argparse
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hepspark.versions import versions


def conditions() -> dict[str, Any]:
    """The machine, its load before the measurement, and the versions."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "versions": versions(),
    }


def begin(description: str | None, argv: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """The folder for the results, which the command line names, and the conditions, which are printed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, required=True, help="folder for the JSON files")
    options = parser.parse_args(argv)
    measured_on = conditions()
    print("Conditions:", *(f"{key} {value}" for key, value in measured_on.items()), sep="\n  ")
    return options.output, measured_on


def table(title: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Rows as aligned text under a title."""
    lines = [[str(column) for column in columns], *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    body = "\n".join(
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
    return f"\n{title}\n{body}"
