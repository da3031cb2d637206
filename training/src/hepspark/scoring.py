"""Scores the events of one chunk: the work of one task of `evaluate` and `predict`, and what both ask before.

Apart from those steps, so that a worker does not import what draws the report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.model.artefact import Model
from hepspark.model.inference import predict
from hepspark.model.network import Floats
from hepspark.report.axes import Axis, fill
from hepspark.sources import Chunk, Events, Role, Source, read_chunk


def check_fits(model: Model, sources: Sequence[Source]) -> None:
    """Refuse data that are not of the model's features and classes, in their order, or have other values of them.

    Args:
        model: Any.
        sources: What it is to score.

    Raises:
        InputError: what differs, in which source, and what the model has in its place.
    """
    trained = {found for record in model.sources if (found := record.get("compatibility"))}
    for source in sources:
        if source.compatibility and trained and source.compatibility not in trained:
            raise InputError(
                f"{source.url}: was made with ingest.compatibility={source.compatibility}; the model {model.url} was "
                f"trained on data of ingest.compatibility={' and '.join(sorted(trained))}. Ingest the ROOT files with "
                "the model's value, or train a model on these data"
            )
        for kind, own, given in source.others(model.features, model.classes):
            raise InputError(
                f"{source.url}: has the {kind} {given}; the model {model.url} was trained on the {kind} {own}. Give "
                f"data of the model's {kind}, in its order, or train a model on these data"
            )


def trained_roles(model: Model) -> dict[str, Role]:
    """SHA-256 of each file that the model's training was given, to the side that its events were on."""
    return {sha256: source["role"] for source in model.sources for sha256 in source["files"]}


def sided(source: Source, trained: Mapping[str, Role]) -> Source:
    """A source, each file with the side that its events were on in training.

    The split of a data set is a property of the event, so it always holds, unless the data set was given to training as
    test data. A published file that took no part in training is a test sample as a whole.

    Args:
        source: Any.
        trained: See `trained_roles`.
    """
    whole = all(trained.get(sha256) == "test" for sha256 in source.files)

    def role(chunk: Chunk) -> Role:
        return trained.get(chunk.sha256, "test") if chunk.published else "test" if whole else "split"

    return replace(source, chunks=tuple(replace(chunk, role=role(chunk)) for chunk in source.chunks))


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
            f"{chunk.url}: the model {model.url} gives no finite probability for row {int(np.argmax(bad))}; its "
            "training diverged, or this event is very different from the events of the training"
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
