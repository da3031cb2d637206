"""Filling the mirror: each entry is made once, and made again when what it is made from has changed."""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from deploy.errors import InputError
from deploy.mirror import registry
from deploy.mirror.make import make
from deploy.mirror.order import Order, entry_names
from deploy.mirror.tidy import tidy

APT_TOOL = Path(__file__).parents[2] / "tools" / "apt.sh"
TOOLS = ("skopeo", "gnupg", "util-linux")
BUILD_TOOLS = ("gcc", "libc6-dev")
# Measured: until the end of a fill, 12 GB of Go modules and compiled packages are there beside the mirror of 1 GB.
BUILD_GIGABYTES = 15
FETCH_GIGABYTES = 3


def fill(order: Order, tell: Callable[[str], None]) -> list[str]:
    """Make every entry that is not finished; the value is their names.

    Raises:
        InputError: An entry does not exist, or the machine lacks room or a tool.
        DeployError: An entry could not be made; those before it stay.
    """
    names = entry_names(order.versions)
    if unknown := sorted(set(order.only) - set(names)):
        raise InputError(f"no entry {', '.join(unknown)} in versions.yaml; there are {', '.join(names)}")
    with _locked(order, tell) as alone:
        if not alone:
            return []
        for leftover in order.places.root.glob("work.*"):  # of a fill that was killed
            shutil.rmtree(leftover)
        wanted = order.unfinished()
        if wanted:
            _prepare(order, wanted)
            with _workspace(order) as work, ExitStack() as stack:
                address: list[str] = []

                def serve() -> str:
                    if not address:
                        log = order.places.logs / "registry-process.log"
                        process = registry.serve(order.registry_program(), order.places.registry, work, log)
                        address.append(stack.enter_context(process))
                    return address[0]

                for number, name in enumerate(wanted, 1):
                    make(order, name, work, serve, partial(_numbered, tell, f"[{number}/{len(wanted)}]"))
        tidy(order, changed=bool(wanted))
    return wanted


def _numbered(tell: Callable[[str], None], number: str, text: str) -> None:
    tell(f"{number} {text}")


def _prepare(order: Order, wanted: list[str]) -> None:
    """Refuse what cannot succeed before it costs time."""
    components = [order.versions.components[name] for name in wanted if name in order.versions.components]
    building = any(component.build.go and not order.is_fetched(component) for component in components)
    needed = BUILD_GIGABYTES if building else FETCH_GIGABYTES
    folder = order.work or order.places.root
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < needed:
        raise InputError(
            f"{folder} has {free:.1f} GB free, and making {', '.join(wanted)} temporarily needs up to {needed} GB; "
            "free some space, or set XDG_CACHE_HOME to a larger disk"
        )
    tools = [APT_TOOL, *TOOLS, *(BUILD_TOOLS if building else ())]
    if subprocess.run(tools, stdin=subprocess.DEVNULL, check=False).returncode:  # noqa: S603 (names of this file)
        raise InputError("the mirror cannot be made without the packages above")


@contextmanager
def _workspace(order: Order) -> Iterator[Path]:
    if order.work:
        yield order.work
        return
    work = Path(tempfile.mkdtemp(prefix="work.", dir=order.places.root))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _locked(order: Order, tell: Callable[[str], None]) -> Iterator[bool]:
    """Only one fill at a time works on a mirror.

    The value is False where another one is at work, but has made all that is wanted here already.
    """
    order.places.root.mkdir(parents=True, exist_ok=True)
    with (order.places.root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not order.unfinished():
                yield False
                return
            tell("another command fills this mirror; waiting until that command ends")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield True
