"""Local accounts, for a site that has nothing else."""

import asyncio
import dbm
from collections import defaultdict
from pathlib import Path
from typing import Any

import bcrypt
from firstuseauthenticator import FirstUseAuthenticator
from traitlets import Unicode

from hepspark_hub.settings import SECRET
from hepspark_hub.throttle import Throttle

FIRST_PASSWORD = SECRET / "firstPassword"


def configure(config: Any, administrator: str, folder: str) -> None:
    """Set JupyterHub's authenticator.

    Args:
        config: Of traitlets.
        administrator: Name of the first user, who adds the others.
        folder: Where passwords are kept, hashed.
    """
    config.JupyterHub.authenticator_class = LocalAccounts
    config.Authenticator.admin_users = {administrator}
    config.Authenticator.allow_existing_users = True
    config.FirstUseAuthenticator.dbm_path = f"{folder}/passwords.dbm"
    config.LocalAccounts.administrator = administrator
    config.LocalAccounts.first_password_file = str(FIRST_PASSWORD)


class LocalAccounts(FirstUseAuthenticator):  # type: ignore[misc] # it ships no type information
    """Users whom an administrator has added; each sets a password at the first sign-in, and can change it.

    The first administrator's comes from a file, which a Secret fills, and only as long as there is none. Wrong
    passwords are answered more and more slowly, one at a time for each name.
    """

    create_users = False
    min_password_length = 10
    administrator = Unicode(config=True, help="Name of the first administrator")
    first_password_file = Unicode(config=True, help="File with that user's first password")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._throttle = Throttle()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._set_first_password()

    def _set_first_password(self) -> None:
        if not self.administrator:
            return
        password = Path(self.first_password_file).read_text().strip()
        if len(password) < self.min_password_length:
            raise ValueError(
                f"{self.first_password_file}: the first password of {self.administrator} has {len(password)} "
                f"characters, and needs {self.min_password_length}; put a longer one into its Secret"
            )
        key = self.normalize_username(self.administrator).encode()
        with dbm.open(self.dbm_path, "c", 0o600) as passwords:
            if key not in passwords:
                passwords[key] = bcrypt.hashpw(password.encode(), bcrypt.gensalt())

    async def authenticate(self, handler: Any, data: dict[str, str]) -> Any:
        """Who signs in, or None; see the class for what slows it down."""
        name = self.normalize_username(data["username"])
        async with self._turns[name]:
            await asyncio.sleep(self._throttle.seconds(name))
            user = await super().authenticate(handler, data)
            if user is None:
                self._throttle.failed(name)
            else:
                self._throttle.succeeded(name)
            return user
