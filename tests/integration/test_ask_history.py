"""The program of the spark chart's `helm test`, against Spark's own history server and against what is none."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

from tests.integration.middleman import Answer, free_port_url, serving

PROGRAM = Path(__file__).parents[2] / "helm" / "spark" / "files" / "ask_history.py"
START_SECONDS = 60


def ask(url: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, PROGRAM, url], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def history_server(tmp_path: Path) -> Iterator[str]:
    """The address of a history server without any logs."""
    url = free_port_url()
    logs, settings, said = tmp_path / "logs", tmp_path / "settings", tmp_path / "said"
    logs.mkdir()
    settings.write_text(
        f"spark.history.fs.logDirectory {logs.as_uri()}\nspark.history.ui.port {url.rpartition(':')[2]}\n"
    )
    program = [Path(pyspark.__path__[0]) / "bin" / "spark-class", "org.apache.spark.deploy.history.HistoryServer"]
    with said.open("wb") as output:
        process = subprocess.Popen([*program, "--properties-file", settings], stdout=output, stderr=output)
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                # What the chart's probes ask.
                urllib.request.urlopen(f"{url}/api/v1/version", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"the history server did not start: {said.read_text()[-2000:]}", pytrace=False)
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def test_a_history_server_is_recognised(history_server: str) -> None:
    ended = ask(history_server)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"history server of Spark {pyspark.__version__} shows 0 runs\n"


@pytest.mark.parametrize(
    "answer",
    [Answer(200, body=b"<html></html>"), Answer(200, body=b"[]"), Answer(200, body=b"{}"), Answer(503)],
    ids=["page", "list", "object", "error"],
)
def test_something_else_is_not(answer: Answer) -> None:
    with serving(lambda _: answer) as url:
        ended = ask(url)
    assert ended.returncode == 1
    assert "does not answer as a history server does" in ended.stderr


def test_nothing_is_not() -> None:
    assert ask(free_port_url()).returncode == 1
