"""Images of a component: its programs, Debian packages and trees, on nothing or on another image."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.errors import DeployError
from deploy.mirror.builders.bytecode import compile_ahead
from deploy.mirror.builders.debian import download, unpack
from deploy.mirror.builders.layout import Layer, Member, members_of, tar_of, write_layout
from deploy.mirror.process import run
from deploy.mirror.registry import blob_path, stored_digest
from deploy.mirror.versions import REPOSITORY, Component, Image
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
    "usr/lib/x86_64-linux-gnu/gconv",  # character sets for iconv, which nothing calls
)


@dataclass(frozen=True)
class Base:
    """An image that another one adds to."""

    layers: tuple[Layer, ...]
    config: dict[str, Any]

    @classmethod
    def stored(cls, storage: Path, reference: str) -> "Base":
        """The image that a registry's folder has under `repository:tag`."""
        digest = stored_digest(storage, reference)
        if digest is None:
            raise DeployError(f"{reference} is not in the registry's folder {storage}; run `make mirror`")
        manifest = json.loads(blob_path(storage, digest).read_bytes())
        description = json.loads(blob_path(storage, manifest["config"]["digest"]).read_bytes())
        layers = (
            Layer(blob_path(storage, layer["digest"]), *(d.removeprefix("sha256:") for d in (layer["digest"], diff_id)))
            for layer, diff_id in zip(manifest["layers"], description["rootfs"]["diff_ids"], strict=True)
        )
        return cls(tuple(layers), description["config"])


def assemble(task: Task, name: str, programs: dict[str, Path], base: Base | None = None) -> Path:
    """An image of a component as an OCI layout, in a folder.

    Args:
        task: The component.
        name: Which of its images.
        programs: Files and folders that the component's builders made.
        base: What the image adds to, if its description says so.
    """
    spec = task.component.build.images[name]
    folder = task.folder("layers", f"{task.name}-{name}")
    own = tar_of(_members(task, name, spec, programs, base is not None))
    layers = [*(base.layers if base else ()), Layer.write(own, folder)]
    layers += [Layer.write(tar_of(members_of(programs[tree], path)), folder) for path, tree in spec.trees.items()]
    inherited = base.config if base else {}
    environment = [f"{key}={value}" for key, value in spec.environment.items()]
    return write_layout(
        task.folder("images", f"{task.name}-{name}"),
        layers,
        {
            "User": spec.user,
            "Env": [*inherited.get("Env", [SEARCH_PATH]), *environment],
            "Entrypoint": list(spec.entrypoint) or inherited.get("Entrypoint"),
            "Cmd": list(spec.command) or inherited.get("Cmd"),
            "WorkingDir": "/",
            "Labels": {
                **inherited.get("Labels", {}),
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
    made |= {name: " ".join(tree.inputs()) for name, tree in build.trees.items() if tree.inputs()}
    images = [build.images[image]] if image else list(build.images.values())
    programs = {program for spec in images for program in (*spec.binaries.values(), *spec.trees.values())}
    programs = programs if image else set(made)
    parts = [text for name, text in made.items() if name in programs]
    roots = (spec.debian for spec in images if spec.debian)
    return ", ".join([*parts, *dict.fromkeys(f"Debian {r.release}: {' '.join(r.packages)}" for r in roots)])


def _members(task: Task, name: str, spec: Image, programs: dict[str, Path], has_base: bool) -> Iterator[Member]:
    """What the image's first own layer contains."""
    paths: dict[str, Member] = {}

    def add(path: str, kind: bytes, mode: int, content: bytes | None = None, target: str = "") -> None:
        for parent in PurePosixPath(path).parents:
            if str(parent) != "." and str(parent) not in paths:
                add(str(parent), tarfile.DIRTYPE, 0o755)
        member = tarfile.TarInfo(path)
        member.type, member.mode, member.size, member.linkname = kind, mode, len(content or b""), target
        if path in spec.bind_low_ports:
            member.pax_headers = {"SCHILY.xattr.security.capability": BIND_LOW_PORTS}
        paths[path] = (member, content)

    if not has_base:
        add("tmp", tarfile.DIRTYPE, 0o1777)
        for path, text in ACCOUNTS.items():
            add(path, tarfile.REGTYPE, 0o644, (text + _account(spec, path)).encode())
    if spec.debian:
        packages = download(task, spec.debian.release, spec.debian.packages)
        root = unpack(task, packages, f"{task.name}-{name}")
        for library in root.glob("usr/lib/python3.*"):  # which the package's script would have done
            compile_ahead(task, library, root)
        for package in packages:  # where scanners look in an image without dpkg
            control = run(["dpkg-deb", "--field", package], task.log)
            add(f"var/lib/dpkg/status.d/{package.name.partition('_')[0]}", tarfile.REGTYPE, 0o644, control.encode())
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
        certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
        if certificates:  # what the package's script would have written
            bundle = b"".join(certificate.read_bytes() for certificate in certificates)
            add("etc/ssl/certs/ca-certificates.crt", tarfile.REGTYPE, 0o644, bundle)
    for path, source in spec.files.items():
        add(path, tarfile.REGTYPE, 0o755, (REPOSITORY / source).read_bytes())
    for path, program in spec.binaries.items():
        add(path, tarfile.REGTYPE, 0o755, programs[program].read_bytes())
    if spec.applets:
        box = programs[spec.binaries[spec.applets]] if spec.applets in spec.binaries else root / spec.applets
        for applet in _applets(box):
            path = f"usr/{applet}" if spec.debian and not applet.startswith("usr/") else applet
            if path not in paths:
                add(path, tarfile.SYMTYPE, 0o777, target=f"/{spec.applets}")
    yield from paths.values()


def _account(spec: Image, path: str) -> str:
    """The line of an account file for the image's own user."""
    user, _, group = spec.user.partition(":")
    if spec.account is None:
        return ""
    return (
        f"{spec.account}:x:{user}:{group}::/tmp:/sbin/nologin\n"
        if path == "etc/passwd"
        else f"{spec.account}:x:{group}:\n"
    )


def _applets(busybox: Path) -> list[str]:
    return subprocess.run([busybox, "--list-full"], check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
