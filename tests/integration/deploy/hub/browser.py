"""Somebody at a browser: cookies, pages, forms, and what the hub's pages ask of its API."""

import re
from typing import Any
from urllib.parse import quote, urljoin

import requests
from requests.cookies import RequestsCookieJar

from tests.waiting import until

SECONDS = 30


class Browser:
    """One browser.

    Args:
        url: Of the facility.
        cookies: That it begins with.
    """

    def __init__(self, url: str, cookies: RequestsCookieJar | None = None) -> None:
        self.url = url
        self.session = requests.Session()
        if cookies:
            self.session.cookies.update(cookies)

    def get(self, path: str, **options: Any) -> requests.Response:
        """A page, at the end of all redirections."""
        headers = {"Sec-Fetch-Mode": "navigate"}
        return self.session.get(urljoin(self.url, path), headers=headers, timeout=SECONDS, **options)

    def submit(self, path: str, **fields: Any) -> requests.Response:
        """What a form of the hub leads to."""
        headers = {"Sec-Fetch-Mode": "navigate", "Referer": self.url + path}
        data = {"_xsrf": self._xsrf(), **fields}
        return self.session.post(urljoin(self.url, path), data=data, headers=headers, timeout=SECONDS)

    def sign_in(self, name: str, password: str) -> requests.Response:
        """What follows the form of the first page."""
        self.open_form()
        return self.fill_in(name, password)

    def open_form(self) -> None:
        """The form that asks who comes."""
        self.get("/hub/login")

    def fill_in(self, name: str, password: str) -> requests.Response:
        """What follows that form."""
        return self.submit("/hub/login?next=%2Fhub%2Fhome", username=name, password=password)

    def visit(self, path: str) -> requests.Response:
        """A user's server; where the hub asks whether that server may know who comes, it may."""
        page = self.get(path)
        if "/hub/api/oauth2/authorize" in page.url and page.ok:
            scopes = re.findall(r'name="scopes"\s+value="([^"]*)"', page.text)
            page = self.submit(page.url.removeprefix(self.url), scopes=scopes)
        return page

    def sign_out(self) -> None:
        """By the page's button."""
        assert self.get("/hub/logout").ok

    def api(self, method: str, path: str, **options: Any) -> requests.Response:
        """What a page of the hub asks its API."""
        headers = {"X-XSRFToken": self._xsrf(), "Sec-Fetch-Mode": "cors"}
        url = f"{self.url}/hub/api{path}"
        return self.session.request(method, url, headers=headers, timeout=SECONDS, **options)

    def user(self) -> str | None:
        """Who is signed in."""
        found = self.api("GET", "/user")
        return found.json()["name"] if found.ok else None

    def copy(self) -> "Browser":
        """Another browser with copies of all cookies."""
        return Browser(self.url, self.session.cookies.copy())

    def start_server(self, name: str) -> str:
        """Start the server of a user, and wait for it; where it is."""
        started = self.api("POST", f"/users/{quote(name)}/server")
        assert started.status_code in (201, 202), started.text
        until(lambda: self.servers(name).get("", {}).get("ready"), f"the server of {name} is ready")
        return f"/user/{quote(name)}/"

    def stop_server(self, name: str) -> None:
        """Stop it, and wait until it is gone."""
        assert self.api("DELETE", f"/users/{quote(name)}/server").status_code in (202, 204)
        until(lambda: not self.servers(name), f"the server of {name} is gone")

    def new_token(self, name: str) -> str:
        """A token with all rights of a user, who makes it by the page."""
        made = self.api("POST", f"/users/{quote(name)}/tokens", json={})
        assert made.status_code == 201, made.text
        return str(made.json()["token"])

    def servers(self, name: str) -> dict[str, Any]:
        """Those that run."""
        return dict(self.api("GET", f"/users/{quote(name)}").json()["servers"])

    def _xsrf(self) -> str:
        return self.session.cookies.get("_xsrf", default="", path="/hub/") or ""


def with_token(url: str, token: str, path: str, method: str = "GET") -> requests.Response:
    """What a program with a token gets."""
    return requests.request(method, url + path, headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS)
