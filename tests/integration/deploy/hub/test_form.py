"""The form that asks for a flavor, in a real browser: what no node can ever hold cannot be chosen."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.browser import chromium
from tests.integration.deploy.hub.environment import REPOSITORY, Programs

RENDER = """
import asyncio, sys
from hepspark_hub.flavors import profiles
from hepspark_hub.places import TEMPLATES
from hepspark_hub.room import room
from hepspark_hub.spawner import NotebookSpawner
from hepspark.cluster import capacity
from tests.unit.hub_settings import SMALL, settings
from traitlets.config import Config

flavors = settings(flavors=[{**SMALL, "name": name, "memory": memory}
                            for name, memory in (("huge", "64Gi"), ("large", "5Gi"), ("small", "1Gi"))]).flavors
nodes = [capacity.Room("w1", {"cpu": 8, "memory": int(sys.argv[2]) << 30, "pods": 9})]
config = Config()
config.KubeSpawner.profile_form_template = (TEMPLATES / "flavors.html").read_text()

async def form():
    spawner = NotebookSpawner(_mock=True, config=config)
    spawner.user_options = {"profile": sys.argv[1]} if sys.argv[1] else {}
    return spawner._render_options_form(profiles(flavors, room([], nodes, nodes)))

print(asyncio.run(form()))
"""


# KubeSpawner wants to know of a cluster, and asks it nothing here.
CLUSTER = {
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {}}],
}


@pytest.mark.parametrize(
    ("before", "memory", "chosen", "possible"),
    [
        ("", 8, "large", {"large", "small"}),
        ("small", 8, "small", {"large", "small"}),
        ("huge", 8, "large", {"large", "small"}),  # which was possible when it was chosen
        ("", 2, "small", {"small"}),
        ("", 0, "huge", set()),
        ("huge", 99, "huge", {"huge", "large", "small"}),
    ],
)
def test_what_no_node_can_hold_cannot_be_chosen(
    programs: Programs, tmp_path: Path, before: str, memory: int, chosen: str, possible: set[str]
) -> None:
    (tmp_path / "config").write_text(json.dumps(CLUSTER))
    search = [REPOSITORY / "deploy/images/hub", REPOSITORY / "training/src", REPOSITORY]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, search))}
    environment["KUBECONFIG"] = str(tmp_path / "config")
    command = [programs.python, "-c", RENDER, before, str(memory)]
    form = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    with chromium() as browser:
        page = browser.new_page()
        page.set_content(f"<form>{form}</form>")
        radios = page.get_by_role("radio")
        assert {one.get_attribute("value") for one in radios.all() if one.is_enabled()} == possible
        assert [one.get_attribute("value") for one in radios.all() if one.is_checked()] == [chosen]
