"""The settings of JupyterHub and its parts, from ours."""

import hashlib
import os
import sys
from typing import Any

from hepspark_hub import accounts, credentials, keys, oidc, servers
from hepspark_hub.namespaces import CA_FILE
from hepspark_hub.places import TEMPLATES, Places
from hepspark_hub.settings import Settings
from hepspark_hub.spawning import Spawning

PORT = 8081


def configure(config: Any, settings: Settings, places: Places) -> None:
    """Set what the hub needs.

    Args:
        config: Of traitlets, as a configuration file gets it.
        settings: Ours.
        places: Where its files are.
    """
    _network(config, settings, places)
    _servers(config, settings)
    _pages(config, settings)
    _rights(config, settings, places)
    if settings.oidc:
        oidc.configure(config, settings.oidc, places)
    else:
        accounts.configure(config, settings.administrator, places)
    if settings.servers.idle_minutes:
        _cull(config, settings.servers.idle_minutes)


def _network(config: Any, settings: Settings, places: Places) -> None:
    hub = config.JupyterHub
    hub.hub_bind_url = f"http://:{PORT}"
    # Servers are in other namespaces.
    hub.hub_connect_url = f"http://{settings.hub}.{settings.namespace}.svc:{PORT}"
    hub.db_url = os.environ.get("HUB_DATABASE") or f"sqlite:///{places.state}/hub.sqlite"
    hub.upgrade_db = True  # a new version may have a new form of it
    # Of one length, whatever an operator chose.
    hub.cookie_secret = hashlib.sha256((places.secret / "cookieSecret").read_bytes()).digest()
    # What runs goes on without the hub, and is found again by the next one.
    hub.cleanup_servers = False
    hub.cleanup_proxy = False
    config.ConfigurableHTTPProxy.should_start = False
    config.ConfigurableHTTPProxy.api_url = f"http://{settings.proxy}:8001"


def _servers(config: Any, settings: Settings) -> None:
    config.JupyterHub.spawner_class = "hepspark_hub.spawner.NotebookSpawner"
    config.KubeSpawner.update(servers.spawner(settings))
    hooks = Spawning(settings, CA_FILE.read_text() if settings.storage.ca_config_map else "")
    config.KubeSpawner.profile_list = hooks.choices
    config.KubeSpawner.profile_form_template = (TEMPLATES / "flavors.html").read_text()
    config.KubeSpawner.pre_spawn_hook = hooks.prepare
    config.KubeSpawner.post_stop_hook = hooks.clear
    config.NotebookSpawner.delete_hook = hooks.revoke


def _pages(config: Any, settings: Settings) -> None:
    """What pages tell beyond JupyterHub's own: what ends, and what stays."""
    workspace = settings.workspace
    config.JupyterHub.template_paths.prepend([str(TEMPLATES)])
    config.JupyterHub.template_vars = {
        "idle_minutes": settings.servers.idle_minutes,
        "key_minutes": workspace.minutes if workspace.credentials == "sts" else 0,
        "hub_namespace": settings.namespace,
        "bucket": workspace.bucket,
    }


def _rights(config: Any, settings: Settings, places: Places) -> None:
    """Who may ask for the keys of a workspace: the server of its user, and the user."""
    hub, scope = config.JupyterHub, credentials.SCOPE
    hub.services = []
    hub.custom_scopes = {scope: {"description": "Get the keys of one's own workspace"}}
    hub.load_roles = [
        {"name": "user", "scopes": ["self", scope]},
        {"name": "server", "scopes": ["users:activity!user", "access:servers!server", scope]},
    ]
    _service(
        config,
        "operator",
        ["admin:users", "admin:servers", "access:servers", "tokens", "list:users", "read:hub"],
        api_token=(places.secret / "operatorToken").read_text().strip(),
    )
    source = {"source": keys.source_of(settings, places.keys)}
    hub.extra_handlers = [(credentials.PATH, credentials.CredentialsHandler, source)]


def _cull(config: Any, minutes: int) -> None:
    """Stop servers that nobody uses."""
    # The hub's service leads nowhere until the hub is ready.
    here = f"--url=http://127.0.0.1:{PORT}/hub/api"
    command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={minutes * 60}", here]
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    _service(config, "idle-culler", scopes, command=command)


def _service(config: Any, name: str, scopes: list[str], **options: Any) -> None:
    """Somebody who uses the hub's API, with rights of its own."""
    config.JupyterHub.services.append({"name": name, **options})
    config.JupyterHub.load_roles.append({"name": name, "scopes": scopes, "services": [name]})
