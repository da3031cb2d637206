"""What Java says on the terminal of who started Spark."""

import subprocess
import sys

PROGRAM = """
from hepspark.config import SparkConfig
from hepspark.spark import spark_context

with spark_context(SparkConfig(master="local[1]")) as context:
    logger = context._jvm.org.apache.logging.log4j.LogManager.getLogger("org.apache.spark.util.Utils")
    for thread in ("kubernetes-executor-pod-polling-sync", "another"):
        logger.error(f"Uncaught exception in thread {thread}")
"""


def test_errors_are_told_but_for_that_of_a_question_which_spark_breaks_off_itself():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=120)
    assert "ERROR Utils: Uncaught exception in thread another" in ended.stderr
    assert "polling" not in ended.stderr
