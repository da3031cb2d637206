"""One lab for all tests of a module; it is gone when they end, however they end."""

import pytest

from tests.e2e.facility import Facility
from tests.e2e.runs import Platform


@pytest.fixture(scope="module")
def facility(request, tmp_path_factory):
    made = Facility(tmp_path_factory.mktemp("facility"), **getattr(request.module, "FACILITY", {}))
    made.hosts("down")  # of a run that was killed
    try:
        up = made.make("lab")
        assert up.code == 0, up.text
        yield made
    finally:
        down = made.make("lab-down")
        assert down.code == 0, down.text


@pytest.fixture(scope="module")
def platform(facility):
    return Platform(facility)
