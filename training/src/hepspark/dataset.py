"""A data set: Parquet parts, and numbered manifests that say which of them count.

Layout below the data set's URL:

    manifest/00000001.json    written last and never replaced: the data set appears whole or not at all
    parts/<name>.parquet      rows of one entry range of one input file

A reader takes the newest manifest and only the parts it lists, so parts of an interrupted or
failed run are never seen. Adding files writes new parts and the next manifest.

Columns: `file_id` and `entry` tell where the event was read, `event_hash` (a 64-bit hash of what it holds, as a
signed integer) names and orders it, `split_hash` (of its parent event, or else its own) decides its side, `split` is
that side ("train" or "test"), `label` its class, then the 14 features of `schema.HLF` in
float32, then, where particles are kept, the list columns of `schema.PARTICLE_COLUMNS`.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from hepspark.config import StorageConfig
from hepspark.config.base import Section
from hepspark.errors import InputError, RunError
from hepspark.schema import DATASET_SCHEMA, HLF, PARTICLE_COLUMNS
from hepspark.storage import join, numbered, store_for
from hepspark.versions import check_schema, first_fault

EVENT_COLUMNS = pa.schema(
    [
        pa.field("file_id", pa.string(), nullable=False),
        pa.field("entry", pa.int64(), nullable=False),
        pa.field("event_hash", pa.int64(), nullable=False),
        pa.field("split_hash", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in HLF),
    ]
)
"""Arrow schema of a part without particles."""

PARTICLES = pa.schema(
    [
        pa.field(
            name,
            pa.list_(pa.int8() if name in ("particle_type", "particle_charge") else pa.float32()),
            nullable=False,
        )
        for name in PARTICLE_COLUMNS
    ]
)
"""Arrow schema of the particle columns."""


class Part(Section):
    """One Parquet file of a data set."""

    path: str
    """Below the data set's URL."""
    rows: int
    bytes: int
    sha256: str


class Input(Section):
    """One ROOT file that a data set was made from."""

    name: str
    """Last part of the file's URL; neither path nor file is part of an event's identity."""
    class_name: str
    file_id: str
    """The ROOT file's UUID."""
    size: int
    sha256: str
    entries: int
    cut_flow: dict[str, int]
    """Events left after each cut, in order; the last cut, `distinct`, takes out those that an earlier file has."""
    parts: tuple[Part, ...]


class Excluded(Section):
    """A file that was set aside, as a whole or those of its events that an earlier file has."""

    name: str
    reason: str


class Manifest(Section):
    """What a data set holds and where it came from."""

    schema_version: int
    particles: bool
    compatibility: str
    features: tuple[str, ...]
    """Columns of the features, in their order."""
    classes: tuple[str, ...]
    """What labels mean, by position."""
    counts: dict[str, dict[str, int]]
    """Class to events after each cut, then `train` and `test`."""
    inputs: tuple[Input, ...]
    excluded: tuple[Excluded, ...] = ()
    versions: dict[str, str]
    config: dict[str, Any]


@dataclass(frozen=True)
class Dataset:
    """A data set as it stands: its URL, the number of its newest manifest, and that manifest."""

    url: str
    version: int
    manifest: Manifest

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in the order of the manifest."""
        return tuple(part for file in self.manifest.inputs for part in file.parts)

    @property
    def fingerprint(self) -> str:
        """Names the events of this data set: the same wherever it lies and however often it is copied."""
        content = sorted((file.file_id, part.sha256) for file in self.manifest.inputs for part in file.parts)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def find(url: str, storage: StorageConfig) -> Dataset | None:
    """The data set at a URL, or None where there is none.

    Raises:
        InputError: it is of another schema version, or its manifest is not readable.
    """
    manifests = numbered(join(url, "manifest"), storage, ".json")
    if not manifests:
        return None
    version, newest = max(manifests.items())
    try:
        content = json.loads(store_for(url, storage).read(newest))
        check_schema(newest, "data set", content, DATASET_SCHEMA, "ingest its files again into another folder")
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"{newest}: not a manifest of a data set ({first_fault(error)}); restore it, or ingest its files again "
            "into another folder"
        ) from error
    except (ValueError, AttributeError) as error:
        raise InputError(f"{newest}: not a manifest of a data set: {error}") from error
    return Dataset(url=url, version=version, manifest=manifest)


def load(url: str, storage: StorageConfig) -> Dataset:
    """The data set at a URL.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    dataset = find(url, storage)
    if dataset is None:
        raise InputError(f"{url}: no data set here (no manifest/*.json); make one with hepspark ingest")
    return dataset


def read_hashes(url: str, storage: StorageConfig) -> npt.NDArray[np.int64]:
    """The event hashes of a part.

    Raises:
        InputError: there is no such part, or it is damaged.
    """
    with store_for(url, storage).open(url) as stream:
        try:
            column = pq.ParquetFile(stream).read(columns=["event_hash"])["event_hash"]
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{url}: this part of the data set is damaged: {error}; restore it") from error
    hashes: npt.NDArray[np.int64] = column.to_numpy()
    return hashes


def commit(url: str, version: int, manifest: Manifest, storage: StorageConfig) -> Dataset:
    """Make a manifest the newest of its data set.

    Args:
        url: The data set.
        version: Number of the new manifest, one more than that of the newest.
        manifest: What the data set holds from now on.
        storage: How the store is reached.

    Raises:
        RunError: another run added a manifest in the meantime.
    """
    target = join(url, "manifest", f"{version:08d}.json")
    if not store_for(url, storage).create(target, manifest.model_dump_json(indent=1).encode()):
        raise RunError(f"{target}: another run has changed this data set; run the same command again")
    return Dataset(url=url, version=version, manifest=manifest)
