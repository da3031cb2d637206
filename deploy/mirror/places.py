"""Where the mirror is on disk."""

import os
from dataclasses import dataclass
from pathlib import Path


def default_folder() -> Path:
    """The mirror's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hepspark" / "mirror"


@dataclass(frozen=True)
class Places:
    """The folders of one mirror."""

    root: Path

    @property
    def www(self) -> Path:
        """What the base URL serves."""
        return self.root / "www"

    @property
    def registry(self) -> Path:
        """The storage of the image registry."""
        return self.root / "registry"

    @property
    def entries(self) -> Path:
        """One JSON file for each finished entry."""
        return self.root / "entries"

    @property
    def logs(self) -> Path:
        """What the programs wrote that made the entries."""
        return self.root / "logs"
