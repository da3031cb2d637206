"""Runs every benchmark: `make bench`."""

import sys

from benchmarks import ingest, training
from benchmarks.conditions import begin
from hepspark.config import load
from hepspark.steps import simulate

PILEUP = 35
"""Gives tt̄ events of about 470 candidates, the size that the ingestion figures are quoted for."""
EVENTS = 2_000


def main(argv: list[str]) -> int:
    """Measure ingestion, then training."""
    output, _ = begin(__doc__, argv)
    events = output / "events"
    settings = (f"output={events}", "classes=[ttbar]", f"events={EVENTS}", f"pileup={PILEUP}")
    simulate.run(load(None, [f"simulate.{setting}" for setting in settings]))
    return ingest.main(["--input", str(events), "--output", str(output)]) or training.main(["--output", str(output)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
