"""The connection to an S3 endpoint, and the message for each way it fails."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import boto3
import boto3.exceptions
import boto3.session
import botocore.config
import botocore.exceptions
import botocore.parsers

from hepspark.config import StorageConfig
from hepspark.errors import HepsparkError, InputError, RunError, UnreachableError
from hepspark.progress import say
from hepspark.storage.s3_settings import (
    AWS,
    UNUSABLE,
    bad_ca_bundle,
    credentials_origin,
    endpoint_of,
    endpoint_origin,
    explain_settings,
    proxy_origin,
    region_origin,
)

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
_DENIED = (
    "401",
    "403",
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "InvalidTokenId",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
)
_OTHER_REGION = ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301")
_LONGEST_CONNECTIONS = 32


def client(config: StorageConfig) -> "S3Client":
    """The client of an endpoint, one per process and configuration; safe to use from several threads.

    Raises:
        InputError: settings or credentials cannot be used.
    """
    if config.ca_bundle and not os.access(config.ca_bundle, os.R_OK):
        raise InputError(f"storage.ca_bundle: {config.ca_bundle} cannot be read; correct the path")
    try:
        return _client(config)
    except Exception as error:
        raise explain_settings(error, config) from error


@lru_cache(maxsize=8)
def _client(config: StorageConfig) -> "S3Client":
    # A session of its own: boto3 keeps the credentials of the one that it shares.
    session = boto3.session.Session()
    made = session.client(
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
    made.meta.events.register("needs-retry.s3", partial(_tell_of_silence, config))
    credentials = session.get_credentials()
    if credentials:  # fetched here, where whatever their source raises is known to be of settings
        credentials.get_frozen_credentials()
    return made


def _tell_of_silence(config: StorageConfig, attempts: int, caught_exception: Exception | None, **_more: object) -> None:
    """Say that a store is still waited for: with the longest times a minute passes until each new attempt."""
    if isinstance(caught_exception, botocore.exceptions.ReadTimeoutError) and attempts < config.attempts:
        endpoint = endpoint_of(config)
        say(f"{endpoint}: no answer in {config.read_timeout:g} s; attempt {attempts + 1} of {config.attempts}")


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
    endpoint = endpoint_of(config)
    if isinstance(error, boto3.exceptions.S3UploadFailedError) and isinstance(error.__context__, Exception):
        error = error.__context__  # boto3 puts its own words around the store's answer
    if isinstance(error, UNUSABLE):
        told = explain_settings(error, config)
        return type(told)(f"{url}: {told}")
    proxy = proxy_origin(endpoint)
    match error:
        case botocore.exceptions.ParamValidationError():
            return InputError(f"{url}: not a name that S3 allows: {error}")
        case botocore.exceptions.SSLError():
            return _explain_tls(url, error, config, endpoint)
        case botocore.exceptions.ProxyConnectionError():
            return UnreachableError(f"{url}: the proxy {proxy} cannot be reached; {_of_proxy(proxy)}")
        case (
            botocore.exceptions.EndpointConnectionError()
            | botocore.exceptions.ConnectTimeoutError()
            | botocore.exceptions.ConnectionClosedError()
        ):
            way = f" (by the proxy {proxy})" if proxy else ""
            where = _endpoint_key(config) if endpoint != AWS else f"the network, {region_origin(config)}"
            return UnreachableError(f"{url}: {endpoint} cannot be reached{way}; check {where} and that the store runs")
        case botocore.exceptions.ReadTimeoutError():
            way = f"; {_of_proxy(proxy)}" if proxy else ""
            return UnreachableError(
                f"{url}: {endpoint} did not answer in {config.read_timeout:g} s, {config.attempts} times; check that "
                f"the store runs, or raise storage.read_timeout{way}"
            )
        case botocore.exceptions.HTTPClientError() if "Invalid header value" in str(error):
            return InputError(
                f"{url}: the S3 credentials hold a character that no key has, such as a line break; correct "
                f"{credentials_origin()}"
            )
        case botocore.exceptions.HTTPClientError() if proxy and re.search("parse|No host|Invalid IPv6", str(error)):
            return InputError(f"{url}: {proxy} is not the address of a proxy; {_of_proxy(proxy)}")
        case botocore.parsers.ResponseParserError():
            return InputError(f"{url}: {endpoint} does not answer as an S3 store does; check storage.endpoint")
        case botocore.exceptions.ClientError():
            return _explain_answer(url, error, endpoint, config)
        case _:
            return RunError(f"{url}: {endpoint}: {error}; run again to continue")


def _endpoint_key(config: StorageConfig) -> str:
    return endpoint_origin(config).partition("=")[0]


def _of_proxy(origin: str | None) -> str:
    name = (origin or "HTTPS_PROXY").partition("=")[0]
    return f"correct or unset {name}, or name the store's host in NO_PROXY"


def _explain_tls(url: str, error: botocore.exceptions.SSLError, config: StorageConfig, endpoint: str) -> InputError:
    bundle = bad_ca_bundle(config)
    if bundle:
        return InputError(f"{url}: the CA certificates cannot be read: {bundle}; correct the path")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        reason = str(error).partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return InputError(f"{url}: the certificate of {endpoint} is not trusted ({reason}); set storage.ca_bundle")
    return InputError(
        f"{url}: {endpoint} does not speak TLS (HTTPS); write http:// instead of https://, or correct the port, in "
        f"{_endpoint_key(config)}"
    )


def _explain_answer(
    url: str, error: botocore.exceptions.ClientError, endpoint: str, config: StorageConfig
) -> HepsparkError:
    code = code_of(error)
    if code in _DENIED:
        return InputError(
            f"{url}: {endpoint} refuses the credentials or the access ({code}); check {credentials_origin()}, and what "
            "they allow"
        )
    if code in _OTHER_REGION:
        message = error.response["Error"].get("Message", "")
        return InputError(
            f"{url}: {endpoint} is of another region than {region_origin(config)} ({code}: {message}); "
            "set storage.region"
        )
    if code == "RequestTimeTooSkewed":
        return InputError(f"{url}: the clocks of this machine and of {endpoint} differ; correct the wrong one")
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
        tls = "; if it speaks TLS, write https://" if code == "400" and endpoint.startswith("http:") else ""
        return InputError(
            f"{url}: {endpoint} does not answer as an S3 store does (HTTP {code}){tls}; check storage.endpoint and the "
            "store"
        )
    return RunError(f"{url}: {endpoint} answered {code}: {error.response['Error'].get('Message', '')}")
