"""Files and objects behind one small interface: a path and an s3a:// URL are used alike."""

import uuid

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.storage.base import TEMPORARY, Entry, Store, checksum, is_s3, join, name_of, read_verified, suffix_of
from hepspark.storage.local import LocalStore

__all__ = [
    "Entry",
    "Store",
    "check_conditional_writes",
    "checksum",
    "is_s3",
    "join",
    "name_of",
    "read_verified",
    "store_for",
    "suffix_of",
]


def store_for(url: str, config: StorageConfig) -> Store:
    """The store that a URL lives in. Cheap to call; connections are made at first use."""
    if is_s3(url):
        from hepspark.storage.s3 import S3Store  # boto3 takes half a second to import

        return S3Store(config)
    return LocalStore()


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
