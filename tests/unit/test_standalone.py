"""A standalone cluster of Spark, before Spark is started for it."""

import socket

import pytest

from hepspark.errors import InputError
from hepspark.standalone import check_master, check_properties


@pytest.fixture
def master():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_one_master_that_takes_connections_is_enough(master):
    for url in (f"spark://{master}", f"spark://127.0.0.1:1,{master}"):
        check_master(url)


@pytest.mark.parametrize(
    ("place", "reason"),
    [("127.0.0.1:1", "Connection refused"), ("127.0.0.1", "invalid literal")],
)
def test_a_master_that_does_not_is_named(place, reason):
    with pytest.raises(InputError, match=rf"spark\.master: no master .* answers \({place}: .*{reason}.*\); start it"):
        check_master(f"spark://{place}")


CORES, CORES_MAX, MEMORY = "spark.executor.cores", "spark.cores.max", "spark.executor.memory"


@pytest.mark.parametrize(
    ("conf", "bigdl", "count"),
    [
        ({}, False, 1),
        ({MEMORY: "2048M", CORES: "2"}, False, 1),
        ({CORES: "2", CORES_MAX: "7"}, False, 3),
        ({CORES: "2", CORES_MAX: "6", MEMORY: "1tb"}, True, 3),
    ],
)
def test_properties_of_executors_say_how_many_there_will_be(conf, bigdl, count):
    assert check_properties(conf, bigdl=bigdl) == count


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({}, "spark.executor.cores is not given; .*give spark.executor.cores and spark.cores.max: BigDL divides"),
        ({CORES: "1"}, "spark.cores.max is not given"),
        ({CORES: "x", CORES_MAX: "2"}, "spark.executor.cores is 'x'; expected a whole number from 1"),
        ({CORES: "2", CORES_MAX: "0"}, "spark.cores.max is '0'"),
        ({CORES: "2", CORES_MAX: "3"}, "spark.cores.max is 3; expected a multiple of spark.executor.cores, which is 2"),
        ({CORES: "2", CORES_MAX: "1"}, "spark.cores.max is 1; expected a multiple"),
        ({MEMORY: "much"}, "spark.executor.memory is 'much'; expected 450m or more, such as 2g"),
        ({MEMORY: "1024"}, "spark.executor.memory is '1024'; expected"),
        ({MEMORY: "449m"}, "spark.executor.memory is '449m'; expected"),
    ],
)
def test_properties_with_which_nothing_would_start_are_refused(conf, message):
    with pytest.raises(InputError, match=message):
        check_properties(conf, bigdl=True)
