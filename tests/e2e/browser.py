"""A physicist at a browser, on the pages of the hub and in JupyterLab."""

from pathlib import Path

from playwright.sync_api import Page

from tests.lab_user import LabUser


class Physicist(LabUser):
    """A user of the hub.

    Args:
        name: At the hub.
        page: Of the user's browser.
        hub: The address.
        pictures: Where screenshots are kept.
    """

    def __init__(self, name: str, page: Page, hub: str, pictures: Path) -> None:
        super().__init__(page, f"{hub}/user/{name}")
        self.name, self.hub, self.pictures = name, hub, pictures

    def sign_in(self, password: str) -> None:
        """Open the hub's address, and sign in."""
        self.page.goto(self.hub)
        self.page.get_by_label("Username").fill(self.name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/hub/login" not in url)

    def start(self, flavor: str) -> None:
        """Choose a flavor, and wait for JupyterLab."""
        self.page.goto(f"{self.hub}/hub/spawn")
        self.page.get_by_label(flavor).check()
        self.picture("flavors")
        self.page.get_by_role("button", name="Start").click()
        self.page.wait_for_url(f"**/user/{self.name}/lab**")
        self.page.get_by_role("menuitem", name="Run", exact=True).wait_for()

    def stop(self) -> None:
        """Stop the server, on the hub's page."""
        # The button does nothing until the last of the page's scripts has been loaded.
        self.page.goto(f"{self.hub}/hub/home", wait_until="networkidle")
        self.page.get_by_role("button", name="Stop My Server").click()
        self.page.get_by_role("button", name="Start My Server").or_(
            self.page.get_by_role("link", name="Start My Server")
        ).wait_for()

    def picture(self, name: str) -> None:
        """Keep a screenshot."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.pictures / f"{name}.png")
