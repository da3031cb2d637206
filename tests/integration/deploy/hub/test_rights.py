"""What one user's cookies and tokens open of another's."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import requests

from tests.integration.deploy.hub.browser import SECONDS, Browser, with_token
from tests.integration.deploy.hub.conftest import BUCKET
from tests.integration.deploy.hub.facility import Facility
from tests.integration.test_minio_provision import Chart

CREDENTIALS = "/hub/api/hepspark/credentials"


class Pair(NamedTuple):
    """Two users."""

    mine: Browser
    """Of somebody whose server runs."""
    path: str
    """Of that server."""
    other: Browser
    """Of somebody else, without any rights beyond."""
    names: tuple[str, str]


@pytest.fixture(scope="module")
def pair(local: Facility) -> Pair:
    administrator = Browser(local.url)
    administrator.sign_in("ada", local.password)
    names = ("linus", "eve")
    browsers = []
    for name in names:
        administrator.api("POST", f"/users/{name}")
        browsers.append(Browser(local.url))
        browsers[-1].sign_in(name, f"password-of-{name}")
        assert browsers[-1].user() == name
    return Pair(browsers[0], browsers[0].start_server(names[0]), browsers[1], names)


def test_a_server_lets_in_its_user_alone(local: Facility, pair: Pair) -> None:
    assert pair.mine.visit(pair.path).json()["visitor"] == "linus"
    assert pair.other.visit(pair.path).status_code == 403
    for token, status in ((pair.mine.new_token("linus"), 200), (pair.other.new_token("eve"), 403)):
        assert with_token(local.url, token, pair.path).status_code == status
    # A cookie of one server is none of another.
    thief = Browser(local.url)
    for cookie in pair.mine.session.cookies:
        if cookie.name.startswith("jupyterhub-user-"):
            thief.session.cookies.set("jupyterhub-user-eve", cookie.value, path="/user/eve/")
    path = pair.other.start_server("eve")
    assert "/hub/login" in thief.visit(path).url
    with_servers_token = with_token(local.url, pair.other.visit(path).json()["own_token"], pair.path)
    assert with_servers_token.status_code == 403
    pair.other.stop_server("eve")


FOREIGN: list[tuple[str, str]] = [
    ("GET", "/users"),
    ("GET", "/users/linus"),
    ("PATCH", "/users/linus"),
    ("DELETE", "/users/linus"),
    ("POST", "/users/linus/server"),
    ("DELETE", "/users/linus/server"),
    ("GET", "/users/linus/tokens"),
    ("POST", "/users/linus/tokens"),
    ("POST", "/users/linus/activity"),
    ("GET", "/proxy"),
    ("POST", "/shutdown"),
    ("POST", "/users/eve2"),
    ("GET", "/groups"),
]


@pytest.mark.parametrize(("method", "path"), FOREIGN)
def test_the_api_gives_nobody_what_is_anothers(method: str, path: str, local: Facility, pair: Pair) -> None:
    token = pair.other.new_token("eve")
    for answer in (pair.other.api(method, path), with_token(local.url, token, f"/hub/api{path}", method)):
        assert answer.status_code in (403, 404), answer.text
    assert pair.mine.servers("linus")[""]["ready"]


def test_a_server_gets_the_keys_of_its_user(local: Facility, pair: Pair, store: Chart) -> None:
    given = pair.mine.visit(pair.path).json()
    answer = with_token(local.url, given["own_token"], CREDENTIALS)
    keys = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert keys.keys() == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    mine = store.with_keys(keys)
    mine.put_object(Bucket=BUCKET, Key="linus/of-mine", Body=b"1")
    users_own = with_token(local.url, pair.mine.new_token("linus"), CREDENTIALS)
    assert store.with_keys(users_own.json()).get_object(Bucket=BUCKET, Key="linus/of-mine")["Body"].read() == b"1"


def test_a_server_does_not_get_the_keys_of_its_visitors(local: Facility, pair: Pair, administrator: Browser) -> None:
    given = administrator.visit(pair.path).json()
    assert given["visitor"] == "ada"
    token = given["visitors_token"]
    assert with_token(local.url, token, CREDENTIALS).status_code == 403
    # Nor can it make itself a token that does, or see more than who came.
    scopes = with_token(local.url, token, "/hub/api/user").json()["scopes"]
    assert {scope.partition("!")[0] for scope in scopes} == {"access:servers", "read:users:name", "read:users:groups"}
    assert with_token(local.url, token, "/hub/api/users/ada/tokens", "POST").status_code in (403, 404)
    own = pair.mine.visit(pair.path).json()["visitors_token"]
    assert with_token(local.url, own, CREDENTIALS).status_code == 403
    # Nor can a server's own token.
    for name in ("ada", "linus"):
        path = f"/hub/api/users/{name}/tokens"
        assert with_token(local.url, given["own_token"], path, "POST").status_code in (403, 404)


def test_only_tokens_get_keys(local: Facility, pair: Pair) -> None:
    asked: dict[str, Callable[[], requests.Response]] = {
        "a cookie": lambda: pair.mine.api("GET", "/hepspark/credentials"),
        "a cookie on a page": lambda: pair.mine.get(CREDENTIALS),
        "nothing": lambda: requests.get(local.url + CREDENTIALS, timeout=SECONDS),
        "a service's token": lambda: with_token(local.url, local.operator_token, CREDENTIALS),
        "an invented token": lambda: with_token(local.url, "0" * 32, CREDENTIALS),
        "a token in the address": lambda: requests.get(
            f"{local.url}{CREDENTIALS}?token={pair.mine.new_token('linus')}", timeout=SECONDS
        ),
    }
    assert {how: ask().status_code for how, ask in asked.items()} == dict.fromkeys(asked, 403)


def test_the_token_of_a_stopped_server_gets_nothing(local: Facility, new_user) -> None:
    browser: Browser = new_user("frances")
    token = browser.visit(browser.start_server("frances")).json()["own_token"]
    assert with_token(local.url, token, CREDENTIALS).ok
    browser.stop_server("frances")
    assert with_token(local.url, token, CREDENTIALS).status_code == 403
