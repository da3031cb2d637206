"""What the hub's pages tell beyond JupyterHub's own."""

import pytest
from hepspark_hub.places import TEMPLATES
from jinja2 import ChoiceLoader, DictLoader, Environment, FileSystemLoader, StrictUndefined

OWN = "{% block main %}JupyterHub's{% endblock %}"
VARIABLES = {"idle_minutes": 90, "key_minutes": 60, "hub_namespace": "physics-hub", "bucket": "workspaces"}


def told(page, **changed):
    """A page's words, with a stand-in for the page of JupyterHub that it extends."""
    own = DictLoader({f"templates/{page}.html": OWN})
    pages = Environment(loader=ChoiceLoader([own, FileSystemLoader(TEMPLATES)]), undefined=StrictUndefined)
    return " ".join(pages.get_template(f"{page}.html").render(VARIABLES | changed).split())


@pytest.mark.parametrize("page", ["home", "spawn"])
def test_pages_that_start_and_stop_servers_announce_what_is_stopped_by_itself(page):
    assert "JupyterHub's" in told(page)
    assert "The hub stops a server that nobody uses for 90 minutes." in told(page)
    assert "A kernel ends, too, when it has had nothing to do for 90 minutes and its page is closed" in told(page)
    assert "Files in your home folder and in your workspace stay." in told(page)
    assert "A server runs until somebody stops it." in told(page, idle_minutes=0)
    assert "minutes" not in told(page, idle_minutes=0)


def test_home_tells_what_stop_ends():
    assert "ends the server, the kernels of its notebooks, their Spark, and every other pod" in told("home")


def test_the_administrators_page_tells_what_delete_ends_and_what_stays():
    page = told("admin")
    assert "Delete User ends all that runs for the user, and all rights of the user in the cluster." in page
    assert "Keys of the store that a server already has end within 60 minutes." in page
    assert "home folder (namespace physics-hub-NAME) and the workspace (folder NAME of bucket workspaces) stay" in page
    assert "Keys of the store stay valid until you take them out" in told("admin", key_minutes=0)
