"""A Spark standalone cluster on loopback: several executors without Kubernetes."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyspark
import pytest

from hepspark.java import java_home

_START_SECONDS = 60


@contextmanager
def _process(folder: Path, name: str, ready: str, *arguments: str) -> Iterator[str]:
    """Run a Spark daemon until the block ends; gives the first group of the line that says it is ready."""
    log = folder / f"{name}.log"
    spark = Path(pyspark.__file__).parent
    environment = os.environ | {
        "JAVA_HOME": str(java_home()),
        "SPARK_HOME": str(spark),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_DAEMON_MEMORY": "512m",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(spark / "bin" / "spark-class"), *arguments], env=environment, stdout=output, stderr=output
        )
    try:
        end = time.monotonic() + _START_SECONDS
        while not (found := re.search(ready, log.read_text())):
            assert process.poll() is None, f"{name} ended: {log.read_text()}"
            assert time.monotonic() < end, f"{name} did not start in {_START_SECONDS} s: {log.read_text()}"
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def spark_master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a master with room for three one-core executors."""
    folder = tmp_path_factory.mktemp("spark")
    package = "org.apache.spark.deploy"
    with ExitStack() as stack:
        master = stack.enter_context(
            _process(
                folder,
                "master",
                r"Starting Spark master at (spark://[^\s]+:[1-9]\d*)",
                *(f"{package}.master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"),
            )
        )
        stack.enter_context(
            _process(
                folder,
                "worker",
                r"Successfully registered with master (spark://[^\s]+)",
                *(f"{package}.worker.Worker", "--host", "127.0.0.1", "--cores", "3", "--memory", "4g"),
                *("--webui-port", "0", "-d", str(folder / "work"), master),
            )
        )
        yield master
