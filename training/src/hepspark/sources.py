"""Where training and test events come from: data sets of ingest, or the published SparkDLTrigger Parquet.

The published files hold `HLF_input` (14 numbers) and `encoded_label` (one-hot), each a list, a tensor or a Spark
vector. They carry no event id: an event is named by its file's checksum and its row.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hepspark import dataset
from hepspark.columns import PUBLISHED, Column, check_columns, refuse_nulls, vectors
from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.events import is_train, row_hashes, split_hashes
from hepspark.schema import CLASSES, HLF
from hepspark.storage import Entry, Store, checksum, join, name_of, read_verified, store_for, suffix_of

Role = Literal["split", "train", "test"]
"""Which side events are on: `split` asks each event, the others put all of them on one side."""

_INGESTED: Final = tuple(
    Column(field.name, field.type.equals, str(field.type)) for field in dataset.EVENT_COLUMNS if field.name != "split"
)
"""The columns that are read of the parts of a data set."""
_THREADS = 16  # most of the time is spent on waiting for a store


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
    features: tuple[str, ...] = HLF
    """What the features are, in their order; the published files are of `schema.HLF`, without saying so."""
    classes: tuple[str, ...] = CLASSES
    """What the labels mean, by position."""
    compatibility: str | None = None
    """Which code's features they are, as `ingest.compatibility` has it; None for published files, which do not say."""

    def others(self, features: tuple[str, ...], classes: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        """Where features or classes are not those that are wanted, in their order: what, the wanted, and its own."""
        for kind, wanted, own in (("features", features, self.features), ("classes", classes, self.classes)):
            if wanted != own:
                yield kind, ", ".join(wanted), ", ".join(own)


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
        made = found.manifest
        return Source(url, found.fingerprint, role, chunks, files, made.features, made.classes, made.compatibility)
    store = store_for(url, storage)
    single = [entry for entry in store.glob(url) if suffix_of(entry.url) == ".parquet"]
    entries = single or [entry for entry in store.walk(url) if _is_data(entry, url)]
    if not entries:
        raise NothingThereError(
            f"{url}: neither a data set (no manifest/*.json) nor Parquet files here; make one with hepspark ingest"
        )
    files = _published_files(store, [entry.url for entry in entries])
    if not files:
        raise InputError(f"{url}: none of the {len(entries)} Parquet files has a row; give files with events")
    chunks = tuple(Chunk(place, sha256, published=True, role=role) for sha256, place in files.items())
    names = "\n".join(sorted(files))
    return Source(
        url,
        hashlib.sha256(names.encode()).hexdigest(),
        role,
        chunks,
        {sha256: name_of(place) for sha256, place in files.items()},
    )


def _is_data(entry: Entry, folder: str) -> bool:
    """Whether a file of a folder holds rows of a table: Spark and others keep their own under names with _ or a dot."""
    below = PurePosixPath(entry.url).parts[len(PurePosixPath(folder).parts) :]
    own = any(part.startswith((".", "_")) and "=" not in part for part in below)
    return suffix_of(entry.url) == ".parquet" and not own


def _published_files(store: Store, urls: Sequence[str]) -> dict[str, str]:
    """SHA-256 to URL of the files that have rows; a file without rows is equal to others without being their copy."""
    with ThreadPoolExecutor(_THREADS) as pool:
        # All footers first: a wrong type is told before much is read.
        rows = list(pool.map(partial(_count_rows, store), urls))
        filled = [url for url, count in zip(urls, rows, strict=True) if count]
        sums = list(pool.map(partial(checksum, store), filled))
    files: dict[str, str] = {}
    for url, sha256 in zip(filled, sums, strict=True):
        if sha256 in files:
            raise InputError(f"{url}: is a copy of {files[sha256]}, so its events are the same; leave one of them out")
        files[sha256] = url
    return files


def _count_rows(store: Store, url: str) -> int:
    """Rows of a published file, whose footer tells that it can be read."""
    with store.open(url) as stream, _readable(url):
        file = pq.ParquetFile(stream)
        check_columns(url, file.schema_arrow, PUBLISHED)
        return int(file.metadata.num_rows)


@contextmanager
def _readable(url: str) -> Iterator[None]:
    """Name the file that is no Parquet; of damaged or encrypted ones, Arrow raises an OSError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        if reason.startswith("Expected all lists to be of size"):
            raise InputError(
                f"{url}: a list of fixed length is null, which Arrow cannot read; remove the event"
            ) from error
        raise InputError(f"{url}: not readable as Parquet: {reason}; restore the file, or leave it out") from error


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


def check_alike(sources: Sequence[Source], key: str) -> None:
    """Refuse features of two codes in one training, and labels that mean other classes than this hepspark trains.

    Published files do not say which code made them.

    Args:
        sources: What was given.
        key: Of the configuration, for the message.

    Raises:
        InputError: two data sets were made with different values of `ingest.compatibility`, or one has other features
            or classes than `schema.HLF` and `schema.CLASSES`, or has them in another order.
    """
    for source in sources:
        for kind, trained, found in source.others(HLF, CLASSES):
            raise InputError(
                f"{source.url}: has the {kind} {found}; a training takes the {kind} {trained}, in this order. Ingest "
                f"its ROOT files again, or leave it out of {key}"
            )
    told = [source for source in sources if source.compatibility]
    for source in told:
        if source.compatibility != told[0].compatibility:
            raise InputError(
                f"{source.url}: was made with ingest.compatibility={source.compatibility}, and {told[0].url} with "
                f"{told[0].compatibility}, so their features differ; ingest the ROOT files of one of them again, and "
                f"name data of one kind in {key}"
            )


def read_chunk(chunk: Chunk, storage: StorageConfig) -> Events:
    """The events of one chunk.

    Raises:
        InputError: the file is missing, was altered, lacks a column, or holds values that cannot be trained on.
    """
    changed = "its content changed or is damaged (checksum differs); restore it"
    data = read_verified(store_for(chunk.url, storage), chunk.url, chunk.sha256, changed)
    columns = PUBLISHED if chunk.published else _INGESTED
    with _readable(chunk.url):
        file = pq.ParquetFile(io.BytesIO(data))
        check_columns(chunk.url, file.schema_arrow, columns)
        table = file.read(columns=[column.name for column in columns])
    events = _published(chunk, table) if chunk.published else _ingested(chunk, table)
    _check(chunk, events)
    return events


def _ingested(chunk: Chunk, table: pa.Table) -> Events:
    refuse_nulls(chunk.url, table)
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
    raw, targets = (
        vectors(chunk.url, table[column.name], column.name, width)
        for column, width in zip(PUBLISHED, (len(HLF), len(CLASSES)), strict=True)
    )
    with np.errstate(over="ignore"):  # `_check` refuses what is too large
        features = raw.astype(np.float32)
    wrong = ~(np.isin(targets, (0, 1)).all(axis=1) & (targets.sum(axis=1) == 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{chunk.url}: encoded_label of row {row} is {targets[row].tolist()}, which is not one-hot; give 1 for the "
            f"event's class and 0 for the others, in the order {', '.join(CLASSES)}"
        )
    entry = np.arange(len(features), dtype=np.int64)
    event_hash = row_hashes(chunk.sha256, entry.tolist())
    split_hash = split_hashes(event_hash)
    return Events(
        file_id=np.full(len(entry), chunk.sha256, dtype=object),
        entry=entry,
        event_hash=event_hash,
        split_hash=split_hash,
        is_train=_side(chunk.role, split_hash),
        label=targets.argmax(axis=1).astype(np.int8),
        features=features,
    )


def _side(role: Role, split_hash: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    if role == "split":
        return is_train(split_hash)
    return np.full(len(split_hash), role == "train")


def _check(chunk: Chunk, events: Events) -> None:
    bad = ~np.isfinite(events.features)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{chunk.url}: {HLF[column]} of row {row} is {events.features[row, column]} as a 32-bit number; "
            "remove the event, or ingest its file again"
        )
    wrong = (events.label < -1) | (events.label >= len(CLASSES))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{chunk.url}: label {events.label[row]} of row {row} is not one of 0 to {len(CLASSES) - 1}")
