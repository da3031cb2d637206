"""One file onto this machine: by ranges, several at a time, into a file that is renamed once it is verified."""

import fcntl
import hashlib
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from hepspark.config import DataConfig
from hepspark.errors import InputError, RunError
from hepspark.interrupts import finishing
from hepspark.storage import local
from hepspark.storage.base import TEMPORARY, chunks


class Source(Protocol):
    """Where a file comes from."""

    @property
    def address(self) -> str:
        """What messages call it."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def version(self) -> str:
        """Differs when the content does (an ETag)."""

    @property
    def ranged(self) -> bool:
        """Whether `fetch` can be used; if not, every attempt begins at the beginning."""

    def fetch(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop)."""

    def stream(self) -> Iterator[bytes]:
        """Everything, from the beginning."""


@dataclass(frozen=True)
class Received:
    """What arrived: SHA-256 and MD5 in hexadecimal, and the bytes that an earlier attempt had brought."""

    sha256: str
    md5: str
    resumed: int


def receive(
    source: Source,
    target: Path,
    config: DataConfig,
    advance: Callable[[int], None],
    verify: Callable[[Received], str | None],
) -> Received:
    """Bring a file to `target`, which appears whole and verified or not at all.

    An interrupted attempt leaves a hidden file beside it, where the next one goes on.

    Args:
        source: Where it comes from.
        target: Where it goes; what is there is replaced.
        config: Threads and size of a part.
        advance: Is told the bytes that are done, in all the size of the file.
        verify: Returns what is wrong with the content, None if nothing is.

    Raises:
        RunError: the disk is full, another transfer writes the same file, or it is not what it ought to be.
    """
    # One file per target and version: bytes of a replaced source are never mixed with new ones.
    stem = f"{TEMPORARY}{_short(target.name)}-"
    partial = target.parent / f"{stem}{_short(source.address + source.version)}.part"
    with local.told(str(target), "written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise InputError(f"{target}: is a folder, but the source is a file of that name; choose another target")
        for stale in target.parent.glob(f"{stem}*.part"):
            if stale != partial:
                stale.unlink(missing_ok=True)
        with _held(partial, target) as stream:
            received = _fill(stream, source, config, advance)
            problem = verify(received)
            if problem:
                partial.unlink()
                raise RunError(f"{source.address}: {problem}; the received part was removed; run again")
            local.sync(partial)
            partial.replace(target)
            local.sync_folder(target.parent)
    return received


def check_space(folder: Path, needed: int) -> None:
    """Refuse a transfer that the disk has no room for.

    Raises:
        InputError: with both figures.
    """
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(f"{folder}: {needed:,} bytes are needed, but {free:,} are free; choose another disk")


@contextmanager
def _held(partial: Path, target: Path) -> Iterator[BinaryIO]:
    with partial.open("ab+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{target}: another transfer writes this file; wait for its end") from None
        yield stream


def _fill(stream: BinaryIO, source: Source, config: DataConfig, advance: Callable[[int], None]) -> Received:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    have = stream.seek(0, 2)
    if have > source.size or not source.ranged:
        stream.truncate(0)
        have = 0
    stream.seek(0)
    for piece in chunks(stream):
        sha256.update(piece)
        md5.update(piece)
    advance(have)
    pieces = _in_order(source, have, config) if source.ranged else source.stream()
    arrived = have
    for piece in pieces:
        stream.write(piece)
        stream.flush()
        sha256.update(piece)
        md5.update(piece)
        arrived += len(piece)
        advance(len(piece))
    if arrived != source.size:
        raise RunError(f"{source.address}: {arrived:,} of {source.size:,} bytes arrived; run again to continue")
    return Received(sha256.hexdigest(), md5.hexdigest(), have)


def _in_order(source: Source, start: int, config: DataConfig) -> Iterator[bytes]:
    """Ranges, fetched several at a time and given in order, so that the file's length says how far it has come."""
    step = config.part_mb << 20
    ranges = iter(range(start, source.size, step))
    under_way: deque[Future[bytes]] = deque()
    with finishing("parts that have begun are received first"), ThreadPoolExecutor(config.threads) as pool:

        def begin_next() -> None:
            for begin in ranges:
                under_way.append(pool.submit(source.fetch, begin, min(begin + step, source.size)))
                return

        try:
            for _ in range(config.threads):
                begin_next()
            while under_way:
                yield under_way.popleft().result()
                begin_next()
        except BaseException:  # an interrupt, or the caller's full disk
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
