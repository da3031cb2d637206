"""What a run accounts for: its steps, by its metrics and its commits."""

import json
from pathlib import Path


def accounting(metrics: bytes) -> tuple[int, bool]:
    """Finished epochs of a run, and whether each applied every shard once and step followed step."""
    records = [json.loads(line) for line in metrics.decode().splitlines()]
    steps, epochs = [r for r in records if "step" in r], [r for r in records if "step" not in r]
    shards = [sorted(step["shard"] for step in steps if step["epoch"] == epoch["epoch"]) for epoch in epochs]
    once = all(own == list(range(len(own))) for own in shards)
    return len(epochs), once and [step["step"] for step in steps] == list(range(1, len(steps) + 1))


def newest_step(run: Path) -> int:
    """The step of a run that was committed last, 0 before the first."""
    return max((int(path.stem) for path in (run / "commits").glob("*.npz")), default=0)
