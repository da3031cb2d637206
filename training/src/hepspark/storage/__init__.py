"""Files and objects behind one small interface: a path and an s3a:// URL are used alike."""

import re
import uuid
from collections.abc import Sequence

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.storage.base import (
    TEMPORARY,
    Entry,
    Store,
    checksum,
    is_pattern,
    is_s3,
    join,
    matches,
    name_of,
    read_verified,
    suffix_of,
)
from hepspark.storage.local import LocalStore

__all__ = [
    "Entry",
    "Store",
    "check_conditional_writes",
    "check_writable",
    "checksum",
    "is_pattern",
    "is_s3",
    "join",
    "name_of",
    "numbered",
    "read_verified",
    "refuse_strangers",
    "store_for",
    "suffix_of",
]


def store_for(url: str, config: StorageConfig) -> Store:
    """The store that a URL lives in. Cheap to call; connections are made at first use."""
    if is_s3(url):
        from hepspark.storage.s3 import S3Store  # boto3 takes half a second to import

        return S3Store(config)
    return LocalStore()


def numbered(url: str, config: StorageConfig, ending: str = "") -> dict[int, str]:
    """The files of a folder whose names are numbers, such as 00000012.json. Others, such as copies, do not count.

    Args:
        url: The folder.
        config: How stores are reached.
        ending: What follows the number in a name.

    Returns:
        Number to URL.
    """
    name = re.compile(rf"{re.escape(join(url, ''))}([0-9]{{8,}}){re.escape(ending)}")
    found = (name.fullmatch(entry.url) for entry in store_for(url, config).walk(url))
    return {int(match[1]): match[0] for match in found if match}


def refuse_strangers(url: str, config: StorageConfig, key: str, own: Sequence[str]) -> None:
    """Refuse an output at which something else lies.

    Args:
        url: The output.
        config: How stores are reached.
        key: Of the configuration, for the message.
        own: Patterns, below the output, of what an earlier or interrupted run of the same step may have left.

    Raises:
        InputError: there is a file at the URL, or one below it that matches no pattern.
    """
    store, base = store_for(url, config), url.rstrip("/") + "/"
    found = [url] if store.exists(url) else [entry.url for entry in store.walk(url)]
    strange = [name for name in found if not any(matches(name.removeprefix(base), pattern) for pattern in own)]
    if strange:
        raise InputError(f"{url}: contains other files ({strange[0]}); choose another {key}, or remove the files")


def check_writable(url: str, config: StorageConfig) -> None:
    """Refuse an output in S3 that cannot be written to, before long work is done for it.

    Raises:
        InputError: there is no such bucket, or no right to write to it.
    """
    if is_s3(url):
        store, probe = store_for(url, config), join(url, f"{TEMPORARY}probe-{uuid.uuid4().hex}")
        store.write(probe, b"probe")
        store.delete(probe)


def check_conditional_writes(url: str, config: StorageConfig) -> None:
    """Refuse a store in which `Store.create` lets two writers win, because commits rest on it.

    A probe beside `url` is written twice and removed; the second write must be refused.

    Raises:
        InputError: the store does not refuse it, or does not know such writes.
    """
    store = store_for(url, config)
    probe = join(url, f"{TEMPORARY}probe-{uuid.uuid4().hex}")
    try:
        refused = store.create(probe, b"probe") and not store.create(probe, b"probe")
    finally:
        store.delete(probe)
    if not refused:
        place = (config.endpoint or "the S3 endpoint") if is_s3(url) else "the file system"
        raise InputError(
            f"{url}: {place} overwrites on a conditional write (If-None-Match: *), so two runs could commit the"
            " same step; use a store that honours it (MinIO, AWS, Ceph from version 19)"
        )
