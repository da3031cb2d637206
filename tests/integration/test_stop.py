"""Work that is broken off inside of Spark."""

import threading

import pytest
from py4j.protocol import Py4JError

from hepspark.config import SparkConfig
from hepspark.errors import HandedOverError
from hepspark.spark import spark_context
from hepspark.supervision import stoppable


def test_a_call_of_java_that_is_broken_off_ends_with_the_reason():
    with spark_context(SparkConfig(master="local[1]")) as context, stoppable() as stop:
        threading.Timer(1, stop.ask, [HandedOverError("to another")]).start()
        with pytest.raises(HandedOverError, match="to another") as ended, stop.explained():
            context._jvm.java.lang.Thread.sleep(60_000)
    assert isinstance(ended.value.__cause__, Py4JError)
