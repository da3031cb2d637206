"""What must be so before a lab is made or widened; nothing was touched yet."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.errors import InputError
from deploy.lab import limits, shell
from deploy.lab.model import Host, Lab

PACKAGES = (
    "debian-archive-keyring",
    "debootstrap",
    "iproute2",
    "nftables",
    "openssh-client",
    "openssl",
    "podman",
    "runc",
    "util-linux",
)
# The platform's other networks, in deploy/inventories/lab/group_vars/all.yml.
_CLUSTER_NETWORKS = ("10.244.0.0/16", "10.96.0.0/16")
_BASE_DISK_MB = 1024
_MIRROR_DISK_MB = 1024


def name(text: str) -> None:
    """Refuses a name that interfaces, control groups and certificates could not carry."""
    if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", text):
        raise InputError(f"`{text}` cannot be a name: give 1 to 8 lower-case letters and digits, a letter first")


def root() -> None:
    """Refuses a user who may not make hosts."""
    if os.geteuid() != 0:
        raise InputError("the lab makes hosts and a network, and only root may do that: use sudo")


def programs() -> None:
    """Installs what is missing of the lab's programs, or says what to install."""
    script = Path(__file__).resolve().parents[2] / "tools" / "apt.sh"
    command = [str(script), *PACKAGES]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own script
    if done.returncode:
        raise InputError(f"programs that the lab needs are missing: {done.stderr.strip()}")


def network(text: str, bridge: str) -> None:
    """Refuses a network that is too small, or that this machine or the cluster uses for something else."""
    try:
        wanted = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InputError(f"--network {text} is not an IPv4 network: {error}") from None
    if wanted.prefixlen > 26:
        raise InputError(f"--network {text} is too small: give one of 64 addresses (/26) or more")
    routes = json.loads(shell.output(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    taken = [(one["dst"], f"is on {one['dev']}") for one in routes if one.get("dev") not in (None, bridge, "lo")]
    taken += [(one, "belongs to the cluster") for one in _CLUSTER_NETWORKS]
    for destination, why in taken:
        if destination != "default" and ipaddress.ip_network(destination).overlaps(wanted):
            raise InputError(f"--network {text} clashes with {destination}, which {why}: give another one")


def size(hosts: Sequence[Host], machine: limits.Machine) -> None:
    """Refuses hosts larger than the machine, or more memory together than is free."""
    for one in hosts:
        if one.cpus > machine.cpus:
            raise InputError(f"--cpus {one.cpus:g}: this machine has {machine.cpus}, and a host cannot have more")
    free = limits.memory("MemAvailable")
    needed = sum(one.memory for one in hosts)
    if needed > free:
        each = ", ".join(f"{one.name} {one.memory >> 20} MB" for one in hosts)
        raise InputError(
            f"the hosts need {needed >> 20} MB of memory ({each}), and {free >> 20} MB are free: "
            "give less --memory or fewer --workers"
        )


def disk(folder: Path, hosts: Sequence[Host], bases: int) -> None:
    """Refuses to begin on a disk that would fill up."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free >> 20
    each = {one.name: _MIRROR_DISK_MB if one.role == "mirror" else limits.HOST_DISK_MB for one in hosts}
    needed = sum(each.values()) + bases * _BASE_DISK_MB
    if needed > free:
        raise InputError(
            f"{folder} needs {needed} MB of free disk: {limits.HOST_DISK_MB} for each host's images and volumes, "
            f"{_MIRROR_DISK_MB} for the mirror, {_BASE_DISK_MB} for each base image; it has {free}. "
            "Free some, or set XDG_CACHE_HOME to a folder on a larger disk"
        )


def everything(folder: Path, lab: Lab, coming: Sequence[Host], bases: int) -> None:
    """All checks that a lab and the hosts to be made have to pass."""
    machine = limits.detect()
    network(lab.network, lab.bridge)
    size(coming, machine)
    disk(folder, coming, bases)
