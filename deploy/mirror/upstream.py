"""Fetching what others have built: files with their checksums, images with their digests."""

import hashlib
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import StringConstraints, ValidationError

from deploy.errors import DeployError, InputError
from deploy.mirror.registry import copy
from deploy.mirror.versions import Component, Model, Name, Versions

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60


class Sources(Model):
    """Addresses of the sources that `versions.yaml` names; the operator's file, never a committed one."""

    files: dict[Name, Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]] = {}
    """Base URL, to which a file's path is appended."""
    images: dict[Name, Annotated[str, StringConstraints(pattern=r"^(http://)?[A-Za-z0-9.:/_-]+$")]] = {}
    """Registry, with a prefix if it has one; `http://` in front of one without TLS."""

    def of(self, component: Component) -> list[str]:
        """The addresses that a component is fetched from."""
        upstream = component.upstream
        files = [self.files[upstream.files]] if upstream and upstream.files else []
        return files + ([self.images[upstream.images]] if upstream and upstream.images else [])


def load_sources(path: Path | None, versions: Versions, names: list[str]) -> Sources:
    """The operator's sources, complete for the named components.

    Raises:
        InputError: No file was given, or it is wrong, or lacks a source that a component needs.
    """
    if path is None:
        raise InputError("--mode upstream needs --sources FILE with the addresses to fetch from; see docs/mirror.md")
    try:
        sources = Sources.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise InputError(f"{path} is wrong: {error}") from None
    lacking = set()
    for name in names:
        upstream = versions.components[name].upstream
        if upstream and upstream.files and upstream.files not in sources.files:
            lacking.add(f"files.{upstream.files} (for {name})")
        if upstream and upstream.images and upstream.images not in sources.images:
            lacking.add(f"images.{upstream.images} (for {name})")
    if lacking:
        raise InputError(f"{path} lacks {', '.join(sorted(lacking))}")
    return sources


def fetch_files(name: str, component: Component, sources: Sources, folder: Path) -> dict[str, Path]:
    """Download the files of a component, each verified by the `.sha256` beside it."""
    if not (component.upstream and component.upstream.files):
        return {}
    base = sources.files[component.upstream.files].rstrip("/")
    fetched = {}
    for file, path in component.paths().items():
        address = f"{base}/{path}"
        expected = _checksum(name, f"{address}.sha256")
        target = folder / f"{name}-{file}"
        actual = _download(name, address, target)
        if actual != expected:
            target.unlink()
            raise DeployError(
                f"{name}: {address} has the checksum {actual}, but the file beside it has {expected}; the download was "
                "damaged or changed, and was deleted"
            )
        fetched[path] = target
    return fetched


def fetch_images(name: str, component: Component, sources: Sources, registry: str, log: Path) -> None:
    """Copy the images of a component into a registry."""
    if not (component.upstream and component.upstream.images):
        return
    source = sources.images[component.upstream.images].rstrip("/")
    plain = source.startswith("http://")
    options = ["--src-tls-verify=false"] if plain else []
    for reference in component.references().values():
        address = f"{source.removeprefix('http://')}/{reference}"
        try:
            copy(f"docker://{address}", f"docker://{registry}/{reference}", log, "--dest-tls-verify=false", *options)
        except DeployError as error:
            raise DeployError(f"{name}: the image {address} cannot be copied: {error}") from None


def _checksum(name: str, address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - the pattern allows http(s) only
            text = answer.read(CHUNK).decode(errors="replace")
    except OSError as error:
        raise DeployError(f"{name}: {address} cannot be fetched: {_reason(error)}") from None
    match = re.match(r"\s*([0-9a-fA-F]{64})\b", text)
    if not match:
        raise DeployError(f"{name}: {address} does not begin with a SHA-256 checksum")
    return match[1].lower()


def _download(name: str, address: str, target: Path) -> str:
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer, target.open("wb") as output:  # noqa: S310
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                output.write(chunk)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise DeployError(f"{name}: {address} cannot be fetched: {_reason(error)}") from None
    return digest.hexdigest()


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    return str(error.reason if isinstance(error, urllib.error.URLError) else error)
