"""Keeps what Java makes of Spark's and BigDL's classes; Javas that start with the same JAR files take them from there.

python -m tests.integration.java_classes FILE
"""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark import SparkContext
from pyspark.sql import SparkSession

from hepspark.config import SparkConfig
from hepspark.spark import spark_context
from tests.integration import step_job


def main(target: str) -> None:
    """Use what tests use, and have Java write at its end which classes that took."""
    new = Path(f"{target}.new")
    os.environ["JAVA_TOOL_OPTIONS"] = f"'-XX:ArchiveClassesAtExit={new}' -XX:+UseSerialGC"
    sys.stderr.write("keeping the classes of Spark and BigDL for the tests, once\n")
    with TemporaryDirectory() as folder:
        job = {"target": f"{folder}/1.npz", "executors": 1, "first": 0, "count": 1, "source": None, "fault": False}
        step_job.main("local[2]", json.dumps([job]))
        with spark_context(SparkConfig(master="local[2]")) as context:
            session = SparkSession(context)
            session.range(9).write.parquet(f"{folder}/numbers")
            assert session.read.parquet(f"{folder}/numbers").selectExpr("sum(id)").first()[0] == 36
            assert context.range(9).map(str).count() == 9
    java = SparkContext._gateway.proc
    java.stdin.close()
    java.wait(600)
    new.replace(target)  # there whole or not at all


if __name__ == "__main__":
    main(sys.argv[1])
