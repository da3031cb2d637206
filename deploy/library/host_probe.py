"""Ansible module: what a host is and has, read without changing anything."""

import ipaddress
import itertools
import json
import os
import platform
import socket
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: host_probe
short_description: Read what a host is and has
description: Changes nothing. Limits of a container count where they are lower than the machine's.
options:
  disk_mb: {type: dict, default: {}, description: Free space (MiB) that is needed by folder}
  ports: {type: list, elements: int, default: [], description: TCP ports that should be free}
  networks: {type: list, elements: str, default: [], description: Networks that no route of the host may overlap}
"""
EXAMPLES = """
- host_probe:
    disk_mb: {/var/lib/kubelet: 5120}
    ports: [10250]
    networks: [10.244.0.0/16]
"""
RETURN = """
host: {type: dict, description: The findings, returned: always}
"""

MARKER = Path("/etc/hepspark/cluster.json")
RUNTIMES = ("/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock")
FOREIGN = ("/etc/kubernetes/kubelet.conf", "/etc/kubernetes/admin.conf", "/etc/rancher", "/var/lib/kubelet/config.yaml")


def operating_system() -> dict[str, str]:
    """`ID` and `VERSION_ID` of os-release."""
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    return {"id": pairs.get("ID", "").strip('"'), "version": pairs.get("VERSION_ID", "").strip('"')}


def number(path: str) -> int | None:
    """The number in a file, or None where there is none (`max`, no such file)."""
    try:
        return int(Path(path).read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def cpus() -> float:
    """Processors that this host may use."""
    found = float(len(os.sched_getaffinity(0)))
    quota = number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or -1
    period = number("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or 100_000
    try:
        words = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        quota, period = int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):
        pass
    return min(found, quota / period) if quota > 0 else found


def meminfo(key: str) -> int:
    """An entry of /proc/meminfo, MiB."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) // 1024
    return 0


def memory() -> int:
    """Memory that this host may use, MiB."""
    limits = [number("/sys/fs/cgroup/memory/memory.limit_in_bytes"), number("/sys/fs/cgroup/memory.max")]
    return min([meminfo("MemTotal"), *(limit // 2**20 for limit in limits if limit)])


def lacking_disk(wanted: dict[str, int]) -> list[str]:
    """Where free space is lacking, said in words; folders of one file system share what it has."""
    sharing: dict[int, list[str]] = {}
    free_mb = {}
    for name in wanted:
        folder = Path(name)
        while not folder.exists():  # it will be made there
            folder = folder.parent
        device, status = folder.stat().st_dev, os.statvfs(folder)
        sharing.setdefault(device, []).append(name)
        free_mb[device] = status.f_bavail * status.f_frsize // 2**20
    needed = {device: sum(wanted[name] for name in names) for device, names in sharing.items()}
    return [
        f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} {free_mb[device]} MiB free, "
        f"{needed[device]} are needed"
        for device, names in sharing.items()
        if free_mb[device] < needed[device]
    ]


def listening() -> set[int]:
    """TCP ports in the state LISTEN (0A in the kernel's table)."""
    ports: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if Path(table).exists():
            rows = (line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:])
            ports |= {int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == "0A"}
    return ports


def routes(module: AnsibleModule) -> list[str]:
    """Destinations of the host's routes, without the default one."""
    _, text, _ = module.run_command(["ip", "-json", "-4", "route", "show"])
    found = [str(route["dst"]) for route in json.loads(text or "[]")]
    return [route for route in found if route != "default"]


def addresses(module: AnsibleModule) -> list[str]:
    """The host's own IPv4 addresses."""
    _, text, _ = module.run_command(["ip", "-json", "-4", "address", "show"])
    return [str(info["local"]) for link in json.loads(text or "[]") for info in link["addr_info"]]


def answers(path: str) -> bool:
    """Whether somebody listens at a Unix socket; a program that ended may have left the file."""
    with socket.socket(socket.AF_UNIX) as there:
        return there.connect_ex(path) == 0


def clashes(wanted: list[str], present: list[str]) -> list[str]:
    """Each wanted network that overlaps with a route, said in words."""
    pairs = [(network, f"this host's route to {route}", route) for network in wanted for route in present]
    pairs += [(one, other, other) for one, other in itertools.combinations(wanted, 2)]
    return [
        f"{network} overlaps with {name}"
        for network, name, other in pairs
        if ipaddress.ip_network(network, strict=False).overlaps(ipaddress.ip_network(other, strict=False))
    ]


def cluster() -> dict[str, Any] | None:
    """What hepspark left here about the cluster that the host belongs to."""
    try:
        found = json.loads(MARKER.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def main() -> None:
    """Answer to Ansible."""
    module = AnsibleModule(
        argument_spec={
            "disk_mb": {"type": "dict", "default": {}},
            "ports": {"type": "list", "elements": "int", "default": []},
            "networks": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C"}
    ours = cluster()
    host = {
        "os": operating_system(),
        "machine": platform.machine(),
        "root": os.geteuid() == 0,
        "cpus": cpus(),
        "memory_mb": memory(),
        "swap_mb": meminfo("SwapTotal"),
        "cgroup_version": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "time": time.time(),
        "lacking_disk": lacking_disk({name: int(need) for name, need in module.params["disk_mb"].items()}),
        "ports_used": sorted(listening() & set(module.params["ports"])),
        "clashes": clashes(module.params["networks"], routes(module)),
        "addresses": addresses(module),
        "cluster": ours,
        "runtimes": [] if ours else [path for path in RUNTIMES if answers(path)],
        "foreign": [] if ours else [path for path in FOREIGN if Path(path).exists()],
    }
    module.exit_json(changed=False, host=host)


if __name__ == "__main__":
    main()
