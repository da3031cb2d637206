"""Podman with storage, configuration and run-time folders of its own: the machine's own podman is not touched."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.lab import limits as machine_limits
from deploy.lab import shell
from deploy.lab.model import Places

_IMAGES_RUN = Path("/run/hepspark-images")


def _configure(folder: Path, storage: Path, run: Path, images: Path | None) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    # Podman has no setting for runc's own records, which are else in one folder for the whole machine.
    runtime = folder / "runc"
    _write(runtime, f'#!/bin/sh\nexec runc --root {run}/runc "$@"\n')
    runtime.chmod(0o700)
    # Without CAP_SYS_RESOURCE no limit can be raised, and podman's defaults are above what such machines have; podman
    # starts its containers with fewer processes than it may have itself.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1], min(resource.getrlimit(resource.RLIMIT_NPROC)[1], 30000)
    limits = (
        []
        if machine_limits.detect().sys_resource
        else [f"{name}={n}:{n}" for name, n in zip(("nofile", "nproc"), most, strict=True)]
    )
    containers_conf: dict[str, dict[str, object]] = {
        "containers": {"default_ulimits": limits},
        "engine": {
            "runtime": "runc",  # crun cannot work where both versions of control groups are mounted
            "cgroup_manager": "cgroupfs",
            "events_logger": "none",
            "lock_type": "file",  # the other kind is one shared memory for all podmans of the machine
            "static_dir": str(storage / "libpod"),
            "volume_path": str(storage / "volumes"),
            "tmp_dir": str(run / "libpod"),
        },
        "engine.runtimes": {"runc": [str(runtime)]},
        "network": {"network_config_dir": str(folder / "networks")},
    }
    storage_conf: dict[str, dict[str, object]] = {
        "storage": {"driver": "overlay", "graphroot": str(storage), "runroot": str(run / "storage")},
        "storage.options": {"additionalimagestores": [str(images)] if images else []},
    }
    for name, sections in (("containers.conf", containers_conf), ("storage.conf", storage_conf)):
        text = "".join(
            f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
            for section, values in sections.items()
        )
        _write(folder / name, text)
    temporary = run / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "TMPDIR": str(temporary),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
    }


def _write(path: Path, text: str) -> None:
    """Writes a file unless it is so already; podmans that run beside never see half of it."""
    if not path.exists() or path.read_text() != text:
        new = path.with_name(f"{path.name}.{threading.get_ident()}")
        new.write_text(text)
        new.replace(path)


class Container(BaseModel):
    """What podman knows of a host."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    running: bool


def environment(where: Places) -> dict[str, str]:
    """The environment in which podman sees one lab and nothing else."""
    return _configure(where.state / "podman", where.storage, where.run, where.images)


def images_environment(where: Places) -> dict[str, str]:
    """The environment in which podman fills the store of base images."""
    return _configure(where.images / "hepspark", where.images, _IMAGES_RUN, None)


def podman(
    where: Places, *arguments: str, stdin: bytes = b"", check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Runs podman on a lab."""
    return shell.run(["podman", *arguments], stdin=stdin, env=environment(where), check=check)


def close_images(where: Places) -> None:
    """Removes what podman left in /run after filling the store of base images."""
    for point in reversed(shell.mounts()):
        if point.startswith((f"{where.images}/", f"{_IMAGES_RUN}/")):
            shell.run(["umount", "--quiet", "--lazy", point], check=False)
    shutil.rmtree(_IMAGES_RUN, ignore_errors=True)


def has_image(where: Places, name: str) -> bool:
    """Whether the store of base images holds one, read without opening it."""
    index = where.images / "overlay-images" / "images.json"
    return index.exists() and any(name in (image.get("names") or ()) for image in json.loads(index.read_bytes()))


def containers(where: Places) -> dict[str, Container]:
    """Every host that podman knows."""
    if not where.storage.exists():
        return {}
    listed = json.loads(podman(where, "ps", "--all", "--format", "json").stdout)
    return {one["Names"][0]: Container(id=one["Id"], running=one["State"] == "running") for one in listed}


def memory_used(where: Places, container: Container) -> int | None:
    """Bytes of memory that a host cannot do without: its working set, as Kubernetes counts it."""
    for group, used in (
        (f"memory/hepspark-{where.name}/libpod-{container.id}", "memory.usage_in_bytes"),
        (f"hepspark-{where.name}/libpod-{container.id}", "memory.current"),
    ):
        folder = Path("/sys/fs/cgroup", group)
        if (folder / used).exists():
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            inactive = int(stat.get("total_inactive_file", stat["inactive_file"]))
            return max(0, int((folder / used).read_text()) - inactive)
    return None
