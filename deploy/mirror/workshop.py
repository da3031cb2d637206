"""What the builders of entries need to know, and the temporary folder they work in."""

from dataclasses import dataclass
from pathlib import Path

from deploy.mirror.versions import Component, Versions


@dataclass(frozen=True)
class Workshop:
    """Where an entry is made."""

    work: Path
    """Temporary folder, shared by the entries of one fill (Go's caches, apt's lists)."""
    log: Path
    versions: Versions
    apt_sources: Path | None
    """Folder of apt sources to use instead of the machine's own."""

    def folder(self, *parts: str) -> Path:
        """A folder below the temporary one, made if absent."""
        path = self.work.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True)
class Task(Workshop):
    """A workshop with a component to make."""

    name: str
    component: Component
