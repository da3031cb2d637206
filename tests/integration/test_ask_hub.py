"""The program of the jupyterhub chart's `helm test`, before what answers as JupyterHub does and what does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.middleman import Answer, Request, free_port_url, serving

PROGRAM = Path(__file__).parents[2] / "helm" / "jupyterhub" / "files" / "ask_hub.py"
HUB = {"/hub/api/": Answer(200, body=b'{"version": "6.1.1"}'), "/hub/login": Answer(200, body=b"<form>" * 200)}
PROXY = Answer(503, body=b"no hub behind it")


def ask(url: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, PROGRAM, url], capture_output=True, text=True, check=False, timeout=60)


def answering(answers: dict[str, Answer]):
    def answer(request: Request) -> Answer:
        return answers.get(request.path, PROXY)

    return serving(answer)


def test_a_hub_is_recognised() -> None:
    with answering(HUB) as url:
        ended = ask(url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "JupyterHub 6.1.1 shows a sign-in page of 1,200 bytes\n"


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/hub/api/": HUB["/hub/api/"]},
        {"/hub/login": HUB["/hub/login"]},
        HUB | {"/hub/api/": Answer(200, body=b"<html></html>")},
        HUB | {"/hub/api/": Answer(200, body=b"{}")},
        HUB | {"/hub/api/": Answer(200, body=b"[]")},
    ],
    ids=["a proxy alone", "no page", "no version", "a page for a version", "an object", "a list"],
)
def test_something_else_is_not(answers: dict[str, Answer]) -> None:
    with answering(answers) as url:
        ended = ask(url)
    assert ended.returncode == 1
    assert "does not answer as JupyterHub does" in ended.stderr


def test_nothing_is_not() -> None:
    assert ask(free_port_url()).returncode == 1
