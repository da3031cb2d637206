"""The command line of the checks."""

import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from deploy import errors
from deploy.errors import InputError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Output(StrEnum):
    """How the results are written."""

    table = "table"
    json = "json"


@app.command()
def main(
    registry: Annotated[str, typer.Option(help="Registry that holds the test image: HOST or HOST:PORT.")],
    kubeconfig: Annotated[
        Path | None, typer.Option(help="The cluster and its administrator; KUBECONFIG if not given.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Test image in the registry; the mirror's busybox if not given.")
    ] = None,
    kubectl: Annotated[str, typer.Option(help="The kubectl program, for the commands that are shown.")] = "kubectl",
    platform: Annotated[
        str | None, typer.Option(help="Namespace of the platform, for a short training; no training if not given.")
    ] = None,
    hub: Annotated[
        str | None, typer.Option(help="Namespace of JupyterHub, to start a server; no server if not given.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for each result.")] = 45,
    output: Annotated[Output, typer.Option(help="A table for people, or JSON.")] = Output.table,
) -> None:
    """Check a running cluster; ends with 0 (all checks pass), 1 (a check fails) or 2 (the input is wrong)."""
    if not registry or "/" in registry:
        raise InputError(f"--registry {registry!r}: give HOST or HOST:PORT, without scheme or path")
    file = _existing(kubeconfig)
    # Imported late: the client of Kubernetes takes seconds, which --help and wrong input need not wait for.
    from deploy.verify.cluster import connect
    from deploy.verify.results import as_json, print_table
    from deploy.verify.run import verify

    signal.signal(signal.SIGTERM, _terminated)
    cluster = connect(file, kubectl)
    results = verify(cluster, f"{registry}/{image or _busybox()}", timeout, _tell, platform, hub)
    if output is Output.json:
        sys.stdout.write(as_json(results, cluster.kubectl) + "\n")
    else:
        print_table(results, cluster.kubectl, Console())
    if not all(result.finding.ok for result in results):
        raise SystemExit(1)


def _busybox() -> str:
    from deploy.mirror.versions import load_versions

    return load_versions().components["busybox"].references()["busybox"]


def _existing(given: Path | None) -> Path:
    named = given or Path(os.environ.get("KUBECONFIG", ""))
    if named == Path():
        raise InputError("no kubeconfig: give --kubeconfig FILE or set KUBECONFIG")
    if not named.is_file():
        raise InputError(f"{named}: no such kubeconfig; `make deploy` writes one, or give another by --kubeconfig")
    return named


def _tell(message: str) -> None:
    sys.stderr.write(f"verify: {message}\n")


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # cleans up as after Ctrl-C


if __name__ == "__main__":
    errors.run(app, "verify")
