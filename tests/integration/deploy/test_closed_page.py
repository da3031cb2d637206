"""A page that is closed while its notebook trains, in a browser: the training goes on, and the notebook finds it again.

JupyterLab runs in the files of the notebook's image, as on a server without executors.
"""

import ast
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from playwright.sync_api import BrowserContext

from tests.accounting import accounting, newest_step
from tests.integration.deploy.unpacked import unpacked
from tests.integration.middleman import free_port_url
from tests.lab_user import VIEWPORT, LabUser, chromium, text_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

HOME, NOTEBOOK, RUN = "home/user", "training.ipynb", "/home/user/workspace/run"
EPOCHS = 18
TOLD_AGAIN = 20
"""Epochs that a run tells again when it goes on."""
# Another Spark of this machine may have the facility's port.
TRAIN = f"""
from hepspark import notebook as hep
hep.session(conf={{"spark.ui.port": 0}})
hep.train(
    input=[hep.sample()], output=hep.workspace() + "/run",
    epochs={EPOCHS}, batch=1152, batches_per_step=4, early_stopping_epochs=0,
)
"""
FACILITY = {"POD_NAMESPACE": "hub-ada", "HEPSPARK_IMAGE": "spark:1", "HOME": f"/{HOME}"}


@dataclass(frozen=True)
class Server:
    """JupyterLab of a user who has a notebook that trains."""

    url: str
    token: str
    home: Path

    @property
    def run(self) -> Path:
        """Where the training is, as this machine sees it."""
        return self.home / "workspace" / "run"

    def metrics(self) -> bytes:
        """Of the epochs that have ended."""
        file = self.run / "metrics.jsonl"
        return file.read_bytes() if file.exists() else b""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        image = unpacked("notebook", Path(folder))
        found = Server(free_port_url(), secrets.token_hex(16), image.root / HOME)
        found.home.mkdir(parents=True)
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
        cells = [nbformat.v4.new_code_cell(TRAIN.strip())]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), found.home / NOTEBOOK)
        user, group = map(int, image.config["User"].split(":"))
        for path in (found.home, found.home / NOTEBOOK):
            os.chown(path, user, group)
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": found.url.rpartition(":")[2],
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": f"/{HOME}",
            "IdentityProvider.token": found.token,
        }
        lab = ["python", "-s", "-m", "jupyterlab", "--no-browser"]
        lab += [f"--{name}={value}" for name, value in options.items()]
        log = Path(folder, "jupyter.log")
        with image.container(*lab, variables=FACILITY, log=log) as process:

            def answers() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return requests.get(f"{found.url}/api", timeout=5).ok
                except requests.ConnectionError:
                    return False

            until(answers, "JupyterLab answers")
            yield found


@pytest.fixture
def browser(server: Server) -> Iterator[BrowserContext]:
    """A browser that the server knows."""
    with chromium() as program:
        context = program.new_context(viewport=VIEWPORT)
        page = context.new_page()
        page.goto(f"{server.url}/lab?token={server.token}")
        page.close()
        yield context


def test_a_training_outlives_its_page_and_the_notebook_finds_it_again(server: Server, browser: BrowserContext) -> None:
    first = LabUser(browser.new_page(), server.url)
    first.open(NOTEBOOK, "Idle")
    first.run_first_cell()
    first.wait_for(f"Epoch 2 of {EPOCHS}: loss")
    assert f"The state of this training is in {RUN}." in first.shown()
    first.close()
    before = server.metrics()
    until(lambda: len(server.metrics()) > len(before), "the training goes on without its page")

    again = LabUser(browser.new_page(), server.url)
    again.open(NOTEBOOK, "Busy", "Unknown")
    again.interrupt()
    step, kept = newest_step(server.run), server.metrics()
    assert 2 < accounting(kept)[0] < EPOCHS, "the training has ended too early"
    again.run_first_cell()
    again.wait_for(f"Continuing after step {step} of ")
    told = again.shown()
    assert f"The state of this training is in {RUN}." in told
    ended = [record for record in records(kept) if "step" not in record]
    for epoch in ended[-TOLD_AGAIN:-1]:  # the last one may be told in a moment
        assert f"Epoch {epoch['epoch']} of {EPOCHS}: loss {epoch['loss']:.4f}, " in told
    assert progress(told) >= sum(epoch["events"] for epoch in ended)

    cells = again.outcome(NOTEBOOK)
    assert f"Epoch {EPOCHS} of {EPOCHS}: loss" in text_of(cells)
    final = server.metrics()
    # A step that was trained again would have taken another time.
    assert final.startswith(kept)
    assert accounting(final) == (EPOCHS, True)
    (result,) = (output for output in cells[0]["outputs"] if output["output_type"] == "execute_result")
    summary = ast.literal_eval("".join(result["data"]["text/plain"]))
    steps = [record for record in records(final) if "step" in record]
    assert (summary["model"], summary["epochs"], summary["steps"]) == (f"{RUN}/model", EPOCHS, len(steps))
    assert summary["events_applied"] == progress(text_of(cells)) == sum(record["events"] for record in steps)
    assert (server.run / "model").is_dir()


def records(metrics: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in metrics.splitlines()]


def progress(told: str) -> int:
    """Events that the bar of a cell tells as done."""
    found = re.search(r"Training: ([\d,]+) of [\d,]+ events", told)
    assert found, told
    return int(found[1].replace(",", ""))
