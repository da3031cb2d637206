"""Where the hub's pod has its files."""

from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).with_name("templates")
"""Pages that have more than JupyterHub's own; in `accounts` those of local accounts alone."""


@dataclass(frozen=True)
class Places:
    """Folders of the hub."""

    secret: Path = Path("/etc/hub-secret")
    """With the files cookieSecret, operatorToken, and firstPassword or clientSecret."""
    keys: Path = Path("/etc/hub-keys")
    """A file for each user with fixed keys: access key and secret, apart by a space or line break."""
    state: Path = Path("/srv/hub")
    """The hub's volume."""

    @property
    def passwords(self) -> Path:
        """Of local accounts, hashed."""
        return self.state / "passwords.dbm"
