"""One file's worth of simulation, and the worker processes that do it."""

import errno
import hashlib
import multiprocessing
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal

import numpy as np
from numpy.typing import NDArray

from hepspark.config import SimulateConfig, StorageConfig
from hepspark.errors import RunError
from hepspark.simulation.pileup import SHARD_EVENTS, Pool, load_pool, make_shard
from hepspark.simulation.processes import RECIPE, generate
from hepspark.simulation.reconstruct import Recorded, chosen, reconstruct
from hepspark.simulation.writer import write
from hepspark.storage import name_of, store_for

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "hepspark/simulate")
_PYTHIA_SEEDS = 900_000_000
_SALT = b"collision"


@dataclass(frozen=True)
class File:
    """One ROOT file to make."""

    label: str
    index: int
    events: int
    url: str


def identity(file: File, config: SimulateConfig) -> uuid.UUID:
    """The UUID of a file: equal for equal events, whatever the path, the machine and the number of workers."""
    pool = config.pileup_pool if config.pileup else 0
    parts = (RECIPE, version("pythia8mc"), file.label, file.index, file.events, config.seed, config.pileup, pool)
    return uuid.uuid5(_NAMESPACE, "/".join(map(str, parts)))


def shard_sizes(config: SimulateConfig) -> list[int]:
    """How many events each part of the pile-up pool has; none without pile-up."""
    if not config.pileup:
        return []
    whole, rest = divmod(config.pileup_pool, SHARD_EVENTS)
    return [SHARD_EVENTS] * whole + [rest] * bool(rest)


# The parent sets these once in every worker, as they can only be inherited.
_stop: Event | None = None
_made: "Queue[int] | None" = None


class Stopped(Exception):  # noqa: N818 (not an error)
    """The run ends before this worker has finished."""


def start_worker(stop: Event, made: "Queue[int]") -> None:
    """Prepare a worker process: it ends with its parent, and leaves Ctrl-C and standard output to it."""
    global _stop, _made
    _stop, _made = stop, made
    made.cancel_join_thread()  # progress that nobody reads must not keep a worker from ending
    signal(SIGINT, SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # FastJet greets on standard output
    threading.Thread(target=_end_with_parent, daemon=True).start()


def make_pool_shard(index: int, events: int, seed: int, path: Path) -> None:
    """Generate one part of the pile-up pool; runs in a worker."""
    with _disk_full(path):
        make_shard(events, _seeds(seed, index)[0], path, _advance)


def make_file(
    file: File, config: SimulateConfig, storage: StorageConfig, shards: list[Path], folder: Path
) -> tuple[int, float]:
    """Simulate one file and bring it where it belongs; runs in a worker.

    Returns:
        Its size in bytes, and the seconds of processor time it took.
    """
    begun = time.process_time()
    pool = _pool(tuple(shards)) if shards else None
    local = folder / name_of(file.url)
    name = identity(file, config)
    with _disk_full(local):
        write(local, _recorded(file, name, config, pool), name)
    size = local.stat().st_size
    store_for(file.url, storage).upload(local, file.url)
    local.unlink(missing_ok=True)
    return size, time.process_time() - begun


def _recorded(file: File, name: uuid.UUID, config: SimulateConfig, pool: Pool | None) -> Iterator[Recorded]:
    # From the identity: a file that differs in anything, such as its size, shares no event with another.
    pythia_seed, detector_seed = _seeds(name.int)
    rng = np.random.default_rng(detector_seed)
    left, parents = file.events, 0
    for truth in generate(file.label, pythia_seed, file.events):
        recorded = reconstruct(truth, pool, config.pileup, rng)
        if len(recorded) > left:
            recorded = chosen(recorded, np.arange(left))
        distinct, order = np.unique(recorded.parent, return_inverse=True)
        recorded = replace(recorded, parent=collision_numbers(name, len(distinct), start=parents)[order])
        parents += len(distinct)
        left -= len(recorded)
        _advance(len(recorded))
        yield recorded
        if left == 0:
            return


def collision_numbers(name: uuid.UUID, count: int, start: int = 0) -> NDArray[np.int64]:
    """Numbers of a file's collisions that no other file has: hashes of the file's identity and of their order in it."""
    hashes = (hashlib.blake2b(f"{name}:{start + n}".encode(), digest_size=8, person=_SALT) for n in range(count))
    return np.frombuffer(b"".join(found.digest() for found in hashes), dtype="<i8")


def _seeds(*numbers: int) -> tuple[int, int]:
    """Two independent seeds for one file: of Pythia, and of all that follows it."""
    state = np.random.SeedSequence(numbers).generate_state(2, np.uint64)
    return int(state[0]) % _PYTHIA_SEEDS + 1, int(state[1])


@lru_cache(maxsize=1)
def _pool(shards: tuple[Path, ...]) -> Pool:
    return load_pool(list(shards))


def _advance(events: int) -> None:
    if _made is not None and events:
        _made.put(events)
    if _stop is not None and _stop.is_set():
        raise Stopped


@contextmanager
def _disk_full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(f"{path}: the disk is full; free some space, or set TMPDIR to a larger disk") from error
        raise


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
