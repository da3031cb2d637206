"""What a report tells, as plain data; evaluation.json is this, key by key."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from hepspark.metrics import Metrics
from hepspark.report.axes import Axis, Counts
from hepspark.schema import CLASSES

SCHEMA: Final = 1
"""Version of evaluation.json."""


@dataclass(frozen=True)
class SourceSummary:
    """One data source and its test events."""

    url: str
    fingerprint: str
    events: tuple[int, ...]
    """Test events of each class."""
    cut_flow: Mapping[str, Mapping[str, int]]
    """Class to events left after each cut, then `train` and `test`; empty where the source does not tell."""


@dataclass(frozen=True)
class FeatureHistogram:
    """The distribution of one feature in each class."""

    axis: Axis
    counts: Counts


@dataclass(frozen=True)
class Content:
    """An evaluation."""

    model: str
    """URL of the model."""
    network: str
    """Its network in one line."""
    trained: str
    """When it was trained, as the model tells; may be empty."""
    created: str
    """When it was evaluated, in UTC."""
    version: str
    """Of hepspark."""
    sources: tuple[SourceSummary, ...]
    signal: str
    metrics: Metrics
    features: tuple[FeatureHistogram, ...]
    history: tuple[Mapping[str, Any], ...]
    """One entry an epoch, as the model keeps it."""
    best_epoch: int | None
    """The epoch whose weights the model has."""

    def as_json(self) -> dict[str, Any]:
        """All of it, ready for json.dumps."""
        return {"schema_version": SCHEMA, "classes": list(CLASSES), **asdict(self)}
