"""Makes one part of a data set from one entry range of a ROOT file, and takes copies of events out of parts."""

import errno
import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hepspark import rootfile
from hepspark.config import StorageConfig
from hepspark.dataset import EVENT_COLUMNS, PARTICLES, Part
from hepspark.errors import RunError
from hepspark.events import Events, is_train, split_hashes
from hepspark.features import CUTS, Features, compute, event_hashes
from hepspark.schema import HLF
from hepspark.storage import join, store_for
from hepspark.storage.base import chunks

SPLITS: Final = ("train", "test")

DISTINCT: Final = "distinct"
"""The last cut: events that are in no earlier file."""

FLOW: Final = (*CUTS, DISTINCT)
"""All cuts, in their order."""

_ROW_GROUP_BYTES: Final = 16 << 20


@dataclass(frozen=True)
class Range:
    """Consecutive entries of a file, and what they become."""

    url: str
    file_id: str
    label: int
    start: int
    stop: int

    @property
    def part(self) -> str:
        """Where the part lies below the data set; the same range always gives the same name and content."""
        return f"parts/{self.file_id}-{self.start}-{self.stop}.parquet"


@dataclass(frozen=True)
class Settings:
    """What all ranges of a run have in common."""

    output: str
    particles: bool
    published: bool
    entries_per_chunk: int
    storage: StorageConfig


@dataclass(frozen=True)
class Written:
    """What came of a range."""

    part: Part | None
    """None where no event was selected."""
    counts: dict[str, int]
    """Events after each of `FLOW`, then those of each side of the split."""


def write_part(settings: Settings, entries: Range) -> Written:
    """Read a range, compute the features of its events and store them.

    Raises:
        BadFileError: the file is damaged.
        HepsparkError: a store fails, or the disk for temporary files is full.
    """
    counts: Counter[str] = Counter()
    read = rootfile.read(entries.url, entries.start, entries.stop, settings.entries_per_chunk, settings.storage)
    part = _made(entries.part, _tables(read, settings, entries, counts), settings)
    return Written(part, dict(counts))


def without(settings: Settings, work: tuple[Part, npt.NDArray[np.bool_]]) -> Written:
    """Take rows out of a part, which is written again under its name, or removed where no row is left.

    Args:
        settings: Of the run that wrote the part.
        work: The part, and which of its rows go.

    Returns:
        The new part, and how many events fewer there are: of the last cut, and of each side.

    Raises:
        HepsparkError: see `write_part`.
    """
    part, gone = work
    url = join(settings.output, part.path)
    store = store_for(url, settings.storage)
    table = pq.read_table(io.BytesIO(store.read(url)))
    sides = table["split"].to_numpy()[gone]
    counts = {DISTINCT: len(sides), **{side: int(np.count_nonzero(sides == side)) for side in SPLITS}}
    made = _made(part.path, [table.filter(pa.array(~gone))], settings)
    if made is None:
        store.delete(url)
    return Written(made, counts)


def schema(*, particles: bool) -> pa.Schema:
    """Arrow schema of a part."""
    return pa.schema([*EVENT_COLUMNS, *PARTICLES]) if particles else EVENT_COLUMNS


def table(events: Events, features: Features, file_id: str, label: int) -> pa.Table:
    """The selected events of a chunk as rows of a part."""
    entries = events.start + features.selected
    event_hash = event_hashes(events, features.selected)
    split_hash = split_hashes(event_hash if events.parents is None else events.parents[features.selected])
    n = len(entries)
    columns = [
        pa.array([file_id]).take(pa.array(np.zeros(n, np.int32))),
        pa.array(entries),
        pa.array(event_hash),
        pa.array(split_hash),
        pa.array(SPLITS).take(pa.array(np.where(is_train(split_hash), 0, 1))),
        pa.array(np.full(n, label, np.int8)),
        *(pa.array(features.hlf[:, number]) for number in range(len(HLF))),
    ]
    if features.sequences is None:
        return pa.table(columns, schema=EVENT_COLUMNS)
    offsets = pa.array(features.sequences.offsets.astype(np.int32))
    columns += [
        pa.ListArray.from_arrays(offsets, pa.array(features.sequences.columns[name])) for name in PARTICLES.names
    ]
    return pa.table(columns, schema=schema(particles=True))


def _tables(read: Iterable[Events], settings: Settings, entries: Range, counts: "Counter[str]") -> Iterator[pa.Table]:
    for events in read:
        features = compute(events, particles=settings.particles, published=settings.published)
        counts.update(features.cut_flow)
        rows = table(events, features, entries.file_id, entries.label)
        n_train = int(np.count_nonzero(rows["split"].to_numpy() == SPLITS[0]))
        counts.update({DISTINCT: len(rows), **dict(zip(SPLITS, (n_train, len(rows) - n_train), strict=True))})
        yield rows


def _made(name: str, tables: Iterable[pa.Table], settings: Settings) -> Part | None:
    """A part of some rows, brought to the data set; None where there are none."""
    try:
        with tempfile.TemporaryDirectory(prefix="hepspark-") as folder:
            path = Path(folder) / "part.parquet"
            rows = _write(path, tables, schema(particles=settings.particles))
            return _store(path, rows, settings, name) if rows else None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"{tempfile.gettempdir()}: no temporary file can be written: {error}; set TMPDIR to another folder"
            ) from error
        raise RunError(
            f"{tempfile.gettempdir()}: the disk is full; free some space, or set TMPDIR to a larger disk, and run again"
        ) from error


def _write(path: Path, tables: Iterable[pa.Table], layout: pa.Schema) -> int:
    # Values of single precision hardly repeat: a dictionary of them costs time and saves nothing.
    repeated = ["file_id", "split"]
    rows, waiting, held = 0, [], 0
    with pq.ParquetWriter(path, layout, compression="zstd", use_dictionary=repeated) as writer:
        for piece in tables:
            rows += len(piece)
            waiting.append(piece)
            held += piece.nbytes
            if held >= _ROW_GROUP_BYTES:
                writer.write_table(pa.concat_tables(waiting))
                waiting, held = [], 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
    return rows


def _store(path: Path, rows: int, settings: Settings, name: str) -> Part:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for piece in chunks(stream):
            digest.update(piece)
    size = path.stat().st_size
    url = join(settings.output, name)
    store_for(url, settings.storage).upload(path, url)
    return Part(path=name, rows=rows, bytes=size, sha256=digest.hexdigest())
