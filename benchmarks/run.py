"""Runs every benchmark: `make bench`."""

import argparse
import sys
from pathlib import Path

from benchmarks import ingest, training
from benchmarks.conditions import conditions


def main(argv: list[str]) -> int:
    """Measure ingestion, then training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the JSON files")
    options = parser.parse_args(argv)
    print("Conditions:", *(f"{key} {value}" for key, value in conditions().items()), sep="\n  ")
    return ingest.main(["--output", str(options.output)]) or training.main(["--output", str(options.output)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
