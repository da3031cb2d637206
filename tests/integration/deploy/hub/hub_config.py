"""The hub's own configuration, but on loopback, with processes in the place of pods."""

import json
import os
import sys
from decimal import Decimal
from pathlib import Path

from hepspark_hub.configure import configure
from hepspark_hub.flavors import profiles
from hepspark_hub.places import Places
from hepspark_hub.room import room
from hepspark_hub.settings import Settings
from hepspark_hub.spawner import NotebookSpawner

from hepspark.cluster import capacity

given = json.loads(os.environ["HUB_TEST"])
settings = Settings.model_validate(given["settings"])
config = get_config()  # noqa: F821
folder = Path(given["folder"])
configure(config, settings, Places(folder / "secret", folder / "keys", folder))

config.JupyterHub.hub_bind_url = config.JupyterHub.hub_connect_url = given["hub"]
config.ConfigurableHTTPProxy.api_url = given["proxy"]
config.JupyterHub.spawner_class = "simple"
config.SimpleLocalProcessSpawner.home_dir_template = str(folder / "homes" / "{username}")
config.Spawner.cmd = [sys.executable, str(Path(__file__).with_name("user_server.py"))]
config.Spawner.env_keep = ["PATH", "PYTHONPATH"]
config.LocalAccounts.first_wait = given["first_wait"]
config.LocalAccounts.longest_wait = given["longest_wait"]


def form(_spawner):
    """The form of a server in a pod, on a cluster that the test has described last."""
    cluster = json.loads((folder / "cluster.json").read_text())
    nodes = [
        capacity.Room(name, {resource: Decimal(amount) for resource, amount in has.items()})
        for name, has in cluster["nodes"].items()
    ]
    spawner = NotebookSpawner(_mock=True, config=config)
    spawner.user_options = cluster["last_choice"]
    return spawner._render_options_form(profiles(settings.flavors, room([], nodes, nodes)))


if given["form"]:
    config.Spawner.options_form = form
