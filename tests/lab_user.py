"""Somebody who works with notebooks in JupyterLab, by headless Chromium."""

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

from tests.waiting import QUIET_SECONDS, until, while_it_goes_on

VIEWPORT = {"width": 1400, "height": 1000}


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


class LabUser:
    """A page of a browser, and the JupyterLab that it shows.

    Args:
        page: Of somebody whom the server lets in.
        server: Its address, with its path and without a slash at the end.
    """

    def __init__(self, page: Page, server: str) -> None:
        self.page, self.server = page, server
        self.page.set_default_timeout(QUIET_SECONDS * 1000)

    def open(self, notebook: str, *states: str) -> None:
        """Open a notebook, and wait until its kernel is in one of the states; until then no button reaches it."""
        # Without what was open before, so that this is the notebook which the menu is about.
        self.page.goto(f"{self.server}/lab/tree/{quote(notebook)}?reset")
        self.page.locator(".jp-mod-current[role=tab]", has_text=notebook).wait_for()
        self.wait_for_kernel(*states)

    def wait_for_kernel(self, *states: str) -> None:
        """Wait until the status bar tells one of the states."""
        self.page.get_by_text(re.compile(rf"Python 3 \(ipykernel\) \| ({'|'.join(states)})")).wait_for()

    def run(self, notebook: str, meanwhile: Callable[[], None] | None = None) -> list[dict[str, Any]]:
        """Open a notebook, run it from top to bottom, and return its cells as they were saved.

        `meanwhile` is called once they run, and has to end before they do.
        """
        self.open(notebook, "Idle")
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Restart Kernel and Run All Cells").click()
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()
        self._waiting.first.wait_for()
        if meanwhile:
            meanwhile()
            assert self._waiting.count(), f"{notebook} has ended too early"
        return self.outcome(notebook)

    def run_first_cell(self) -> None:
        """Run the first cell of the notebook that is open, and return when it runs."""
        self.page.locator(".jp-NotebookPanel:visible .jp-CodeCell .cm-content").first.click()
        self.page.keyboard.press("Control+Enter")
        self._waiting.first.wait_for()

    def interrupt(self) -> None:
        """Press ■, and wait until the kernel has nothing to do."""
        self.page.get_by_role("button", name="Interrupt the kernel").first.click()
        self.wait_for_kernel("Idle")

    def wait_for(self, text: str) -> None:
        """Wait until the notebook that is open shows a text, while a cell of it runs."""
        while_it_goes_on(lambda: text in self.shown() or not self._waiting.count(), f"{text!r} is shown", self.shown)
        assert text in self.shown(), f"the cells have run, but {text!r} is not shown: {self.shown()}"

    def outcome(self, notebook: str) -> list[dict[str, Any]]:
        """Wait until the cells of the notebook that is open have run, save it, and return its cells."""
        # Where a cell fails, those after it wait no more.
        while_it_goes_on(lambda: not self._waiting.count(), f"{notebook} has run to its end", self.shown)
        with self.page.expect_response(lambda sent: sent.request.method == "PUT" and "/api/contents/" in sent.url):
            self.page.keyboard.press("Control+s")
        cells = self.saved(notebook)
        failed = [out for cell in cells for out in cell.get("outputs", ()) if out["output_type"] == "error"]
        assert not failed, f"{notebook}: {failed[0]['ename']}: {failed[0]['evalue']}\n{text_of(cells)}"
        return cells

    @property
    def _waiting(self) -> Any:
        """The cells that run, or wait for others; the last of them is in view."""
        return self.page.locator(".jp-InputPrompt", has_text="[*]")

    def shown(self) -> str:
        """The text of the notebook that is open; the one that is drawn lacks what cells out of view say."""
        return self.page.locator(".jp-NotebookPanel:visible").text_content() or ""

    def close(self) -> None:
        """Close the page as a person does, who lets go what is not saved."""
        self.page.on("dialog", lambda dialog: dialog.accept())
        with self.page.expect_event("close"):
            self.page.close(run_before_unload=True)

    def upload(self, file: Path) -> None:
        """Upload a file by JupyterLab's button."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Upload Files").first.click()
        chooser.value.set_files(file)
        self.page.get_by_role("listitem", name=file.name).wait_for()

    def show(self, heading: str) -> None:
        """Bring a heading of the notebook to the top of its panel; pictures above it may still take their place."""
        found = self.page.get_by_role("heading", name=heading)

        def is_there() -> bool:
            found.evaluate("element => element.scrollIntoView()")
            box = found.bounding_box()
            return bool(box and 0 < box["y"] < 200)

        until(is_there, f"{heading} is in view")

    def saved(self, notebook: str) -> list[dict[str, Any]]:
        """The cells of a notebook in its folder."""
        answer = self.page.request.get(f"{self.server}/api/contents/{quote(notebook)}")
        assert answer.ok, answer.text()
        return list(json.loads(answer.text())["content"]["cells"])


def text_of(cells: list[dict[str, Any]]) -> str:
    """What all cells printed."""
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join("".join(part) for part in parts)


def pictures_of(cells: list[dict[str, Any]]) -> list[bytes]:
    """The pictures that all cells drew, as PNG."""
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    return [base64.b64decode(data["image/png"]) for out in outputs if "image/png" in (data := out.get("data", {}))]
