"""Runs every benchmark: `make bench`."""

import argparse
import sys
from pathlib import Path

from benchmarks import ingest, training
from benchmarks.conditions import conditions
from hepspark.config import load
from hepspark.steps import simulate

PILEUP = 35
"""Gives tt̄ events of about 470 candidates, the size that the ingestion figures are quoted for."""
EVENTS = 2_000


def main(argv: list[str]) -> int:
    """Measure ingestion, then training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the JSON files")
    options = parser.parse_args(argv)
    print("Conditions:", *(f"{key} {value}" for key, value in conditions().items()), sep="\n  ")
    events = options.output / "events"
    settings = (f"output={events}", "classes=[ttbar]", f"events={EVENTS}", f"pileup={PILEUP}")
    simulate.run(load(None, [f"simulate.{setting}" for setting in settings]))
    return ingest.main(["--input", str(events), "--output", str(options.output)]) or training.main(
        ["--output", str(options.output)]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
