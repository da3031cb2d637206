"""Removing what no entry names any more: of earlier versions, or of a fill that was killed."""

import shutil

from deploy.mirror import bom, entries, registry, sbom
from deploy.mirror.order import Order, entry_names
from deploy.mirror.versions import Versions

APT_LISTS = ("Packages", "Packages.gz", "Release", "InRelease")


def tidy(order: Order, *, changed: bool) -> None:
    """Bring the folders of a mirror to what its entries name, and write its lists.

    Args:
        order: The mirror and its versions.
        changed: Whether an entry has been made, so that the registry may hold something old.
    """
    places, names = order.places, entry_names(order.versions)
    for path in places.entries.glob("*.json"):
        if path.stem not in names:
            path.unlink()
            changed = True
    kept = [entry for name in names if (entry := entries.read(places, name))]
    images = {artefact.place for entry in kept for artefact in entry.artefacts if artefact.kind == "image"}
    for image in sorted(images):
        sbom.write(places.registry, image, places.www / "sbom")
    _tidy_files(order, kept)
    if changed and any(component.images for component in order.versions.components.values()):
        _tidy_images(order, kept)
    if kept:
        bom.write(places, order.versions)
        shutil.copyfile(order.versions_file, places.www / "versions.yaml")


def _tidy_images(order: Order, kept: list[entries.Entry]) -> None:
    places = order.places
    if order.registry_program().is_file() and places.registry.is_dir():
        wanted = {artefact.place for entry in kept for artefact in entry.artefacts if artefact.kind == "image"}
        for stray in registry.references(places.registry) - wanted:
            registry.forget(places.registry, stray)
        registry.collect(order.registry_program(), places.registry, places.logs / "registry-process.log")


def _tidy_files(order: Order, kept: list[entries.Entry]) -> None:
    www = order.places.www
    files = {artefact.place for entry in kept for artefact in entry.artefacts if artefact.kind != "image"}
    files |= {f"{artefact.place}.sha256" for entry in kept for artefact in entry.artefacts if artefact.kind == "file"}
    files |= {f"sbom/{sbom.file_name(a.place)}" for entry in kept for a in entry.artefacts if a.kind == "image"}
    files |= _lists(order.versions)
    for path in sorted(www.rglob("*"), reverse=True):  # what is in a folder comes before it
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(www).as_posix() not in files:
            path.unlink()


def _lists(versions: Versions) -> set[str]:
    """What belongs to the mirror beside its artefacts."""
    return {"versions.yaml", "bom.json", "debian/key.asc"} | {
        f"debian/{release}/{name}" for release in versions.debian for name in APT_LISTS
    }
