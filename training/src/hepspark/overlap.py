"""Refuses data sets that share events, which would count twice, or be trained on and tested on."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hepspark import copies, dataset
from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.sources import Chunk, Source
from hepspark.spark import run_tasks

if TYPE_CHECKING:
    from pyspark import SparkContext


def check_apart(context: "SparkContext", sources: Sequence[Source], key: str, storage: StorageConfig) -> None:
    """Refuse data sets of which one holds events of another.

    Published Parquet is told apart by its files alone (`sources.check_distinct`): it holds no events, but features.

    Args:
        context: Spark.
        sources: What was given.
        key: Of the configuration, for the message.
        storage: How stores are reached.

    Raises:
        InputError: two data sets share events; the message tells how many.
    """
    sets = [source for source in sources if not any(chunk.published for chunk in source.chunks)]
    if len(sets) < 2:
        return  # ingest lets no event into a data set twice
    chunks = [chunk for source in sets for chunk in source.chunks]
    hashes = iter(run_tasks(context, partial(_hashes, storage), chunks, "Comparing events", "parts"))
    found = copies.find(
        [np.concatenate([np.empty(0, np.int64), *(next(hashes) for _ in source.chunks)]) for source in sets]
    )
    if found.shared:
        raise InputError(
            "\n".join(copies.told(found.shared, [source.url for source in sets]))
            + f"\nGive each event once in {key}: leave one of the data sets out, or ingest the files into one data set "
            "with ingest.on_bad_file=skip, which takes each event once"
        )


def _hashes(storage: StorageConfig, chunk: Chunk) -> npt.NDArray[np.int64]:
    return dataset.read_hashes(chunk.url, storage)
