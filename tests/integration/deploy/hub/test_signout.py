"""What a stolen cookie is worth after its owner has signed out."""

from tests.integration.deploy.hub.browser import Browser, with_token
from tests.integration.deploy.hub.conftest import PASSWORD
from tests.integration.deploy.hub.facility import Facility
from tests.waiting import until


def test_a_stolen_cookie_is_worth_nothing_after_the_sign_out(local: Facility, new_user) -> None:
    owner: Browser = new_user("barbara")
    elsewhere = Browser(local.url)
    elsewhere.sign_in("barbara", PASSWORD)
    path = owner.start_server("barbara")
    for browser in (owner, elsewhere):
        assert browser.visit(path).json()["visitor"] == "barbara"
    stolen, visitors_token = owner.copy(), owner.visit(path).json()["visitors_token"]
    assert stolen.user() == "barbara"
    assert stolen.visit(path).json()["visitor"] == "barbara"
    kept = owner.new_token("barbara")

    owner.sign_out()
    assert owner.get("/hub/home").url.startswith(f"{local.url}/hub/login")
    for browser in (stolen, elsewhere):
        assert browser.user() is None
        assert browser.get("/hub/home").url.startswith(f"{local.url}/hub/login")
        until(lambda browser=browser: "/hub/login" in browser.visit(path).url, "a stolen cookie is worth nothing")
    assert with_token(local.url, visitors_token, "/hub/api/user").status_code == 403
    # Tokens that the user made are for programs; the server goes on, and its token with it.
    assert with_token(local.url, kept, "/hub/api/user").json()["name"] == "barbara"
    owner.sign_in("barbara", PASSWORD)
    server_token = owner.visit(path).json()["own_token"]
    assert with_token(local.url, server_token, "/hub/api/hepspark/credentials").ok


def test_who_is_not_signed_in_signs_nobody_out(local: Facility, new_user) -> None:
    owner: Browser = new_user("radia")
    stranger = Browser(local.url)
    stranger.session.cookies.set("jupyterhub-session-id", owner.session.cookies["jupyterhub-session-id"])
    stranger.sign_out()
    assert owner.user() == "radia"
