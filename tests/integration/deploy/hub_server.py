"""Makes servers of users as the hub does, for a test: run with the packages of the hub's image.

    python hub_server.py SETTINGS USER...

KUBECONFIG says who the hub is. Ends when the servers have run, were stopped, and their users have been removed.
"""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hepspark_hub import servers
from hepspark_hub.settings import Settings, load
from hepspark_hub.spawning import Spawning
from jupyterhub.objects import Server
from kubespawner import KubeSpawner
from traitlets.config import Config

HUB = SimpleNamespace(public_host="", base_url="/hub/", url="http://hub:8081", api_url="http://hub:8081/hub/api")


def user(name: str) -> Any:
    """As much of JupyterHub's user as KubeSpawner looks at."""
    url = f"/user/{name}/"
    return SimpleNamespace(name=name, escaped_name=name, id=1, url=url, groups=[], server=Server(base_url=url))


async def run(settings: Settings, name: str) -> None:
    """From the form to the removal of the user."""
    hooks = Spawning(settings, "certificate")
    options = Config({"KubeSpawner": servers.spawner(settings) | {"profile_list": hooks.choices}})
    spawner = KubeSpawner(_mock=True, config=options, user=user(name), hub=HUB)
    spawner.api_token, spawner.oauth_client_id = "token", "server"
    choices = await hooks.choices(spawner)
    spawner.user_options = {"profile": choices[0]["slug"]}
    await hooks.prepare(spawner)
    await hooks.prepare(spawner)  # as before every later server
    await spawner.start()
    await spawner.stop()
    await spawner.delete_forever()


async def main(settings: Settings, names: list[str]) -> None:
    """Run the program."""
    await asyncio.gather(*(run(settings, name) for name in names))


if __name__ == "__main__":
    asyncio.run(main(load(Path(sys.argv[1])), sys.argv[2:]))
