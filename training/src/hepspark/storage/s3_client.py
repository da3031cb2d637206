"""The connection to an S3 endpoint, and the message for each way it fails."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3
import boto3.exceptions
import boto3.session
import botocore.config
import botocore.exceptions
import botocore.parsers

from hepspark.config import StorageConfig
from hepspark.errors import HepsparkError, InputError, RunError, UnreachableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ERRORS = (
    botocore.exceptions.ClientError,
    botocore.exceptions.BotoCoreError,
    botocore.parsers.ResponseParserError,
    boto3.exceptions.Boto3Error,
    EOFError,  # of `collect`
)
"""What speaking with a store may raise."""

NOTHING_THERE = ("404", "NoSuchKey", "NotFound")

_URL = re.compile(r"^s3[an]?://([^/]+)/?(.*)$", re.DOTALL)
_DENIED = ("401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")
_LONGEST_CONNECTIONS = 32


def client(config: StorageConfig) -> "S3Client":
    """The client of an endpoint, one per process and configuration; safe to use from several threads.

    Raises:
        InputError: the endpoint is no URL, or its CA file is not there.
    """
    if config.ca_bundle and not os.access(config.ca_bundle, os.R_OK):
        raise InputError(f"storage.ca_bundle: {config.ca_bundle} cannot be read; correct the path")
    try:
        return _client(config)
    except ValueError as error:
        raise InputError(f"storage.endpoint: {error}; expected http://host:port or https://host") from error


@lru_cache(maxsize=8)
def _client(config: StorageConfig) -> "S3Client":
    # A session of its own: boto3 keeps the credentials of the one that it shares.
    session = boto3.session.Session()
    return session.client(
        "s3",
        endpoint_url=config.endpoint,
        region_name=config.region or os.environ.get("AWS_REGION") or session.region_name or "us-east-1",
        verify=config.ca_bundle,
        config=botocore.config.Config(
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            max_pool_connections=_LONGEST_CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": config.attempts},
            signature_version="s3v4",  # for links boto3 would else use the older one, which many stores refuse
            s3={"addressing_style": "path" if config.path_style else "virtual"},
            # Stores of other makes do not all know the newer default checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def forget_clients() -> None:
    """Have the next use read the credentials again."""
    _client.cache_clear()


def split(url: str) -> tuple[str, str]:
    """Bucket and key of an s3a:// URL.

    Raises:
        InputError: it is not one.
    """
    match = _URL.match(url)
    if not match:
        raise InputError(f"{url}: not an S3 URL; expected s3a://bucket/key")
    return match[1], match[2]


def code_of(error: botocore.exceptions.ClientError) -> str:
    """The error code that the store answered."""
    return error.response["Error"]["Code"]


@contextmanager
def told(url: str, config: StorageConfig) -> Iterator[None]:
    """Turn what boto3 raises into a message that names the URL, the endpoint and the remedy."""
    try:
        yield
    except ERRORS as error:
        raise explain(url, error, config) from error


def explain(url: str, error: Exception, config: StorageConfig) -> HepsparkError:
    """The message for an error of boto3."""
    endpoint = config.endpoint or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
    if isinstance(error, boto3.exceptions.S3UploadFailedError) and isinstance(error.__context__, Exception):
        error = error.__context__  # boto3 puts its own words around the store's answer
    match error:
        case botocore.exceptions.NoCredentialsError() | botocore.exceptions.PartialCredentialsError():
            return InputError(
                f"{url}: no S3 credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        case botocore.exceptions.ProfileNotFound():
            return InputError(f"{url}: {error}; correct AWS_PROFILE or the AWS credentials file")
        case botocore.exceptions.ParamValidationError():
            return InputError(f"{url}: not a name that S3 allows: {error}")
        case botocore.exceptions.SSLError():
            return InputError(f"{url}: the certificate of {endpoint} is not trusted; set storage.ca_bundle")
        case (
            botocore.exceptions.EndpointConnectionError()
            | botocore.exceptions.ConnectTimeoutError()
            | botocore.exceptions.ConnectionClosedError()
        ):
            return UnreachableError(
                f"{url}: {endpoint} cannot be reached; check storage.endpoint and that the store runs"
            )
        case botocore.parsers.ResponseParserError():
            return InputError(f"{url}: {endpoint} does not answer as an S3 store does; check storage.endpoint")
        case botocore.exceptions.ClientError():
            return _explain_answer(url, error, endpoint)
        case _:
            return RunError(f"{url}: {endpoint}: {error}; run again to continue")


def _explain_answer(url: str, error: botocore.exceptions.ClientError, endpoint: str) -> HepsparkError:
    code = code_of(error)
    if code in _DENIED:
        return InputError(f"{url}: {endpoint} refuses the credentials or the access ({code}); check both")
    if code == "RequestTimeTooSkewed":
        return InputError(f"{url}: the clocks of this machine and of {endpoint} differ; set them right")
    if code == "NoSuchBucket":
        return InputError(f"{url}: there is no such bucket at {endpoint}; create it or correct the name")
    if code in ("InvalidBucketName", "KeyTooLongError", "XMinioInvalidObjectName", "XMinioInvalidResourceName"):
        return InputError(f"{url}: not a name that {endpoint} allows ({code}); correct it")
    if code in NOTHING_THERE:
        return InputError(f"{url}: no such object")
    if code in ("NotImplemented", "501"):
        return InputError(
            f"{url}: {endpoint} cannot do {error.operation_name} with these conditions; use another store"
        )
    if code.isdigit():  # a store says why in XML; this was a proxy, or something else altogether
        return InputError(
            f"{url}: {endpoint} does not answer as an S3 store does (HTTP {code}); check storage.endpoint and the store"
        )
    return RunError(f"{url}: {endpoint} answered {code}: {error.response['Error'].get('Message', '')}")
