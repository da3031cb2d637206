"""What this machine cannot give its lab hosts, and the inventory variables that follow: the lab's alone."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from deploy.lab import shell

# Kubelet keeps this much free of what it may give to pods.
_EVICTION_MEMORY = 100 << 20
# The least of the roles' preflight; what is less than that has to be said.
_PREFLIGHT_CPUS = 2
_PREFLIGHT_MEMORY_MB = 1800
# What a host's containerd and kubelet need of the disk for the platform's images and volumes.
HOST_DISK_MB = 4096
_SYS_RESOURCE = 24  # the capability's number


class Machine(BaseModel):
    """What was found on this machine; `memory` in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: int
    memory: int
    cgroup: int
    sys_resource: bool
    vxlan: bool
    swap: bool
    kernel_config: bool


class Limit(BaseModel):
    """Something that a lab host lacks, and the variables that live with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    variables: dict[str, Any]


@functools.cache
def detect() -> Machine:
    """Looks at this machine."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return Machine(
        cpus=os.cpu_count() or 1,
        memory=memory("MemTotal"),
        cgroup=2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        sys_resource=bool(int(status["CapBnd"], 16) >> _SYS_RESOURCE & 1),
        vxlan=_vxlan(),
        swap=len(Path("/proc/swaps").read_text().splitlines()) > 1,
        kernel_config=Path("/proc/config.gz").exists(),
    )


def memory(entry: str) -> int:
    """An entry of /proc/meminfo, in bytes."""
    entries = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(entries[entry].split()[0]) << 10


def _vxlan() -> bool:
    # In a network namespace that ends with the command.
    return shell.succeeds(
        ["unshare", "--net", "ip", "link", "add", "vxlan-try", "type", "vxlan", "id", "1", "dstport", "0"]
    )


def environment(release: str, machine: Machine) -> dict[str, str]:
    """The environment of a host's first process."""
    if machine.cgroup == 1 and release == "13":
        # systemd 256 and later refuse cgroup v1 unless told so, on a kernel command line that a container lacks.
        return {
            "SYSTEMD_PROC_CMDLINE": "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 "
            "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0"
        }
    return {}


def limits(machine: Machine, *, cpus: float, memory: int) -> list[Limit]:
    """Every limit that a host of `cpus` and `memory` bytes meets on a machine."""
    found = []

    def limit(reason: str, **variables: Any) -> None:
        found.append(Limit(reason=reason, variables=variables))

    limit(
        "the connection tracking table belongs to the machine, a host cannot size it",
        control_plane_kube_proxy_config={"mode": "nftables", "conntrack": {"maxPerCore": 0}},
    )
    limit("a host cannot load kernel modules: the machine has them or not", container_runtime_kernel_modules=[])
    limit(
        "the hosts share the machine's disk, which is partly full: what is free counts, not the share of it",
        kubernetes_kubelet_config={
            "evictionHard": {
                "memory.available": f"{_EVICTION_MEMORY >> 20}Mi",
                "nodefs.available": "1Gi",
                "imagefs.available": "1Gi",
                "nodefs.inodesFree": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        },
        preflight_disk_mb={"/var/lib/containerd": HOST_DISK_MB // 2, "/var/lib/kubelet": HOST_DISK_MB // 2},
    )
    if cpus < _PREFLIGHT_CPUS:
        limit("the flavour has fewer CPUs than a host should have", preflight_cpus=cpus)
    if memory >> 20 < _PREFLIGHT_MEMORY_MB:
        limit("the flavour has less memory than a host should have", preflight_memory_mb=memory >> 20)
    reserved = {}
    if cpus < machine.cpus:
        reserved["cpu"] = f"{round((machine.cpus - cpus) * 1000)}m"
    if memory + _EVICTION_MEMORY < machine.memory:
        reserved["memory"] = f"{(machine.memory - memory - _EVICTION_MEMORY) >> 10}Ki"
    if reserved:
        limit(
            "a host sees the machine's whole CPU and memory, but may use its flavour's",
            kubernetes_kubelet_config={"systemReserved": reserved},
        )
    if machine.cgroup == 1:
        limit(
            "control groups of version 1, which systemd and runc cannot manage together from within a container",
            kubernetes_kubelet_config={"cgroupDriver": "cgroupfs", "failCgroupV1": False},
            container_runtime_systemd_cgroup=False,
            preflight_cgroup_versions=[1, 2],
        )
    if not machine.sys_resource:
        limit(
            "no capability SYS_RESOURCE: no limit can be raised, and no process kept from the out-of-memory killer",
            kubernetes_kubelet_extra_args={"oom-score-adj": "0"},
            container_runtime_config_extra={"restrict_oom_score_adj": True},
            container_runtime_unit_override="[Service]\nLimitNOFILE=\nLimitNPROC=\nLimitCORE=\nOOMScoreAdjust=\n",
        )
    if machine.swap:
        limit(
            "the machine swaps, which a host cannot change",
            kubernetes_kubelet_config={"failSwapOn": False},
            preflight_swap_allowed=True,
        )
    if not machine.vxlan:
        limit("the kernel knows no vxlan", network_backend="host-gw")
    ignored = [
        check
        for check, fails in (
            ("NumCPU", machine.cpus < _PREFLIGHT_CPUS),
            ("Swap", machine.swap),
            ("SystemVerification", machine.cgroup == 1 or not machine.kernel_config),
        )
        if fails
    ]
    if ignored:
        limit(
            "checks of kubeadm that this machine's CPUs, swap, control groups or unreadable kernel configuration fail",
            control_plane_ignore_preflight_errors=ignored,
            worker_ignore_preflight_errors=ignored,
        )
    return found


def variables(found: Iterable[Limit]) -> dict[str, Any]:
    """The inventory variables of all limits together."""
    merged: dict[str, Any] = {}
    for one in found:
        for name, value in one.variables.items():
            merged[name] = {**merged[name], **value} if isinstance(value, dict) and name in merged else value
    return merged
