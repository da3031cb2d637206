"""A physicist at a browser: headless Chromium on the pages of hub and JupyterLab."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.runs import QUIET_SECONDS, until, while_it_goes_on


@contextmanager
def chromium() -> Iterator[Browser]:
    """The distribution's Chromium."""
    program = shutil.which("chromium")
    assert program, "install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Physicist:
    """Somebody's browser; `pictures` is where screenshots are kept."""

    name: str
    page: Page
    hub: str
    pictures: Path

    def __post_init__(self) -> None:
        self.page.set_default_timeout(QUIET_SECONDS * 1000)

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

    def upload(self, file: Path) -> None:
        """Upload a file by JupyterLab's button."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Upload Files").first.click()
        chooser.value.set_files(file)
        self.page.get_by_role("listitem", name=file.name).wait_for()

    def run(self, notebook: str, meanwhile: Callable[[], None] | None = None) -> list[dict[str, Any]]:
        """Open a notebook, run it from top to bottom, and return its cells as they were saved.

        `meanwhile` is called once they run, and has to end before they do.
        """
        page = self.page
        # Without what was open before, so that this is the notebook which the menu is about.
        page.goto(f"{self.hub}/user/{self.name}/lab/tree/{quote(notebook)}?reset")
        page.locator(".jp-mod-current[role=tab]", has_text=notebook).wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Restart Kernel and Run All Cells").click()
        page.get_by_role("button", name="Confirm Kernel Restart").click()
        # The last of the cells that wait is in view. Where one fails, those after it wait no more.
        waiting = page.locator(".jp-InputPrompt", has_text="[*]")
        waiting.first.wait_for()
        if meanwhile:
            meanwhile()
            assert waiting.count(), f"{notebook} has ended too early"
        seen = page.locator(".jp-NotebookPanel:visible")
        # The text that is in the page: the one that is drawn lacks what cells out of view say.
        while_it_goes_on(
            lambda: not waiting.count(), f"{notebook} has run to its end", lambda: seen.text_content() or ""
        )
        with page.expect_response(lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url):
            page.keyboard.press("Control+s")
        cells = self.saved(notebook)
        failed = [out for cell in cells for out in cell.get("outputs", ()) if out["output_type"] == "error"]
        assert not failed, f"{notebook}: {failed[0]['ename']}: {failed[0]['evalue']}\n{text_of(cells)}"
        return cells

    def show(self, heading: str) -> None:
        """Bring a heading of the notebook to the top of its panel; pictures above it may still take their place."""
        found = self.page.get_by_role("heading", name=heading)

        def is_there() -> bool:
            found.evaluate("element => element.scrollIntoView()")
            box = found.bounding_box()
            return bool(box and 0 < box["y"] < 200)

        until(is_there, f"{heading} is in view")

    def saved(self, notebook: str) -> list[dict[str, Any]]:
        """The cells of a notebook in the workspace."""
        answer = self.page.request.get(f"{self.hub}/user/{self.name}/api/contents/{quote(notebook)}")
        assert answer.ok, answer.text()
        return list(json.loads(answer.text())["content"]["cells"])

    def picture(self, name: str) -> None:
        """Keep a screenshot."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.pictures / f"{name}.png")


def text_of(cells: list[dict[str, Any]]) -> str:
    """What all cells printed."""
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join("".join(part) for part in parts)


def pictures_of(cells: list[dict[str, Any]]) -> list[bytes]:
    """The pictures that all cells drew, as PNG."""
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    return [base64.b64decode(data["image/png"]) for out in outputs if "image/png" in (data := out.get("data", {}))]
