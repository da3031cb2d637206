"""The lab's control groups: whatever runs in them is the lab's, and ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from deploy.errors import DeployError
from deploy.lab import shell
from deploy.lab.model import Places

_ROOT = Path("/sys/fs/cgroup")
_PROGRAMS = (b"conmon", b"podman", b"runc")


def groups(where: Places, container: str = "") -> list[Path]:
    """The control groups of the lab, or of one of its containers, in every hierarchy, deepest first."""
    top = f"hepspark-{where.name}" + (f"/libpod-{container}" if container else "")
    found = [path for pattern in ("", "*/") for path in _ROOT.glob(pattern + top) if path.is_dir()]
    below = [Path(folder) for path in found for folder, _, _ in os.walk(path)]
    return sorted(below, key=lambda path: len(path.parts), reverse=True)


def processes(where: Places, container: str = "") -> set[int]:
    """Every process in these control groups, and what podman started to watch over the lab or the container."""
    found: set[int] = set()
    for group in groups(where, container):
        with contextlib.suppress(OSError):
            found.update(int(line) for line in (group / "cgroup.procs").read_text().split())
    marks = (container.encode(),) if container else (bytes(where.storage), bytes(where.run), bytes(where.state))
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if any(word.endswith(_PROGRAMS) for word in words[:2]) and any(word.startswith(marks) for word in words):
                found.add(int(process.name))
    return found


def kill(where: Places, container: str = "") -> None:
    """Ends every process of the lab, or of one of its containers."""

    def gone() -> bool:
        left = processes(where, container)
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return not left

    if not shell.wait(gone, 60):
        left = sorted(processes(where, container))
        raise DeployError(f"processes of the lab do not end: {left}; run `make lab-down` again")


def remove(where: Places, container: str = "") -> None:
    """Removes the control groups, in which nothing runs any more."""

    def gone() -> bool:
        for group in groups(where, container):
            with contextlib.suppress(OSError):
                group.rmdir()
        return not groups(where, container)

    # A group may still hold a process that is just ending.
    if not shell.wait(gone, 20):
        left = ", ".join(map(str, groups(where, container)))
        raise DeployError(f"the lab's control groups cannot be removed: {left}; run `make lab-down` again")
