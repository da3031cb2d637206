"""Software bills of materials: what an image consists of, in CycloneDX, read from its layers.

Debian packages are those in `var/lib/dpkg/status.d` (where scanners look in images without dpkg), Python packages
their `.dist-info`, jars their file names, Go programs the modules that Go's linker wrote into them.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from deploy.mirror.registry import blob_path, stored_digest

_GO_MAGIC = b"\xff Go buildinf:"
_GO_SENTINEL = 16
"""Bytes before and after the list of modules."""
_JAR = re.compile(r"^(?P<name>.+?)-(?P<version>[0-9][^/]*)\.jar$")


def write(registry: Path, reference: str, folder: Path) -> None:
    """Write the bill of an image of a registry's folder, unless that of this very image is there."""
    digest = stored_digest(registry, reference)
    target = folder / file_name(reference)
    if digest is None or (target.is_file() and digest in target.read_text()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    new.write_text(json.dumps(bill(registry, reference, digest), indent=1) + "\n")
    new.replace(target)


def file_name(reference: str) -> str:
    """Of the bill of `repository:tag`."""
    return re.sub(r"[/:]", "_", reference) + ".cdx.json"


def bill(registry: Path, reference: str, digest: str) -> dict[str, Any]:
    """What an image consists of."""
    repository, _, tag = reference.rpartition(":")
    manifest = json.loads(blob_path(registry, digest).read_bytes())
    found: dict[str, dict[str, Any]] = {}
    unread = []
    for layer in manifest["layers"]:
        try:
            found |= {one["purl"]: one for one in _components(blob_path(registry, layer["digest"]))}
        except tarfile.ReadError:  # compressed in a way that Python cannot read; upstream's may be
            unread.append({"name": "hepspark:layer-not-read", "value": layer["digest"]})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "name": repository,
                "version": tag,
                "purl": f"pkg:oci/{repository.rpartition('/')[2]}@{digest}?tag={tag}",
                "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
            },
            "properties": unread,
        },
        "components": [found[purl] for purl in sorted(found)],
    }


def _components(layer: Path) -> Iterator[dict[str, Any]]:
    with tarfile.open(layer) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield from _of_file(member.name, member.mode, content.read())


def _of_file(path: str, mode: int, content: bytes) -> Iterator[dict[str, Any]]:
    name = path.rpartition("/")[2]
    if path.startswith("var/lib/dpkg/status.d/"):
        fields = HeaderParser().parsestr(content.decode())
        yield _component("deb", f"debian/{fields['Package']}", fields["Version"])
    elif path.endswith(".dist-info/METADATA"):
        fields = HeaderParser().parsestr(content.decode())
        yield _component("pypi", fields["Name"].lower().replace("_", "-"), fields["Version"], fields["License"])
    elif match := _JAR.match(name):
        sha256 = hashlib.sha256(content).hexdigest()
        yield _component("maven", match["name"], match["version"]) | {"hashes": [{"alg": "SHA-256", "content": sha256}]}
    elif path.endswith("/release") and content.startswith(b"JAVA_VERSION="):
        yield _component("generic", "openjdk", content.decode().split('"')[1])
    elif mode & 0o100 and _GO_MAGIC in content:
        for line in _go_modules(content).splitlines():
            kind, *module = line.split("\t")
            if kind in ("dep", "mod", "=>") and len(module) > 1:
                yield _component("golang", module[0], module[1])


def _component(kind: str, name: str, version: str, licence: str | None = None) -> dict[str, Any]:
    own = {"type": "library", "name": name, "version": version, "purl": f"pkg:{kind}/{name}@{version}"}
    # Some put the whole text there.
    return own | ({"licenses": [{"license": {"name": licence}}]} if licence and "\n" not in licence else {})


def _go_modules(program: bytes) -> str:
    """What `go version -m` would print: two strings behind the header, each after its length, since Go 1.18."""
    place = program.index(_GO_MAGIC) + 32
    _, place = _string(program, place)
    modules, _ = _string(program, place)
    return modules[_GO_SENTINEL:-_GO_SENTINEL].decode(errors="replace")


def _string(data: bytes, place: int) -> tuple[bytes, int]:
    length = shift = 0
    while True:
        byte = data[place]
        place += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return data[place : place + length], place + length
