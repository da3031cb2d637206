"""`python -m deploy.lab`: hosts on this machine."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Annotated

import typer

from deploy import errors
from deploy.lab import checks, cleanup, host, lab, limits, model
from deploy.lab.inventory import inventory as to_inventory

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Name = Annotated[str, typer.Argument(metavar="HOST", help="The host's name")]

Cut = Annotated[bool, typer.Option("--cut", help="Cut its power instead of shutting it down")]


@app.callback()
def choose(
    context: typer.Context,
    name: Annotated[str, typer.Option("--lab", envvar="HEPSPARK_LAB", help="The lab's name")] = "lab",
) -> None:
    """Make, look at and remove hosts on this machine."""
    checks.name(name)
    if context.invoked_subcommand != "inventory":
        checks.root()
    # What is made is made so that the next `up` completes it and `down` removes it: nothing has to be tidied up here.
    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGTERM, _interrupted)
    context.obj = model.places(name)


def _interrupted(number: int, _: object) -> None:
    sys.stderr.write(
        "\nlab: interrupted; run the same command again to complete the lab, or `make lab-down` to remove it\n"
    )
    sys.stderr.flush()
    os._exit(128 + number)


@app.command()
def up(
    context: typer.Context,
    workers: Annotated[int | None, typer.Option(min=0, help="Number of workers; 2 in a new lab")] = None,
    cpus: Annotated[float | None, typer.Option(min=0.1, help="CPUs of each host; 2 in a new lab")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of each host; 5g in a new lab")] = None,
    network: Annotated[str | None, typer.Option(help="The lab's network; 10.89.77.0/24 in a new lab")] = None,
    way_out: Annotated[
        bool | None,
        typer.Option("--open/--closed", help="Whether the hosts can reach other networks; a new lab is closed"),
    ] = None,
) -> None:
    """Make the lab, or complete it. Hosts that are there do not change."""
    where = context.obj
    with lab.locked(where):
        lab.up(where, lab.plan(where, workers=workers, cpus=cpus, memory=memory, network=network, way_out=way_out))


@app.command()
def prepare(context: typer.Context) -> None:
    """Prepare this machine for the first `up`: install the programs, and make the base images."""
    with lab.locked(context.obj):
        lab.prepare(context.obj)


@app.command()
def down(context: typer.Context) -> None:
    """Remove the lab without a trace; base images and the mirror stay in the cache."""
    with lab.locked(context.obj):
        lab.say("removed" if cleanup.down(context.obj) else "there is no lab")


@app.command()
def status(
    context: typer.Context,
    output: Annotated[str, typer.Option(help="`text` or `json`")] = "text",
) -> None:
    """Show the hosts, and the limits of this machine."""
    if output == "json":
        sys.stdout.write(json.dumps(lab.status(context.obj)) + "\n")
    elif output == "text":
        sys.stdout.write(lab.table(context.obj))
    else:
        raise errors.InputError(f"--output {output}: give text or json")


@app.command()
def add(context: typer.Context, name: Name) -> None:
    """Make one more worker, with the size of the other hosts."""
    where = context.obj
    checks.name(name)
    with lab.locked(where):
        lab.add(where, name)


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove a worker with its disk."""
    with lab.locked(context.obj):
        lab.remove(context.obj, name)


@app.command()
def stop(context: typer.Context, name: Name, cut: Cut = False) -> None:
    """Shut a host down."""
    with lab.locked(context.obj):
        lab.stop(context.obj, name, cut=cut)


@app.command()
def start(context: typer.Context, name: Name) -> None:
    """Start a host that was stopped."""
    with lab.locked(context.obj):
        lab.start(context.obj, name)


@app.command()
def restart(context: typer.Context, name: Name, cut: Cut = False) -> None:
    """Shut a host down and start it again: memory and network are new, the disk stays."""
    with lab.locked(context.obj):
        lab.stop(context.obj, name, cut=cut)
        lab.start(context.obj, name)


@app.command(context_settings={"ignore_unknown_options": True})
def ssh(context: typer.Context, name: Name, command: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Open a shell on a host, or run a command there."""
    where = context.obj
    there = lab.existing(where)
    words = [*host.ssh(where, there.host(name)), *(command or [])]
    os.execvp(words[0], words)  # noqa: S606 - ssh takes this process's place


@app.command()
def inventory(context: typer.Context) -> None:
    """Print the lab as Ansible's inventory."""
    where = context.obj
    there = model.load(where)
    found = to_inventory(where, there, limits.detect()) if there else {"_meta": {"hostvars": {}}}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    errors.run(app, "lab")
