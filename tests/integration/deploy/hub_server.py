"""Makes servers of users as the hub does, for a test: run with the packages of the hub's image.

    python hub_server.py SETTINGS USER...

KUBECONFIG says who the hub is. Prints how flavors that no node can hold are refused. Ends when the servers have run and
were stopped, and the first user has been deleted.
"""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hepspark_hub import servers
from hepspark_hub.settings import Settings, load
from hepspark_hub.spawner import NotebookSpawner
from hepspark_hub.spawning import Spawning
from jupyterhub.objects import Server
from tornado.web import HTTPError
from traitlets.config import Config

HUB = SimpleNamespace(public_host="", base_url="/hub/", url="http://hub:8081", api_url="http://hub:8081/hub/api")


def user(name: str) -> Any:
    """As much of JupyterHub's user as KubeSpawner looks at."""
    url = f"/user/{name}/"
    return SimpleNamespace(name=name, escaped_name=name, id=1, url=url, groups=[], server=Server(base_url=url))


async def run(settings: Settings, name: str, *, deleted: bool) -> None:
    """From the form to the end of the server, or of the user."""
    hooks = Spawning(settings, "certificate")
    options = Config({"KubeSpawner": servers.spawner(settings) | {"profile_list": hooks.choices}})
    options.KubeSpawner.post_stop_hook = hooks.clear
    options.NotebookSpawner.delete_hook = hooks.revoke
    spawner = NotebookSpawner(_mock=True, config=options, user=user(name), hub=HUB)
    spawner.api_token, spawner.oauth_client_id = "token", "server"
    never = [choice["slug"] for choice in await hooks.choices(spawner) if choice["never"]]
    for slug in never:
        spawner.user_options = {"profile": slug}
        try:
            await hooks.prepare(spawner)
        except HTTPError as error:
            print(f"{name}: {error.status_code} {error.log_message}")  # noqa: T201
        else:
            raise AssertionError(f"{slug} was not refused")
    spawner.user_options = {}  # as of a program that names no flavor
    await hooks.prepare(spawner)
    await hooks.prepare(spawner)  # as before every later server
    await spawner.start()
    await spawner.stop()
    await spawner.run_post_stop_hook()
    if deleted:
        await spawner.delete_forever()


async def main(settings: Settings, names: list[str]) -> None:
    """Run the program."""
    await asyncio.gather(*(run(settings, name, deleted=name == names[0]) for name in names))


if __name__ == "__main__":
    asyncio.run(main(load(Path(sys.argv[1])), sys.argv[2:]))
