"""A hub whose state is in PostgreSQL."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.deploy.hub.browser import Browser
from tests.integration.deploy.hub.environment import Programs
from tests.integration.deploy.hub.facility import Facility, end
from tests.integration.middleman import free_port_url
from tests.waiting import until

SEARCH = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
ACCOUNT = "postgres"
"""Of the distribution's package."""


def program(name: str, *arguments: object) -> list[str]:
    """A command of PostgreSQL, which refuses to be root: root is somebody else in a user namespace of its own."""
    found = shutil.which(name, path=SEARCH)
    assert found, "install postgresql"
    if os.geteuid():
        return [found, *map(str, arguments)]
    other = pwd.getpwnam(ACCOUNT)
    as_other = ["unshare", f"--map-user={other.pw_uid}", f"--map-group={other.pw_gid}"]
    return [*as_other, found, *map(str, arguments)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    data, port = tmp_path / "data", free_port_url().rpartition(":")[2]
    made = program("initdb", "--pgdata", data, "--username", ACCOUNT, "--auth", "trust", "--no-sync")
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    options = ["-h", "127.0.0.1", "-p", port, "-k", "", "-F"]
    with (tmp_path / "postgres.log").open("wb") as log:
        process = subprocess.Popen(program("postgres", "-D", data, *options), stdout=log, stderr=subprocess.STDOUT)
    try:
        ready = program("pg_isready", "--quiet", "--host", "127.0.0.1", "--port", port)
        until(lambda: subprocess.run(ready).returncode == 0, "PostgreSQL answers")
        yield f"postgresql+psycopg://{ACCOUNT}@127.0.0.1:{port}/{ACCOUNT}"
    finally:
        end(process)


def test_who_is_signed_in_and_what_runs_outlives_the_hub(
    database: str, programs: Programs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    facility = Facility(tmp_path_factory.mktemp("hub"), programs)
    facility.configure({"HUB_DATABASE": database}, {})
    with facility:
        browser = Browser(facility.url)
        browser.sign_in("ada", facility.password)
        path = browser.start_server("ada")
        facility.stop_hub()
        facility.start_hub()
        assert browser.user() == "ada"
        assert browser.visit(path).json()["visitor"] == "ada"
        browser.stop_server("ada")
    assert not list(facility.folder.glob("*.sqlite"))
