"""Files and folders to and from S3."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from hepspark.config import Config, StorageConfig
from hepspark.errors import InputError
from hepspark.interrupts import finishing
from hepspark.progress import Tracker, track
from hepspark.storage import Entry, is_pattern, is_s3, join, name_of, store_for
from hepspark.storage.base import chunks
from hepspark.storage.local import LocalStore
from hepspark.storage.s3 import SHA256, S3Store, fetch
from hepspark.storage.s3_client import split
from hepspark.transfer.digest import digest, md5
from hepspark.transfer.receive import Received, check_space, receive
from hepspark.transfer.upload import plain_md5, send


@dataclass(frozen=True)
class S3Object:
    """An object as it is now; a `Source` of `receive`."""

    address: str
    size: int
    version: str
    sha256: str | None
    storage: StorageConfig
    ranged: bool = True

    def fetch(self, start: int, stop: int) -> bytes:
        """See `Source.fetch`."""
        return fetch(self.address, start, stop, self.version, self.storage)

    def stream(self) -> Iterator[bytes]:
        """See `Source.stream`."""
        with S3Store(self.storage).open(self.address) as reader:
            yield from chunks(reader)


def put(config: Config, sources: Sequence[Path], url: str) -> dict[str, Any]:
    """Bring files and folders into S3; what is there with the same content is left.

    Args:
        config: Sections `storage` and `data`.
        sources: Files, or folders with all that is below them.
        url: For one file its object, or a folder where the URL ends with a slash; otherwise a folder.

    Returns:
        `files`, one by one with URL, bytes, SHA-256 and what was done, and totals.

    Raises:
        InputError: a source or the store cannot be used.
        RunError: the store failed on the way; the same call continues.
    """
    split(url)
    plan = _to_send(sources, url)
    taken: dict[str, Path] = {}
    for path, target, _ in plan:
        if target in taken:
            raise InputError(
                f"{target}: both {taken[target]} and {path} would be written there; give them different names"
            )
        taken[target] = path
    small = config.data.part_mb << 20
    done = []
    turn = Lock()  # a tracker counts for one thread at a time
    under_way = finishing("parts that have begun are sent first")
    with under_way, track("put", sum(size for _, _, size in plan), "bytes") as tracker:

        def advance(amount: int) -> None:
            with turn:
                tracker.advance(amount)

        def one(path: Path, target: str) -> dict[str, Any]:
            content, status = send(path, target, config, advance)
            return {"url": target, "bytes": content.size, "sha256": content.sha256, "status": status}

        with ThreadPoolExecutor(config.data.threads) as pool:  # small files side by side, large ones by their parts
            begun = [pool.submit(one, path, target) for path, target, size in plan if size <= small]
            try:
                done = [future.result() for future in as_completed(begun)]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        done += [one(path, target) for path, target, size in plan if size > small]
    return _summary(done)


def get(config: Config, url: str, target: Path) -> dict[str, Any]:
    """Bring an object, or all objects below a folder, from S3; files that are there with the same content are left.

    Every file is compared with the SHA-256 that `put` stored with it; where there is none, with the size and, if the
    ETag is an MD5, with that.

    Args:
        config: Sections `storage` and `data`.
        url: The object or folder.
        target: For an object its file, or a folder that exists; for a folder the folder.

    Returns:
        `files`, one by one with path, bytes, SHA-256, what it was compared with and what was done, and totals.

    Raises:
        InputError: there is nothing, or the target cannot be used.
        RunError: the store or the disk failed on the way; the same call continues.
    """
    plan = _to_receive(config, url, target)
    check_space(target, sum(entry.size for entry, path in plan if not path.exists()))
    with track("get", sum(entry.size for entry, _ in plan), "bytes") as tracker:
        done = [_get_one(config, entry.url, path, tracker) for entry, path in plan]
    return _summary(done)


def ls(config: Config, url: str) -> dict[str, Any]:
    """All files below a folder, a file itself, or what a pattern matches, with sizes in bytes.

    Raises:
        InputError: there is nothing.
    """
    store = store_for(url, config.storage)
    # A name may itself hold the signs of a pattern.
    entries = (store.glob(url) if is_pattern(url) else []) or _at(config, url)
    return listing(url, entries)


def listing(url: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """What `ls` tells of files at a URL."""
    return {
        "url": url,
        "entries": [{"url": entry.url, "bytes": entry.size} for entry in entries],
        "files": len(entries),
        "bytes": sum(entry.size for entry in entries),
    }


def _at(config: Config, url: str) -> list[Entry]:
    if not is_s3(url):
        path = Path(url)
        entries = [Entry(url, path.stat().st_size)] if path.is_file() else LocalStore().walk(url)
        if not entries and not path.is_dir():
            raise InputError(f"{url}: no such file or folder")
        return entries
    store = S3Store(config.storage)
    bucket, key = split(url)
    head = None if key.endswith("/") else store.head(url)
    entries = [Entry(f"s3a://{bucket}/{key}", head["ContentLength"])] if head else store.walk(url)
    if not entries and key:
        raise InputError(f"{url}: no such object, and no objects below it")
    return entries


def _to_send(sources: Sequence[Path], url: str) -> list[tuple[Path, str, int]]:
    into = url.endswith("/") or len(sources) > 1 or not split(url)[1]
    plan = []
    for source in sources:
        if source.is_file():
            plan.append((source, join(url, source.name) if into else url, source.stat().st_size))
            continue
        if not source.is_dir():
            raise InputError(f"{source}: no such file or folder")
        entries = LocalStore().walk(str(source))
        if not entries:
            raise InputError(f"{source}: holds no files")
        base = join(url, source.name) if len(sources) > 1 else url
        plan += [
            (Path(entry.url), join(base, Path(entry.url).relative_to(source).as_posix()), entry.size)
            for entry in entries
        ]
    return plan


def _to_receive(config: Config, url: str, target: Path) -> list[tuple[Entry, Path]]:
    bucket, key = split(url)
    entries = _at(config, url)
    if not entries:
        raise InputError(f"{url}: the bucket is empty")
    if len(entries) == 1 and entries[0].url == f"s3a://{bucket}/{key}":
        return [(entries[0], target / name_of(key) if target.is_dir() else target)]
    base = f"s3a://{bucket}/{key}".rstrip("/") + "/"
    plan = []
    for entry in entries:
        relative = entry.url.removeprefix(base)
        # A key may hold anything: none may lead out of the target.
        if any(part in ("", ".", "..") for part in relative.split("/")):
            raise InputError(
                f"{entry.url}: cannot become a file below {target}; get this object alone, under another name"
            )
        plan.append((entry, target / PurePosixPath(relative)))
    return plan


def _get_one(config: Config, url: str, path: Path, tracker: Tracker) -> dict[str, Any]:
    head = S3Store(config.storage).head(url)
    if head is None:
        raise InputError(f"{url}: no such object")
    source = S3Object(url, head["ContentLength"], head["ETag"], head["Metadata"].get(SHA256), config.storage)
    expected_md5 = plain_md5(source.version)
    compared = "sha256" if source.sha256 else "md5" if expected_md5 else "size"
    if path.is_file() and path.stat().st_size == source.size and os.access(path, os.R_OK):
        there = digest(path, config.data.part_mb).sha256
        if there == source.sha256 or (not source.sha256 and expected_md5 and md5(path) == expected_md5):
            tracker.advance(source.size)
            return _got(path, source, there, compared, "there")

    def verify(received: Received) -> str | None:
        if source.sha256 and received.sha256 != source.sha256:
            return f"SHA-256 is {received.sha256}, but {source.sha256} was stored with it"
        if not source.sha256 and expected_md5 and received.md5 != expected_md5:
            return f"MD5 is {received.md5}, but its ETag is {expected_md5}"
        return None

    received = receive(source, path, config.data, tracker.advance, verify)
    return _got(path, source, received.sha256, compared, "resumed" if received.resumed else "received")


def _got(path: Path, source: S3Object, sha256: str, compared: str, status: str) -> dict[str, Any]:
    return {
        "path": str(path),
        "url": source.address,
        "bytes": source.size,
        "sha256": sha256,
        "verified_by": compared,
        "status": status,
    }


def _summary(files: list[dict[str, Any]]) -> dict[str, Any]:
    moved = [file for file in files if file["status"] != "there"]
    return {
        "files": sorted(files, key=lambda file: str(file["url"])),
        "bytes": sum(file["bytes"] for file in files),
        "moved_files": len(moved),
        "moved_bytes": sum(file["bytes"] for file in moved),
    }
