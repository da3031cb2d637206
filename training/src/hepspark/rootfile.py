"""Reads Delphes trees from ROOT files, and says what is wrong with those that cannot be used."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeVar

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from hepspark.config import StorageConfig
from hepspark.errors import HepsparkError, InputError, RunError
from hepspark.events import Collection, Events, Floats, Integers
from hepspark.storage import checksum, store_for

TREE: Final = "Delphes"

COLLECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "EFlowTrack": ("PT", "Eta", "Phi", "PID", "X", "Y", "Z"),
    "EFlowPhoton": ("ET", "Eta", "Phi"),
    "EFlowNeutralHadron": ("ET", "Eta", "Phi"),
    "Electron": ("PT", "Eta", "Phi", "Charge"),
    "MuonTight": ("PT", "Eta", "Phi", "Charge"),
    "Jet": ("PT", "Eta", "BTag"),
}
"""Collections and what is read of each."""

MISSING_ET: Final = ("MissingET.MET", "MissingET.Phi")
SIZES: Final = ("Electron_size", "MuonTight_size")

PARENT: Final = "Event.Parent"
"""Written by `hepspark simulate`, where events share a parent, which has a number of its own; real files have none."""

BRANCHES: Final = (
    *(f"{collection}.{name}" for collection, names in COLLECTIONS.items() for name in names),
    *SIZES,
    *MISSING_ET,
)
"""The 28 branches that every file must have."""

# Azimuths are written in single precision, sometimes with fewer bits, so that ±π may come out a little larger.
_PHI_LIMIT: Final = 3.15
_UUID: Final = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
T = TypeVar("T")


class BadFileError(InputError):
    """A file that is not a usable Delphes file, whoever reads it."""


@dataclass(frozen=True)
class Survey:
    """What a file says of itself."""

    file_id: str
    """The ROOT file's UUID."""
    entries: int
    size: int
    sha256: str


def survey(url: str, storage: StorageConfig) -> Survey:
    """Look at a file without reading its events.

    Raises:
        BadFileError: it is no complete ROOT file with the tree, the branches and at least one event.
        HepsparkError: the store does not give it.
    """
    with _opened(url, storage) as (stream, file):
        tree = _tree(url, stream, file)
        branches(url, tree)
        entries, size, file_id = int(tree.num_entries), stream.size, str(file.file.uuid)
    if entries == 0:
        raise BadFileError(f"{url}: its tree {TREE} contains no events; leave the file out")
    if not _UUID.match(file_id) or not file_id.strip("0-"):
        raise BadFileError(f"{url}: has no UUID, so hepspark cannot name the file; write it again with a current ROOT")
    return Survey(file_id, entries, size, checksum(store_for(url, storage), url))


def read(url: str, start: int, stop: int, step: int, storage: StorageConfig) -> Iterator[Events]:
    """Entries of a file in chunks, which bound the memory needed.

    Args:
        url: The file.
        start: First entry.
        stop: First entry that is no longer read.
        step: Entries in a chunk.
        storage: How the store is reached.

    Raises:
        BadFileError: the file is damaged, or holds values that are not finite or lists that do not match.
        HepsparkError: the store does not give it.
    """
    with _opened(url, storage) as (stream, file):
        tree = _tree(url, stream, file)
        names = branches(url, tree)
        keys = {branch: names[branch] for branch in (*BRANCHES, PARENT) if branch in names}
        chunks = tree.iterate(
            list(keys.values()), entry_start=start, entry_stop=stop, step_size=step, library="ak", how=tuple
        )
        for begin in range(start, stop, step):
            place = f"entries {begin} to {min(begin + step, stop) - 1}"
            values = _uproot(url, stream, lambda: next(chunks), f"{place} cannot be read")
            yield _events(url, begin, dict(zip(keys, values, strict=True)))


def branches(url: str, tree: Any) -> dict[str, str]:
    """Our name of each branch to its key in the tree, where it may lie below its collection or have a flat name.

    Raises:
        BadFileError: one is missing.
    """
    found: dict[str, str] = {}
    for key in tree.keys(recursive=True, full_paths=True):
        # Names of reference branches occur twice; ours do not.
        found.setdefault(key.rsplit("/", 1)[-1], key)
    result = {}
    for branch in (*BRANCHES, PARENT):
        name = next((name for name in (branch, branch.replace(".", "_")) if name in found), None)
        if name:
            result[branch] = found[name]
        elif branch != PARENT:
            flat = f" (nor {branch.replace('.', '_')})" if "." in branch else ""
            raise BadFileError(
                f"{url}: the tree {TREE} has no branch {branch}{flat}; write the file with that collection of Delphes"
            )
    return result


class _Stream:
    """A reader that remembers a failure of the store, which is not the file's fault."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.failure: Exception | None = None
        self.size = self._guarded(lambda: stream.seek(0, 2))
        self.seek(0)

    def read(self, n: int = -1) -> bytes:
        return self._guarded(lambda: self._stream.read(n))

    def seek(self, position: int) -> int:
        return self._guarded(lambda: self._stream.seek(position))

    def _guarded(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except Exception as error:
            self.failure = error
            raise


@contextmanager
def _opened(url: str, storage: StorageConfig) -> Iterator[tuple[_Stream, Any]]:
    with store_for(url, storage).open(url) as raw:
        try:
            stream = _Stream(raw)
            magic = stream.read(4)
        except Exception as error:
            raise _lost(url, error) from error
        if stream.size == 0:
            raise BadFileError(f"{url}: is empty; copy it again, or leave it out")
        if magic != b"root":
            raise BadFileError(f"{url}: is not a ROOT file; leave it out, or correct the path")
        # One task is one core: no threads, and no caches that outlive a chunk.
        options = {"use_threads": False, "object_cache": None, "array_cache": None}
        file = _uproot(url, stream, lambda: uproot.open(stream, **options), "its header cannot be read")
        if file.file.fEND > stream.size:
            raise BadFileError(
                f"{url}: is truncated: {stream.size:,} of {file.file.fEND:,} bytes are there; copy it again"
            )
        yield stream, file


def _tree(url: str, stream: _Stream, file: Any) -> Any:
    names = _uproot(url, stream, lambda: file.keys(cycle=False, recursive=False), "its list of contents cannot be read")
    if TREE not in names:
        found = ", ".join(sorted(set(names))) or "nothing"
        raise BadFileError(f"{url}: holds no tree named {TREE}, but {found}; only Delphes files can be ingested")
    tree = _uproot(url, stream, lambda: file[TREE], f"its tree {TREE} cannot be read")
    if not isinstance(tree, uproot.TTree):
        raise BadFileError(f"{url}: {TREE} is a {tree.classname}, not a TTree; only Delphes files can be ingested")
    return tree


def _uproot(url: str, stream: _Stream, action: Callable[[], T], what: str) -> T:
    """Whatever uproot raises on a damaged file (it has no common type) becomes one message."""
    try:
        return action()
    except HepsparkError:
        raise
    except Exception as error:
        if stream.failure is not None:
            raise _lost(url, stream.failure) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadFileError(f"{url}: {what} ({reason}); the file is damaged: copy it again, or leave it out") from error


def _lost(url: str, error: Exception) -> HepsparkError:
    return RunError(f"{url}: the store stopped sending the file: {error}; run the same command again")


def _events(url: str, start: int, values: dict[str, Any]) -> Events:
    collections = {}
    for collection, names in COLLECTIONS.items():
        content = {name: _jagged(url, f"{collection}.{name}", values[f"{collection}.{name}"]) for name in names}
        collections[collection] = _collection(url, start, collection, content)
    for branch in SIZES:
        collection = branch.removesuffix("_size")
        counts = collections[collection].counts
        stated = _one_each(url, start, branch, values[branch])
        _refuse_where(url, start, stated != counts, f"{branch} is not the number of {collection}.PT")
    met, met_phi = (_one_each(url, start, branch, values[branch]) for branch in MISSING_ET)
    for branch, column in zip(MISSING_ET, (met, met_phi), strict=True):
        _refuse_bad_values(url, start, branch, column, np.arange(len(met) + 1))
    parents = _one_each(url, start, PARENT, values[PARENT]).astype(np.int64) if PARENT in values else None
    return Events(start, collections, met.astype(np.float64), met_phi.astype(np.float64), parents)


def _collection(
    url: str, start: int, collection: str, content: dict[str, tuple[Integers, npt.NDArray[np.generic]]]
) -> Collection:
    (first, (offsets, _)), *others = content.items()
    for name, (other, _) in others:
        if not np.array_equal(offsets, other):
            differ = np.diff(offsets) != np.diff(other)
            entry = int(np.argmax(differ))
            counts = f"{np.diff(offsets)[entry]} values of {first} and {np.diff(other)[entry]} of {name}"
            _refuse_where(url, start, differ, f"{collection} holds {counts}")
    columns: dict[str, Floats] = {}
    for name, (_, values) in content.items():
        _refuse_bad_values(url, start, f"{collection}.{name}", values, offsets)
        columns[name] = values.astype(np.float64)
    return Collection(offsets, columns)


def _jagged(url: str, branch: str, values: Any) -> tuple[Integers, npt.NDArray[np.generic]]:
    layout = ak.to_packed(values).layout
    if not layout.is_list or not layout.content.is_numpy or layout.content.purelist_depth != 1:
        raise BadFileError(f"{url}: branch {branch} holds {values.type.content}, not a list of numbers")
    layout = layout.to_ListOffsetArray64(True)
    offsets: Integers = np.asarray(layout.offsets)
    return offsets, np.asarray(layout.content.data)


def _one_each(url: str, start: int, branch: str, values: Any) -> npt.NDArray[Any]:
    """A branch with one number an event, which Delphes keeps as lists of length one."""
    if values.layout.is_numpy:
        return np.asarray(values.layout.data)
    offsets, content = _jagged(url, branch, values)
    counts = np.diff(offsets)
    _refuse_where(url, start, counts != 1, f"{branch} does not hold exactly one value")
    return content


def _refuse_bad_values(url: str, start: int, branch: str, values: npt.NDArray[Any], offsets: Integers) -> None:
    bad = ~np.isfinite(values)
    what = "a value that is not finite"
    if branch.endswith(".Phi") and not bad.any():
        bad = np.abs(values) > _PHI_LIMIT
        what = "an angle beyond ±π"
    if bad.any():
        place = int(np.argmax(bad))
        entry = start + int(np.searchsorted(offsets, place, side="right")) - 1
        raise BadFileError(
            f"{url}: entry {entry}: {branch} holds {what} ({values[place]}); repair or leave out the file"
        )


def _refuse_where(url: str, start: int, wrong: npt.NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise BadFileError(f"{url}: entry {start + int(np.argmax(wrong))}: {what}; repair or leave out the file")
