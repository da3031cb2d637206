"""Ansible filters: the addresses of what `versions.yaml` names, for a site's mirror or for upstream itself."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.mirror.versions import Component, Versions


@cache
def load_versions(versions_file: str) -> "Versions":
    """The file, read once in a run."""
    # Imported late: Ansible loads every filter in each of its processes.
    from deploy.mirror.versions import load_versions as _load_versions

    return _load_versions(Path(versions_file))


def _address(component: "Component", kind: str, default: str, sources: dict[str, str]) -> str:
    """The address of a component's source where the site names one, else the mirror's."""
    source = getattr(component.upstream, kind) if component.upstream else None
    return sources.get(source or "", default)


def artefact_files(versions_file: str, url: str, sources: dict[str, str]) -> dict[str, str]:
    """The address of every file: name to URL."""
    return {
        name: f"{_address(component, 'files', url, sources).rstrip('/')}/{path}"
        for component in load_versions(versions_file).components.values()
        for name, path in component.paths().items()
    }


def artefact_images(versions_file: str, registry: str, sources: dict[str, str]) -> dict[str, str]:
    """Every image: name to `registry/repository:tag`."""
    return {
        name: f"{_address(component, 'images', registry, sources)}/{reference}"
        for component in load_versions(versions_file).components.values()
        for name, reference in component.references().items()
    }


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        """The filters by their names."""
        return {"artefact_files": artefact_files, "artefact_images": artefact_images}
