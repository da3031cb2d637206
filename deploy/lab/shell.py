"""Running other programs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.errors import DeployError

# What it starts dies with this process, so that whoever comes after an interrupted run finds nobody at work.
MORTAL = ("setpriv", "--pdeathsig", "KILL")


def run(
    command: Sequence[str], *, stdin: bytes = b"", env: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end; it dies with this process.

    Raises:
        DeployError: it failed; the message holds what it said.
    """
    # What is run is the callers' choice, none of it a stranger's.
    done = subprocess.run([*MORTAL, *command], input=stdin, env=env, capture_output=True, check=False)  # noqa: S603
    if check and done.returncode:
        said = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
        raise DeployError(f"`{' '.join(command)}` failed (exit code {done.returncode}): {said}")
    return done


def output(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
    """What a program prints on standard output."""
    return run(command, env=env).stdout.decode()


def succeeds(command: Sequence[str]) -> bool:
    """Whether a program ends with 0."""
    return run(command, check=False).returncode == 0


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def mounts() -> list[str]:
    """Every place where something is mounted, in the order of mounting."""
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
