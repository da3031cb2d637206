"""Removing a lab, in whatever state it was left.

Nothing here relies on podman, whose own records may be half written.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.lab import base, groups, machine, network, podman, shell
from deploy.lab.model import Places


def down(where: Places) -> bool:
    """Removes everything of a lab; base images and the mirror stay in the cache.

    Returns:
        Whether there was anything to remove.
    """
    there = any(folder.exists() for folder in (where.storage, where.run, where.state))
    groups.kill(where)
    for mount in _mounts(where):
        shell.run(["umount", "--quiet", "--lazy", mount])
    network.down(where.name)
    for folder in (where.storage, where.run, where.state):
        if folder.exists():
            shutil.rmtree(folder)
    groups.remove(where)
    base.clean(where.base)
    podman.close_images(where)
    network.close()
    if not [path for path in Path("/run").glob("hepspark-*") if path.is_dir()]:
        machine.restore(machine.KERNEL)
    return there


def _mounts(where: Places) -> list[str]:
    """Every mount below the lab's folders, the last one first."""
    tops = tuple(f"{folder}/" for folder in (where.storage, where.run, where.state))
    return [point for point in reversed(shell.mounts()) if f"{point}/".startswith(tops)]
