"""Local accounts, as people at browsers meet them."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hepspark_hub.forget import forget
from hepspark_hub.places import Places

from tests.integration.deploy.hub.browser import Browser
from tests.integration.deploy.hub.conftest import PASSWORD
from tests.integration.deploy.hub.facility import Facility


def refusal(page) -> str:
    """What a page says to somebody who did not get in."""
    assert page.status_code == 403
    return " ".join(page.text.partition('class="login_error"')[2].partition(">")[2].partition("<")[0].split())


def test_the_first_password_serves_until_another_is_chosen(local: Facility, browser: Browser) -> None:
    first, chosen = local.password, "chosen by ada"
    browser.sign_in("ada", first)
    assert browser.api("GET", "/user").json()["admin"]
    assert 'href="/hub/auth/change-password"' in browser.get("/hub/home").text
    page = browser.submit("/hub/auth/change-password", password="short")
    assert "Please choose a password at least 10 characters" in page.text
    page = browser.submit("/hub/auth/change-password", password="ü" * 37)
    assert "at most 72 bytes" in page.text
    assert browser.user() == "ada"

    assert "changed successfully" in browser.submit("/hub/auth/change-password", password=chosen).text
    local.password = chosen
    assert browser.user() is None  # whoever else had the old one is out, too
    assert refusal(browser.sign_in("ada", first)) == "Invalid username or password"
    browser.sign_in("ada", chosen)
    path = browser.start_server("ada")
    assert browser.visit(path).json()["visitor"] == "ada"

    local.stop_hub()
    local.set_secret("firstPassword", "another first password")
    local.start_hub()
    assert browser.user() == "ada"
    assert browser.visit(path).json()["visitor"] == "ada"
    browser.stop_server("ada")
    other = Browser(local.url)
    for wrong in (first, "another first password"):
        assert refusal(other.sign_in("ada", wrong)) == "Invalid username or password"
    other.sign_in("ada", chosen)
    assert other.user() == "ada"


def test_a_user_whom_the_administrator_adds_chooses_a_password(browser: Browser, administrator: Browser) -> None:
    assert administrator.api("POST", "/users/grace").status_code == 201
    assert "at least 10 characters" in refusal(browser.sign_in("grace", "too short"))
    assert "at most 72 bytes" in refusal(browser.sign_in("grace", "x" * 73))
    assert browser.user() is None
    browser.sign_in("Grace", PASSWORD)
    assert browser.user() == "grace"
    assert not browser.api("GET", "/user").json()["admin"]
    browser.sign_out()
    assert refusal(browser.sign_in("grace", PASSWORD.upper())) == "Invalid username or password"


def test_a_forgotten_password_is_chosen_anew(local: Facility, new_user) -> None:
    browser: Browser = new_user("ida")
    browser.sign_out()
    forget(Places(state=local.folder).passwords, "Ida")
    browser.sign_in("ida", "another password")
    assert browser.user() == "ida"
    assert refusal(Browser(local.url).sign_in("ida", PASSWORD)) == "Invalid username or password"
    with pytest.raises(KeyError):
        forget(Places(state=local.folder).passwords, "nobody")


@pytest.mark.parametrize("name", ["mallory", "ada, grace", "ada\\", "x" * 300])
def test_nobody_else_signs_in(name: str, browser: Browser, administrator: Browser) -> None:
    users = administrator.api("GET", "/users").json()
    assert refusal(browser.sign_in(name, PASSWORD)) == "Invalid username or password"
    assert browser.user() is None
    assert [user["name"] for user in administrator.api("GET", "/users").json()] == [user["name"] for user in users]


def test_ten_wrong_passwords_slow_down_who_guesses_and_nobody_else(local: Facility, new_user) -> None:
    guesser, other = new_user("slow").copy(), new_user("quick")
    guesser.sign_out()
    other.sign_out()
    begin = time.monotonic()
    for number in range(10):
        assert refusal(guesser.sign_in("slow", f"wrong password {number}")) == "Invalid username or password"
    waits = [local.FIRST_WAIT * 2**number for number in range(8)]
    assert time.monotonic() - begin > sum(waits[:7])

    impatient = Browser(local.url)
    with ThreadPoolExecutor(1) as pool:
        for who in (other, impatient):
            who.open_form()
        begin = time.monotonic()
        right = pool.submit(guesser.sign_in, "slow", PASSWORD)
        other.fill_in("quick", PASSWORD)
        assert not right.done()
        assert "Please wait 3 seconds" in refusal(impatient.fill_in("slow", PASSWORD))
        assert other.user() == "quick"
        assert right.result().ok
        assert time.monotonic() - begin > waits[7] / 2  # some of it had passed when the last answer came
    assert guesser.user() == "slow"


def test_pages_tell_what_ends_and_what_stays(administrator: Browser) -> None:
    home, admin = (" ".join(administrator.get(f"/hub/{page}").text.split()) for page in ("home", "admin"))
    assert "Stop My Server ends the server" in home
    assert "A server runs until somebody stops it." in home
    assert "Delete User ends all that runs for the user" in admin
    assert "namespace physics-hub-NAME" in admin
    assert "react-admin-hook" in admin  # JupyterHub's own page is there, too
    for page in (home, admin):
        assert 'href="/hub/auth/change-password"' in page
