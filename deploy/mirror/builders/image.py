"""Images without a base image: one layer of files, written as an OCI layout, the same bytes for the same input."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.mirror.builders.debian import download, unpack
from deploy.mirror.versions import Component, Image
from deploy.mirror.workshop import Task

SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What `setcap cap_net_bind_service=+ep` writes: revision 2 with the effective bit, and bit 10 as permitted.
BIND_LOW_PORTS = bytes.fromhex("0100000200040000000000000000000000000000").decode()
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
    "nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n",
}
# Debian's alternatives, which the packages' scripts would have made; the nftables form works on every kernel of today.
ALTERNATIVES = {
    **{
        f"usr/sbin/{name}": "xtables-nft-multi"
        for kind in ("iptables", "ip6tables")
        for name in (kind, f"{kind}-save", f"{kind}-restore")
    },
}
UNNEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/info",
)


def assemble(task: Task, name: str, programs: dict[str, Path]) -> Path:
    """An image of a component as an OCI layout, in a folder."""
    spec = task.component.build.images[name]
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in sorted(_members(task, name, spec, programs), key=lambda item: item[0].name):
            archive.addfile(member, io.BytesIO(content) if content is not None else None)
    return write_layout(
        task.folder("images", f"{task.name}-{name}"),
        layer.getvalue(),
        {
            "User": spec.user,
            "Env": [SEARCH_PATH],
            "Entrypoint": list(spec.entrypoint) or None,
            "Cmd": list(spec.command) or None,
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": name,
                "org.opencontainers.image.version": task.component.version,
                "org.opencontainers.image.licenses": task.component.licence,
                "org.opencontainers.image.source": origin(task.component, name),
            },
        },
    )


def origin(component: Component, image: str | None = None) -> str:
    """What a component, or one of its images, is made from, in a few words: modules and packages."""
    build = component.build
    made = dict(build.go.binaries if build.go else {})
    made |= {name: f"{spec.module}/{spec.source}" for name, spec in build.c.items()}
    made |= {name: f"Debian {spec.release}: {spec.package}" for name, spec in build.debian.items()}
    images = [build.images[image]] if image else list(build.images.values())
    programs = {program for spec in images for program in spec.binaries.values()} if image else set(made)
    parts = [text for name, text in made.items() if name in programs]
    roots = (spec.debian for spec in images if spec.debian)
    return ", ".join([*parts, *dict.fromkeys(f"Debian {r.release}: {' '.join(r.packages)}" for r in roots)])


def write_layout(folder: Path, layer: bytes, config: dict[str, Any]) -> Path:
    """Write an OCI image layout with one layer, an uncompressed tar."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    description = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",  # a date would make each build another image
        "config": {key: value for key, value in config.items() if value is not None},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(_json(description), "config.v1+json"),
        "layers": [blob(gzip.compress(layer, 6, mtime=0), "layer.v1.tar+gzip")],
    }
    index = {"schemaVersion": 2, "manifests": [blob(_json(manifest), "manifest.v1+json")]}
    (folder / "index.json").write_bytes(_json(index))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return folder


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _members(
    task: Task, name: str, spec: Image, programs: dict[str, Path]
) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """What the layer contains."""
    paths: dict[str, tuple[tarfile.TarInfo, bytes | None]] = {}

    def add(path: str, kind: bytes, mode: int, content: bytes | None = None, target: str = "") -> None:
        for parent in PurePosixPath(path).parents:
            if str(parent) != "." and str(parent) not in paths:
                add(str(parent), tarfile.DIRTYPE, 0o755)
        member = tarfile.TarInfo(path)
        member.type, member.mode, member.size, member.linkname = kind, mode, len(content or b""), target
        if path in spec.bind_low_ports:
            member.pax_headers = {"SCHILY.xattr.security.capability": BIND_LOW_PORTS}
        paths[path] = (member, content)

    add("tmp", tarfile.DIRTYPE, 0o1777)
    for path, text in ACCOUNTS.items():
        add(path, tarfile.REGTYPE, 0o644, text.encode())
    if spec.debian:
        root = unpack(task, download(task, spec.debian.release, spec.debian.packages), f"{task.name}-{name}")
        for file in sorted(root.rglob("*")):
            relative = file.relative_to(root).as_posix()
            if relative.startswith(UNNEEDED):
                continue
            if file.is_symlink():
                add(relative, tarfile.SYMTYPE, 0o777, target=str(file.readlink()))
            elif file.is_dir():
                add(relative, tarfile.DIRTYPE, file.stat().st_mode & 0o7777)
            elif relative not in ACCOUNTS:
                # Nothing in an image needs to change its user.
                add(relative, tarfile.REGTYPE, file.stat().st_mode & 0o777, file.read_bytes())
        for path, target in ALTERNATIVES.items():
            if f"usr/sbin/{target}" in paths:
                add(path, tarfile.SYMTYPE, 0o777, target=target)
    for path, program in spec.binaries.items():
        add(path, tarfile.REGTYPE, 0o755, programs[program].read_bytes())
    if spec.applets:
        box = programs[spec.binaries[spec.applets]] if spec.applets in spec.binaries else root / spec.applets
        for applet in _applets(box):
            path = f"usr/{applet}" if spec.debian and not applet.startswith("usr/") else applet
            if path not in paths:
                add(path, tarfile.SYMTYPE, 0o777, target=f"/{spec.applets}")
    yield from paths.values()


def _applets(busybox: Path) -> list[str]:
    return subprocess.run([busybox, "--list-full"], check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
