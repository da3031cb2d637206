"""OCI image layouts: layers of files and a configuration, the same bytes for the same input."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

Member = tuple[tarfile.TarInfo, bytes | None]


@dataclass(frozen=True)
class Layer:
    """A compressed layer on disk."""

    content: Path
    digest: str
    """SHA-256 of the compressed content, 64 digits."""
    diff_id: str
    """SHA-256 of the tar in it."""

    @classmethod
    def write(cls, tar: bytes, folder: Path) -> "Layer":
        """Compress a tar into a folder."""
        compressed = gzip.compress(tar, 6, mtime=0)
        digest = hashlib.sha256(compressed).hexdigest()
        content = folder / digest
        content.write_bytes(compressed)
        return cls(content, digest, hashlib.sha256(tar).hexdigest())


def tar_of(members: Iterable[Member]) -> bytes:
    """A tar of members in the order of their names."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in sorted(members, key=lambda item: item[0].name):
            archive.addfile(member, io.BytesIO(data) if data is not None else None)
    return content.getvalue()


def members_of(root: Path, place: str) -> Iterable[Member]:
    """What a folder holds, as root's files below a place of the image, and the folders above it."""
    for parent in reversed([PurePosixPath(place), *PurePosixPath(place).parents][:-1]):
        yield _member(str(parent), tarfile.DIRTYPE, 0o755), None
    for path in root.rglob("*"):
        name = f"{place}/{path.relative_to(root).as_posix()}"
        if path.is_symlink():
            link = _member(name, tarfile.SYMTYPE, 0o777)
            link.linkname = str(path.readlink())
            yield link, None
        elif path.is_dir():
            yield _member(name, tarfile.DIRTYPE, 0o755), None
        else:
            data = path.read_bytes()
            file = _member(name, tarfile.REGTYPE, 0o755 if path.stat().st_mode & 0o100 else 0o644)
            file.size = len(data)
            yield file, data


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    return member


def write_layout(folder: Path, layers: Iterable[Layer], config: dict[str, Any]) -> Path:
    """Write an OCI image layout."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def describe(digest: str, kind: str) -> dict[str, Any]:
        size = (blobs / digest).stat().st_size
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": size}

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return describe(digest, kind)

    layers = list(layers)
    for layer in layers:
        shutil.copyfile(layer.content, blobs / layer.digest)
    description = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",  # a date would make each build another image
        "config": {key: value for key, value in config.items() if value is not None},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(_json(description), "config.v1+json"),
        "layers": [describe(layer.digest, "layer.v1.tar+gzip") for layer in layers],
    }
    index = {"schemaVersion": 2, "manifests": [blob(_json(manifest), "manifest.v1+json")]}
    (folder / "index.json").write_bytes(_json(index))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return folder


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
