"""What Java says on the terminal of who started Spark, and what is said of a Java that ends."""

import subprocess
import sys

PROGRAM = """
from hepspark.config import SparkConfig
from hepspark.errors import RunError
from hepspark.spark import run_grouped, run_tasks, spark_context

with spark_context(SparkConfig(master="local[1]")) as context:
    logger = context._jvm.org.apache.logging.log4j.LogManager.getLogger("org.apache.spark.util.Utils")
    for thread in ("kubernetes-executor-pod-polling-sync", "another"):
        logger.error(f"Uncaught exception in thread {thread}")
    logger.error("Storing failed", context._jvm.java.io.IOException("no space"))
    java = context._gateway.proc
    java.kill()
    java.wait()
    for work in (lambda: run_tasks(context, str, [1]), lambda: run_grouped(context, str, [1], max, 1, "Writing")):
        try:
            work()
        except RunError as error:
            print(error)
"""
BROKEN_OFF = """
from hepspark.config import SparkConfig
from hepspark.spark import spark_context

for is_broken_off in (True, False):
    try:
        with spark_context(SparkConfig(master="local[1]")) as context:
            root = context._jvm.org.apache.logging.log4j.LogManager.getRootLogger()
            before = root.getLevel().toString()
            if is_broken_off:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    print(before, root.getLevel().toString())
"""


ENDED = "Spark's Java has ended, usually because memory was full; lower spark.driver_memory, or free memory"


def test_errors_are_told_but_for_that_of_a_question_which_spark_breaks_off_itself():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=120)
    assert "ERROR Utils: Uncaught exception in thread another" in ended.stderr
    assert "polling" not in ended.stderr
    assert "ERROR Utils: Storing failed\njava.io.IOException: no space\n" in ended.stderr
    assert "\tat " not in ended.stderr
    assert ended.stdout.splitlines() == [f"Spark: {ENDED}", f"Writing: {ENDED}"]
    assert "Traceback" not in ended.stderr


def test_a_spark_that_is_broken_off_tells_nothing_of_the_tasks_that_it_loses():
    """Its threads log that their pools are shut down, sometimes; a Spark that ends its work tells what goes wrong."""
    ended = subprocess.run([sys.executable, "-c", BROKEN_OFF], check=True, capture_output=True, text=True, timeout=120)
    assert ended.stdout.splitlines() == ["ERROR OFF", "ERROR ERROR"]
