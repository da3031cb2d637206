"""What is told of errors that are not ours."""

import pickle
import traceback
from dataclasses import dataclass

import pytest

from hepspark.errors import InputError, RunError, first_line, told_by_executor, unforeseen

JAVA = """
\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(PythonRunner.scala:572)
\tat java.base/java.lang.Thread.run(Thread.java:840)
"""
JOB = (
    "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
    ": org.apache.spark.SparkException: Job aborted due to stage failure: Task 1 in stage 0.0 failed 1 times, most "
    "recent failure: Lost task 1.0 in stage 0.0 (TID 1) (localhost executor driver): "
)
FRAMES = """Traceback (most recent call last):
  File "/opt/venv/pyspark/worker.py", line 1247, in main
    process()
  File "/opt/venv/hepspark/sources.py", line 12, in read_chunk
    return table["x"][7]
           ~~~~~~~~~~^^^
"""


def job(message, stack=FRAMES):
    """A failed job as py4j tells of it: the stack twice, each time with Java's."""
    told = f"org.apache.spark.api.python.PythonException: {stack}{message}\n{JAVA}"
    return Exception(f"{JOB}{told}\nDriver stacktrace:{JAVA}Caused by: {told}\t... 1 more\n")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("IndexError: index 7 is out of bounds", "IndexError: index 7 is out of bounds (sources.py:12, in read_chunk)"),
        ("MemoryError", "MemoryError (sources.py:12, in read_chunk)"),
        ("x.Odd: first\n  second\n\nthird", "x.Odd: first second third (sources.py:12, in read_chunk)"),
        ("SystemExit: 3", "SystemExit: 3 (sources.py:12, in read_chunk)"),
    ],
)
def test_a_workers_exception_is_its_last_line_and_its_place(message, told):
    assert first_line(job(message)) == told


def test_of_chained_exceptions_the_last_is_told():
    first = f"{FRAMES}KeyError: 'x'\n\nThe above exception was the direct cause of the following exception:\n\n"
    assert first_line(job("ValueError: no x", first + FRAMES.replace("12", "34"))) == (
        "ValueError: no x (sources.py:34, in read_chunk)"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"{JOB}org.apache.spark.SparkException: Python worker exited unexpectedly (crashed){JAVA}"
            f"Caused by: java.io.EOFException{JAVA}",
            "Python worker exited unexpectedly, usually because memory was full",
        ),
        (
            f"{JOB}ExecutorLostFailure (executor 1 exited) Reason: exited with code 137\nDriver stacktrace:{JAVA}",
            "ExecutorLostFailure (executor 1 exited) Reason: exited with code 137",
        ),
        (
            f"{JOB}java.io.IOException: No space left on device{JAVA}Driver stacktrace:{JAVA}"
            f"Caused by: java.io.IOException: No space left on device{JAVA}",
            "java.io.IOException: No space left on device",
        ),
        (
            f"An error occurred while calling o1.x.\n: java.lang.OutOfMemoryError: Java heap space{JAVA}",
            "java.lang.OutOfMemoryError: Java heap space",
        ),
        ("py4j.Py4JException: Method foo([]) does not exist", "py4j.Py4JException: Method foo([]) does not exist"),
        ("", "Exception"),
    ],
)  # fmt: skip
def test_javas_own_errors_are_one_line(text, told):
    assert first_line(Exception(text)).startswith(told)
    assert "\n" not in first_line(Exception(text))


def test_an_error_of_ours_keeps_its_kind_on_the_way_from_an_executor():
    told = told_by_executor(job("hepspark.errors.InputError: a.parquet: no column 'x'"))
    assert (type(told), str(told)) == (InputError, "a.parquet: no column 'x'")
    assert told_by_executor(job("ValueError: x")) is None


@dataclass(frozen=True)
class Work:
    url: str


@pytest.mark.parametrize(
    ("item", "name"),
    [(Work("s3a://b/x"), "s3a://b/x"), ((Work("s3a://b/x"), 3), "s3a://b/x"), (("train", 3), "train 3"), (7, "7")],
)
def test_an_unforeseen_error_names_what_was_worked_on(item, name):
    def fail():
        raise ValueError("two\n  lines")

    try:
        fail()
    except ValueError as error:
        told = pickle.loads(pickle.dumps(unforeseen(error, item)))
    assert isinstance(told, RunError)
    assert str(told).startswith(f"{name}: ValueError: two lines (test_errors.py:")
    assert "in fail); run again" in str(told)
    # --debug shows the stack.
    assert 'raise ValueError("two' in "".join(traceback.format_exception(told))


def test_an_unforeseen_lack_of_memory_has_its_own_remedy():
    try:
        raise MemoryError
    except MemoryError as error:
        told = str(unforeseen(error, 1))
    assert told.startswith("1: MemoryError (test_errors.py:")
    assert told.endswith("run fewer tasks at a time, or give more memory")
