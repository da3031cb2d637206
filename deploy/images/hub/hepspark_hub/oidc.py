"""Users whom an OpenID provider knows; its groups give flavors and administrators."""

from typing import Any

from jupyterhub import orm, roles
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthLogoutHandler

from hepspark_hub.places import Places
from hepspark_hub.settings import Oidc
from hepspark_hub.signout import SignOutHandler, end_sign_ins


def configure(config: Any, provider: Oidc, places: Places) -> None:
    """Set JupyterHub's authenticator.

    Args:
        config: Of traitlets.
        provider: Who knows the users.
        places: Of the hub.
    """
    config.JupyterHub.authenticator_class = ProviderAccounts
    generic = config.GenericOAuthenticator
    generic.client_id = provider.client_id
    generic.client_secret = (places.secret / "clientSecret").read_text().strip()
    generic.authorize_url = provider.authorize_url
    generic.token_url = provider.token_url
    generic.userdata_url = provider.userdata_url
    generic.oauth_callback_url = provider.callback_url
    generic.scope = list(provider.scopes)
    generic.username_claim = provider.username_claim
    generic.login_service = provider.login_service
    generic.manage_groups = True
    generic.auth_state_groups_key = f"oauth_user.{provider.groups_claim}"
    generic.admin_groups = set(provider.admin_groups)
    if provider.allowed_groups:
        generic.allowed_groups = set(provider.allowed_groups)
    else:
        generic.allow_all = True


class _SignOutHandler(SignOutHandler, OAuthLogoutHandler):  # type: ignore[misc] # it ships no type information
    """Of both."""


class ProviderAccounts(GenericOAuthenticator):  # type: ignore[misc] # it ships no type information
    """Users as the provider tells of them at each sign-in: what they lost there, they lose here."""

    logout_handler = _SignOutHandler

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Take nobody for an administrator whom no group makes one now; the hub would go by what was before."""
        auth_model["admin"] = bool(auth_model["admin"])
        return auth_model

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """Whether a user may sign in; one who may not any more loses what other sign-ins gave."""
        is_allowed = bool(await super().check_allowed(username, auth_model))
        known = orm.User.find(self.db, username)
        if known and not is_allowed:
            known.admin = False
            known.groups = []
            roles.assign_default_roles(self.db, entity=known)
            end_sign_ins(self.db, known)
        return is_allowed
