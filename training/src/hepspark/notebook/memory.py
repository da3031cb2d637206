"""Tells in a notebook that its server's memory was full, and that Linux therefore ended a process: often the kernel."""

import re
import tempfile
from pathlib import Path
from typing import Any

from hepspark.progress import say

CGROUPS = Path("/sys/fs/cgroup")
_FILES = (
    ("memory.events", "memory.max"),  # version 2
    ("memory/memory.oom_control", "memory/memory.limit_in_bytes"),  # version 1
)
_GIB = 1 << 30


def killed(cgroups: Path = CGROUPS) -> int:
    """How many processes of this container were ended because its memory was full; 0 where nobody counts."""
    for events, _ in _FILES:
        found = re.search(r"^oom_kill (\d+)$", _read(cgroups / events), re.MULTILINE)
        if found:
            return int(found[1])
    return 0


def limit(cgroups: Path = CGROUPS) -> str:
    """How much memory this container may have, as " (4.0 GiB)"; empty where there is no limit."""
    for _, limits in _FILES:
        text = _read(cgroups / limits).strip()
        if text.isdecimal() and int(text) < 1 << 60:
            return f" ({int(text) / _GIB:.1f} GiB)"
    return ""


class Memory:
    """Looks before and after each cell of a kernel, also for the kernel before it that had the same notebook."""

    def __init__(self, kernel: str, cgroups: Path = CGROUPS, folder: Path | None = None) -> None:
        """Begin to look.

        Args:
            kernel: Name of the kernel, which it keeps when it is started again.
            cgroups: Where Linux counts.
            folder: Of notes from one kernel to the next; they end with the server.
        """
        self._cgroups = cgroups
        self._note = (folder or Path(tempfile.gettempdir())) / f"hepspark-{kernel}"
        self._known = int(_read(self._note) or killed(cgroups))
        self._keep(self._known)

    def before_cell(self, *_: object) -> None:
        """Tell what happened since the last cell."""
        self._tell("Linux ended a process of this server, perhaps the previous kernel of this notebook")

    def after_cell(self, *_: object) -> None:
        """Tell what happened in the cell."""
        self._tell("Linux ended a process of this server while the cell ran")

    def _tell(self, what: str) -> None:
        now = killed(self._cgroups)
        if now > self._known:
            say(
                f"This server's memory{limit(self._cgroups)} was full. {what}. Work on less data at once, shut down "
                "kernels that are not needed, or stop this server and choose a larger one (File, Hub Control Panel)"
            )
        if now != self._known:
            self._keep(now)

    def _keep(self, count: int) -> None:
        self._known = count
        try:
            self._note.write_text(str(count))
        except OSError:
            return  # the next kernel does not know; this one does


def watch(shell: Any) -> None:
    """Look before and after each cell.

    Args:
        shell: IPython's, of a kernel.
    """
    from ipykernel.connect import get_connection_file

    memory = Memory(Path(get_connection_file()).stem)
    shell.events.register("pre_run_cell", memory.before_cell)
    shell.events.register("post_run_cell", memory.after_cell)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
