"""Shards of a run: equal slices of its events in the plan's order, written once and read at every epoch."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hepspark.config import StorageConfig
from hepspark.errors import RunError
from hepspark.events import TRAIN_FRACTION
from hepspark.model.scaler import Scaler
from hepspark.run.plan import Hashes, Labels, Layout, Shard, lay_out, sides
from hepspark.schema import NO_LABEL
from hepspark.sources import Chunk, Events, read_chunk
from hepspark.spark import run_grouped, run_tasks
from hepspark.storage import join, read_verified, store_for

if TYPE_CHECKING:
    from pyspark import SparkContext

Block = tuple[Hashes, Labels, npt.NDArray[np.float32]]
"""Hashes, labels and raw features of some events of one shard."""

MAX_VALIDATION_ROWS = 200_000
"""Events in one validation shard, the unit of parallel validation."""


@dataclass(frozen=True)
class Written:
    """A shard, and the sums its scaler is made of."""

    shard: Shard
    mean: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]


def index(
    context: "SparkContext", chunks: Sequence[Chunk], fraction: float, storage: StorageConfig
) -> dict[str, tuple[Hashes, Labels]]:
    """Hashes and labels of all labelled events on the training side, by side."""
    found = run_tasks(
        context, partial(_index_chunk, fraction=fraction, storage=storage), chunks, "Reading events", "files"
    )
    return {
        side: (
            np.concatenate([part[side][0] for part in found]),
            np.concatenate([part[side][1] for part in found]),
        )
        for side in ("train", "validation")
    }


def write_shards(
    context: "SparkContext",
    chunks: Sequence[Chunk],
    chosen: Mapping[str, Sequence[Hashes]],
    fraction: float,
    rows: int,
    run: str,
    storage: StorageConfig,
) -> dict[str, list[Written]]:
    """Write the shards of a run: each event once, into the shard that it belongs to.

    Args:
        context: Spark.
        chunks: The source files.
        chosen: Side to the hashes of the events that are taken, by label, ascending.
        fraction: Share of the training side that validates.
        rows: Events in a training shard.
        run: The run directory.
        storage: How stores are reached.

    Raises:
        RunError: a shard does not hold the events it should.
    """
    # No metric depends on the order of the validation events; they take the same way.
    layouts = {
        "train": lay_out(chosen["train"], rows),
        "validation": lay_out(chosen["validation"], MAX_VALIDATION_ROWS),
    }
    split = partial(_split_chunk, layouts=layouts, fraction=fraction, storage=storage)
    write = partial(_write_shard, layouts=layouts, run=run, storage=storage)
    count = sum(layout.shards for layout in layouts.values())
    written = dict(run_grouped(context, split, chunks, write, count, "Writing shards", "tasks"))
    result: dict[str, list[Written]] = {}
    for side, layout in layouts.items():
        result[side] = [written[side, number] for number in range(layout.shards) if (side, number) in written]
        planned = sum(layout.sizes)
        found = sum(entry.shard.rows for entry in result[side])
        full = all(entry.shard.rows == rows for entry in result[side][:-1]) or side != "train"
        if found != planned or not full:
            raise RunError(f"{run}: the {side} shards have {found} events, but {planned} were planned; run again")
    return result


def load_shard(run: str, shards: Sequence[Shard], scaler: Scaler, storage: StorageConfig, number: int) -> Any:
    """Scaled features and labels of a shard, in order.

    Raises:
        InputError: the shard is missing or was altered.
    """
    shard = shards[number]
    url = join(run, shard.path)
    altered = "was altered since the run was planned; restore it, or start in another train.output"
    data = read_verified(store_for(url, storage), url, shard.sha256, altered)
    table = pq.read_table(io.BytesIO(data))
    raw = table["features"].combine_chunks().flatten().to_numpy().reshape(shard.rows, -1)
    return scaler(raw), table["label"].to_numpy()


def loader(run: str, shards: Sequence[Shard], scaler: Scaler, storage: StorageConfig) -> Callable[[int], Any]:
    """A function that reads a shard by its number, to be called on executors."""
    return partial(load_shard, run, tuple(shards), scaler, storage)


def _index_chunk(chunk: Chunk, fraction: float, storage: StorageConfig) -> dict[str, tuple[Any, Any]]:
    events = read_chunk(chunk, storage)
    labelled = events.label != NO_LABEL
    return {
        side: (events.event_hash[mask & labelled], events.label[mask & labelled])
        for side, mask in _sides(chunk, events, fraction).items()
    }


def _split_chunk(
    chunk: Chunk, layouts: Mapping[str, Layout], fraction: float, storage: StorageConfig
) -> Iterator[tuple[tuple[str, int], Block]]:
    events = read_chunk(chunk, storage)
    for side, mask in _sides(chunk, events, fraction).items():
        number = np.where(mask, layouts[side].shard_of(events.event_hash, events.label), -1)
        for shard in np.unique(number[number >= 0]):
            rows = number == shard
            yield (side, int(shard)), (events.event_hash[rows], events.label[rows], events.features[rows])


def _sides(chunk: Chunk, events: Events, fraction: float) -> dict[str, npt.NDArray[np.bool_]]:
    whole = TRAIN_FRACTION if chunk.role == "split" else 1.0
    return sides(events.is_train, events.split_hash, whole * fraction)


def _write_shard(
    key: tuple[str, int], blocks: Sequence[Block], layouts: Mapping[str, Layout], run: str, storage: StorageConfig
) -> Written:
    side, number = key
    hashes, labels, features = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    order = layouts[side].order(number, hashes, labels)
    table = pa.table(
        {
            "event_hash": hashes[order],
            "label": labels[order],
            "features": pa.FixedSizeListArray.from_arrays(pa.array(features[order].ravel()), features.shape[1]),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    path = f"shards/{side}/{number:06d}.parquet"
    store_for(run, storage).write(join(run, path), buffer.getvalue())
    mean = features.mean(axis=0, dtype=np.float64)
    return Written(
        shard=Shard(path=path, rows=len(order), sha256=hashlib.sha256(buffer.getvalue()).hexdigest()),
        mean=mean,
        squares=((features - mean) ** 2).sum(axis=0),
    )
