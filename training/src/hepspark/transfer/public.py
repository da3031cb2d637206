"""Published data sets from the web into a folder or a bucket."""

import hashlib
import os
from pathlib import Path
from typing import Any

from hepspark.config import Config
from hepspark.errors import InputError
from hepspark.progress import Tracker, say, track
from hepspark.storage import checksum, is_s3, join, store_for
from hepspark.storage.local import LocalStore
from hepspark.storage.s3 import SHA256, S3Store
from hepspark.transfer import web
from hepspark.transfer.catalog import DATASETS, PublishedDataset, dataset
from hepspark.transfer.digest import digest
from hepspark.transfer.receive import Received, check_space, receive
from hepspark.transfer.upload import send

SUMS = "_SHA256SUMS"
"""Checksums of what was received, as sha256sum writes them; Spark and pyarrow skip names that begin so."""

NO_CHECKSUM = "no checksum published"


def catalog(config: Config) -> dict[str, Any]:
    """What is published: `datasets` with name, address, format, bytes, and whether checksums are published."""
    return {
        "address": config.data.public_address,
        "datasets": [
            {
                "name": entry.name,
                "address": join(config.data.public_address, entry.name),
                "format": entry.format,
                "bytes": entry.size,
                "bytes_are_rounded": not entry.files,
                "checksum": "SHA-256 published" if entry.files else NO_CHECKSUM,
                "sha256": {name: file.sha256 for name, file in entry.files.items()},
                "about": entry.about,
            }
            for entry in DATASETS
        ],
    }


def load(config: Config, name: str, target: str) -> dict[str, Any]:
    """Bring a published data set to `target`/`name`; the same call continues an interrupted one.

    A file is compared with its published SHA-256; where none is published, with the length that the server tells.
    The SHA-256 of what arrived is written beside the files, to `_SHA256SUMS`.

    Args:
        config: Sections `storage` and `data`.
        name: Name of the data set.
        target: Folder, local or in S3, that the data set's folder is made in.

    Returns:
        `files`, one by one with URL, bytes, SHA-256, what it was compared with and what was done, and totals.

    Raises:
        InputError: there is no such data set, the server or the target cannot be used, or the disk is too small.
        RunError: the connection failed for good, or what arrived is not what is published.
    """
    entry = dataset(name)
    files = web.listing(join(config.data.public_address, name))
    folder = join(target, name)
    total = sum(file.size for file in files.values())
    if not is_s3(target):
        there = sum(known.size for known in LocalStore().walk(folder))
        check_space(Path(folder), max(0, total - there))
    sums = _read_sums(config, folder)
    done = []
    with track(name, total, "bytes") as tracker:
        for path, file in sorted(files.items()):
            one = _load_one(config, entry, path, file, join(folder, path), sums.get(path), tracker)
            done.append(one)
            if sums.get(path) != one["sha256"]:
                sums[path] = one["sha256"]
                _write_sums(config, folder, sums)  # at once, so that an interruption forgets nothing
    unverified = sum(1 for one in done if one["verified_by"] == "size")
    if unverified:
        say(f"{name}: {NO_CHECKSUM} for {unverified} of {len(done)} files; compared by size, SHA-256 in {SUMS}")
    return {"name": name, "target": folder, "files": done, "bytes": total}


def _load_one(
    config: Config,
    entry: PublishedDataset,
    path: str,
    file: web.WebFile,
    url: str,
    recorded: str | None,
    tracker: Tracker,
) -> dict[str, Any]:
    published = entry.files.get(path)
    if published and published.size != file.size:
        raise InputError(
            f"{file.address}: has {file.size:,} bytes, but {published.size:,} are published; ask its owner"
        )
    result = {"url": url, "bytes": file.size, "verified_by": "published sha256" if published else "size"}
    expected = published.sha256 if published else recorded
    if expected and _there(config, url, file.size, expected):
        tracker.advance(file.size)
        return {**result, "sha256": expected, "status": "there"}

    def verify(received: Received) -> str | None:
        if published and received.sha256 != published.sha256:
            return f"SHA-256 is {received.sha256}, but {published.sha256} is published"
        return None

    local = _staging(file) if is_s3(url) else Path(url)
    if is_s3(url) and local.is_file() and local.stat().st_size == file.size:  # the bucket broke, not the web
        received = Received(digest(local, config.data.part_mb).sha256, "", file.size)
        tracker.advance(file.size)
    else:
        received = receive(file, local, config.data, tracker.advance, verify)
    status = "resumed" if received.resumed else "received"
    if is_s3(url):
        send(local, url, config, lambda _: None)
        local.unlink()
    return {**result, "sha256": received.sha256, "status": status}


def _staging(file: web.WebFile) -> Path:
    """Where a file waits on its way into a bucket: S3 takes no part that it cannot be shown again after a break."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "hepspark" / "staging" / hashlib.sha256((file.address + file.version).encode()).hexdigest()


def _there(config: Config, url: str, size: int, sha256: str) -> bool:
    if is_s3(url):
        head = S3Store(config.storage).head(url)
        return head is not None and head["ContentLength"] == size and head["Metadata"].get(SHA256) == sha256
    path = Path(url)
    return path.is_file() and path.stat().st_size == size and checksum(LocalStore(), str(path)) == sha256


def _read_sums(config: Config, folder: str) -> dict[str, str]:
    store, url = store_for(folder, config.storage), join(folder, SUMS)
    if not store.exists(url):
        return {}
    lines = store.read(url).decode().splitlines()
    return {name: sha256 for sha256, name in (line.split("  ", 1) for line in lines if "  " in line)}


def _write_sums(config: Config, folder: str, sums: dict[str, str]) -> None:
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()))
    store_for(folder, config.storage).write(join(folder, SUMS), text.encode())
