"""Running programs: their output goes to a log, and none of them outlives this one."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import DeployError

TAIL_LINES = 15


def run(
    command: Sequence[str | Path], log: Path, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        command: The program and its arguments.
        log: File that the command and its standard error are appended to.
        cwd: Folder to run it in.
        env: Variables to set in addition.

    Raises:
        DeployError: The program failed; the message has the end of its output.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        output.write(f"$ {' '.join(map(str, command))}\n")
        output.flush()
        start = output.tell()
        with running(command, output.fileno(), cwd=cwd, env=env) as process:
            stdout, _ = process.communicate()
    if process.returncode:
        with log.open() as text:
            text.seek(start)
            tail = [*text.read().splitlines(), *stdout.splitlines()][-TAIL_LINES:]
        raise DeployError(
            f"{Path(command[0]).name} ended with {process.returncode}; the whole output is in {log}, its end:\n  "
            + "\n  ".join(tail)
        )
    return stdout


@contextmanager
def running(
    command: Sequence[str | Path],
    stderr: int,
    *,
    stdout: int = subprocess.PIPE,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A program that runs until the block ends; then it and its children are stopped if they still run."""
    # A group of its own, so that all of it can be stopped; and gone with this process even if that is killed.
    process = subprocess.Popen(  # noqa: S603 (the callers' fixed commands)
        ["setpriv", "--pdeathsig", "KILL", *map(str, command)],  # noqa: S607 (where it is differs)
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
