"""Where training and test events come from: data sets of ingest, or the published SparkDLTrigger Parquet.

The published files hold `HLF_input` (14 numbers) and `encoded_label` (one-hot), each an array or a Spark ML
vector. They carry no event id: an event is named by its file's checksum and its row.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hepspark import dataset
from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.events import event_hashes, is_train, split_hashes
from hepspark.schema import CLASSES, HLF
from hepspark.storage import checksum, join, name_of, read_verified, store_for, suffix_of

Role = Literal["split", "train", "test"]
"""Which side events are on: `split` asks each event, the others put all of them on one side."""

_PUBLISHED_COLUMNS = ("HLF_input", "encoded_label")
_EVENT_COLUMNS = ("file_id", "entry", "event_hash", "split_hash", "label", *HLF)


class NothingThereError(InputError):
    """No events are at a URL."""


@dataclass(frozen=True)
class Events:
    """Events of one chunk; all arrays have the length n."""

    file_id: npt.NDArray[np.object_]
    entry: npt.NDArray[np.int64]
    event_hash: npt.NDArray[np.int64]
    split_hash: npt.NDArray[np.int64]
    is_train: npt.NDArray[np.bool_]
    label: npt.NDArray[np.int8]
    features: npt.NDArray[np.float32]
    """Shape (n, 14), in the order of `schema.HLF` and in its units."""


@dataclass(frozen=True)
class Chunk:
    """One Parquet file of a source: a piece of work for one task."""

    url: str
    sha256: str
    published: bool
    role: Role


@dataclass(frozen=True)
class Source:
    """Events at a URL."""

    url: str
    fingerprint: str
    """Names the events: the same wherever they lie."""
    role: Role
    chunks: tuple[Chunk, ...]
    files: dict[str, str]
    """SHA-256 to name: of the published files, or of the ROOT files that a data set was made from."""


def open_source(url: str, storage: StorageConfig, role: Role = "split") -> Source:
    """The events at a URL.

    Args:
        url: A data set of ingest, or published Parquet: a file, a folder, a glob.
        storage: How stores are reached.
        role: Which side its events are on. A data set never is on the training side as a whole: its events' own split
            holds wherever they turn up again, in a larger data set or another run.

    Raises:
        NothingThereError: there is neither a data set nor Parquet.
        InputError: the data set cannot be read.
    """
    found = dataset.find(url, storage)
    if found is not None:
        role = "split" if role == "train" else role
        chunks = tuple(Chunk(join(url, part.path), part.sha256, published=False, role=role) for part in found.parts)
        files = {file.sha256: file.name for file in found.manifest.inputs}
        return Source(url, found.fingerprint, role, chunks, files)
    store = store_for(url, storage)
    single = [entry for entry in store.glob(url) if suffix_of(entry.url) == ".parquet"]
    entries = single or [entry for entry in store.walk(url) if suffix_of(entry.url) == ".parquet"]
    if not entries:
        raise NothingThereError(
            f"{url}: neither a data set (no manifest/*.json) nor Parquet files here; make one with hepspark ingest"
        )
    chunks = tuple(Chunk(entry.url, checksum(store, entry.url), published=True, role=role) for entry in entries)
    names = "\n".join(sorted(chunk.sha256 for chunk in chunks))
    files = {chunk.sha256: name_of(chunk.url) for chunk in chunks}
    return Source(url, hashlib.sha256(names.encode()).hexdigest(), role, chunks, files)


def check_distinct(sources: Sequence[Source], key: str) -> None:
    """Refuse events that are given twice.

    Args:
        sources: What was given.
        key: Of the configuration, for the message.

    Raises:
        InputError: two sources hold the same file.
    """
    seen: dict[str, str] = {}
    for source in sources:
        for sha256, name in source.files.items():
            if sha256 in seen:
                raise InputError(
                    f"{source.url}: holds the same events as {seen[sha256]} (of {name}); name them once in {key}"
                )
        seen |= dict.fromkeys(source.files, source.url)


def read_chunk(chunk: Chunk, storage: StorageConfig) -> Events:
    """The events of one chunk.

    Raises:
        InputError: the file is missing, was altered, lacks a column, or holds values that cannot be trained on.
    """
    changed = "its content changed or is damaged (checksum differs); restore it"
    data = read_verified(store_for(chunk.url, storage), chunk.url, chunk.sha256, changed)
    columns = _PUBLISHED_COLUMNS if chunk.published else _EVENT_COLUMNS
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{chunk.url}: no column {missing[0]!r}; expected {', '.join(columns)}")
        table = file.read(columns=list(columns))
    except pa.ArrowException as error:
        raise InputError(f"{chunk.url}: not readable as Parquet: {error}") from error
    events = _published(chunk, table) if chunk.published else _ingested(chunk, table)
    _check(chunk, events)
    return events


def _ingested(chunk: Chunk, table: pa.Table) -> Events:
    split_hash = table["split_hash"].to_numpy()
    return Events(
        file_id=table["file_id"].to_numpy(),
        entry=table["entry"].to_numpy(),
        event_hash=table["event_hash"].to_numpy(),
        split_hash=split_hash,
        is_train=_side(chunk.role, split_hash),
        label=table["label"].to_numpy(),
        features=np.stack([table[name].to_numpy() for name in HLF], axis=1),
    )


def _published(chunk: Chunk, table: pa.Table) -> Events:
    features = _vectors(chunk, table, "HLF_input", len(HLF)).astype(np.float32)
    targets = _vectors(chunk, table, "encoded_label", len(CLASSES))
    if not (np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all()):
        raise InputError(f"{chunk.url}: encoded_label holds rows that are not one-hot over {len(CLASSES)} classes")
    entry = np.arange(len(features), dtype=np.int64)
    numbers = entry.tolist()
    split_hash = split_hashes(chunk.sha256, numbers)
    return Events(
        file_id=np.full(len(entry), chunk.sha256, dtype=object),
        entry=entry,
        event_hash=event_hashes(chunk.sha256, numbers),
        split_hash=split_hash,
        is_train=_side(chunk.role, split_hash),
        label=targets.argmax(axis=1).astype(np.int8),
        features=features,
    )


def _side(role: Role, split_hash: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    if role == "split":
        return is_train(split_hash)
    return np.full(len(split_hash), role == "train")


def _vectors(chunk: Chunk, table: pa.Table, name: str, width: int) -> npt.NDArray[np.float64]:
    """A column of arrays, or of Spark ML vectors (dense, or sparse with indices), as (n, width)."""
    column = table[name].combine_chunks()
    if not pa.types.is_struct(column.type):
        lengths = np.asarray(column.value_lengths().fill_null(-1))
        if (lengths != width).any():
            raise InputError(f"{chunk.url}: {name}, row {int(np.argmax(lengths != width))}: expected {width} numbers")
        return np.asarray(column.flatten(), dtype=np.float64).reshape(-1, width)
    result = np.zeros((len(column), width))
    for row, vector in enumerate(column.to_pylist()):
        positions = range(width) if vector["type"] == 1 else vector["indices"]
        if (vector["type"] == 1 and len(vector["values"]) != width) or (
            vector["type"] == 0 and vector["size"] != width
        ):
            raise InputError(f"{chunk.url}: {name}, row {row}: expected {width} numbers")
        result[row, list(positions)] = vector["values"]
    return result


def _check(chunk: Chunk, events: Events) -> None:
    bad = ~np.isfinite(events.features)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{chunk.url}: {HLF[column]} of row {row} is {events.features[row, column]}; "
            "remove the event, or ingest its file again"
        )
    wrong = (events.label < -1) | (events.label >= len(CLASSES))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{chunk.url}: label {events.label[row]} of row {row} is not one of 0 to {len(CLASSES) - 1}")
