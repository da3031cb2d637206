"""The hub's own configuration, but on loopback, with processes in the place of pods."""

import json
import os
import sys
from pathlib import Path

from hepspark_hub.configure import configure
from hepspark_hub.places import Places
from hepspark_hub.settings import Settings

given = json.loads(os.environ["HUB_TEST"])
config = get_config()  # noqa: F821
folder = Path(given["folder"])
configure(config, Settings.model_validate(given["settings"]), Places(folder / "secret", folder / "keys", folder))

config.JupyterHub.hub_bind_url = config.JupyterHub.hub_connect_url = given["hub"]
config.ConfigurableHTTPProxy.api_url = given["proxy"]
config.JupyterHub.spawner_class = "simple"
config.SimpleLocalProcessSpawner.home_dir_template = str(folder / "homes" / "{username}")
config.Spawner.cmd = [sys.executable, str(Path(__file__).with_name("user_server.py"))]
config.Spawner.env_keep = ["PATH", "PYTHONPATH"]
config.LocalAccounts.first_wait = given["first_wait"]
config.LocalAccounts.longest_wait = given["longest_wait"]
