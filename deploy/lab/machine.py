"""What the lab changes on this machine outside its own things: a few kernel settings, put back at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

# What was there before, for all labs together; gone with a reboot as the settings are.
KERNEL = Path("/run/hepspark-kernel.json")  # while there is any lab
FORWARDING = Path("/run/hepspark-forwarding.json")  # while any lab is open
_SYS = Path("/proc/sys")

# Kernel settings that have no namespace: systemd and kubelet in a host set them for the machine.
SETTINGS = (
    "fs/protected_fifos",
    "fs/protected_hardlinks",
    "fs/protected_regular",
    "fs/protected_symlinks",
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
    "kernel/core_pattern",
    "kernel/core_pipe_limit",
    "kernel/core_uses_pid",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/pid_max",
    "kernel/printk",
    "kernel/sysrq",
    "vm/max_map_count",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


def write(setting: str, value: str) -> None:
    """Sets a kernel setting unless it has that value."""
    path = _SYS / setting
    if path.read_text().strip() != value:
        path.write_text(value)


def record(file: Path, settings: Iterable[str]) -> None:
    """Remembers the values of settings that are about to change; the first value remembered stays."""
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    now = {name: (_SYS / name).read_text().strip() for name in settings if (_SYS / name).exists()}
    new = file.with_suffix(".new")
    new.write_text(json.dumps(now | known))
    new.replace(file)


def restore(file: Path) -> None:
    """Puts every remembered value back."""
    if not file.exists():
        return
    for name, value in json.loads(file.read_text()).items():
        if (_SYS / name).exists():
            write(name, value)
    file.unlink()
