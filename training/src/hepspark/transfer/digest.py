"""Checksums of a local file, whole and by parts."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hepspark.storage import local

MOST_PARTS = 10_000
"""S3 takes no more parts of one object."""

_MIB = 1 << 20
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Digest:
    """What a file holds: bytes, SHA-256 in hexadecimal, and the MD5 of each part."""

    size: int
    sha256: str
    part_bytes: int
    part_md5: tuple[bytes, ...]


def part_bytes(size: int, part_mb: int) -> int:
    """Size of a part, in bytes: as asked for, or in whole MiB so large that the parts are not too many."""
    least = -(-size // MOST_PARTS)
    return max(part_mb, -(-least // _MIB)) * _MIB


def digest(path: Path, part_mb: int) -> Digest:
    """The checksums of a local file, read once.

    Raises:
        InputError: it cannot be read.
    """
    whole = hashlib.sha256()
    size = 0
    parts: list[bytes] = []
    with local.told(str(path), "read"), path.open("rb") as stream:
        step = part_bytes(path.stat().st_size, part_mb)
        while True:
            part = hashlib.md5(usedforsecurity=False)
            left = step
            while left and (piece := stream.read(min(left, _CHUNK_BYTES))):
                part.update(piece)
                whole.update(piece)
                left -= len(piece)
            if left == step and parts:
                break
            size += step - left
            parts.append(part.digest())
            if left:
                break
    return Digest(size, whole.hexdigest(), step, tuple(parts))


def md5(path: Path) -> str:
    """MD5 of a local file in hexadecimal, which is the ETag of an object that was put in one piece."""
    with local.told(str(path), "read"), path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
