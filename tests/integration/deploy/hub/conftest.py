"""One hub for the tests of a module."""

from collections.abc import Callable, Iterator

import pytest

from tests.integration.deploy.hub.browser import Browser
from tests.integration.deploy.hub.environment import Programs
from tests.integration.deploy.hub.environment import programs as found_or_made
from tests.integration.deploy.hub.facility import Facility
from tests.integration.s3_servers import Servers
from tests.integration.test_minio_provision import Chart

BUCKET, PUBLIC, PRIVATE = "workspaces", "public-data", "private"
PASSWORD = "password-of-a-user"


@pytest.fixture(scope="session")
def programs() -> Programs:
    return found_or_made()


@pytest.fixture(scope="session")
def store(s3_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """A MinIO with a user for the hub, who may reach all workspaces."""
    chart = Chart(tmp_path_factory.mktemp("store"), s3_servers.of("minio"))
    chart.spec["buckets"] = [{"name": name} for name in (BUCKET, PUBLIC, PRIVATE)]
    chart.set_user("hub", "password-of-hub", "readwrite")
    chart.provision()
    return chart


@pytest.fixture(scope="session")
def local(programs: Programs, store: Chart, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facility]:
    """A hub with local accounts, whose administrator is ada."""
    variables = {"AWS_ACCESS_KEY_ID": f"hub-{store.own}", "AWS_SECRET_ACCESS_KEY": "password-of-hub"}
    settings = {
        "storage": {"endpoint": store.minio.endpoint},
        "workspace": {"bucket": BUCKET, "public": [PUBLIC]},
    }
    facility = Facility(tmp_path_factory.mktemp("hub"), programs)
    facility.configure(variables, settings)
    with facility:
        yield facility


@pytest.fixture
def administrator(local: Facility) -> Browser:
    """Where ada is signed in."""
    browser = Browser(local.url)
    browser.sign_in("ada", local.password)
    assert browser.user() == "ada"
    return browser


@pytest.fixture
def new_user(local: Facility, administrator: Browser) -> Callable[[str], Browser]:
    """Adds a user, who signs in."""

    def add(name: str) -> Browser:
        assert administrator.api("POST", f"/users/{name}").status_code == 201
        browser = Browser(local.url)
        browser.sign_in(name, PASSWORD)
        assert browser.user() == name
        return browser

    return add


@pytest.fixture
def browser(local: Facility) -> Browser:
    """Of somebody who is not signed in."""
    return Browser(local.url)
