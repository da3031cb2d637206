"""The form that asks for a flavor, in a real browser: what no node can ever hold cannot be chosen."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.integration.deploy.hub.environment import Programs
from tests.integration.deploy.hub.facility import Facility
from tests.lab_user import chromium
from tests.unit.hub_settings import SMALL

FLAVORS = [
    {**SMALL, "name": name, "title": name.title(), "memory": memory}
    for name, memory in (("huge", "64Gi"), ("large", "5Gi"), ("small", "1Gi"))
]

# KubeSpawner wants to know of a cluster, and asks it nothing here.
NO_CLUSTER = {
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {}}],
}


@pytest.fixture(scope="module")
def facility(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facility]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "kubeconfig").write_text(json.dumps(NO_CLUSTER))
    facility = Facility(folder, programs, form=True)
    facility.configure({"KUBECONFIG": str(folder / "kubeconfig")}, {"flavors": FLAVORS})
    with facility:
        yield facility


@pytest.fixture(scope="module")
def page(facility: Facility) -> Iterator[Page]:
    """Of somebody who has signed in."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 700})
        page.goto(facility.url)
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill(facility.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/hub/login" not in url)
        yield page


def node(cores: int, gibibytes: int) -> dict[str, int]:
    return {"cpu": cores, "memory": gibibytes << 30, "pods": 9}


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
def test_what_no_node_can_hold_cannot_be_chosen(facility, page, before, memory, chosen, possible) -> None:
    facility.set_cluster({"profile": before} if before else {}, w1=node(2, memory), w2=node(8, memory))
    page.goto(f"{facility.url}/hub/spawn")
    radios = page.get_by_role("radio")
    assert {one.get_attribute("value") for one in radios.all() if one.is_enabled()} == possible
    assert [one.get_attribute("value") for one in radios.all() if one.is_checked()] == [chosen]
    for flavor in FLAVORS:
        told = page.locator("label.profile", has=page.locator(f"input[value={flavor['name']}]")).inner_text()
        reason = f"needs 0.5 cores and {flavor['memory'].removesuffix('Gi')} GiB, and the largest node has 8 cores and "
        assert (reason in told) == (flavor["name"] not in possible)
