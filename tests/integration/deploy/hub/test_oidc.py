"""Sign-in by a provider of its own process, whose groups give rights."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hepspark_hub.flavors import allowed
from hepspark_hub.settings import Settings

from tests.integration.deploy.hub.browser import SECONDS, Browser, with_token
from tests.integration.deploy.hub.environment import Programs
from tests.integration.deploy.hub.facility import Facility, end
from tests.integration.middleman import free_port_url
from tests.unit.hub_settings import SMALL
from tests.waiting import until


class Provider:
    """Knows users by their claims.

    Args:
        url: Where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def is_there(self) -> bool:
        try:
            return requests.get(self.url, timeout=SECONDS).ok
        except requests.ConnectionError:
            return False

    def set_user(self, name: str, *groups: str) -> None:
        claims = {"preferred_username": name, "groups": groups}
        requests.put(f"{self.url}/users/subject-{name}", json=claims, timeout=SECONDS).raise_for_status()


@pytest.fixture(scope="module")
def provider(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    found = Provider(free_port_url())
    command = [programs.python, "-m", "oidc_provider_mock", "--port", found.url.rpartition(":")[2]]
    log: Path = tmp_path_factory.mktemp("provider") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(found.is_there, "the provider answers")
        yield found
    finally:
        end(process)


@pytest.fixture(scope="module")
def facility(programs: Programs, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facility]:
    """A hub whose store does not answer."""
    facility = Facility(tmp_path_factory.mktemp("hub"), programs)
    variables = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    settings = {
        "administrator": "",
        "oidc": {
            "client_id": "hepspark",
            "authorize_url": f"{provider.url}/oauth2/authorize",
            "token_url": f"{provider.url}/oauth2/token",
            "userdata_url": f"{provider.url}/userinfo",
            "callback_url": f"{facility.url}/hub/oauth_callback",
            "allowed_groups": ["physics", "operators"],
            "admin_groups": ["operators"],
        },
        "storage": {"endpoint": free_port_url()},
        "flavors": [SMALL, {**SMALL, "name": "large", "groups": ["big"]}],
    }
    facility.configure(variables, settings)
    with facility:
        yield facility


class Guest(Browser):
    """Somebody who signs in by the provider."""

    def sign_in_as(self, name: str) -> requests.Response:
        form = self.get("/hub/oauth_login?next=%2Fhub%2Fhome")
        assert "/oauth2/authorize" in form.url, form.text
        return self.session.post(form.url, data={"sub": f"subject-{name}"}, timeout=SECONDS)

    def groups(self) -> list[str]:
        return sorted(self.api("GET", "/user").json()["groups"])

    def is_admin(self) -> bool:
        """As the hub says, and as it acts."""
        said, acts = self.api("GET", "/user").json()["admin"], self.api("GET", "/users").ok
        assert said == acts
        return acts


@pytest.fixture
def guest(facility: Facility) -> Guest:
    return Guest(facility.url)


def test_groups_of_the_provider_give_flavors_and_administrators(
    facility: Facility, provider: Provider, guest: Guest
) -> None:
    provider.set_user("emmy", "physics", "big")
    assert guest.sign_in_as("emmy").url == f"{facility.url}/hub/home"
    assert guest.user() == "emmy"
    assert guest.groups() == ["big", "physics"]
    assert not guest.is_admin()
    settings = Settings.model_validate(facility.settings)
    assert [flavor.name for flavor in allowed(settings, guest.groups())] == ["small", "large"]

    provider.set_user("lise", "operators")
    operator = Guest(facility.url)
    operator.sign_in_as("lise")
    assert operator.is_admin()
    assert [flavor.name for flavor in allowed(settings, operator.groups())] == ["small"]


def test_who_is_in_no_allowed_group_is_refused(provider: Provider, guest: Guest) -> None:
    for groups in [(), ("chemistry",)]:
        provider.set_user("mallory", *groups)
        assert guest.sign_in_as("mallory").status_code == 403
        assert guest.user() is None


def test_what_the_provider_takes_away_is_gone_at_the_next_sign_in(
    facility: Facility, provider: Provider, guest: Guest
) -> None:
    provider.set_user("marie", "operators", "big")
    guest.sign_in_as("marie")
    assert guest.is_admin()
    token = guest.new_token("marie")

    provider.set_user("marie", "physics")
    again = Guest(facility.url)
    again.sign_in_as("marie")
    for browser in (again, guest):
        assert browser.groups() == ["physics"]
        assert not browser.is_admin()
    assert with_token(facility.url, token, "/hub/api/users").status_code == 403

    # Whoever may not come in any more loses what other browsers still have.
    provider.set_user("marie", "operators")
    guest.sign_in_as("marie")
    assert guest.is_admin()
    provider.set_user("marie")
    assert Guest(facility.url).sign_in_as("marie").status_code == 403
    assert guest.user() is None
    assert with_token(facility.url, token, "/hub/api/users").status_code == 403


def test_a_sign_out_ends_a_copied_cookie(provider: Provider, guest: Guest) -> None:
    provider.set_user("maria", "physics")
    guest.sign_in_as("maria")
    stolen = guest.copy()
    assert stolen.user() == "maria"
    guest.sign_out()
    assert stolen.user() is None


def test_a_store_that_does_not_answer_is_told_to_the_server(
    facility: Facility, provider: Provider, guest: Guest
) -> None:
    provider.set_user("chien", "physics")
    guest.sign_in_as("chien")
    answer = with_token(facility.url, guest.new_token("chien"), "/hub/api/hepspark/credentials")
    assert answer.status_code == 503
    endpoint = facility.settings["storage"]["endpoint"]
    assert answer.json()["message"].startswith(f"{endpoint} gives no credentials: Could not connect")


def test_no_group_makes_administrators_where_none_is_named(facility: Facility, provider: Provider) -> None:
    provider.set_user("hedy", "operators")
    guest = Guest(facility.url)
    guest.sign_in_as("hedy")
    assert guest.is_admin()
    facility.stop_hub()
    facility.settings["oidc"]["admin_groups"] = []
    facility.start_hub()
    Guest(facility.url).sign_in_as("hedy")
    assert not guest.is_admin()
