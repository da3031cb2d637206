"""The program of the spark chart's probes and `helm test`, against Spark's own history server and what is none."""

import os
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


def ask(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


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
    program += ["--properties-file", settings]
    # As in its pod.
    variables = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"}
    with said.open("wb") as output:
        process = subprocess.Popen(program, env=variables, stdout=output, stderr=output)
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


def test_a_history_server_answers_its_own_pod_alone(history_server: str) -> None:
    ended = ask(history_server)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"history server of Spark {pyspark.__version__}\n"
    # Every address of 127/8 is this machine's, as that of a pod is the pod's.
    other = history_server.replace("127.0.0.1", "127.0.0.2")
    ended = ask("--closed", other)
    assert (ended.returncode, ended.stdout) == (0, f"{other} answers nobody but its own pod\n")
    ended = ask("--closed", history_server)
    assert (ended.returncode, ended.stdout) == (1, f"{history_server} is open to every pod of the cluster\n")


def test_a_name_that_nobody_has_is_not_taken_for_a_closed_server() -> None:
    ended = ask("--closed", "http://spark-history.invalid:18080")
    assert ended.returncode == 1
    assert "does not answer as a history server does" in ended.stderr


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
