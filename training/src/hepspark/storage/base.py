"""The interface of a store, and what can be said of URLs without one."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

_S3 = re.compile(r"^s3[an]?://")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One stored file: its URL and its size in bytes."""

    url: str
    size: int


class Store(Protocol):
    """Where bytes are kept. Every URL is given whole; every error is an InputError that names it."""

    def open(self, url: str) -> BinaryIO:
        """A seekable reader."""

    def read(self, url: str) -> bytes:
        """The whole content."""

    def write(self, url: str, data: bytes) -> None:
        """Replace the content; a reader sees the old or the new, never a part."""

    def create(self, url: str, data: bytes) -> bool:
        """Write unless something is there already: True for the one writer that wins.

        The content is durable when this returns, and never seen in part. Commits rest on this.
        """

    def upload(self, path: Path, url: str) -> None:
        """Bring a local file in, whole or not at all; the local file may be consumed."""

    def exists(self, url: str) -> bool:
        """Whether something is stored under exactly this URL."""

    def walk(self, url: str) -> list[Entry]:
        """All files below a folder, ordered by URL; none where the folder does not exist."""

    def glob(self, pattern: str) -> list[Entry]:
        """Files that a pattern with * ? [ ] matches, ordered by URL."""

    def delete(self, url: str) -> None:
        """Remove a file; no error where there is none."""


def is_s3(url: str) -> bool:
    """Whether a URL names an object in an S3 store."""
    return bool(_S3.match(url))


def join(url: str, *parts: str) -> str:
    """A URL below another."""
    return "/".join([url.rstrip("/"), *(part.strip("/") for part in parts)])


def name_of(url: str) -> str:
    """The last part of a URL."""
    return PurePosixPath(url).name


def suffix_of(url: str) -> str:
    """The ending of a URL's last part, in lower case and with its dot."""
    return PurePosixPath(url).suffix.lower()


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The content of a reader in pieces of bounded size."""
    while piece := stream.read(_CHUNK_BYTES):
        yield piece


def checksum(store: Store, url: str) -> str:
    """SHA-256 of a stored file, in hexadecimal."""
    digest = hashlib.sha256()
    with store.open(url) as stream:
        for piece in chunks(stream):
            digest.update(piece)
    return digest.hexdigest()
