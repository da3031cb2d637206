"""Objects in any S3 store, by boto3."""

import io
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import botocore.exceptions
import botocore.parsers

from hepspark.config import StorageConfig
from hepspark.errors import InputError, RunError
from hepspark.storage import local
from hepspark.storage.base import TEMPORARY, Entry, checksum, collect, matches, name_of, with_literals
from hepspark.storage.s3_client import ERRORS, NOTHING_THERE, client, code_of, explain, split, told

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

WRITER = "writer"
"""Name of the metadata entry by which a conditional write knows its own object again."""
SHA256 = "sha256"
"""Name of the metadata entry that holds an object's checksum."""

LONGEST_LINK_HOURS = 7 * 24
"""S3's own bound on links."""

_READ_AHEAD_BYTES = 1 << 20
_CONFLICT_SECONDS = 0.05
_BROKEN_STREAM = (
    botocore.exceptions.ResponseStreamingError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ReadTimeoutError,
)


class S3Store:
    """A store in S3."""

    def __init__(self, config: StorageConfig) -> None:
        self._config = config

    @property
    def _client(self) -> "S3Client":
        return client(self._config)

    def open(self, url: str) -> BinaryIO:
        """See `Store.open`; reads by ranges, all of the object as it was when it was opened."""
        return cast("BinaryIO", io.BufferedReader(_ObjectReader(url, self._config), _READ_AHEAD_BYTES))

    def read(self, url: str) -> bytes:
        """See `Store.read`."""
        with self.open(url) as stream:
            return stream.read()

    def write(self, url: str, data: bytes) -> None:
        """See `Store.write`."""
        bucket, key = split(url)
        with told(url, self._config):
            self._client.put_object(Bucket=bucket, Key=key, Body=data)

    def create(self, url: str, data: bytes) -> bool:
        """See `Store.create`: a put with `If-None-Match: *`.

        A put whose answer was lost is repeated by the client and then refused although it was ours;
        a mark in the object's metadata tells the two apart.
        """
        bucket, key = split(url)
        mark = uuid.uuid4().hex
        with told(url, self._config):
            for _ in range(self._config.attempts):
                try:
                    self._client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*", Metadata={WRITER: mark})
                except botocore.exceptions.ClientError as error:
                    if code_of(error) in ("412", "PreconditionFailed"):
                        there = self.head(url)
                        return there is not None and there["Metadata"].get(WRITER) == mark
                    if code_of(error) not in ("409", "ConditionalRequestConflict"):
                        raise
                    time.sleep(_CONFLICT_SECONDS)  # another writer is at it, and may yet fail: the store asks to retry
                else:
                    return True
        raise RunError(f"{url}: other programs write this object at the same time; run again")

    def upload(self, path: Path, url: str) -> None:
        """See `Store.upload`; several parts at a time above 8 MB."""
        bucket, key = split(url)
        with local.told(str(path), "read"), told(url, self._config):
            # The ETag of several parts is no checksum of the whole.
            metadata = {SHA256: checksum(local.LocalStore(), str(path))}
            self._client.upload_file(str(path), bucket, key, ExtraArgs={"Metadata": metadata})

    def exists(self, url: str) -> bool:
        """See `Store.exists`."""
        return self.head(url) is not None

    def head(self, url: str) -> "HeadObjectOutputTypeDef | None":
        """Size, ETag and metadata of an object, None where there is none."""
        bucket, key = split(url)
        if not key:
            return None
        try:
            return self._client.head_object(Bucket=bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            if code_of(error) in NOTHING_THERE or (code_of(error) == "403" and self._lacks(bucket, key)):
                return None
            raise explain(url, error, self._config) from error
        except ERRORS as error:
            raise explain(url, error, self._config) from error

    def _lacks(self, bucket: str, key: str) -> bool:
        """Whether a listing shows that there is no object of a key, where the store refuses to tell of the key itself.

        It refuses that of missing objects where not the whole bucket may be listed, and of the name of a folder whose
        content alone is allowed.
        """
        for prefix in (key, f"{key}/"):
            try:
                found = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
            except ERRORS:
                continue
            return all(item["Key"] != key for item in found.get("Contents", []))  # it would be the first
        return False

    def walk(self, url: str) -> list[Entry]:
        """See `Store.walk`."""
        bucket, key = split(url)
        prefix = f"{key.rstrip('/')}/" if key else ""
        with told(url, self._config):
            return self._listed(bucket, prefix)

    def glob(self, pattern: str) -> list[Entry]:
        """See `Store.glob`."""
        bucket, key = split(pattern)
        # MinIO refuses a prefix whose last part is . or .., which a pattern such as a/.* begins with.
        fixed = re.sub(r"(^|/)\.{1,2}$", r"\1", re.split(r"[*?\[]", key, maxsplit=1)[0])
        with told(pattern, self._config):
            found = self._listed(bucket, fixed)
        keys = {entry: split(entry.url)[1] for entry in found}
        own = with_literals(key, lambda path: any(f"{there}/".startswith(f"{path}/") for there in keys.values()))
        return [entry for entry in found if matches(keys[entry], own)]

    def delete(self, url: str) -> None:
        """See `Store.delete`."""
        bucket, key = split(url)
        with told(url, self._config):
            self._client.delete_object(Bucket=bucket, Key=key)

    def _listed(self, bucket: str, prefix: str) -> list[Entry]:
        found = []
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            if "Name" not in page:  # something that answers 200 to everything must not pass for an empty bucket
                raise botocore.parsers.ResponseParserError("no bucket is named in the answer")
            found += [
                Entry(f"s3a://{bucket}/{item['Key']}", item["Size"])
                for item in page.get("Contents", [])
                # Consoles and Hadoop mark an empty folder by an object whose key ends with a slash.
                if not item["Key"].endswith("/") and not name_of(item["Key"]).startswith(TEMPORARY)
            ]
        return sorted(found, key=lambda entry: entry.url)


def fetch(url: str, start: int, stop: int, etag: str, config: StorageConfig) -> bytes:
    """Bytes [start, stop) of an object, going on where a broken connection left off.

    Raises:
        InputError: it cannot be read.
        RunError: it is no longer the object of that ETag, or the connection keeps breaking.
    """
    bucket, key = split(url)

    def stream(offset: int) -> Iterator[bytes]:
        try:
            answer = client(config).get_object(
                Bucket=bucket, Key=key, Range=f"bytes={start + offset}-{stop - 1}", IfMatch=etag
            )
        except botocore.exceptions.ClientError as error:
            if code_of(error) in ("412", "PreconditionFailed"):
                raise RunError(f"{url}: was replaced while it was read; run again") from error
            raise
        with closing(answer["Body"]) as body:
            yield from body.iter_chunks(1 << 20)

    with told(url, config):
        return collect(stream, stop - start, config.attempts, _BROKEN_STREAM)


def link(url: str, hours: int, config: StorageConfig) -> tuple[str, str]:
    """A web address that gives an object to everybody who knows it, without credentials, for a time.

    Args:
        url: The object.
        hours: How long; less where the credentials that sign it end sooner.
        config: How the store is reached. The address holds only under the name that its endpoint has there.

    Returns:
        The address, and when it ends, in UTC.

    Raises:
        InputError: there is no such object, or the time is longer than S3 allows.
    """
    if not 1 <= hours <= LONGEST_LINK_HOURS:
        raise InputError(
            f"{url}: a link cannot be valid for {hours} hours; give 1 to {LONGEST_LINK_HOURS}, as S3 allows 7 days"
        )
    if S3Store(config).head(url) is None:
        raise InputError(f"{url}: no such object; hepspark data ls shows the objects below a folder")
    bucket, key = split(url)
    end = datetime.now(UTC) + timedelta(hours=hours)
    with told(url, config):
        address = client(config).generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=hours * 3600
        )
    return address, end.isoformat(timespec="seconds")


class _ObjectReader(io.RawIOBase):
    """A seekable reader of one object; each read is one ranged request."""

    def __init__(self, url: str, config: StorageConfig) -> None:
        head = S3Store(config).head(url)
        if head is None:
            raise InputError(f"{url}: no such object")
        self._url, self._config = url, config
        self._etag, self._size = head["ETag"], head["ContentLength"]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if position < 0:
            raise ValueError(f"{self._url}: position {position} lies before the beginning")
        self._position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the base takes any buffer; this is what it gets
        stop = min(self._position + len(buffer), self._size)
        if stop <= self._position:
            return 0
        data = fetch(self._url, self._position, stop, self._etag, self._config)
        buffer[: len(data)] = data
        self._position = stop
        return len(data)

    def readall(self) -> bytes:
        data = (
            fetch(self._url, self._position, self._size, self._etag, self._config)
            if self._position < self._size
            else b""
        )
        self._position = self._size
        return data
