"""Objects in any S3 store, by boto3."""

import fnmatch
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import boto3
import botocore.config
import botocore.exceptions
import smart_open

from hepspark.config import StorageConfig
from hepspark.errors import HepsparkError, InputError, RunError
from hepspark.storage.base import Entry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_URL = re.compile(r"^s3[an]?://([^/]+)/?(.*)$")
_NOTHING_THERE = ("404", "NoSuchKey", "NotFound")
_TAKEN = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")
_DENIED = ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")


@lru_cache(maxsize=8)
def client(config: StorageConfig) -> "S3Client":
    """The client of an endpoint, one per process and configuration."""
    return boto3.client(
        "s3",
        endpoint_url=config.endpoint,
        region_name=config.region,
        verify=config.ca_bundle,
        config=botocore.config.Config(
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            retries={"mode": "standard", "total_max_attempts": config.attempts},
            s3={"addressing_style": "path" if config.path_style else "virtual"},
            # Stores of other makes do not all know the newer default checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def split(url: str) -> tuple[str, str]:
    """Bucket and key of an s3a:// URL.

    Raises:
        InputError: it is not one.
    """
    match = _URL.match(url)
    if not match:
        raise InputError(f"{url}: not an S3 URL; expected s3a://bucket/key")
    return match[1], match[2]


class S3Store:
    """A store in S3."""

    def __init__(self, config: StorageConfig) -> None:
        self._config = config

    @property
    def _client(self) -> "S3Client":
        return client(self._config)

    def open(self, url: str) -> BinaryIO:
        """See `Store.open`; reads by ranges."""
        bucket, key = split(url)
        with told(url, self._config):
            stream = smart_open.open(
                f"s3://{bucket}/{key}", "rb", transport_params={"client": self._client}, compression="disable"
            )
            return stream

    def read(self, url: str) -> bytes:
        """See `Store.read`."""
        bucket, key = split(url)
        with told(url, self._config):
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def write(self, url: str, data: bytes) -> None:
        """See `Store.write`."""
        bucket, key = split(url)
        with told(url, self._config):
            self._client.put_object(Bucket=bucket, Key=key, Body=data)

    def create(self, url: str, data: bytes) -> bool:
        """See `Store.create`: a put with `If-None-Match: *`.

        A put whose answer was lost is repeated by the client and then refused although it was ours;
        what is stored tells the two apart.
        """
        bucket, key = split(url)
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in _TAKEN:
                return self.read(url) == data
            raise explain(url, error, self._config) from error
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError) as error:
            raise explain(url, error, self._config) from error
        return True

    def upload(self, path: Path, url: str) -> None:
        """See `Store.upload`."""
        bucket, key = split(url)
        with told(url, self._config):
            self._client.upload_file(str(path), bucket, key)

    def exists(self, url: str) -> bool:
        """See `Store.exists`."""
        bucket, key = split(url)
        try:
            self._client.head_object(Bucket=bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in _NOTHING_THERE:
                return False
            raise explain(url, error, self._config) from error
        except botocore.exceptions.BotoCoreError as error:
            raise explain(url, error, self._config) from error
        return True

    def walk(self, url: str) -> list[Entry]:
        """See `Store.walk`."""
        bucket, key = split(url)
        prefix = f"{key.rstrip('/')}/" if key else ""
        with told(url, self._config):
            return self._listed(bucket, prefix)

    def glob(self, pattern: str) -> list[Entry]:
        """See `Store.glob`."""
        bucket, key = split(pattern)
        fixed = re.split(r"[*?\[]", key, maxsplit=1)[0]
        with told(pattern, self._config):
            found = self._listed(bucket, fixed)
        return [entry for entry in found if fnmatch.fnmatchcase(split(entry.url)[1], key)]

    def delete(self, url: str) -> None:
        """See `Store.delete`."""
        bucket, key = split(url)
        with told(url, self._config):
            self._client.delete_object(Bucket=bucket, Key=key)

    def _listed(self, bucket: str, prefix: str) -> list[Entry]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [
            Entry(f"s3a://{bucket}/{item['Key']}", item["Size"]) for page in pages for item in page.get("Contents", [])
        ]
        return sorted(found, key=lambda entry: entry.url)


@contextmanager
def told(url: str, config: StorageConfig) -> Iterator[None]:
    """Turn what boto3 raises into a message that names the URL, the endpoint and the remedy."""
    try:
        yield
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, boto3.exceptions.Boto3Error) as error:
        raise explain(url, error, config) from error
    except OSError as error:  # smart_open wraps the client's error in one of these
        cause = getattr(error, "backend_error", None)
        raise explain(url, cause or error, config) from error


def explain(url: str, error: Exception, config: StorageConfig) -> HepsparkError:
    """The message for an error of boto3."""
    endpoint = config.endpoint or "the S3 endpoint (AWS_ENDPOINT_URL, or AWS)"
    if isinstance(error, botocore.exceptions.NoCredentialsError | botocore.exceptions.PartialCredentialsError):
        return InputError(
            f"{url}: no S3 credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if isinstance(error, botocore.exceptions.ClientError):
        code = error.response["Error"]["Code"]
        if code in _DENIED:
            return InputError(f"{url}: {endpoint} refuses the credentials or the access ({code}); check both")
        if code == "NoSuchBucket":
            return InputError(f"{url}: there is no such bucket at {endpoint}; create it or correct the name")
        if code in _NOTHING_THERE:
            return InputError(f"{url}: no such object")
        return RunError(f"{url}: {endpoint} answered {code}: {error.response['Error'].get('Message', '')}")
    if isinstance(error, botocore.exceptions.SSLError):
        return InputError(f"{url}: the certificate of {endpoint} is not trusted; set storage.ca_bundle")
    if isinstance(error, botocore.exceptions.EndpointConnectionError | botocore.exceptions.ConnectTimeoutError):
        return InputError(f"{url}: {endpoint} cannot be reached; check storage.endpoint and that the store runs")
    return RunError(f"{url}: {endpoint}: {error}")
