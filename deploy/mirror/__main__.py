"""`python -m deploy.mirror`: fill the mirror, list it, check it, pack it."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from deploy.errors import DeployError, InputError, run
from deploy.mirror import bom, check
from deploy.mirror.bundle import write_bundle
from deploy.mirror.entries import Mode
from deploy.mirror.fill import fill as fill_mirror
from deploy.mirror.order import Order, entry_names
from deploy.mirror.places import Places, default_folder
from deploy.mirror.upstream import load_sources
from deploy.mirror.versions import VERSIONS_FILE, load_versions

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

VersionsOption = Annotated[Path, typer.Option("--versions", help="The file that names everything in the mirror.")]
Folder = Annotated[Path | None, typer.Option("--folder", help="The mirror; by default one in the user's cache.")]


def tell(text: str) -> None:
    """A line of progress for people."""
    sys.stderr.write(f"mirror: {text}\n")
    sys.stderr.flush()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@app.command()
def fill(
    mode: Annotated[
        str, typer.Option(help="`build` makes everything here, `upstream` fetches what others built.")
    ] = "build",
    only: Annotated[list[str] | None, typer.Option(help="Only this entry. Repeat the option for more entries.")] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Make the entries even if nothing changed, for example to get newer packages."),
    ] = False,
    sources: Annotated[Path | None, typer.Option(help="Addresses of the sources for --mode upstream.")] = None,
    apt_sources: Annotated[Path | None, typer.Option(help="Folder of apt sources to use instead of /etc/apt.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder for temporary files, kept for the next fill.")] = None,
    versions_file: VersionsOption = VERSIONS_FILE,
    folder: Folder = None,
) -> None:
    """Make every entry of versions.yaml that the mirror does not have yet."""
    if mode not in ("build", "upstream"):
        raise InputError(f"--mode is build or upstream, not {mode}")
    chosen: Mode = "upstream" if mode == "upstream" else "build"
    versions = load_versions(versions_file)
    places = Places(folder or default_folder())
    addresses = None
    if chosen == "upstream":
        addresses = load_sources(sources, versions, [n for n in versions.components if not only or n in only])
    begin = time.monotonic()
    order = Order(
        places,
        versions,
        versions_file,
        mode=chosen,
        only=tuple(only or ()),
        again=again,
        sources=addresses,
        apt_sources=apt_sources,
        work=work,
    )
    signal.signal(signal.SIGTERM, _interrupt)
    made = fill_mirror(order, tell)
    tell(
        f"{len(made)} entries made in {time.monotonic() - begin:.0f} s; the mirror is in {places.root}"
        if made
        else "the mirror is complete"
    )


@app.command("list")
def list_entries(
    output: Annotated[str, typer.Option(help="`table` or `json`.")] = "table",
    versions_file: VersionsOption = VERSIONS_FILE,
    folder: Folder = None,
) -> None:
    """Print the bill of materials: name, version, source, checksum, size, licence."""
    if output not in ("table", "json"):
        raise InputError(f"--output is table or json, not {output}")
    rows = bom.collect(Places(folder or default_folder()), load_versions(versions_file))
    sys.stdout.write(json.dumps(rows, indent=1) + "\n" if output == "json" else bom.table(rows))


@app.command("check")
def check_all(
    bundle: Annotated[
        Path | None, typer.Argument(help="Folder with an unpacked bundle. Default: the mirror itself.")
    ] = None,
    versions_file: VersionsOption = VERSIONS_FILE,
    folder: Folder = None,
) -> None:
    """Read every file completely, and compare the checksums."""
    begin = time.monotonic()
    if bundle and not (bundle / check.SUMS).is_file():
        raise InputError(f"{bundle} has no {check.SUMS}, so it is not an unpacked bundle")
    places = Places(folder or default_folder())
    faults = (
        check.check_bundle(bundle) if bundle else check.check_mirror(places, entry_names(load_versions(versions_file)))
    )
    if faults:
        raise DeployError(f"{len(faults)} faults:\n  " + "\n  ".join(faults))
    tell(f"{bundle or places.root} is complete; checked in {time.monotonic() - begin:.0f} s")


@app.command()
def bundle(
    file: Annotated[Path, typer.Argument(help="The archive to write, a .tar.")],
    versions_file: VersionsOption = VERSIONS_FILE,
    folder: Folder = None,
) -> None:
    """Pack the mirror into one archive, for a site without internet."""
    places = Places(folder or default_folder())
    if faults := check.check_mirror(places, entry_names(load_versions(versions_file))):
        raise InputError("the mirror is not complete:\n  " + "\n  ".join(faults))
    size = write_bundle(places, file)
    tell(f"{file} has {size / 1e9:.2f} GB; SERVE.md in it tells how to serve it")


if __name__ == "__main__":
    run(app, "mirror")
