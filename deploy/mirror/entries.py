"""Finished entries of a mirror: what each consists of, and the key that tells whether it is still what is wanted."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.mirror.places import Places
from deploy.mirror.registry import lacking, stored_digest
from deploy.mirror.versions import RECIPES, REPOSITORY, Component, DebianRelease, Versions

# Part of every key: a change of the code that makes entries otherwise counts this up.
RECIPE_VERSION = 1

Mode = Literal["build", "upstream"]


class Model(BaseModel):
    """Read once, never changed, and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artefact(Model):
    """One file or image of the mirror."""

    kind: Literal["file", "image", "package"]
    name: str
    version: str
    place: str
    """Path below the base URL; `repository:tag` of an image."""
    checksum: str
    """`sha256:` and 64 digits: of the file, or of the image's manifest."""
    size: int
    """Bytes; of an image, what is transferred."""


class Entry(Model):
    """What an entry of `versions.yaml` became."""

    name: str
    version: str
    licence: str
    source: str
    key: str
    seconds: float
    artefacts: tuple[Artefact, ...]


def component_key(name: str, component: Component, versions: Versions, mode: Mode) -> str:
    """A hash of all that a component is made from."""
    parts: list[object] = [RECIPE_VERSION, name, component.model_dump(mode="json", exclude_defaults=True)]
    if mode == "upstream" and component.upstream:
        parts = [*parts[:2], "upstream", component.version, component.paths(), component.references()]
    else:
        recipes = {name, *(spec.component for spec in component.build.c.values())}
        parts += [_recipe(recipe) for recipe in sorted(recipes)]
        images = component.build.images.values()
        inputs = {path for tree in component.build.trees.values() for path in tree.inputs()}
        inputs |= {path for image in images for path in image.files.values()}
        parts += [_contents(REPOSITORY / path, REPOSITORY) for path in sorted(inputs)]
        bases = {image.base.partition("/")[0] for image in images if image.base}
        parts += [component_key(base, versions.components[base], versions, mode) for base in sorted(bases)]
        releases = {image.debian.release for image in images if image.debian}
        releases |= {spec.release for spec in component.build.debian.values()}
        releases |= {tree.java.release for tree in component.build.trees.values() if tree.java}
        parts += [[release, versions.debian[release].suite] for release in sorted(releases)]
    return _hash(parts)


def release_key(name: str, release: DebianRelease) -> str:
    """A hash of all that a Debian release's repository is made from."""
    return _hash([RECIPE_VERSION, name, release.model_dump(mode="json")])


def read(places: Places, name: str) -> Entry | None:
    """A finished entry, or None."""
    path = places.entries / f"{name}.json"
    try:
        return Entry.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):  # of another version of this program: as if it were not there
        return None


def write(places: Places, entry: Entry) -> None:
    """Keep a finished entry."""
    places.entries.mkdir(parents=True, exist_ok=True)
    new = places.entries / f".{entry.name}.new"
    new.write_text(entry.model_dump_json(indent=1) + "\n")
    new.replace(places.entries / f"{entry.name}.json")


def is_finished(places: Places, name: str, key: str) -> bool:
    """Whether an entry with this key is there, whole."""
    entry = read(places, name)
    return entry is not None and entry.key == key and not missing(places, entry)


def missing(places: Places, entry: Entry) -> list[str]:
    """What an entry lacks on disk, judged by presence and size."""
    places_lacking = []
    for artefact in entry.artefacts:
        if artefact.kind == "image":
            there = stored_digest(places.registry, artefact.place) == artefact.checksum
            there = there and not lacking(places.registry, artefact.checksum)
        else:
            path = places.www / artefact.place
            there = path.is_file() and path.stat().st_size == artefact.size
        if not there:
            places_lacking.append(artefact.place)
    return places_lacking


def file_checksum(path: Path) -> str:
    """`sha256:` and the hash of a file."""
    with path.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"


def _recipe(name: str) -> dict[str, str]:
    return _contents(RECIPES / name, RECIPES)


def _contents(place: Path, root: Path) -> dict[str, str]:
    """Checksums of a file, or of all files in a folder but Python's own compiled ones."""
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): file_checksum(path) for path in files if path.parent.name != "__pycache__"
    }


def _hash(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
