"""Programs that are built before the tests begin: a test finds them, or says how to make them."""

import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def built(name: str, target: str) -> Path:
    """Where that is which `tools/<name>.sh` builds, and the make target before its tests."""
    place = Path(subprocess.check_output([TOOLS / f"{name}.sh", "--path"], text=True).strip())
    if not place.exists():
        pytest.fail(f"{place} is missing: run `make {target}`, or build it by tools/{name}.sh", pytrace=False)
    return place
