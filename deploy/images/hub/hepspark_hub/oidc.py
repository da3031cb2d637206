"""Users whom an OpenID provider knows; its groups give flavors and administrators."""

from typing import Any

from hepspark_hub.settings import SECRET, Oidc

CLIENT_SECRET = SECRET / "clientSecret"


def configure(config: Any, provider: Oidc) -> None:
    """Set JupyterHub's authenticator.

    Args:
        config: Of traitlets.
        provider: Who knows the users.
    """
    config.JupyterHub.authenticator_class = "oauthenticator.generic.GenericOAuthenticator"
    generic = config.GenericOAuthenticator
    generic.client_id = provider.client_id
    generic.client_secret = CLIENT_SECRET.read_text().strip()
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
