"""What a fill is asked to do."""

from dataclasses import dataclass
from pathlib import Path

from deploy.mirror import entries
from deploy.mirror.entries import Mode
from deploy.mirror.places import Places
from deploy.mirror.upstream import Sources
from deploy.mirror.versions import REGISTRY, VERSIONS_FILE, Component, Versions


@dataclass(frozen=True)
class Order:
    """What a fill is asked to do."""

    places: Places
    versions: Versions
    versions_file: Path = VERSIONS_FILE
    mode: Mode = "build"
    only: tuple[str, ...] = ()
    """Names of entries; none means all."""
    again: bool = False
    """Make them although they are finished."""
    sources: Sources | None = None
    apt_sources: Path | None = None
    work: Path | None = None
    """Folder for temporary files, kept afterwards; without it one below the mirror's, removed afterwards."""

    def is_fetched(self, component: Component) -> bool:
        """Whether a component comes from upstream."""
        return self.mode == "upstream" and component.upstream is not None

    def key(self, name: str) -> str:
        """The key that the finished entry of this name has to have."""
        if name in self.versions.components:
            return entries.component_key(name, self.versions.components[name], self.versions, self.mode)
        return entries.release_key(name, self.versions.debian[name.removeprefix("debian-")])

    def unfinished(self) -> list[str]:
        """Names of the entries to make, in order."""
        names = [name for name in entry_names(self.versions) if not self.only or name in self.only]
        wanted = [n for n in names if self.again or not entries.is_finished(self.places, n, self.key(n))]
        components = [self.versions.components[name] for name in wanted if name in self.versions.components]
        needs_registry = REGISTRY not in wanted and any(component.images for component in components)
        if needs_registry and not entries.is_finished(self.places, REGISTRY, self.key(REGISTRY)):
            wanted.insert(0, REGISTRY)
        return wanted

    def registry_program(self) -> Path:
        """Where the mirror has the registry's program; versions with images have one."""
        return self.places.www / self.versions.components[REGISTRY].paths()[REGISTRY]


def entry_names(versions: Versions) -> list[str]:
    """Names of all entries: the components, and one for each Debian release."""
    return [*versions.components, *(f"debian-{release}" for release in versions.debian)]
