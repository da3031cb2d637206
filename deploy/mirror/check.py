"""Checking a mirror, or an unpacked bundle of one, against the checksums that were written when it was made."""

import hashlib
from pathlib import Path

from deploy.errors import InputError
from deploy.mirror import entries, registry
from deploy.mirror.places import Places

SUMS = "SHA256SUMS"


def check_mirror(places: Places, names: list[str]) -> list[str]:
    """What is wrong with the named entries, one line for each fault: read in full, hashed and compared.

    Raises:
        InputError: There is no mirror.
    """
    if not places.entries.is_dir():
        raise InputError(f"{places.root} has no mirror; make one with `make mirror`")
    faults = []
    for name in names:
        entry = entries.read(places, name)
        if entry is None:
            faults.append(f"{name} is not in the mirror; run `make mirror`")
            continue
        lacking = entries.missing(places, entry)
        faults += [f"{name}: {place} is missing or has another size; run `make mirror`" for place in lacking]
        for artefact in entry.artefacts:
            if artefact.place in lacking:
                continue
            faults += [
                f"{name}: {place} has changed since it was made (the checksum differs); delete it and run `make mirror`"
                for place in _damaged(places, artefact)
            ]
    return faults


def _damaged(places: Places, artefact: entries.Artefact) -> list[str]:
    if artefact.kind != "image":
        path = places.www / artefact.place
        return [] if entries.file_checksum(path) == artefact.checksum else [str(path)]
    digests = registry.blobs(places.registry, artefact.checksum)
    paths = {digest: registry.blob_path(places.registry, digest) for digest in digests}
    return [
        f"{artefact.place} ({path})"
        for digest, path in sorted(paths.items())
        if not path.is_file() or entries.file_checksum(path) != digest
    ]


def write_sums(folder: Path, files: list[Path]) -> str:
    """Text in the form of `sha256sum` for files below a folder."""
    lines = (f"{entries.file_checksum(path).removeprefix('sha256:')}  {path.relative_to(folder)}\n" for path in files)
    return "".join(lines)


def check_bundle(folder: Path) -> list[str]:
    """What is wrong with an unpacked bundle, one line for each fault."""
    listed = {}
    for line in (folder / SUMS).read_text().splitlines():
        checksum, _, path = line.partition("  ")
        listed[path] = checksum
    faults = []
    for path, checksum in listed.items():
        file = folder / path
        if not file.is_file():
            faults.append(f"{path} is missing; unpack the bundle again")
        elif _hash(file) != checksum:
            faults.append(f"{path} does not have its checksum; unpack the bundle again")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    faults += [f"{path} does not belong to the bundle; delete it" for path in sorted(there - listed.keys() - {SUMS})]
    return faults


def _hash(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
