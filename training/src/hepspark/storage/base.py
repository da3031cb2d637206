"""The interface of a store, and what can be said of URLs without one."""

import fnmatch
import glob
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from hepspark.errors import InputError
from hepspark.place import S3

TEMPORARY = ".hepspark-"
"""Names that begin so are unfinished or passing; no listing shows them."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One stored file: its URL and its size in bytes."""

    url: str
    size: int


class Store(Protocol):
    """Where bytes are kept. Every URL is whole and as `hepspark.place` spells it; every error names it (InputError)."""

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
        """Files that a pattern matches, ordered by URL; see `matches` for what * ? [ ] ** mean.

        Where the pattern begins with a path that is there as it is spelled, the signs in it mean themselves.
        """

    def delete(self, url: str) -> None:
        """Remove a file; no error where there is none."""


def is_s3(url: str) -> bool:
    """Whether a URL names an object in an S3 store."""
    return url.startswith(S3)


def join(url: str, *parts: str) -> str:
    """A URL below another."""
    return "/".join([url.rstrip("/"), *(part.strip("/") for part in parts)])


def name_of(url: str) -> str:
    """The last part of a URL."""
    return PurePosixPath(url).name


def suffix_of(url: str) -> str:
    """The ending of a URL's last part, in lower case and with its dot."""
    return PurePosixPath(url).suffix.lower()


def matches(path: str, pattern: str) -> bool:
    """Whether a path is one that a shell's pattern means, in every store alike.

    * ? [ ] stand for characters within one part of the path, ** for any number of folders (or, at the end,
    for all files below); none of them matches a name that begins with a dot.
    """
    return _parts_match(path.split("/"), pattern.split("/"))


def is_pattern(url: str) -> bool:
    """Whether a URL holds signs of a pattern; a name may hold them too."""
    return any(sign in url for sign in "*?[")


def with_literals(pattern: str, is_there: Callable[[str], bool]) -> str:
    """A pattern in which the longest path that it begins with, and that is there as it is spelled, means itself.

    Args:
        pattern: As a user gives it, perhaps below a folder named a[1].
        is_there: Whether there is a file or folder of that name.
    """
    ends = [place for place, sign in enumerate(pattern) if sign == "/"] + [len(pattern)]
    length = next((end for end in reversed(ends) if end and is_there(pattern[:end])), 0)
    return glob.escape(pattern[:length]) + pattern[length:]


def _parts_match(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    first, rest = patterns[0], patterns[1:]
    if first == "**":
        if rest[:1] == ["**"]:  # the same as one, and quadratic work as two
            return _parts_match(parts, rest)
        here = _parts_match(parts, rest or ["*"])
        return here or (bool(parts) and not parts[0].startswith(".") and _parts_match(parts[1:], patterns))
    if not parts or (parts[0].startswith(".") and not first.startswith(".")):
        return False
    return fnmatch.fnmatchcase(parts[0], first) and _parts_match(parts[1:], rest)


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The content of a reader in pieces of bounded size."""
    while piece := stream.read(_CHUNK_BYTES):
        yield piece


def collect(
    stream: Callable[[int], Iterable[bytes]], length: int, attempts: int, broken: tuple[type[Exception], ...]
) -> bytes:
    """Bytes from a connection that may break, each time going on where it broke.

    Args:
        stream: Opens the stream again at an offset.
        length: How many bytes there are.
        attempts: How often in a row it may break without bringing anything.
        broken: What a broken connection raises; the last one is passed on. A stream that merely ends is broken too.
    """
    data = bytearray()
    fruitless = 0
    while len(data) < length:
        before = len(data)
        problem: Exception = EOFError(f"the connection closed after {before} of {length} bytes")
        try:
            for piece in stream(before):
                data += piece
        except broken as error:
            problem = error
        fruitless = fruitless + 1 if len(data) == before else 0
        if fruitless == attempts:
            raise problem
    return bytes(data[:length])


def read_verified(store: Store, url: str, sha256: str, problem: str) -> bytes:
    """The whole content of a stored file, which must have the given SHA-256.

    Raises:
        InputError: it has another one; the message is the URL and `problem`.
    """
    data = store.read(url)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{url}: {problem}")
    return data


def checksum(store: Store, url: str) -> str:
    """SHA-256 of a stored file, in hexadecimal."""
    digest = hashlib.sha256()
    with store.open(url) as stream:
        for piece in chunks(stream):
            digest.update(piece)
    return digest.hexdigest()
