"""Scores the events of one chunk: the work of one task of `evaluate` and `predict`.

Apart from those steps, so that a worker does not import what draws the report.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.model.artefact import Model
from hepspark.model.inference import predict
from hepspark.model.network import Floats
from hepspark.report.axes import Axis, fill
from hepspark.sources import Chunk, Events, read_chunk


def score_chunk(model: Model, chunk: Chunk, storage: StorageConfig) -> tuple[Events, Floats]:
    """Events of a chunk and their class probabilities, of shape (n, classes).

    Raises:
        InputError: the chunk is not usable, or a probability is not a number.
    """
    events = read_chunk(chunk, storage)
    probabilities = predict(model, events.features)
    bad = ~np.isfinite(probabilities).all(axis=1)
    if bad.any():
        raise InputError(
            f"{chunk.url}: the model {model.url} gives row {int(np.argmax(bad))} no finite probability; its training "
            "diverged, or this event is far outside of what it was trained on"
        )
    return events, probabilities


@dataclass(frozen=True)
class ScoredTestSide:
    """Labelled test events of one chunk, n of them."""

    labels: npt.NDArray[np.int8]
    scores: Floats
    """Class probabilities, shape (n, classes)."""
    histograms: list[npt.NDArray[np.int64]]
    """See `report.axes.fill`."""


def score_test_side(model: Model, axes: Sequence[Axis], storage: StorageConfig, chunk: Chunk) -> ScoredTestSide:
    """Score a chunk and keep what `evaluate` needs of its labelled test events.

    Raises:
        InputError: see `score_chunk`.
    """
    events, scores = score_chunk(model, chunk, storage)
    used = ~events.is_train & (events.label >= 0)
    labels = events.label[used]
    return ScoredTestSide(labels, scores[used], fill(axes, events.features[used], labels))
