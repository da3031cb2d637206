"""Files and objects behind one small interface: a path and an s3a:// URL are used alike."""

from hepspark.config import StorageConfig
from hepspark.storage.base import Entry, Store, checksum, is_s3, join, name_of, suffix_of
from hepspark.storage.local import LocalStore

__all__ = ["Entry", "Store", "checksum", "is_s3", "join", "name_of", "store_for", "suffix_of"]


def store_for(url: str, config: StorageConfig) -> Store:
    """The store that a URL lives in. Cheap to call; connections are made at first use."""
    if is_s3(url):
        from hepspark.storage.s3 import S3Store  # boto3 takes half a second to import

        return S3Store(config)
    return LocalStore()
