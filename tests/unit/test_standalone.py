"""A standalone cluster of Spark, before Spark is started for it."""

import socket

import pytest

from hepspark.errors import InputError
from hepspark.standalone import check_master


@pytest.fixture
def master():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_one_master_that_takes_connections_is_enough(master):
    for url in ("local[2]", f"spark://{master}", f"spark://127.0.0.1:1,{master}"):
        check_master(url)


@pytest.mark.parametrize(
    ("place", "reason"),
    [("127.0.0.1:1", "Connection refused"), ("127.0.0.1", "invalid literal")],
)
def test_a_master_that_does_not_is_named(place, reason):
    with pytest.raises(InputError, match=rf"spark\.master: no master .* answers \({place}: .*{reason}.*\); start it"):
        check_master(f"spark://{place}")
