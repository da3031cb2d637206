"""Local accounts, for a site that has nothing else."""

import asyncio
import dbm
from pathlib import Path
from typing import Any

import bcrypt
from firstuseauthenticator import FirstUseAuthenticator
from firstuseauthenticator.firstuseauthenticator import TEMPLATE_DIR
from jupyterhub import orm
from traitlets import Float, Unicode

from hepspark_hub.places import TEMPLATES, Places
from hepspark_hub.signout import SignOutHandler, end_sign_ins
from hepspark_hub.throttle import Throttle

LONGEST_PASSWORD = 72
"""Bytes; bcrypt takes no more."""
_TOO_LONG = f"Password too long! Please choose a password with at most {LONGEST_PASSWORD} bytes."
_TOO_MANY = "Too many wrong passwords! Please wait {:.0f} seconds, then try again."


def configure(config: Any, administrator: str, places: Places) -> None:
    """Set JupyterHub's authenticator.

    Args:
        config: Of traitlets.
        administrator: Name of the first user, who adds the others.
        places: Of the hub; passwords are kept there, hashed.
    """
    config.JupyterHub.authenticator_class = LocalAccounts
    config.Authenticator.admin_users = {administrator}
    config.Authenticator.allow_existing_users = True
    # The authenticator only finds its page for a new password after somebody has asked for its form.
    config.JupyterHub.template_paths.append(TEMPLATE_DIR)
    config.JupyterHub.template_paths.prepend([str(TEMPLATES / "accounts")])  # before JupyterHub's own
    config.FirstUseAuthenticator.dbm_path = str(places.passwords)
    config.LocalAccounts.administrator = administrator
    config.LocalAccounts.first_password_file = str(places.secret / "firstPassword")


class LocalAccounts(FirstUseAuthenticator):  # type: ignore[misc] # it ships no type information
    """Users whom an administrator has added; each sets a password at the first sign-in, and can change it.

    The first administrator's comes from a file, which a Secret fills, and only as long as there is none. Wrong
    passwords are answered more and more slowly, for each name by itself. A changed password signs its user out.
    """

    create_users = False
    min_password_length = 10
    administrator = Unicode(config=True, help="Name of the first administrator")
    first_password_file = Unicode(config=True, help="File with that user's first password")
    first_wait = Float(1.0, config=True, help="Seconds between wrong passwords when they begin to be slowed down")
    longest_wait = Float(30.0, config=True, help="Seconds between wrong passwords at most")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._throttle = Throttle(self.first_wait, self.longest_wait)
        self._set_first_password()

    def _set_first_password(self) -> None:
        if not self.administrator:
            return
        password = Path(self.first_password_file).read_text().strip()
        if not self.min_password_length <= len(password) or len(password.encode()) > LONGEST_PASSWORD:
            raise ValueError(
                f"{self.first_password_file}: the first password of {self.administrator} has {len(password)} "
                f"characters, and needs {self.min_password_length} to {LONGEST_PASSWORD}; put another into its Secret"
            )
        key = self.normalize_username(self.administrator).encode()
        with dbm.open(self.dbm_path, "c", 0o600) as passwords:
            if key not in passwords:
                passwords[key] = bcrypt.hashpw(password.encode(), bcrypt.gensalt())

    async def authenticate(self, handler: Any, data: dict[str, str]) -> Any:
        """Who signs in, or None; see the class for what slows it down."""
        name = self.normalize_username(data["username"])
        seconds = self._throttle.attempt(name)
        if seconds is None:
            handler.custom_login_error = _TOO_MANY.format(self.longest_wait)
            return None
        await asyncio.sleep(seconds)
        if len(data["password"].encode()) > LONGEST_PASSWORD:
            handler.custom_login_error = _TOO_LONG
            return None
        user = await super().authenticate(handler, data)
        if user is not None:
            self._throttle.succeeded(name)
        return user

    def reset_password(self, username: str, new_password: str) -> str:
        """Change the password of a user, whom that signs out everywhere; what the page is to say."""
        if len(new_password.encode()) > LONGEST_PASSWORD:
            return _TOO_LONG
        if len(new_password) >= self.min_password_length:
            end_sign_ins(self.db, orm.User.find(self.db, username))
        return str(super().reset_password(username, new_password))

    def get_handlers(self, app: Any) -> list[Any]:
        """The pages of accounts."""
        return [*super().get_handlers(app), (r"/logout", SignOutHandler)]
